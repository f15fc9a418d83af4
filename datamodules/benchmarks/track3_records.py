"""One record of AI City Challenge Track 3: what it must hold, and how its variations become one form."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import NamedTuple

from datamodules.samples import MASK_PLACEHOLDER, AnswerType, DataError, Region

CATEGORIES: dict[str, AnswerType] = {
    "left_right": AnswerType.SIDE,
    "mcq": AnswerType.REGION,
    "distance": AnswerType.DISTANCE,
    "count": AnswerType.COUNT,
}
"""The challenge's names for its kinds of question, and the form of their answers."""

_IMAGE_PLACEHOLDER = "<image>"


class Track3Record(NamedTuple):
    """One record in one form, whatever the file's variations.

    `answer`, `category` and `rationale` are "" where the file does not tell; `height` and `width` are those
    of the masks, in pixels (0 without masks); `masks` are compressed COCO run lengths in question order.
    """

    id: str
    image: str
    question: str
    category: str
    answer: str
    rationale: str
    height: int
    width: int
    masks: tuple[str, ...]


def parse_record(raw: object, file: Path, position: int) -> Track3Record:
    """Check the `position`-th element of `file` and bring it into one form.

    Raises:
        DataError: a key is missing or of the wrong type, the image name leaves the image folder, the
            category is unknown, the run lengths of a mask do not add up to its size, the masks differ in
            size, or there are fewer masks than `<mask>`.
    """
    if not isinstance(raw, dict):
        raise DataError(f"Element {position} of {file} is not a JSON object but {type(raw).__name__}.")
    where = f"Record {raw.get('id', f'number {position}')} of {file}"
    missing = [key for key in ("id", "image", "conversations") if not raw.get(key) and raw.get(key) != 0]
    if missing:
        raise DataError(f"{where} has no {' and no '.join(missing)}.")
    question = _question(raw["conversations"], where)
    height, width, masks = _masks(raw.get("rle"), where)
    placeholders = question.count(MASK_PLACEHOLDER)
    if len(masks) < placeholders:
        raise DataError(
            f"{where} names {placeholders} regions ({MASK_PLACEHOLDER}) in its question but has only "
            f"{len(masks)} masks in `rle`. Repair or remove the record."
        )
    return Track3Record(
        id=str(raw["id"]),
        image=_image_name(raw["image"], where),
        question=question,
        category=_category(raw.get("category"), where),
        answer=_text(raw.get("normalized_answer"), "normalized_answer", where),
        rationale=_text(raw.get("freeform_answer"), "freeform_answer", where),
        height=height,
        width=width,
        masks=masks,
    )


def _question(conversations: object, where: str) -> str:
    """The question's text without the optional image placeholder."""
    first = conversations[0] if isinstance(conversations, list) and conversations else None
    value = first.get("value") if isinstance(first, dict) else None
    if not isinstance(value, str):
        raise DataError(f"{where} has no question text in `conversations[0].value`.")
    return value.replace(_IMAGE_PLACEHOLDER, "").strip()


def _image_name(name: object, where: str) -> str:
    """The image's file name, which must stay below the image folder."""
    path = PurePosixPath(str(name).replace("\\", "/"))
    if not isinstance(name, str) or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise DataError(f"{where} names the image {name!r}, which is not a file inside the image folder.")
    return name


def _category(category: object, where: str) -> str:
    """The category, or "" where the record has none."""
    if category is None or category == "":
        return ""
    if not isinstance(category, str) or category not in CATEGORIES:
        raise DataError(f"{where} has the unknown category {category!r}; known are {', '.join(CATEGORIES)}.")
    return str(category)


def _text(value: object, key: str, where: str) -> str:
    """A string or number as text, "" for a missing one."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(f"{where} has a `{key}` that is neither text nor a number: {value!r}.")
    return str(value).strip()


def _masks(rle: object, where: str) -> tuple[int, int, tuple[str, ...]]:
    """Height, width and run lengths of the record's masks, which all have one size."""
    if rle is None:
        return 0, 0, ()
    if not isinstance(rle, list):
        raise DataError(f"{where} has an `rle` that is not a list of masks.")
    sizes: list[tuple[int, int]] = []
    counts: list[str] = []
    for index, mask in enumerate(rle):
        name = f"Mask {index} of {where[0].lower()}{where[1:]}"
        match mask:
            case {"size": [int(height), int(width)], "counts": str(run_lengths)} if height > 0 and width > 0:
                Region(height, width, run_lengths).require_whole(name)
                sizes.append((height, width))
                counts.append(run_lengths)
            case _:
                raise DataError(
                    f'{name} is not a compressed COCO mask ({{"size": [height, width], "counts": "..."}}).'
                )
        if sizes[index] != sizes[0]:
            raise DataError(
                f"{where} has masks of different sizes (height x width): mask 0 is {sizes[0][0]}x"
                f"{sizes[0][1]}, mask {index} is {height}x{width}. Encode them all at the image's size."
            )
    height, width = sizes[0] if sizes else (0, 0)
    return height, width, tuple(counts)
