"""Complex_Logic: which of several letters in the image, and which order, is right."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from random import Random

from datamodules.rendered.rooms.balance import Tally
from datamodules.rendered.rooms.box_marks import letter_place, letter_size
from datamodules.rendered.rooms.omni_question import OmniQuestion, asked
from datamodules.rendered.rooms.room_sight import Sight
from datamodules.rendered.rooms.room_truth import is_nearer

LEAST_HEIGHT_RATIO = 1.2
"""The tallest object is at least this many times as tall as the next."""

_LETTERED = Tally("logic", "lettered", ("lettered", "ordered"))
_ORDERED = Tally("logic", "ordered", ("lettered", "ordered"))


def lettered(sight: Sight) -> Iterator[OmniQuestion]:
    """Which of four objects with letters in the image is the tallest, nearest or farthest."""
    camera = sight.scene.camera
    size = camera.width, camera.height
    for four in combinations(sight.seen, 4):
        places = [letter_place(seen.box, size) for seen in four]
        gaps = [max(abs(a[0] - b[0]), abs(a[1] - b[1])) for a, b in combinations(places, 2)]
        if min(gaps) <= letter_size(camera.width):
            continue
        by_height = sorted(four, key=lambda seen: seen.thing.height)
        by_depth = sorted(four, key=lambda seen: seen.middle_m)
        found = []
        if by_height[3].thing.height >= LEAST_HEIGHT_RATIO * by_height[2].thing.height:
            found.append(("is the tallest in reality", by_height[3]))
        if is_nearer(by_depth[0], by_depth[1]):
            found.append(("is the nearest to the camera", by_depth[0]))
        if is_nearer(by_depth[2], by_depth[3]):
            found.append(("is the farthest from the camera", by_depth[3]))
        for what, right in found:
            others = [seen.index for seen in four if seen is not right]
            for place in range(4):
                letters = [*others[:place], right.index, *others[place:]]
                yield OmniQuestion(
                    "Complex_Logic",
                    "Geometric_Reasoning",
                    f"Which of the objects that are marked by a letter {what}?",
                    (),
                    place,
                    frozenset({what}),
                    (Tally("lettered", place, (0, 1, 2, 3)), _LETTERED),
                    tuple(letters),
                )


def ordered(sight: Sight, random: Random) -> Iterator[OmniQuestion]:
    """In which order three objects stand, from near to far."""
    for three in combinations(sight.seen, 3):
        near, middle, far = sorted(three, key=lambda seen: seen.middle_m)
        if not (is_nearer(near, middle) and is_nearer(middle, far)):
            continue
        orders = [
            " - ".join(seen.thing.kind for seen in order) for order in permutations((near, middle, far))
        ]
        yield from asked(
            random,
            "Complex_Logic",
            "Geometric_Reasoning",
            "Which list names the objects in order of their distance from the camera, the nearest first?",
            orders[0],
            random.sample(orders[1:], 3),
            frozenset({seen.index for seen in three}),
            (
                _ORDERED,
                *(
                    Tally(("order", seen.thing.kind), rank, (0, 1, 2))
                    for rank, seen in enumerate((near, middle, far))
                ),
            ),
        )
