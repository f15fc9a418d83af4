"""What hides a part of a zone, told by a scene of boxes that is put together by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from lightning import Trainer

from datamodules.samples import AnswerType, SpatialSample
from lightning_modules.base import ModelError
from lightning_modules.phases import Phase
from lightning_modules.tiny_giant.floor_fit import NO_FLOOR, FloorFit, fit_floor
from lightning_modules.tiny_giant.geometry import IS_HIDDEN, describe_regions
from lightning_modules.tiny_giant.hulls import fill_hulls
from lightning_modules.tiny_giant.module import TinyGiant
from lightning_modules.tiny_giant.standing import AREA, HEIGHT, NEAR_HORIZON, PIECES, hiding_features
from lightning_modules.tiny_giant.vocabulary import DIGITS
from tests.helpers import plain_geometry
from tests.helpers.scenes import FIELD_OF_VIEW, as_image, floor_depth, questions
from tests.helpers.small_tiny_giant import CONFIG, collator_for

ROWS, COLUMNS = 128, 224

BOXES = {
    "alone": (60, 90, 50, 70),
    "near": (70, 92, 110, 130),
    "behind": (62, 80, 130, 146),
    "above": (58, 70, 110, 130),
}
"""First and last row and column of things on a zone; two of them touch in the image."""

ZONE = (55, 105, 40, 160)


def scene(*names: str) -> tuple[np.ndarray, np.ndarray]:
    """The zone's visible pixels, and depths; each box faces the camera at the depth of its lowest row."""
    metres = floor_depth(ROWS, COLUMNS, 5.0, 0.6)
    zone = np.zeros((ROWS, COLUMNS), bool)
    zone[ZONE[0] : ZONE[1], ZONE[2] : ZONE[3]] = True
    for name in names:
        top, bottom, left, right = BOXES[name]
        metres[top:bottom, left:right] = metres[bottom, left]
        zone[top:bottom, left:right] = False
    return zone, as_image(metres)


def described(zone: np.ndarray, depth: np.ndarray | None) -> np.ndarray:
    floor = NO_FLOOR if depth is None else fit_floor(depth, FIELD_OF_VIEW)
    masks = zone[None]
    numbers: np.ndarray = hiding_features(masks, fill_hulls(masks), depth, floor, FIELD_OF_VIEW)[0]
    return numbers


@pytest.mark.parametrize(
    ("names", "pieces", "cut"),
    [
        ((), 0, 0),
        (("alone",), 1, 1),
        (("near", "behind"), 1, 2),
        (("above", "near"), 1, 2),
        (("alone", "near", "behind"), 2, 3),
    ],
)
def test_things_are_told_apart_in_the_image_and_by_their_depth(
    names: tuple[str, ...], pieces: int, cut: int
) -> None:
    zone, depth = scene(*names)
    numbers = described(zone, depth)
    assert numbers[:2].tolist() == [pieces / PIECES, cut / PIECES]
    whole = (ZONE[1] - ZONE[0]) * (ZONE[3] - ZONE[2])
    assert numbers[2] == pytest.approx(1 - zone.sum() / whole)
    assert bool(numbers[3:].any()) == bool(names)


def test_a_few_pixels_are_no_thing() -> None:
    zone, depth = scene()
    zone[70:72, 80:84] = False
    assert described(zone, depth)[0] == 0
    zone[70:73, 80:84] = False
    assert described(zone, depth)[0] == 1 / PIECES


def hidden_floor(row: int, column: int, fit: FloorFit) -> float:
    """The floor that a pixel would show, in squared camera heights: the area between its corners' rays."""
    focal = COLUMNS / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))
    corners = []
    for down, right in ((0, 0), (0, 1), (1, 1), (1, 0)):
        slope = (row + down - ROWS / 2) / focal
        z = 1 / (slope * math.cos(fit.pitch) + math.sin(fit.pitch))
        ahead = z * (math.cos(fit.pitch) - slope * math.sin(fit.pitch))
        corners.append((z * (column + right - COLUMNS / 2) / focal, ahead))
    around = zip(corners, [*corners[1:], corners[0]], strict=True)
    return abs(sum(x * v - u * y for (x, y), (u, v) in around)) / 2


def test_sizes_are_those_of_the_pixels_rays() -> None:
    zone, depth = scene("alone", "near")
    fit = fit_floor(depth, FIELD_OF_VIEW)
    hidden = fill_hulls(zone[None])[0] & ~zone
    points = plain_geometry.on_the_floor(hidden, depth, fit, FIELD_OF_VIEW)
    surface, floor = 0.0, 0.0
    focal = COLUMNS / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))
    for row, column in np.argwhere(hidden):
        surface += ((float(depth[row, column]) + fit.offset) * fit.scale / focal) ** 2
        floor += hidden_floor(row, column, fit)
    expected = [math.log1p(surface / AREA), math.log1p(floor / AREA), points[:, 2].mean() / HEIGHT]
    assert described(zone, depth)[3:] == pytest.approx(expected, rel=1e-3)


def test_sky_hides_no_floor_and_nothing_is_unbounded() -> None:
    """A frame around the image, in which a distant wall rises beyond the horizon."""
    metres = floor_depth(ROWS, COLUMNS, 5.0, 0.1, 60.0)
    ring = np.ones((ROWS, COLUMNS), bool)
    ring[8:-8, 8:-8] = False
    depth = as_image(metres)
    numbers, fit = described(ring, depth), fit_floor(depth, FIELD_OF_VIEW)
    assert (np.abs(numbers) < 12).all()
    focal = COLUMNS / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))
    floor = sum(
        hidden_floor(row, column, fit)
        for row, column in np.argwhere(~ring)
        if (row + 0.5 - ROWS / 2) / focal * math.cos(fit.pitch) + math.sin(fit.pitch) > NEAR_HORIZON
    )
    assert fit.support > 0 and numbers[4] == pytest.approx(math.log1p(floor / AREA), rel=1e-2)


