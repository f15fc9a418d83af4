"""Questions about image files, trained on in any order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from datamodules.base import Role
from datamodules.samples import ImageFile, SpatialSample
from tests.helpers.stub import StubData, StubQuestions


class FileQuestions(StubQuestions):
    """The stub's questions, each group about the image file of its number."""

    root: Path

    def _sample(self, group: int, question: int) -> SpatialSample:
        image = ImageFile(self.root / f"{group}.png")
        return replace(super()._sample(group, question), image=image, regions=())


class ThousandImages(StubData):
    """A thousand image files."""

    def open_split(self, role: Role) -> StubQuestions:
        """The questions of a split."""
        questions = FileQuestions(role, 1000 if role == "train" else 11)
        object.__setattr__(questions, "root", Path(self.root))
        return questions
