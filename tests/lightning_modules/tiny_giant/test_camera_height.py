"""The camera's height: what training answers say of it, and how it is learnt and used."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.rendered.warehouse import draw_warehouse
from datamodules.samples import AnswerType, SpatialSample
from lightning_modules.tiny_giant.camera_height import CameraHeight, measured_pair
from lightning_modules.tiny_giant.collator import TinyGiantCollator
from lightning_modules.tiny_giant.config import ShapeError, TinyGiantConfig
from lightning_modules.tiny_giant.model import TinyGiantNetwork
from lightning_modules.tiny_giant.module import height_sum
from lightning_modules.tiny_giant.vocabulary import Vocabulary
from tests.helpers.scenes import box, questions
from tests.helpers.small_tiny_giant import collator_for

REGIONS = tuple(box(64, 64, 2 * index, 2 * index, 20, 18) for index in range(4))


def distance(answer: str | None, rationale: str, count: int = 4) -> SpatialSample:
    first = questions(0)[0]
    return first.replace(
        question="How far ? " + "<mask> " * count, answer=answer, rationale=rationale, regions=REGIONS[:count]
    )


@pytest.mark.parametrize(
    ("answer", "rationale", "count", "pair"),
    [
        ("2.32", "[Region 1] is 2.32 meters from [Region 3].", 4, (1, 3)),
        (
            "2.32",
            "[Region 0] is the leftmost. [Region 3] is 2.32 meters from [Region 0].",
            4,
            (3, 0),
        ),
        ("2", "The distance of [Region 2] from [Region 1] is 2 meters.", 4, (2, 1)),
        ("2.32", "", 2, (0, 1)),
        ("2.32", "", 3, None),
        ("2.32", "It is 2.32 meters from [Region 9] to [Region 1].", 4, None),
        ("2-3 feet", "[Region 1] is 2-3 feet from [Region 3].", 4, None),
        ("0.00", "[Region 1] is 0.00 meters from [Region 3].", 4, None),
        (None, "[Region 1] is close to [Region 3].", 4, None),
    ],
)
def test_the_measured_pair_is_what_the_answer_is_about(
    answer: str | None, rationale: str, count: int, pair: tuple[int, int] | None
) -> None:
    assert measured_pair(distance(answer, rationale, count)) == pair


def test_other_questions_measure_nothing() -> None:
    assert [measured_pair(sample) for sample in questions(0)[1:]] == [None, None, None]


def test_training_answers_tell_the_height_of_the_camera(tmp_path: Path) -> None:
    data = AiCityTrack3(difficulty="real", scenes={"train": 8, "val": 1, "test": 1}, cache=str(tmp_path))
    data.prepare_data()
    split = data.open_split("train")
    groups = [split.samples(group, range(count)) for group, count in enumerate(split.group_sizes())]
    vocabulary = Vocabulary()
    vocabulary.build(sample.question for group in groups for sample in group)
    collator = TinyGiantCollator(
        vocabulary, (96, 64), (224, 128), "floor_fit", 70.0, True, 256, 32, with_labels=True
    )
    errors = []
    for group in groups:
        index = int(group[0].group.removesuffix(".png")) // 3
        camera = draw_warehouse("real", "train", index, data.size, data.scenes_seed)[0].scene.camera
        batch = collator(group)
        known = batch["height_known"]
        distances = [sample.answer_type is AnswerType.DISTANCE for sample in group]
        assert known.tolist() == distances
        errors += (batch["log_height"][known] - math.log(camera.height_m)).abs().tolist()
    assert len(errors) > 15 and np.median(errors) < 0.05


def test_without_labels_or_a_floor_nothing_is_said_of_the_height() -> None:
    unlabelled = collator_for()(questions(0))
    assert not unlabelled["height_known"].any()
    learnt = dataclasses.replace(collator_for(), with_labels=True)
    assert learnt(questions(0))["height_known"].tolist() == [True, False, False, False]
    in_image = dataclasses.replace(learnt, geometry="mask")
    assert not in_image(questions(0))["height_known"].any()
    flat = [sample.replace(depth=None) for sample in questions(0)]
    assert not learnt(flat)["height_known"].any()


def test_a_height_is_learnt_from_one_sure_square() -> None:
    """Height is written into one square, marked as such; all other squares are noise."""
    torch.manual_seed(0)
    height = CameraHeight(4, 6, 16)
    steps = torch.optim.Adam(height.parameters(), lr=0.01)

    def pictures(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        maps, true = torch.randn(count, 6, 4, 5), torch.rand(count) * 0.6 + 1.4
        row, column = torch.randint(4, (count,)), torch.randint(5, (count,))
        maps[:, 0] = 0
        maps[torch.arange(count), 0, row, column] = 4
        maps[torch.arange(count), 1, row, column] = true
        return maps, true

    def told(maps: torch.Tensor) -> torch.Tensor:
        none = torch.zeros(len(maps), 0)
        return height(torch.zeros(len(maps), 0, 4), none, none.bool(), height.of_squares(maps))

    for _ in range(600):
        maps, true = pictures(64)
        total, count = height_sum(told(maps), true, torch.ones(64, dtype=torch.bool))
        steps.zero_grad()
        (total / count).backward()
        steps.step()
    maps, true = pictures(200)
    assert float((told(maps) - true).abs().median()) < 0.03


def test_a_height_is_learnt_from_regions_of_known_size() -> None:
    """Two kinds of things, each with a size in metres of its own, and one kind that has none."""
    torch.manual_seed(0)
    height = CameraHeight(3, 0, 16)
    steps = torch.optim.Adam(height.parameters(), lr=0.01)
    metres = torch.tensor([0.1, 0.9])

    def scenes(count: int) -> tuple[torch.Tensor, ...]:
        true, kinds = torch.rand(count) * 0.6 + 1.4, torch.randint(3, (count, 4))
        kinds[:, 0] = torch.randint(2, (count,))
        size = torch.where(kinds < 2, metres[kinds.clamp(max=1)] - true[:, None], torch.randn(count, 4))
        return torch.nn.functional.one_hot(kinds, 3).float(), size, torch.rand(count, 4) < 0.8, true

    for _ in range(600):
        regions, size, named, true = scenes(64)
        named[:, 0] = True
        total, count = height_sum(height(regions, size, named, None), true, torch.ones(64).bool())
        steps.zero_grad()
        (total / count).backward()
        steps.step()
    regions, size, named, true = scenes(200)
    named[:, 0] = True
    with torch.no_grad():
        assert float((height(regions, size, named, None) - true).abs().median()) < 0.03
        named[:] = False
        assert torch.equal(height(regions, size, named, None), height.typical.expand(200))


def test_unknown_heights_are_not_learnt() -> None:
    guess = torch.tensor([1.0, 2.0], requires_grad=True)
    total, count = height_sum(guess, torch.tensor([1.5, 0.0]), torch.tensor([True, False]))
    total.backward()
    assert count == 2 and guess.grad is not None and guess.grad[0] < 0 and guess.grad[1] == 0
    # Beyond a tenth the loss is the error itself, less half of that tenth.
    assert float(total) == pytest.approx(0.5 - 0.05)


@pytest.mark.parametrize(
    ("scale", "changes"),
    [
        ("regions", {"relations": False}),
        ("picture", {"geometry": "mask"}),
        ("picture", {"rgb_backbone": None, "depth_backbone": None}),
    ],
)
def test_a_scale_that_nothing_could_use_is_refused(scale: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(ShapeError, match=f"network.scale is {scale}"):
        TinyGiantConfig(scale=scale, **changes)


def test_a_network_that_would_see_nothing_is_refused() -> None:
    with pytest.raises(ShapeError, match="see nothing"):
        TinyGiantConfig(rgb_backbone=None, depth_backbone=None, geometry="none", relations=False)
    TinyGiantNetwork(TinyGiantConfig(rgb_backbone=None, depth_backbone=None))
