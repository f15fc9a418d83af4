"""Questions in the wording of CV-Bench: Count, Relation, Depth and Distance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations
from random import Random
from typing import Literal

from datamodules.rendered.rooms.balance import Tally
from datamodules.rendered.rooms.box_marks import MarkColour
from datamodules.rendered.rooms.catalogue import KINDS, kinds_of
from datamodules.rendered.rooms.room_scene import Thing
from datamodules.rendered.rooms.room_sight import Seen, Sight
from datamodules.rendered.rooms.room_truth import is_closer_to, is_nearer, level, side
from datamodules.statistics.height_for_distance import HeightClass

Task = Literal["Count", "Relation", "Depth", "Distance"]
TASKS: tuple[Task, ...] = ("Count", "Relation", "Depth", "Distance")

WINDOWS = ((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5))
"""The numbers that a counting question offers; within one window each is right equally often."""

RELATIONS = (("left", "right"), ("above", "below"))
"""The pairs of relations that a question lets one choose from."""

CLASS_SLACK = 3
"""No answer leads by more than this many questions among those about one class."""

NEEDLESS_BOX = 0.5
"""Share of the relations that get a red box although the class alone would do."""


@dataclass(frozen=True)
class CvQuestion:
    """One question.

    Attributes:
        task: its kind.
        question: its text, without the choices.
        choices: the texts to choose from.
        answer: place of the right one among the choices.
        marks: colours of the boxes that are drawn, and the indexes of the objects in them.
        about: the indexes of the objects asked about, or the class that is counted; one image never gets
            two questions of one task about the same.
        tallies: what the answer counts towards.
        height: what height in the image says about the answer, where as many questions are written of which
            it is right as of which it is wrong; None where that does not matter.
    """

    task: Task
    question: str
    choices: tuple[str, ...]
    answer: int
    marks: tuple[tuple[MarkColour, int], ...]
    about: frozenset[int | str]
    tallies: tuple[Tally, ...]
    height: HeightClass | None = None


def offered(sight: Sight, random: Random) -> list[CvQuestion]:
    """All questions that an image can truly be asked."""
    return [*counts(sight, random), *relations(sight, random), *depths(sight), *distances(sight)]


def counts(sight: Sight, random: Random) -> Iterator[CvQuestion]:
    """How many objects of a class there are; also of absent ones."""
    absent = [kind.name for kind in kinds_of(sight.scene.place) if kind.name not in sight.present]
    numbers = sight.numbers | dict.fromkeys(random.sample(absent, min(3, len(absent))), 0)
    for name, number in numbers.items():
        for window in WINDOWS:
            if number not in window:
                continue
            for letter in range(len(window)):
                others = [other for other in window if other != number]
                random.shuffle(others)
                others.insert(letter, number)
                yield CvQuestion(
                    task="Count",
                    question=f"How many {KINDS[name].plural} are in the image?",
                    choices=tuple(map(str, others)),
                    answer=letter,
                    marks=(),
                    about=frozenset({name}),
                    tallies=(
                        Tally(("Count", window), number, window, CLASS_SLACK),
                        Tally(("Count", window, name), number, window, CLASS_SLACK),
                        Tally(("Count", "letter"), letter, tuple(range(len(window)))),
                    ),
                )


def relations(sight: Sight, random: Random) -> Iterator[CvQuestion]:
    """On which side of another an object is in the image, or whether above or below it."""
    camera = sight.scene.camera
    for first, second in permutations(sight.seen, 2):
        names = first.thing.kind, second.thing.kind
        if names[0] == names[1]:
            continue
        truths = side(first, second, camera.width), level(first, second, camera.height)
        for choices, truth in zip(RELATIONS, truths, strict=True):
            if truth is None:
                continue
            marks: list[tuple[MarkColour, int]] = []
            subject, other = f"the {names[0]}", f"the {names[1]}"
            if not sight.is_only(first) or random.random() < NEEDLESS_BOX:
                marks.append(("red", first.index))
                subject += " (annotated by the red box)"
            if not sight.is_only(second):
                marks.append(("blue", second.index))
                other += " (annotated by the blue box)"
            answer = choices.index(truth)
            yield CvQuestion(
                task="Relation",
                question=(
                    f"Considering the relative positions of {subject} and {other} in the image provided, "
                    f"where is {subject} located with respect to {other}?"
                ),
                choices=choices,
                answer=answer,
                marks=tuple(marks),
                about=frozenset({first.index, second.index}),
                tallies=(
                    Tally(("Relation", choices), answer, (0, 1)),
                    Tally("Relation", choices, RELATIONS, slack=30),
                    Tally(("Relation", choices, "first", names[0]), answer, (0, 1)),
                    Tally(("Relation", choices, "second", names[1]), answer, (0, 1)),
                ),
            )


def depths(sight: Sight, nearer: Callable[[Seen, Seen], bool] = is_nearer) -> Iterator[CvQuestion]:
    """Which of two objects is closer to the camera.

    Args:
        sight: what is seen.
        nearer: whether the first of two objects is clearly closer than the second.
    """
    for first, second in permutations(sight.seen, 2):
        names = first.thing.kind, second.thing.kind
        if names[0] == names[1] or not (nearer(first, second) or nearer(second, first)):
            continue
        yield _which(
            "Depth",
            "Which object is closer to the camera taking this photo, "
            f"the {names[0]} (highlighted by a red box) or the {names[1]} (highlighted by a blue box)?",
            (first, second),
            0 if nearer(first, second) else 1,
            (("red", first.index), ("blue", second.index)),
        )


def distances(
    sight: Sight, closer: Callable[[Thing, Thing, Thing], bool] = is_closer_to
) -> Iterator[CvQuestion]:
    """Which of two objects is closer to a third one.

    Args:
        sight: what is seen.
        closer: whether to the first of three objects the second is clearly closer than the third.
    """
    for anchor, first, second in permutations(sight.seen, 3):
        names = [seen.thing.kind for seen in (anchor, first, second)]
        things = anchor.thing, first.thing, second.thing
        first_closer = closer(*things)
        if len(set(names)) < 3 or not (first_closer or closer(things[0], things[2], things[1])):
            continue
        yield _which(
            "Distance",
            "Estimate the real-world distances between objects in this image. Which object is closer to "
            f"the {names[0]} (highlighted by a red box), the {names[1]} (highlighted by a blue box) "
            f"or the {names[2]} (highlighted by a green box)?",
            (first, second),
            0 if first_closer else 1,
            (("red", anchor.index), ("blue", first.index), ("green", second.index)),
        )


def _which(
    task: Task,
    question: str,
    pair: tuple[Seen, Seen],
    answer: int,
    marks: tuple[tuple[MarkColour, int], ...],
) -> CvQuestion:
    """A question that lets one choose between two objects of different classes."""
    names = pair[0].thing.kind, pair[1].thing.kind
    return CvQuestion(
        task=task,
        question=question,
        choices=names,
        answer=answer,
        marks=marks,
        about=frozenset(index for _, index in marks),
        tallies=(
            Tally((task, "letter"), answer, (0, 1)),
            # Neither class is right more often than wrong.
            Tally((task, names[0]), answer == 0, (True, False), CLASS_SLACK),
            Tally((task, names[1]), answer == 1, (True, False), CLASS_SLACK),
        ),
    )
