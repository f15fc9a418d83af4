"""A question in the manner of OmniSpatial, and how one is put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Literal

from datamodules.rendered.rooms.balance import Tally
from datamodules.rendered.rooms.room_sight import Seen, Sight

Task = Literal["Perspective_Taking", "Dynamic_Reasoning", "Spatial_Interaction", "Complex_Logic"]
TASKS: tuple[Task, ...] = ("Perspective_Taking", "Dynamic_Reasoning", "Spatial_Interaction", "Complex_Logic")

KINDS_OF_TASK: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Perspective_Taking": ("Egocentric", "Allocentric", "Hypothetical"),
        "Dynamic_Reasoning": ("Motion_Analysis",),
        "Spatial_Interaction": ("Localization", "Geospatial_Strategy"),
        "Complex_Logic": ("Geometric_Reasoning",),
    }
)
"""The `sub_task_type`s that are rendered."""

PERSON, BALL = 0, 1
"""The places of the person and the ball among the things of a scene."""

KIND_SLACK = 12
"""No kind of question of a task type is asked more than this many times more often than another."""


@dataclass(frozen=True)
class OmniQuestion:
    """One question.

    Attributes:
        task: its `task_type`.
        kind: its `sub_task_type`.
        question: its text.
        options: the texts to choose from; none where letters are drawn in the image.
        answer: the place of the right one.
        letters: the objects that get the letters A to D in the image, by their index.
        about: what it is about; an image never gets two questions of one task about the same.
        tallies: what the answer counts towards.
    """

    task: Task
    kind: str
    question: str
    options: tuple[str, ...]
    answer: int
    about: frozenset[int | str]
    tallies: tuple[Tally, ...]
    letters: tuple[int, ...] = ()


def asked(
    random: Random,
    task: Task,
    kind: str,
    question: str,
    right: str,
    wrong: Sequence[str],
    about: frozenset[int | str],
    tallies: tuple[Tally, ...] = (),
) -> Iterator[OmniQuestion]:
    """The question with its right answer in each place, so that the balance can choose among them."""
    for place in range(len(wrong) + 1):
        options = random.sample(list(wrong), len(wrong))
        options.insert(place, right)
        yield OmniQuestion(
            task,
            kind,
            question,
            tuple(options),
            place,
            about,
            (
                Tally((task, kind, "place"), place, tuple(range(len(options)))),
                kind_tally(task, kind),
                *tallies,
            ),
        )


def kind_tally(task: Task, kind: str) -> Tally:
    """Counts how often a kind of question is asked."""
    return Tally((task, "kind"), kind, KINDS_OF_TASK[task], KIND_SLACK)


def is_seen(sight: Sight, index: int) -> bool:
    """Whether an object is seen well enough to be asked about."""
    return any(seen.index == index for seen in sight.seen)


def all_but(sight: Sight, index: int) -> list[Seen]:
    """All objects that can be asked about, but for one."""
    return [seen for seen in sight.seen if seen.index != index]


def wrong_names(random: Random, things: Sequence[Seen], right: Seen) -> list[str]:
    """The classes of three other objects."""
    return [seen.thing.kind for seen in random.sample([seen for seen in things if seen is not right], 3)]
