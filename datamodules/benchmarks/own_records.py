"""One question of one's own about an image: what its columns mean, and how they become the record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from datamodules.answers import FINDERS
from datamodules.benchmarks.own_regions import regions_of
from datamodules.benchmarks.question_files import QuestionRow
from datamodules.benchmarks.record_texts import text_in, texts_in
from datamodules.benchmarks.space_thinker_text import task_of
from datamodules.files.image_folder import ImageFolder
from datamodules.files.text_files import NOT_JSON
from datamodules.files.unique_ids import UniqueIds
from datamodules.samples import LETTERS, MASK_PLACEHOLDER, AnswerType, DataError, ImageFile, SpatialSample

NEEDED = ("image", "question")
"""The columns that every row fills."""

OPTIONAL = ("id", "choices", "depth", "regions", "answer", "answer_type")
"""The columns that a row may fill."""

OTHER_SHAPE = 0.05
"""By which part the ratio of a depth image's sides may differ from that of its image."""

_LETTER = re.compile(r"\(?([A-Za-z])\)?\.?")


def samples_of(rows: Iterable[QuestionRow], images: ImageFolder) -> list[SpatialSample]:
    """The questions of a file; one without an id gets the number of its row, from 1.

    Raises:
        DataError: a row is not usable, or some have the same id.
    """
    samples: list[SpatialSample] = []
    seen_at: dict[str, str] = {}
    ids = UniqueIds()
    for number, row in enumerate(rows, 1):
        sample = sample_of(row, str(number), images)
        before = seen_at.setdefault(sample.id, row.where)
        ids.add(sample.id, f"{row.where} has the id {sample.id!r}, which {_inside(before)} has too.")
        samples.append(sample)
    ids.require()
    return samples


def sample_of(row: QuestionRow, number: str, images: ImageFolder) -> SpatialSample:
    """Check one row and bring it into the record's form; of images only the size is read.

    Args:
        row: the row.
        number: its id, where it has none.
        images: where its images lie.

    Raises:
        DataError: a value is of the wrong form, an image is not there or outside of the folder, or there are
            as many regions as `<mask>` in the question.
    """
    values, where = row.values, row.where
    question = text_in(values["question"], "question", where)
    file = images.find(text_in(values["image"], "image", where), where)
    size = images.size(file, where)
    depth = None
    if "depth" in values:
        depth = ImageFile(_depth_file(values["depth"], size, images, where))
    regions = regions_of(values["regions"], size, where) if "regions" in values else ()
    if len(regions) != (named := question.count(MASK_PLACEHOLDER)):
        raise DataError(
            f"{where} names {named} regions ({MASK_PLACEHOLDER}) in its question, but has {len(regions)} in "
            f"the column `regions`. Write one {MASK_PLACEHOLDER} for each region, in their order."
        )
    choices = _choices(values["choices"], where) if "choices" in values else ()
    form = _answer_type(values.get("answer_type"), choices, where)
    return SpatialSample(
        id=text_in(values.get("id", number), "id", where),
        question=question,
        image=ImageFile(file),
        depth=depth,
        regions=regions,
        choices=choices,
        answer=_answer(values["answer"], form, choices, where) if "answer" in values else None,
        answer_type=form,
        task=task_of(question),
        source=images.path.resolve().name,
        group=file.relative_to(images.path).as_posix() if file.is_relative_to(images.path) else str(file),
    )


def _depth_file(value: object, size: tuple[int, int], images: ImageFolder, where: str) -> Any:
    """The file of a depth image, which has the shape of its image."""
    file = images.find(text_in(value, "depth", where), where)
    width, height = images.size(file, where)
    if abs(width / height * size[1] / size[0] - 1) > OTHER_SHAPE:
        raise DataError(
            f"{where} has the depth {value!r} of {width}x{height} pixels, but its image is shown in "
            f"{size[0]}x{size[1]}. Turn or cut the depth as the image."
        )
    return file


def _choices(value: object, where: str) -> tuple[str, ...]:
    """The choices: a list, or a text that holds one in JSON or separates them by |."""
    if isinstance(value, str):
        if value.startswith("["):
            try:
                value = json.loads(value)
            except NOT_JSON as error:
                raise DataError(f"{where} has `choices` that are not JSON: {value!r:.60}.") from error
        else:
            value = value.split("|")
    if not isinstance(value, list) or not 2 <= len(value) <= len(LETTERS):
        raise DataError(
            f"{where} has `choices` that are not 2 to {len(LETTERS)} texts: {value!r:.60}. Write them as "
            'red | green | blue, or as the JSON list ["red", "green", "blue"].'
        )
    choices = texts_in(value, "choices", where)
    if twice := next((choice for choice in choices if choices.count(choice) > 1), None):
        raise DataError(f"{where} has the choice {twice!r} twice. Choices must differ from each other.")
    return choices


def _answer_type(value: object, choices: tuple[str, ...], where: str) -> AnswerType | None:
    """The form of the answer: a letter where there are choices, else what the file says."""
    if value is None:
        return AnswerType.LETTER if choices else None
    name = text_in(value, "answer_type", where).lower()
    if name not in set(AnswerType):
        raise DataError(
            f"{where} has the `answer_type` {name!r:.60}; known are {', '.join(AnswerType)}. "
            "It may be left out."
        )
    if bool(choices) != (name == AnswerType.LETTER):
        has = "choices" if choices else "no choices"
        raise DataError(
            f"{where} has {has} and the `answer_type` {name}. Questions with choices, and no others, have "
            "letters as answers."
        )
    return AnswerType(name)


def _answer(value: object, form: AnswerType | None, choices: tuple[str, ...], where: str) -> str:
    """The true answer; of choices its letter, which may be given as the choice itself."""
    text = text_in(value, "answer", where)
    if not choices:
        if form in FINDERS and FINDERS[form](text, "") is None:
            raise DataError(f"{where} has the `answer` {text!r}, in which there is no {form}. Correct it.")
        return text
    letter = _LETTER.fullmatch(text)
    named = {letter[1].upper()} & set(LETTERS[: len(choices)]) if letter else set()
    said = {LETTERS[place] for place, choice in enumerate(choices) if choice.casefold() == text.casefold()}
    if len(named | said) != 1:
        raise DataError(
            f"{where} has the `answer` {text!r}, which does not say which of its {len(choices)} choices is "
            f"meant. Write its letter, A to {LETTERS[len(choices) - 1]}, or its text."
        )
    return (named | said).pop()


def _inside(where: str) -> str:
    return where[0].lower() + where[1:]
