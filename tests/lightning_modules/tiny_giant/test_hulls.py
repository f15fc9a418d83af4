"""Hulls against a plain reference, and standing inside against the truth of rendered scenes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from datamodules.rendered.scene import Kind
from datamodules.rendered.warehouse import draw_warehouse
from lightning_modules.tiny_giant.geometry import FLOOR_RELATIONS, MASK_RELATIONS, describe_regions
from lightning_modules.tiny_giant.hulls import FEATURES, STANDS_INSIDE, feet, fill_hulls, standing_relations

STANDING = slice(MASK_RELATIONS + FLOOR_RELATIONS, MASK_RELATIONS + FLOOR_RELATIONS + FEATURES)


def in_hull(mask: np.ndarray, row: int, column: int) -> bool:
    """Whether no straight line has a pixel on one side and all of the mask strictly on the other.

    By angles: seen from a point outside of a hull, all of it lies within half a turn.
    """
    points = np.argwhere(mask) - (row, column)
    if (points == 0).all(1).any():
        return True
    angles = np.sort(np.arctan2(points[:, 0], points[:, 1]))
    gaps = np.diff(np.append(angles, angles[0] + 2 * np.pi))
    return bool(gaps.max() <= np.pi + 1e-9)


@settings(deadline=None, max_examples=60)
@given(arrays.arrays(bool, (9, 11), elements=st.booleans()), st.floats(0.05, 1.0), st.integers(0, 99))
def test_a_hull_has_every_pixel_between_others(noise: np.ndarray, share: float, seed: int) -> None:
    mask = noise & (np.random.default_rng(seed).random(noise.shape) < share)
    points = np.argwhere(mask)
    assume(len(points) > 2 and np.linalg.matrix_rank(points - points[0]) == 2)
    (filled,) = fill_hulls(mask[None])
    assert (filled >= mask).all()
    for row in range(9):
        for column in range(11):
            # The border may be drawn beside itself, by less than a pixel.
            if in_hull(mask, row, column):
                assert filled[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].any()
            else:
                assert not filled[row, column] or to_hull(points, np.array([row, column])) < 1


def to_hull(points: np.ndarray, place: np.ndarray) -> float:
    """How far a place is from the lines between any two points of a hull, in pixels."""
    starts, ends = (points[index].astype(float) for index in np.triu_indices(len(points), 1))
    along = ends - starts
    share = ((place - starts) * along).sum(1) / (along**2).sum(1)
    nearest = starts + np.clip(share, 0, 1)[:, None] * along
    return float(np.linalg.norm(place - nearest, axis=1).min())


@pytest.mark.parametrize("pixels", [[], [(3, 4)], [(3, 4), (3, 6)], [(1, 1), (2, 2), (3, 3)]])
def test_a_line_is_its_own_hull(pixels: list[tuple[int, int]]) -> None:
    mask = np.zeros((1, 8, 8), bool)
    for row, column in pixels:
        mask[0, row, column] = True
    assert np.array_equal(fill_hulls(mask), mask)


def test_feet_are_the_lowest_fifth() -> None:
    masks = np.zeros((3, 40, 10), bool)
    masks[0, 10:31, 2:5] = True
    masks[1, 7] = True
    assert np.flatnonzero(feet(masks)[0].any(1)).tolist() == [26, 27, 28, 29, 30]
    assert np.flatnonzero(feet(masks)[1].any(1)).tolist() == [7]
    assert not feet(masks)[2].any()


def test_relations_say_it_both_ways_round() -> None:
    shares = np.array([[1.0, 0.8], [0.1, 1.0]], np.float32)
    relations = standing_relations(shares)
    assert relations[0, 1].tolist() == pytest.approx([0.8, 1, 0.1, 0])
    assert relations[1, 0].tolist() == pytest.approx([0.1, 0, 0.8, 1])


def test_pallets_stand_in_their_buffer_regions_and_in_no_others() -> None:
    """By masks alone, in crowded scenes, where many a pallet hides another."""
    right = questions = 0
    for index in range(12):
        rendering, sight, _ = draw_warehouse("real", "val", index, (224, 128), 0)
        things = [thing for thing in sight.seen if thing.kind in (Kind.PALLET, Kind.BUFFER)]
        masks = np.array([rendering.labels == thing.index for thing in things])
        relations = describe_regions(masks, None, "containment", 70.0)[1][..., STANDING]
        for place, zone in enumerate(things):
            if zone.kind is Kind.BUFFER and zone.index in sight.pallets_inside:
                inside = [
                    thing.index
                    for number, thing in enumerate(things)
                    if thing.kind is Kind.PALLET and relations[number, place, 0] > STANDS_INSIDE
                ]
                questions += 1
                right += sorted(inside) == sorted(p.index for p in sight.pallets_inside[zone.index])
    assert questions > 15 and right >= questions - 1
