"""Numbers that say where regions are: in the image, on the floor, and as seen from each other."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lightning_modules.tiny_giant.floor_fit import NO_FLOOR, FloorFit, fit_floor, pixel_slopes
from lightning_modules.tiny_giant.floor_rectangles import FEATURES as INSIDE
from lightning_modules.tiny_giant.floor_rectangles import FloorRectangle, inside_relations, rectangle_under
from lightning_modules.tiny_giant.hulls import FEATURES as STANDING
from lightning_modules.tiny_giant.hulls import feet, fill_hulls, standing_relations
from lightning_modules.tiny_giant.standing import FEATURES as HIDING
from lightning_modules.tiny_giant.standing import hiding_features

Geometry = Literal["none", "mask", "floor_fit", "containment"]
ON_FLOOR = ("floor_fit", "containment")
"""The geometries that fit the floor to the depth image."""

MASK_FEATURES = 14
FLOOR_FEATURES = 17
MASK_RELATIONS = 9
FLOOR_RELATIONS = 5
LOG_SIZE = MASK_FEATURES + 8
"""Which feature is the logarithm of a region's size on the floor, in camera heights."""
SUPPORT = MASK_FEATURES + 16
"""Which feature is the share of the image's rows that show the floor, 0 where none was found."""
IS_HIDDEN = slice(MASK_FEATURES + FLOOR_FEATURES, None)
"""Which features describe what hides a part of a region."""
LOG_DISTANCE = MASK_RELATIONS + 3
"""Which relation is the logarithm of two regions' distance on the floor, in camera heights."""
FAR = 8.0
"""Positions beyond this many camera heights are clipped: out there the depth's 8 bits tell no more."""


def fill_rows(masks: np.ndarray) -> np.ndarray:
    """Fill each row of boolean masks `[regions, height, width]` between its first and last pixel.

    A buffer zone is visible only around what stands in it; filled, it covers those things as well.
    """
    columns = np.arange(masks.shape[2])
    first, last = masks.argmax(2), masks.shape[2] - 1 - masks[:, :, ::-1].argmax(2)
    between = (columns >= first[..., None]) & (columns <= last[..., None])
    return between & masks.any(2, keepdims=True)


