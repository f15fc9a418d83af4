"""Which examples are shown before each question of a split."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from pathlib import Path
from random import Random
from typing import Literal

from rich.progress import track

from datamodules.retrieval.listed import Listed
from datamodules.retrieval.nearest_texts import NearestTexts
from datamodules.retrieval.same_picture import PictureContents
from datamodules.retrieval.sentence_encoder import RetrievalError, SentenceEncoder

Chosen = Literal["nearest", "random", "fixed"]
"""How examples are chosen: by distance, by chance for each question, or once for all questions."""


@dataclass(frozen=True)
class Neighbour:
    """An example that is shown before a question.

    Attributes:
        example: the example.
        distance: the squared L2 distance of the two questions' embeddings; None where chance chose.
    """

    example: Listed
    distance: float | None = None


@dataclass(frozen=True)
class Neighbours:
    """The examples of all questions.

    Attributes:
        of: for each question, in order, its examples: the nearest first, those of equal distance by id.
        cut: how many texts of questions and examples are longer than the encoder reads.
        unreadable: the pictures of examples that cannot be decoded, which are not shown, and why.
    """

    of: list[list[Neighbour]]
    cut: int
    unreadable: dict[str, str]


def choose(
    asked: Sequence[Listed],
    examples: Sequence[Listed],
    k: int,
    chosen: Chosen,
    encoder: SentenceEncoder | None,
    seed: int,
    folder: Path,
) -> Neighbours:
    """Choose `k` examples for each question, never of its own group or one that shows its picture.

    Args:
        asked: the questions.
        examples: what is chosen from.
        k: how many for each.
        chosen: how.
        encoder: embeds the texts; needed for the nearest alone.
        seed: what chance follows from, with the questions' ids.
        folder: where embeddings are kept.

    Raises:
        RetrievalError: there are fewer than `k` examples that a question may be shown, or none can be
            retrieved here.
    """
    contents = PictureContents()
    # By id, so that the same chance and equal distances choose the same whatever the order of the files.
    pool = sorted(examples, key=lambda example: (example.id, example.place))
    found: list[list[Neighbour]] = []
    unreadable: dict[str, str] = {}
    candidates, cut = _candidates(asked, pool, k, chosen, encoder, seed, folder)
    shown = track(
        zip(asked, candidates, strict=True),
        f"Choosing examples for {len(asked):,} questions",
        total=len(asked),
        disable=not sys.stderr.isatty(),
    )
    for question, several in shown:
        own: list[Neighbour] = []
        for neighbour in several:
            if contents.share(question, neighbour.example):
                continue
            if damaged := contents.unreadable(neighbour.example):
                unreadable |= damaged
                continue
            own.append(neighbour)
            if len(own) == k:
                break
        if len(own) < k:
            raise RetrievalError(
                f"Question {question.id!r} is to be shown k = {k} examples, but only {len(own)} of the "
                f"{len(pool)} there are can be: those of its own image are not shown, nor those whose image "
                "cannot be read. Lower `k`, or take a larger training split."
            )
        found.append(own)
    return Neighbours(found, cut, unreadable)


def _candidates(
    asked: Sequence[Listed],
    pool: Sequence[Listed],
    k: int,
    chosen: Chosen,
    encoder: SentenceEncoder | None,
    seed: int,
    folder: Path,
) -> tuple[Iterator[Iterator[Neighbour]], int]:
    """For each question the examples in the order in which they are taken, and how many texts were cut."""
    if chosen == "random":
        return (_by_chance(pool, f"{seed} examples of {question.id}") for question in asked), 0
    if chosen == "fixed":
        return (_by_chance(pool, f"{seed} fixed examples") for _ in asked), 0
    assert encoder is not None, "the nearest are found by their embeddings"
    return _nearest(asked, pool, k, encoder, folder)


def _by_chance(pool: Sequence[Listed], seed: str) -> Iterator[Neighbour]:
    """All examples in an order that follows from a seed; the first few cost no more than themselves."""
    random = Random(seed)
    moved: dict[int, int] = {}
    for place in range(len(pool)):
        other = random.randrange(place, len(pool))
        number = moved.get(other, other)
        moved[other] = moved.get(place, place)
        yield Neighbour(pool[number])


def _nearest(
    asked: Sequence[Listed], pool: Sequence[Listed], k: int, encoder: SentenceEncoder, folder: Path
) -> tuple[Iterator[Iterator[Neighbour]], int]:
    # Each text once: questions that ask the same are equally far away, to the last digit.
    with_text: dict[str, list[Listed]] = {}
    for example in pool:
        with_text.setdefault(example.text, []).append(example)
    texts = sorted(with_text)
    queries = sorted({question.text for question in asked})
    known, wanted = encoder.encoded_once(texts, folder), encoder.encoded_once(queries, folder)
    index = NearestTexts(known)
    by_query = dict(zip(queries, index.nearest(wanted, k), strict=True))

    def of(question: Listed) -> Iterator[Neighbour]:
        for distance, numbers in by_query[question.text]:
            # Each is in order, as the pool is; of thousands that ask the same only the first are looked at.
            together = (with_text[texts[number]] for number in numbers)
            for example in merge(*together, key=lambda one: (one.id, one.place)):
                yield Neighbour(example, distance)

    return (of(question) for question in asked), known.cut + wanted.cut
