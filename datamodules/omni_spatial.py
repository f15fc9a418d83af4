"""OmniSpatial: multiple-choice questions on motion, interaction, logic, perspective; real or rendered."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from datamodules.base import Role
from datamodules.benchmarks.record_texts import is_missing, texts_in
from datamodules.files.archives import unpack_folder
from datamodules.files.json_stream import stream_array
from datamodules.files.unique_ids import UniqueIds
from datamodules.hub.whole_copies import HubDataset, SplitCounts, missing_images
from datamodules.layouts import LayoutArguments, OfficialLayout
from datamodules.loading.listed_questions import ListedQuestions
from datamodules.samples import DRAWN_LETTERS, LETTERS, AnswerType, DataError, ImageFile, SpatialSample

if TYPE_CHECKING:
    from datamodules.scoring.choice_metrics import OmniSpatialMetric

TASKS = ("Dynamic_Reasoning", "Spatial_Interaction", "Complex_Logic", "Perspective_Taking")
"""The benchmark's `task_type`s, which are also the names of its image folders."""

COLOUR_TERMS = (
    "color",
    "colour",
    "red",
    "blue",
    "green",
    "yellow",
    "orange",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
    "gray",
    "grey",
    "cyan",
    "magenta",
    "beige",
    "maroon",
    "navy",
    "teal",
    "violet",
    "indigo",
    "gold",
    "silver",
)
"""The words that make a question depend on colour."""

_RECORDS = "data.json"
_COLOUR = re.compile(rf"(?<![a-z])(?:{'|'.join(COLOUR_TERMS)})(?![a-z])", re.IGNORECASE)
_NEEDED = ("id", "question", "options", "task_type", "sub_task_type")


def missing_omni_spatial(folder: Path, split: str, expected: SplitCounts) -> Iterator[str]:
    """What a split in the layout of OmniSpatial lacks."""
    place = split_folder(folder, split)
    if place is None:
        yield f"{folder / f'OmniSpatial-{split}' / 'data.json'} is missing."
        return
    samples = list(read_rows(place))
    yield from expected.differences(
        place / "data.json", Counter(sample.task for sample in samples), {sample.group for sample in samples}
    )
    for task in TASKS:
        images = {Path(sample.group).name for sample in samples if sample.task == task}
        yield from missing_images(place / task, sorted(images))


class OmniSpatial(OfficialLayout):
    """OmniSpatial in its official layout: `data.json` and one folder of images for each task type.

    The test split may lie in the folder itself, in `test/` or (as it is unpacked) in `OmniSpatial-test/`, and
    so for the other splits, except that they have a folder of their own. The real benchmark has a test split
    only.

    Args:
        questions: all of them, or those that name no colour (1,274 of the 1,533), which can be answered in
            grey.
        shared: the arguments of every benchmark and datamodule, see `OfficialLayout` and `SpatialDataModule`.
    """

    benchmark = "omni_spatial"
    hub = HubDataset(
        name="omni_spatial",
        repository="qizekun/OmniSpatial",
        splits={
            "test": SplitCounts(
                1_533,
                None,
                {
                    "Perspective_Taking": 561,
                    "Dynamic_Reasoning": 420,
                    "Spatial_Interaction": 300,
                    "Complex_Logic": 252,
                },
            )
        },
        missing=missing_omni_spatial,
        # The training archive, nine times as large, is no part of the benchmark.
        files=("OmniSpatial-test.zip",),
        archives={"OmniSpatial-test.zip": unpack_folder},
    )
    title = "OmniSpatial"

    def __init__(
        self,
        questions: Literal["all", "without_colour"] = "all",
        **shared: Unpack[LayoutArguments],
    ) -> None:
        super().__init__(**shared)
        self.questions: Literal["all", "without_colour"] = questions

    def render(self) -> Path:
        """The folder with the rendered scenes, which are rendered first where they are not cached."""
        from datamodules.rendered.benchmarks import cached_omni_spatial

        return cached_omni_spatial(self.cache, scenes=self.scenes, size=self.size, seed=self.scenes_seed)

    def files_of(self, folder: Path, role: Role) -> list[Path]:
        """The `data.json` of a split; raises `MissingSplit`."""
        name = self.splits[role]
        if (place := split_folder(folder, name)) is not None:
            return [place / _RECORDS]
        named = [file.parent.name.removeprefix("OmniSpatial-") for file in folder.glob(f"*/{_RECORDS}")]
        present = [*named, *(["test"] if (folder / _RECORDS).is_file() else [])]
        raise self.split_missing(role, f"{folder / name / _RECORDS}", present)

    def prepare_split(self, role: Role) -> None:
        """Fetch or render where needed."""
        self.folder()

    def open_split(self, role: Role) -> ListedQuestions:
        """Open a split; raises `DataError` where it is missing, empty or has bad rows, or no images."""
        place = self.files_of(self.folder(), role)[0].parent
        samples = list(read_rows(place))
        if self.questions == "without_colour":
            samples = [sample for sample in samples if not depends_on_colour(sample.question)]
            if not samples:
                raise DataError(
                    f"Every question of {place / _RECORDS} names a colour, so that questions: without_colour "
                    "leaves none. Ask all of them."
                )
        self._require_image_folders(samples, place)
        return ListedQuestions.grouped(samples)

    def metric(self, stage: str = "test") -> OmniSpatialMetric:
        """The official score."""
        from datamodules.scoring.choice_metrics import OmniSpatialMetric

        return OmniSpatialMetric()

    def _require_image_folders(self, samples: list[SpatialSample], place: Path) -> None:
        """Raise when the views leave the images in and the folder of some of them does not exist."""
        for task in dict.fromkeys(sample.task for sample in samples):
            sample = next(sample for sample in samples if sample.task == task)
            for view in self.views_of_questions:
                sample = view(sample)
            if sample.image is not None and not (place / task).is_dir():
                raise DataError(
                    f"The folder {place / task} with the images of the {task} questions does not exist. "
                    f"Fetch or unpack it (`make data NAME={self.benchmark} TO=...`), or leave the images "
                    "out with the view `datamodules.views.Blind`."
                )


