"""Your own images: a folder with a CSV or JSON file of questions about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np

from datamodules.base import DataArguments, Role, SpatialDataModule
from datamodules.benchmarks.own_records import NEEDED, OPTIONAL, samples_of
from datamodules.benchmarks.question_files import QuestionRow, find_questions, read_questions
from datamodules.files.folder_digest import folder_digest
from datamodules.files.image_folder import ImageFolder
from datamodules.layouts import MissingSplit, refuse_unsaid_roots
from datamodules.loading.listed_questions import ListedQuestions
from datamodules.samples import MASK_PLACEHOLDER, DataError, ImageFile, Region, SpatialSample

if TYPE_CHECKING:
    from datamodules.scoring.choice_metrics import OwnQuestionsMetric

_NOWHERE = ImageFile(Path())

_EVERYTHING = SpatialSample(
    "", MASK_PLACEHOLDER, _NOWHERE, depth=_NOWHERE, regions=(Region.from_mask(np.ones((1, 1), dtype=bool)),)
)
"""A question with all that one can have, to see what views take away."""

_HOW_TO_GIVE = {
    "depth": "the column `depth` is the path of a depth image",
    "regions": f"the column `regions` holds the boxes of what the question calls {MASK_PLACEHOLDER}",
}
"""How a user gives what a model needs, by the field of the sample, which is also the column."""


class OwnImages(SpatialDataModule):
    """Questions of your own about images of your own, to be answered by a trained model.

    A folder holds the images, in folders within it if you like, and `questions.csv` (or `.json`, `.jsonl`)
    with a question a row. The columns `image` (its path from the folder) and `question` must be there. These
    may be:

    - `id`: the question's name; the number of its row when left out.
    - `choices`: red | green | blue, or a JSON list.
    - `regions`: what each `<mask>` of the question means, in order: boxes `[[x0, y0, x1, y1], ...]` in pixels
      or masks `[{"size": [height, width], "counts": "..."}, ...]` of COCO, of the image as it is shown.
    - `depth`: the path of a depth image, brighter is farther.
    - `answer`: the true answer. With an answer to every question, `test` scores them too.
    - `answer_type`: the form of the answer, where a model shall be asked for it: region, side, count,
      distance or text.

    There is one split, which is predicted or tested; nothing is trained on it.

    Args:
        root: the folder.
        questions: the file of questions, where the folder holds several.
        encoding: how that file was written, where it is neither UTF-8 nor has a byte order mark.
        outside: take images that lie outside of the folder.
        incomplete: have questions answered that lack what the model has always been given (depth, regions).
        shared: the arguments of every datamodule, see `SpatialDataModule`.
    """

    def __init__(
        self,
        root: str | None = None,
        questions: str | None = None,
        encoding: str | None = None,
        outside: bool = False,
        incomplete: bool = False,
        **shared: Unpack[DataArguments],
    ) -> None:
        super().__init__(**shared)
        self.root = root
        self.questions = questions
        self.encoding = encoding
        self.outside = outside
        self.incomplete = incomplete
        self._asked: list[tuple[QuestionRow, SpatialSample]] | None = None
        refuse_unsaid_roots(self.views, "These questions are about your own images")

    def require_split(self, role: Role) -> None:
        """Raise `DataError` where it is no split to be tested on, or one of its rows is not usable."""
        if role != "test":
            raise MissingSplit(
                f"Your own images have no {role} split: they are there to be answered (`predict`) or, with "
                "the column `answer`, to be tested on (`test`)."
            )
        self._rows_with_samples()

    def has_split(self, role: Role) -> bool:
        """Whether it is the one to be tested on."""
        return role == "test"

    def prepare_split(self, role: Role) -> None:
        """Nothing: the images are there."""

    def open_split(self, role: Role) -> ListedQuestions:
        """The questions of the folder; raises `DataError` where a row or an image is not usable."""
        self.require_split(role)
        return ListedQuestions.grouped(sample for _, sample in self._rows_with_samples())

    def metric(self, stage: str = "test") -> OwnQuestionsMetric:
        """The share of right answers."""
        from datamodules.scoring.choice_metrics import OwnQuestionsMetric

        return OwnQuestionsMetric()

    def require_answers(self, role: Role) -> None:
        """Raise `DataError` where a question has no answer."""
        self.require_split(role)
        asked = self._rows_with_samples()
        without = [row.where for row, sample in asked if sample.answer is None]
        if without:
            raise DataError(
                f"{without[0]} has no `answer`: {len(without):,} of the {len(asked):,} questions cannot be "
                "scored. Fill in the column `answer`, or have them answered with `predict`."
            )

    def require_fields(self, module: object) -> None:
        """Raise `DataError` where a question lacks what the views show, or what the module has always had.

        What the views take away is not missing, nor is anything with `incomplete`.

        Args:
            module: the module, which may say under `needs` which fields it has never learnt to do without.
        """
        if self.incomplete:
            return
        needed: dict[str, str] = {}
        seen = _EVERYTHING
        for view in self.views_of_questions:
            needed |= {field: type(view).__name__ for field in view.needs if getattr(seen, field)}
            seen = view(seen)
        always_given = sorted(getattr(module, "needs", ()))
        needed |= {field: type(module).__name__ for field in always_given if getattr(seen, field)}
        for row, sample in self._rows_with_samples():
            if missing := [field for field in needed if not getattr(sample, field)]:
                raise DataError(
                    f"{row.where} has no {' and no '.join(missing)}, which {needed[missing[0]]} has always "
                    f"been given: {'; '.join(_HOW_TO_GIVE[field] for field in missing)}. To have it answered "
                    "even so, add --data.incomplete true."
                )

    def origin(self) -> str:
        """The digest of the folder."""
        return folder_digest(self._folder())

    def _rows_with_samples(self) -> list[tuple[QuestionRow, SpatialSample]]:
        """The questions and where they stand, read once."""
        if self._asked is None:
            folder = self._folder()
            rows = read_questions(find_questions(folder, self.questions), NEEDED, OPTIONAL, self.encoding)
            samples = samples_of(rows, ImageFolder(folder, self.outside))
            self._asked = list(zip(rows, samples, strict=True))
        return self._asked

    def _folder(self) -> Path:
        if self.root is None:
            raise DataError(
                "Which images? Name the folder that holds them and questions.csv: --data.root FOLDER."
            )
        folder = Path(self.root).expanduser()
        if not folder.is_dir():
            is_file = "is a file, not a folder" if folder.exists() else "does not exist"
            raise DataError(
                f"The folder of images {folder} {is_file}. Name the folder that holds them and "
                "questions.csv: --data.root FOLDER."
            )
        return folder


# Typed for editors; the parser looks up the defaults in the parent, which it does for untyped ones alone.
del OwnImages.__init__.__annotations__["shared"]