def test_slivers_at_a_hulls_border_are_no_numbers() -> None:
    ellipse = (np.arange(ROWS)[:, None] - 60) ** 2 / 900 + (np.arange(COLUMNS) - 100) ** 2 / 2500 < 1
    assert (fill_hulls(ellipse[None])[0] & ~ellipse).any(), "a hull of pixels is a little larger"
    _, depth = scene()
    assert not described(ellipse, depth).any()


def test_without_depth_only_the_masks_speak() -> None:
    zone, _ = scene("near", "behind")
    numbers = described(zone, None)
    assert numbers[0] == 1 / PIECES and numbers[2] > 0 and not numbers[[1, 3, 4, 5]].any()


def test_regions_carry_what_hides_them_with_containment_alone() -> None:
    zone, depth = scene("alone")
    features, _ = describe_regions(zone[None], depth, "containment", FIELD_OF_VIEW)
    assert features[0, IS_HIDDEN] == pytest.approx(described(zone, depth))
    fitted, _ = describe_regions(zone[None], depth, "floor_fit", FIELD_OF_VIEW)
    assert fitted[0, IS_HIDDEN].size == 0
    assert np.array_equal(fitted[0], features[0, : IS_HIDDEN.start])


def counting(rationale: str, answer: str = "2") -> SpatialSample:
    one = next(sample for sample in questions(0) if len(sample.regions) >= 3)
    return one.replace(task="count", answer=answer, answer_type=AnswerType.COUNT, rationale=rationale)


@pytest.mark.parametrize(
    ("rationale", "answer", "regions"),
    [
        (
            "I see pallets [Region 2] [Region 0] in the buffer region [Region 1]. So there are two.",
            "2",
            [0, 2],
        ),
        ("I see pallet [Region 2] in the buffer region [Region 1]. So there is one pallet.", "1", [2]),
        ("There are exactly two pallets in the buffer region [Region 1].", "2", None),
        ("I see no pallets in the buffer region [Region 1].", "0", []),
        # As many as it says, and called pallets, or it is not what is counted.
        ("Of the buffers [Region 0] [Region 1] the leftmost is [Region 0]. It holds two pallets.", "2", None),
        ("The shelf [Region 1] is closest to the buffer [Region 2], which has one pallet.", "1", None),
        (
            "I see pallets [Region 2] [Region 0] in the buffer region [Region 1]. So there are three.",
            "3",
            None,
        ),
    ],
)
def test_what_is_counted_is_what_a_rationale_names(
    rationale: str, answer: str, regions: list[int] | None
) -> None:
    sample = counting(rationale, answer)
    made = dataclasses.replace(collator_for(), with_labels=True)([sample, *questions(1)])
    named = len(sample.regions)
    assert made["counted"].shape == made["counted_known"].shape == made["region_named"].shape
    assert made["counted"][0].nonzero().flatten().tolist() == (regions or [])
    assert made["counted_known"][0].sum() == (0 if regions is None else named)


def test_what_is_counted_is_learnt_where_its_digit_is_written() -> None:
    """And a batch that has nothing of the kind has the same terms: processes add them up side by side."""
    config = dataclasses.replace(
        CONFIG, geometry="containment", focus=True, count_head=True, picture_counts=True
    )
    torch.manual_seed(0)
    giant = TinyGiant(config, [Phase("normalized", 1)], count_weight=0.5)
    giant.trainer = Trainer(logger=False, accelerator="cpu", enable_checkpointing=False)
    collate = dataclasses.replace(collator_for(config), with_labels=True)
    giant.vocabulary.load(collate.vocabulary.words)
    rationale = "I see pallets [Region 2] [Region 0] in the buffer region [Region 1]. So there are two."
    batch = collate([counting(rationale), *questions(1)])
    batch["shown"] = torch.arange(batch["shown"].numel()).view_as(batch["shown"]).float()
    sums, _ = giant._answer_sums(batch)
    encoded, _ = giant.network.encode(batch)
    target = batch["normalized"]
    members = giant.network.decoder(target[:, :-1], batch["normalized_values"][:, :-1], encoded).members
    assert members is not None and target[0, 1] in DIGITS
    chances = torch.sigmoid(members[0, 0])
    expected = -(chances[0].log() + chances[2].log())
    expected = expected - sum((1 - chances[i]).log() for i in range(len(chances)) if i in (1, *range(3, 9)))
    total, count = sums["member_loss"]
    assert count == len(target) and float(total.detach()) == pytest.approx(0.5 * float(expected), rel=1e-5)
    assert encoded.shown_in_images is not None and giant.counts(batch)["count_loss"] == 2
    off = (encoded.shown_in_images - batch["shown"]).abs()
    huber = torch.where(off < 1, off**2 / 2, off - 0.5).mean(1).sum()
    total, count = sums["count_loss"]
    assert count == 2 and float(total.detach()) == pytest.approx(0.5 * float(huber), rel=1e-5)

    bare = [
        counting("", "1").replace(image=None, depth=None, regions=(), question="How many ?", id=name)
        for name in ("a", "b")
    ]
    without, _ = giant._answer_sums(collate(bare))
    assert without.keys() == sums.keys()
    assert without["member_loss"] == without["count_loss"] == (0, 0)


def test_digits_of_distances_are_no_counts() -> None:
    config = dataclasses.replace(CONFIG, focus=True, count_head=True)
    with pytest.raises(ModelError, match="set numbers to value"):
        TinyGiant(config, [Phase("normalized", 1)], numbers="digits")
