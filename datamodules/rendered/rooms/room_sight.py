"""What can be asked about in an image: the objects that are seen well enough, and where they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from datamodules.rendered.rooms.room_render import RoomRendering
from datamodules.rendered.rooms.room_scene import RoomScene, Thing

LEAST_AREA = 0.004
"""Least visible area of anything asked about, as a share of the image (49 pixels at 128 x 96)."""

LEAST_SPAN = 0.75
"""The visible part spans at least this share of the whole object's width and height in the image."""

LEAST_VISIBLE = 0.6
"""Least visible share of the outline's box that the object would fill if nothing stood before it."""


@dataclass(frozen=True)
class Seen:
    """An object that is seen well enough to be asked about.

    Attributes:
        index: its place among the things of the scene.
        thing: the object itself.
        box: left, top, right, bottom of its visible pixels, right and bottom exclusive.
        nearest_m: least planar depth of its visible pixels, in metres.
        middle_m: their median depth, in metres.
    """

    index: int
    thing: Thing
    box: tuple[int, int, int, int]
    nearest_m: float
    middle_m: float

    @property
    def center(self) -> tuple[float, float]:
        """Column and row of the middle of the box, in pixels."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2


@dataclass(frozen=True)
class Sight:
    """What is seen in one image.

    Attributes:
        scene: the scene that is seen.
        seen: all objects that are seen well enough.
        numbers: how many objects of every class there are, for the classes all of whose objects are seen well
            enough; classes with a hidden object are left out, and absent ones too.
        present: the names of all classes that have an object in the scene, seen or not.
    """

    scene: RoomScene
    seen: tuple[Seen, ...]
    numbers: dict[str, int]
    present: frozenset[str]

    def is_only(self, seen: Seen) -> bool:
        """Whether no other object of the scene, seen or not, is of the same class."""
        return sum(thing.kind == seen.thing.kind for thing in self.scene.things) == 1


def look(rendering: RoomRendering) -> Sight:
    """Find what can be asked about in a rendering."""
    labels, things = rendering.labels, rendering.scene.things
    height, width = labels.shape
    whole = _whole_boxes(rendering)
    seen = []
    for index, thing in enumerate(things):
        mask = labels == index
        area = int(mask.sum())
        if area < LEAST_AREA * height * width:
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        left, top, right, bottom = whole[index].tolist()
        if box[2] - box[0] < LEAST_SPAN * (right - left) or box[3] - box[1] < LEAST_SPAN * (bottom - top):
            continue
        others = (labels[box[1] : box[3], box[0] : box[2]] >= 0) & ~mask[box[1] : box[3], box[0] : box[2]]
        if others.sum() > (1 - LEAST_VISIBLE) * others.size:
            continue
        depths = rendering.depths[mask]
        seen.append(Seen(index, thing, box, float(depths.min()), float(np.median(depths))))
    present = Counter(thing.kind for thing in things)
    numbers = Counter(found.thing.kind for found in seen)
    complete = {kind: number for kind, number in numbers.items() if number == present[kind]}
    return Sight(rendering.scene, tuple(seen), complete, frozenset(present))


def _whole_boxes(rendering: RoomRendering) -> np.ndarray:
    """Left, top, right, bottom in pixels of every object if nothing hid it, `[objects, 4]`."""
    solids = rendering.solids
    owners = solids.owners[solids.solids]
    # The surroundings come last.
    number = int(np.count_nonzero(owners >= 0))
    image = rendering.scene.camera.project(solids.corners[:number])[..., :2]
    starts = np.searchsorted(owners[:number], np.arange(len(rendering.scene.things)))
    least = np.minimum.reduceat(image.min(axis=1), starts, axis=0)
    most = np.maximum.reduceat(image.max(axis=1), starts, axis=0)
    return np.concatenate([least, most], axis=1)