def depends_on_colour(question: str) -> bool:
    """Whether a question names a colour (or asks for one), so that it may not be answered in grey."""
    return _COLOUR.search(question) is not None


def split_folder(folder: Path, split: str) -> Path | None:
    """The folder with the records and images of a split; None where there is none."""
    places = [folder / split, folder / f"OmniSpatial-{split}", *([folder] if split == "test" else [])]
    return next((place for place in places if (place / _RECORDS).is_file()), None)


def read_rows(path: Path) -> Iterator[SpatialSample]:
    """The questions of a `data.json`, or of the folder that holds one; their images lie beside it.

    Raises:
        DataError: the file is missing, malformed or empty, ids occur twice within a task type, or a row is
            not usable.
    """
    file = path / _RECORDS if path.is_dir() else path
    ids = UniqueIds()
    number = -1
    for number, raw in enumerate(stream_array(file)):
        sample = sample_of(raw, file, number)
        ids.add(sample.id, f"Row {number} of {file} has the id {sample.id}, which an earlier row has too.")
        yield sample
    ids.require()
    if number < 0:
        raise DataError(f"The file {file} holds no questions: an empty split cannot be used.")


def sample_of(raw: object, file: Path, number: int) -> SpatialSample:
    """Check the `number`-th element of `file` and bring it into the record's form.

    The answer may be unknown. Options may repeat each other (476 of the real questions do so): they are told
    apart by their letters. No options means that they are drawn in the image.

    Raises:
        DataError: a key or an option is missing or of the wrong type, the task type is unknown, there is one
            option only, or the answer is not the index of an option.
    """
    if not isinstance(raw, dict):
        raise DataError(f"Row {number} of {file} is not a JSON object but {type(raw).__name__}.")
    where = f"Row {number} of {file} (id {raw.get('id')})"
    if missing := [key for key in _NEEDED if is_missing(raw.get(key))]:
        raise DataError(f"{where} has no {' and no '.join(missing)}. Repair or remove the row.")
    if raw["task_type"] not in TASKS:
        raise DataError(
            f"{where} has the unknown task_type {raw['task_type']!r}; known are {', '.join(TASKS)}."
        )
    image = str(raw["id"]).split("_")[0]
    if not re.fullmatch(r"[\w-]+", image):
        raise DataError(
            f"{where} has an id that names no image: it should be like 12_0, for the image 12.png."
        )
    group = f"{raw['task_type']}/{image}.png"
    choices = _choices(raw["options"], where)
    return SpatialSample(
        id=f"{raw['task_type']}/{raw['id']}",
        question=str(raw["question"]).strip(),
        image=ImageFile(file.parent / group),
        choices=choices,
        answer=_letter(raw.get("answer"), choices, where),
        answer_type=AnswerType.LETTER,
        task=raw["task_type"],
        source=str(raw["sub_task_type"]),
        group=group,
    )


def _choices(options: object, where: str) -> tuple[str, ...]:
    """The options' texts; none where they are drawn in the image."""
    choices = texts_in(options, "options", where)
    if len(choices) == 1 or len(choices) > len(LETTERS):
        raise DataError(
            f"{where} has {len(choices)} options; it needs 2 to {len(LETTERS)}, or none where they are drawn "
            "in the image. Repair or remove the row."
        )
    return choices


def _letter(answer: object, choices: tuple[str, ...], where: str) -> str | None:
    """The letter of an answer's index; None where it is not known."""
    if is_missing(answer):
        return None
    letters = LETTERS[: len(choices)] if choices else DRAWN_LETTERS
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(letters):
        raise DataError(
            f"{where} has the `answer` {answer!r}, which is not the index of an option: 0 to "
            f"{len(letters) - 1}. Repair or remove the row."
        )
    return letters[answer]
