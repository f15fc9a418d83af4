"""Counts of what a picture shows in regions: their truth, their learning, and what is left out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.rendered.scene import Kind
from datamodules.rendered.warehouse import draw_warehouse
from datamodules.samples import SpatialSample
from datamodules.views import Blind, Mirrored
from lightning_modules.tiny_giant.collator import TinyGiantCollator
from lightning_modules.tiny_giant.config import ShapeError, TinyGiantConfig
from lightning_modules.tiny_giant.picture_counts import UNKNOWN_COUNT, PictureCounts, count_sum
from lightning_modules.tiny_giant.vocabulary import Vocabulary
from tests.helpers.scenes import questions
from tests.helpers.small_tiny_giant import collator_for

NOTHING = torch.zeros(1, 1, 0)
"""Numbers that describe what hides one region, where there are none."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> AiCityTrack3:
    cache = str(tmp_path_factory.mktemp("scenes"))
    made = AiCityTrack3(difficulty="real", scenes={"train": 6, "val": 1, "test": 1}, cache=cache)
    made.prepare_data()
    return made


def scenes(data: AiCityTrack3) -> Iterator[list[SpatialSample]]:
    split = data.open_split("train")
    for group, count in enumerate(split.group_sizes()):
        yield of_one_image(split.samples(group, range(count)))


def of_one_image(group: list[SpatialSample]) -> list[SpatialSample]:
    """As a loader hands them out: with one object for their image."""
    return [sample.replace(image=group[0].image) for sample in group]


def regions_by_kind(group: list[SpatialSample]) -> dict[str, list[int]]:
    """The numbers of an image's regions by the word that stands before their marks."""
    regions = list(dict.fromkeys(region for sample in group for region in sample.regions))
    kinds: dict[str, set[int]] = {"pallet": set(), "buffer region": set(), "shelf": set()}
    for sample in group:
        parts = sample.question.split("<mask>")[:-1]
        kind = ""
        for part, region in zip(parts, sample.regions, strict=True):
            kind = next(
                (word for word in kinds if re.search(rf"{word}s?\s*$", part)), kind if part == " " else ""
            )
            if kind:
                kinds[kind].add(regions.index(region))
    return {kind: sorted(numbers) for kind, numbers in kinds.items()}


def collator(data: AiCityTrack3) -> TinyGiantCollator:
    vocabulary = Vocabulary()
    vocabulary.build(sample.question for group in scenes(data) for sample in group)
    return TinyGiantCollator(vocabulary, (96, 64), (224, 128), "containment", 70.0, True, 256, 32)


def test_the_pallets_in_buffer_regions_are_those_of_the_scene(data: AiCityTrack3) -> None:
    """And the same ones in a mirror; no region of a buffer is too much."""
    made, compared = collator(data), 0
    for group in scenes(data):
        index = int(group[0].group.removesuffix(".png")) // 3
        rendering, sight, _ = draw_warehouse("real", "train", index, data.size, data.scenes_seed)
        shown = made(group)["shown"][0]
        assert torch.equal(made(of_one_image([Mirrored()(one) for one in group]))["shown"][0], shown)
        regions = list(dict.fromkeys(region for sample in group for region in sample.regions))
        for zone in sight.of(Kind.BUFFER):
            mask = rendering.labels == zone.index
            places = [i for i, region in enumerate(regions) if np.array_equal(region.mask(), mask)]
            if places and zone.index in sight.pallets_inside:
                compared += 1
                assert shown[places[0]] == len(sight.pallets_inside[zone.index])
    assert compared > 6


def test_nothing_is_known_of_other_images(data: AiCityTrack3) -> None:
    assert (collator_for()(questions(0))["shown"] == UNKNOWN_COUNT).all()
    (group, *_) = scenes(data)
    assert group[0].shown is not None and Blind()(group[0]).shown is None
    bare = [sample.replace(shown=None) for sample in group]
    assert (collator(data)(bare)["shown"] == UNKNOWN_COUNT).all()
    kinds = regions_by_kind(group)
    shown = collator(data)(group)["shown"][0]
    assert (shown[kinds["buffer region"]] >= 0).all() and (shown[kinds["shelf"]] >= 0).all()


def test_a_pallet_is_no_zone_that_holds_itself(data: AiCityTrack3) -> None:
    for group in scenes(data):
        pallets = regions_by_kind(group)["pallet"]
        assert (collator(data)(group)["shown"][0][pallets] == UNKNOWN_COUNT).all()


def test_things_are_counted_where_they_are() -> None:
    """Each thing is one bright square; a region is a rectangle that covers half squares at its sides."""
    torch.manual_seed(0)
    counts = PictureCounts(0, 5, 16)
    steps = torch.optim.Adam(counts.parameters(), lr=0.01)

    def pictures(number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        maps = torch.randn(number, 5, 6, 8)
        things = (torch.rand(number, 6, 8) < 0.15).float()
        maps[:, 0] = things * 3
        masks = torch.zeros(number, 1, 2, 6, 8)
        masks[:, 0, 1, 1:5, 2:6] = 1.0
        masks[:, 0, 0, 1:5, 6] = 0.5
        return maps, masks, things[:, 1:5, 2:7].sum((1, 2))[:, None]

    for _ in range(400):
        maps, masks, true = pictures(64)
        total, number = count_sum(counts(NOTHING.expand(64, -1, -1), maps, masks), true)
        steps.zero_grad()
        (total / number).backward()
        steps.step()
    maps, masks, true = pictures(200)
    found = counts(NOTHING.expand(200, -1, -1), maps, masks)
    assert float((found.round() == true).float().mean()) > 0.9
    assert not counts(NOTHING.expand(200, -1, -1), maps, torch.zeros_like(masks)).any()


def test_unknown_counts_are_not_learnt() -> None:
    shown = torch.tensor([[2.0, 5.0], [1.0, 1.0]], requires_grad=True)
    total, number = count_sum(shown, torch.tensor([[1.5, UNKNOWN_COUNT], [UNKNOWN_COUNT] * 2]))
    total.backward()
    assert number == 2 and float(total) == pytest.approx(0.125)
    assert shown.grad is not None and shown.grad[0, 0] > 0 and torch.count_nonzero(shown.grad) == 1


def test_what_nothing_could_count_is_refused() -> None:
    with pytest.raises(ShapeError, match="set count_head to true"):
        TinyGiantConfig(picture_counts=True)
    with pytest.raises(ShapeError, match="set focus to true"):
        TinyGiantConfig(count_head=True)
    counting = TinyGiantConfig(picture_counts=True, count_head=True, focus=True)
    with pytest.raises(ShapeError, match="set geometry to containment"):
        dataclasses.replace(counting, rgb_backbone=None, depth_backbone=None)
    with pytest.raises(ShapeError, match="set relations to true"):
        TinyGiantConfig(focus=True, relations=False)
