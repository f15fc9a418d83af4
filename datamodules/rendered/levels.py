"""The levels of difficulty: how full a scene is, and how answers are to be spread over a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

Crowding = Literal["by_split", "few", "many"]
"""How full scenes are: fuller in held-out splits, as in the real release, or few or many objects in all."""

CATEGORIES = ("left_right", "mcq", "distance", "count")
"""The four kinds of question of the benchmark."""

MARGIN_SIDE = 0.027
"""Least horizontal gap between two mask centroids that are compared, as a share of the image width."""

MARGIN_CLOSEST_M = 0.3
"""Least gap in metres between the closest object and the second closest."""

MARGIN_CLOSEST_RATIO = 1.1
"""The second closest object is at least this many times as far as the closest."""

LEAST_AREA = 0.0016
"""Least visible area of anything asked about, as a share of the image (46 pixels at 224 x 128)."""

LEAST_VISIBLE = 0.3
"""Least visible share of the outline of a pallet, transporter or buffer region that is asked about."""

LEAST_VISIBLE_SHELF = 0.15
"""The same for a shelf, which one can look through."""

DISTANCE_QUARTILES_M = (3.47, 5.46, 8.13)
"""Quartiles of the distances in the real training split, in metres."""


@dataclass(frozen=True)
class Level:
    """How one split of one difficulty looks.

    Attributes:
        categories: share of every category among the questions.
        answers: for some categories, the share of every answer that is aimed at. Distances are named by the
            quartile they lie in (0 to 3).
        masks: fewest and most regions that one question names.
        choices: fewest and most objects that a multiple-choice question lets one choose from.
        chained: share of the questions that take more than one step of reasoning.
        bare_counts: share of the chained counting questions that do not list the pallets.
        buffers: fewest and most buffer regions of a scene.
        slots: fewest and most pallets that fit into a buffer region.
        filled: weights of 0, 1, 2, ... pallets in a buffer region.
        loose_pallets: fewest and most pallets outside of every buffer region.
        shelves: fewest and most shelves.
        transporters: fewest and most transporters.
        clutter: fewest and most tables, pillars and loose crates.
        depths: how many steps before the answer, one after the other, questions take, each about equally
            often; none where that does not matter.
        varied: whether each scene draws camera, sizes and colours that are the same otherwise.
    """

    categories: Mapping[str, float]
    answers: Mapping[str, Mapping[str, float]]
    masks: tuple[int, int]
    choices: tuple[int, int]
    chained: float
    bare_counts: float
    buffers: tuple[int, int]
    slots: tuple[int, int]
    filled: tuple[float, ...]
    loose_pallets: tuple[int, int]
    shelves: tuple[int, int]
    transporters: tuple[int, int]
    clutter: tuple[int, int]
    depths: tuple[int, ...] = ()
    varied: bool = False


def _equal(*answers: str) -> dict[str, float]:
    """The same share for every answer."""
    return {answer: 1 / len(answers) for answer in answers}


EASY = Level(
    categories=MappingProxyType(_equal(*CATEGORIES)),
    answers=MappingProxyType(
        {
            "left_right": _equal("left", "right"),
            "count": _equal("0", "1", "2", "3"),
            "distance": {"0": 0.27, "1": 0.27, "2": 0.27, "3": 0.19},
        }
    ),
    masks=(2, 6),
    choices=(3, 5),
    chained=0.15,
    bare_counts=0.0,
    buffers=(2, 3),
    slots=(3, 3),
    filled=(0.27, 0.22, 0.22, 0.29),
    loose_pallets=(1, 2),
    shelves=(1, 2),
    transporters=(1, 1),
    clutter=(0, 3),
)

REAL_TRAIN = Level(
    categories=MappingProxyType({"left_right": 0.139, "mcq": 0.220, "distance": 0.493, "count": 0.148}),
    answers=MappingProxyType(
        {
            "left_right": _equal("left", "right"),
            "mcq": {"0": 0.31, "1": 0.31, "2": 0.31, "3": 0.03, "4": 0.02, "5": 0.01, "6": 0.01},
            "count": {"1": 0.26, "2": 0.21, "3": 0.468, "4": 0.062},
            "distance": _equal("0", "1", "2", "3"),
        }
    ),
    masks=(2, 15),
    choices=(2, 4),
    chained=0.5,
    bare_counts=0.15,
    buffers=(3, 4),
    slots=(3, 4),
    filled=(0.08, 0.20, 0.18, 0.40, 0.14),
    loose_pallets=(1, 4),
    shelves=(1, 3),
    transporters=(1, 2),
    clutter=(1, 4),
)

# The held-out splits of the real benchmark are balanced, their questions name twice as many regions, and
# their distances are longer.
REAL_HELD_OUT = Level(
    categories=MappingProxyType(_equal(*CATEGORIES)),
    answers=MappingProxyType(
        {
            "left_right": _equal("left", "right"),
            "mcq": _equal("0", "1", "2", "3", "4", "5", "6", "7"),
            "count": _equal("1", "2", "3", "4"),
            "distance": {"0": 0.21, "1": 0.12, "2": 0.17, "3": 0.50},
        }
    ),
    masks=(2, 15),
    choices=(9, 14),
    chained=0.8,
    bare_counts=0.15,
    buffers=(3, 4),
    slots=(4, 4),
    filled=(0.06, 0.20, 0.18, 0.20, 0.36),
    loose_pallets=(4, 7),
    shelves=(1, 3),
    transporters=(1, 2),
    clutter=(1, 4),
)


COMPOSED_CATEGORIES = MappingProxyType(_equal("mcq", "distance", "count"))
"""What the held-out splits of "composed" ask for; sides take no steps."""


def level_of(difficulty: str, split: str, crowding: Crowding = "by_split") -> Level:
    """The level of a split at a difficulty.

    Args:
        difficulty: "easy", "real", "composed" or "varied".
        split: "train", "val" or "test".
        crowding: "few" gives every split the scenes of the training split of "real", "many" those of its
            held-out splits.
    """
    if difficulty == "easy":
        return EASY
    if crowding == "by_split":
        crowding = "few" if split == "train" else "many"
    level = REAL_TRAIN if crowding == "few" else REAL_HELD_OUT
    if difficulty == "composed" and split != "train":
        return replace(level, categories=COMPOSED_CATEGORIES, depths=(2, 3))
    return replace(level, varied=True) if difficulty == "varied" else level
