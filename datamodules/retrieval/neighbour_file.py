"""The examples of a split's questions as a file, which data-loading workers read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.retrieval.listed import Listed, Place
from datamodules.retrieval.neighbours import Neighbours
from datamodules.retrieval.sentence_encoder import RetrievalError


@dataclass(frozen=True)
class ChosenExamples:
    """What a file says.

    Attributes:
        places: for each question, in the order of its split, where its examples stand in theirs; the nearest
            first.
        cut: how many texts of questions and examples are longer than the encoder reads.
        unreadable: the pictures of examples that cannot be decoded, and why.
    """

    places: tuple[tuple[Place, ...], ...]
    cut: int
    unreadable: dict[str, str]


def write_neighbours(path: Path, asked: Sequence[Listed], found: Neighbours) -> None:
    """Write a line of JSON for each question, for people as well; the first one is about all of them."""
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"cut": found.cut, "unreadable": found.unreadable}) + "\n")
        for question, several in zip(asked, found.of, strict=True):
            examples = [
                {"id": one.example.id, "place": one.example.place, "squared_distance": one.distance}
                for one in several
            ]
            file.write(json.dumps({"id": question.id, "examples": examples}) + "\n")


def read_neighbours(path: Path, asked: Sequence[Listed]) -> ChosenExamples:
    """The examples of these questions.

    Raises:
        RetrievalError: the file is damaged, or one of other questions.
    """
    try:
        with path.open(encoding="utf-8") as file:
            first, *lines = map(json.loads, file)
        places = tuple(
            tuple((int(group), int(number)) for group, number in (one["place"] for one in line["examples"]))
            for line in lines
        )
        result = ChosenExamples(places, int(first["cut"]), dict(first["unreadable"]))
        ids: list[Any] = [line["id"] for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RetrievalError(f"The examples in {path} cannot be read ({error}): delete the file.") from error
    if ids != [question.id for question in asked]:
        raise RetrievalError(f"The examples in {path} are those of other questions: delete the file.")
    return result