def describe_regions(
    masks: np.ndarray,
    depth: np.ndarray | None,
    geometry: Geometry,
    field_of_view: float,
    hulls: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers that say where each region is, and where each is as seen from each other one.

    Args:
        masks: boolean, `[regions, height, width]`.
        depth: the depth image `[height, width]`, or None.
        geometry: `mask` describes place and extent in the image, `floor_fit` adds those on the floor, and
            `containment` also which regions stand inside which others, by their hulls in the image and by
            rectangles on the floor.
        field_of_view: the camera's horizontal field of view, in degrees.
        hulls: `fill_hulls(masks)`, from a caller that has them already.

    Returns:
        Features `[regions, features]` and relations `[regions, regions, relations]`; lengths in the image
        are shares of its size, lengths on the floor are camera heights.
    """
    count, height, width = masks.shape
    with_floor, on_floor = geometry in ON_FLOOR, IS_HIDDEN.start
    rectangles: list[FloorRectangle | None] = [None] * count
    features = np.zeros((count, feature_count(geometry)), np.float32)
    relations = np.zeros((count, count, relation_count(geometry)), np.float32)
    if geometry == "none" or count == 0:
        return features, relations
    floor = fit_floor(depth, field_of_view) if with_floor and depth is not None else NO_FLOOR
    slopes_x, slopes_y = pixel_slopes(height, width, field_of_view)
    boxes = np.zeros((count, 4), np.float32)
    for index, mask in enumerate(masks):
        rows, columns = np.nonzero(mask)
        if len(rows) == 0:
            continue
        values = depth[rows, columns].astype(np.float32) if depth is not None else np.zeros(len(rows), "f4")
        boxes[index] = (
            columns.min() / width,
            rows.min() / height,
            (columns.max() + 1) / width,
            (rows.max() + 1) / height,
        )
        features[index, :MASK_FEATURES] = _mask_features(mask, rows, columns, values, boxes[index])
        if with_floor and floor.support > 0:
            right, ahead, above = floor.points(values, slopes_x[columns], slopes_y[rows])
            features[index, MASK_FEATURES:on_floor] = _floor_features(right, ahead, above, floor)
            if geometry == "containment":
                rectangles[index] = rectangle_under(right, ahead)
    relations[..., :MASK_RELATIONS] = _mask_relations(masks, boxes, features)
    end = MASK_RELATIONS + FLOOR_RELATIONS
    if with_floor and floor.support > 0:
        relations[..., MASK_RELATIONS:end] = _floor_relations(features[:, MASK_FEATURES:on_floor])
    if geometry == "containment":
        hulls = fill_hulls(masks) if hulls is None else hulls
        features[:, on_floor:] = hiding_features(masks, hulls, depth, floor, field_of_view)
        shares = shares_inside(feet(masks), hulls)
        relations[..., end : end + STANDING] = standing_relations(shares)
        if floor.support > 0:
            places = features[:, MASK_FEATURES : MASK_FEATURES + 2]
            # Beside itself, a region's place is that from the point on the floor below the camera.
            own = np.arange(count)
            relations[own, own, MASK_RELATIONS:end] = _floor_relations(
                np.concatenate([np.zeros((1, FLOOR_FEATURES)), features[:, MASK_FEATURES:on_floor]])
            )[0, 1:]
            relations[..., end + STANDING :] = inside_relations(places, rectangles)
    return features, relations


def feature_count(geometry: Geometry) -> int:
    """How many numbers describe one region."""
    on_floor = MASK_FEATURES + FLOOR_FEATURES
    counts = {"mask": MASK_FEATURES, "floor_fit": on_floor, "containment": on_floor + HIDING}
    return counts.get(geometry, 0)


def relation_count(geometry: Geometry) -> int:
    """How many numbers describe a pair of regions."""
    on_floor = MASK_RELATIONS + FLOOR_RELATIONS
    counts = {"mask": MASK_RELATIONS, "floor_fit": on_floor, "containment": on_floor + STANDING + INSIDE}
    return counts.get(geometry, 0)


def _quantiles(values: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    ordered = np.sort(values)
    return ordered[[min(len(ordered) - 1, int(share * len(ordered))) for share in shares]]


def _mask_features(
    mask: np.ndarray, rows: np.ndarray, columns: np.ndarray, values: np.ndarray, box: np.ndarray
) -> np.ndarray:
    height, width = mask.shape
    area = len(rows) / mask.size
    box_area = max((box[2] - box[0]) * (box[3] - box[1]), 1e-6)
    low, middle, high = _quantiles(values / 255.0, (0.1, 0.5, 0.9))
    return np.array(
        [
            (box[0] + box[2]) - 1,
            (box[1] + box[3]) - 1,
            box[2] - box[0],
            box[3] - box[1],
            columns.mean() / width * 2 - 1,
            rows.mean() / height * 2 - 1,
            np.sqrt(area) * 3,
            np.log(area + 1e-5) / 4 + 1,
            area / box_area,
            low,
            middle,
            high,
            box[0] <= 0.004 or box[2] >= 0.996,
            box[1] <= 0.004 or box[3] >= 0.996,
        ],
        np.float32,
    )


def _floor_features(right: np.ndarray, ahead: np.ndarray, above: np.ndarray, floor: FloorFit) -> np.ndarray:
    x_low, x_mid, x_high = np.clip(_quantiles(right, (0.03, 0.5, 0.97)), -FAR, FAR)
    z_low, z_mid, z_high = np.clip(_quantiles(ahead, (0.03, 0.5, 0.97)), -FAR, FAR)
    y_low, y_mid, y_high = np.clip(_quantiles(above, (0.05, 0.5, 0.97)), -1.0, FAR)
    length, breadth = _footprint(right, ahead)
    on_floor = above < 0.06
    return np.array(
        [
            (x_low + x_high) / 2,
            (z_low + z_high) / 2,
            x_mid,
            z_mid,
            x_high - x_low,
            z_high - z_low,
            np.log(length + 0.02),
            np.log(breadth + 0.02),
            np.log(np.sqrt(length * breadth) + 0.02),
            y_low,
            y_mid,
            y_high,
            np.log(max(float(y_high), 0.0) + 0.02) / 2,
            on_floor.mean(),
            np.hypot((x_low + x_high) / 2, (z_low + z_high) / 2) / 2,
            floor.pitch,
            floor.support,
        ],
        np.float32,
    )


def _footprint(right: np.ndarray, ahead: np.ndarray) -> tuple[float, float]:
    """Length and breadth of the smallest rectangle on the floor under some points, in camera heights.

    Seen from above, a pallet covers the same rectangle however it is turned: its size against the known size
    of pallets is what tells the camera's height.
    """
    angles = np.radians(np.arange(0.0, 180.0, 10.0))
    along = right[:, None] * np.cos(angles) + ahead[:, None] * np.sin(angles)
    edge = max(1, len(right) // 50)
    if len(right) <= 2 * edge:
        return 0.0, 0.0
    ordered = np.partition(along, (edge, len(right) - 1 - edge), axis=0)
    extents = np.clip(ordered[len(right) - 1 - edge] - ordered[edge], 0.0, FAR)
    across = np.roll(extents, len(angles) // 2)
    best = int(np.argmin(extents * across))
    return max(extents[best], across[best]), min(extents[best], across[best])


def _mask_relations(masks: np.ndarray, boxes: np.ndarray, features: np.ndarray) -> np.ndarray:
    count = len(masks)
    # What a thing stands on lies at its lower end: its lowest third tells best which zone it is in.
    rows = (np.arange(masks.shape[1]) + 0.5) / masks.shape[1]
    lower = rows[None, :] > (boxes[:, 1] + (boxes[:, 3] - boxes[:, 1]) * 2 / 3)[:, None]
    filled = fill_rows(masks)
    inside = shares_inside(masks, filled)
    base_inside = shares_inside(masks & lower[:, :, None], filled)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    overlap = np.prod(np.clip(high - low, 0, None), axis=-1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)
    union = areas[:, None] + areas[None, :] - overlap
    difference = features[None, :, 4:6] - features[:, None, 4:6]
    return np.concatenate(
        [
            difference,
            np.tanh(difference[..., :1] * 10),
            inside[..., None],
            base_inside[..., None],
            base_inside.T[..., None],
            (overlap / np.maximum(union, 1e-6))[..., None],
            (features[None, :, 10] - features[:, None, 10])[..., None],
            np.eye(count)[..., None],
        ],
        axis=-1,
    )


def shares_inside(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which share of each mask's pixels lies in each of the others, `[masks, others]`; 0 of an empty mask."""
    # Bits are counted, 64 at a time: a product of matrices would start threads in every loading process.
    ours, theirs = (_as_bits(each) for each in (masks, others))
    common = np.bitwise_count(ours[:, None] & theirs[None]).sum(-1).astype(np.float32)
    return common / np.maximum(np.bitwise_count(ours).sum(-1), 1).astype(np.float32)[:, None]


def _as_bits(masks: np.ndarray) -> np.ndarray:
    """Boolean masks `[masks, height, width]` as numbers of 64 bits, `[masks, numbers]`."""
    packed = np.packbits(masks.reshape(len(masks), -1), axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)


def _floor_relations(floor_features: np.ndarray) -> np.ndarray:
    centre = floor_features[:, :2]
    difference = centre[None] - centre[:, None]
    distance = np.linalg.norm(difference, axis=-1, keepdims=True)
    middle = np.linalg.norm(
        floor_features[None, :, 2:4] - floor_features[:, None, 2:4], axis=-1, keepdims=True
    )
    return np.concatenate(
        [difference, distance, np.log(distance + 0.05), np.log(middle + 0.05)],
        axis=-1,
    )
