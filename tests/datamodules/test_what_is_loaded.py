"""What a collator is handed of a question with all one can have: by every loader, through every view."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from lightning import seed_everything
from PIL import Image

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.base import SpatialDataModule
from datamodules.cv_bench import CvBench
from datamodules.layouts import OfficialLayout
from datamodules.loading.image_notes import ImageNotes
from datamodules.mixture import Mixture
from datamodules.omni_spatial import OmniSpatial
from datamodules.samples import (
    AnswerType,
    ImageSource,
    Region,
    SpatialSample,
    UnreadableImage,
    metric_of,
)
from datamodules.scoring.metrics import Track3Metric
from datamodules.space_thinker import SpaceThinker
from datamodules.views import (
    AsMultipleChoice,
    Blind,
    BoxesInText,
    DepthAsImage,
    Grayscale,
    Marked,
    Mirrored,
    NoDepth,
    RotatedChoices,
    View,
)
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.listed_data import ListedData, opened
from tests.helpers.loaded_samples import samples

WIDTH, HEIGHT = 60, 40
RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)
REGIONS = ((0, 0, 15, 20), (30, 10, 60, 40))
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Flat:
    """An image of one colour."""

    colour: tuple[int, int, int] | int

    @property
    def name(self) -> str:
        return f"{self.colour}"

    def open(self) -> Image.Image:
        return Image.new("L" if isinstance(self.colour, int) else "RGB", (WIDTH, HEIGHT), self.colour)


@dataclass(frozen=True)
class Broken:
    """An image that cannot be read."""

    name: str = "broken"

    def open(self) -> Image.Image:
        raise UnreadableImage("It is broken.")


def region(left: int, top: int, right: int, bottom: int) -> Region:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return Region.from_mask(mask)


SOLVED = SpatialSample("0", "Is it red?", image=Flat(RED), depth=Flat(9), further_images=(Flat(BLUE),))
WHOLE = SpatialSample(
    id="1",
    question="Is <mask> left of <mask>?",
    image=Flat(RED),
    depth=Flat(77),
    further_images=(Flat(GREEN), Flat(BLUE)),
    regions=tuple(region(*box) for box in REGIONS),
    choices=("yes", "no", "maybe"),
    answer="A",
    answer_type=AnswerType.LETTER,
    task="left_right",
    group="1",
    examples=(SOLVED,),
)


def colour(source: ImageSource | None) -> tuple[int, ...] | None:
    """The colour in the image's upper right corner, where no region lies."""
    if source is None:
        return None
    found = source.open().getpixel((WIDTH - 1, 0))
    return found if isinstance(found, tuple) else (int(found or 0),)


def seen(sample: SpatialSample) -> dict[str, Any]:
    """What there is to be seen in a sample."""
    return {
        "question": sample.question,
        "image": colour(sample.image),
        "depth": colour(sample.depth),
        "further": [colour(image) for image in sample.further_images],
        "regions": [region.box() for region in sample.regions],
        "choices": sample.choices,
        "answer": sample.answer,
        "examples": [
            [colour(image) for image in (example.image, example.depth, *example.further_images)]
            for example in sample.examples
        ],
    }


UNCHANGED: dict[str, Any] = {
    "question": "Is <mask> left of <mask>?",
    "image": RED,
    "depth": (77,),
    "further": [GREEN, BLUE],
    "regions": [(0, 0, 15, 20), (30, 10, 30, 30)],
    "choices": ("yes", "no", "maybe"),
    "answer": "A",
    "examples": [[RED, (9,), BLUE]],
}
UNSEEN = {"image": None, "depth": None, "further": [], "examples": [[None, None]]}
SHOWN_DEPTH = {
    "question": "The fourth image of this question shows the depth of the scene: brighter is farther. "
    "Is <mask> left of <mask>?",
    "depth": None,
    "further": [GREEN, BLUE, (77, 77, 77)],
}
GREY: dict[str, Any] = {
    "image": (60, 60, 60),
    "further": [(117, 117, 117), (23, 23, 23)],
    "examples": [[(60, 60, 60), (9,), (23, 23, 23)]],
}
VIEWED: dict[str, tuple[list[View], dict[str, Any]]] = {
    "none": ([], {}),
    "blind": ([Blind()], {**UNSEEN, "regions": []}),
    "without depth": ([NoDepth()], {"depth": None}),
    "depth as an image": ([DepthAsImage()], SHOWN_DEPTH),
    "grey": ([Grayscale()], GREY),
    "depth as an image, then grey": (
        [DepthAsImage(), Grayscale()],
        {**SHOWN_DEPTH, **GREY, "further": [*GREY["further"], (77, 77, 77)]},
    ),
    "marked": ([Marked()], {"question": "Is [Region 0] left of [Region 1]?"}),
    "boxes": (
        [BoxesInText()],
        {"question": "Is [Region 0] (box 0 0 250 500) left of [Region 1] (box 500 250 1000 1000)?"},
    ),
    "rotated": ([RotatedChoices(1)], {"choices": ("no", "maybe", "yes"), "answer": "C"}),
    "mirrored": (
        [Mirrored()],
        {"question": "Is <mask> right of <mask>?", "regions": [(45, 0, 15, 20), (0, 10, 30, 30)]},
    ),
    "mirrored twice": ([Mirrored(), Mirrored()], {}),
    "choices there are": ([AsMultipleChoice()], {}),
    "boxes, then blind": (
        [BoxesInText(), Blind()],
        {**UNSEEN, "regions": [], "question": "Is [Region 0] left of [Region 1]?"},
    ),
    "no depth to show": ([NoDepth(), DepthAsImage()], {"depth": None}),
    "shown before it goes": ([DepthAsImage(), NoDepth()], SHOWN_DEPTH),
}
"""Views, and what they change."""

LOADERS = ("train", "every_training_question", "val", "test", "predict", "overfitting")


overfitting = functools.cache(lambda: bare_trainer(overfit_batches=1))


def loader_of(data: SpatialDataModule, name: str) -> Callable[[], Any]:
    if name != "overfitting":
        return getattr(data, name if name.startswith("every") else f"{name}_dataloader")
    data.trainer = overfitting()
    return data.train_dataloader


def mixed(own: list[View], shared: list[View]) -> Mixture:
    """A mixture of the question with itself, with views of the parts and of the whole."""
    return Mixture(
        [ListedData([WHOLE], views=own)], ListedData([WHOLE], views=own), views=shared, num_workers=0
    )


@pytest.mark.parametrize("name", VIEWED)
def test_every_loader_hands_a_question_over_as_its_views_show_it(name: str) -> None:
    """Alone, in a mixture that has the views, and in one whose part has the first of them."""
    views, changes = VIEWED[name]
    for data in (ListedData([WHOLE], views=views), mixed([], views), mixed(views[:1], views[1:])):
        for loader in LOADERS:
            (sample,) = opened(data, loader_of(data, loader))
            assert seen(sample) == UNCHANGED | changes, loader


@pytest.mark.parametrize("loader", LOADERS)
def test_every_loader_hands_over_every_question_in_batches_of_its_size(loader: str) -> None:
    """But a training takes some questions of each image."""
    asked = [
        WHOLE.replace(id=f"{image}/{number}", group=f"{image}") for image in range(6) for number in range(5)
    ]
    sizes = {"batch_size": 2, "evaluation_batch_size": 3, "questions_per_image": 2}
    batches = [
        list(batch["samples"]) for batch in loader_of(ListedData(asked, views=[Blind()], **sizes), loader)()
    ]
    ids = [sample.id for batch in batches for sample in batch]
    if loader == "train":
        assert len(batches) == 3 and len(set(ids)) == 6 * 2
    else:
        assert len(batches) == (9 if "ing" in loader else 6)
        assert sorted(ids) == sorted(sample.id for sample in asked)


@pytest.mark.parametrize("broken", ["image", "depth", "further_images"])
def test_what_is_answered_blind_shows_nothing(broken: str) -> None:
    bad = WHOLE.replace(**{broken: (Flat(GREEN), Broken()) if broken == "further_images" else Broken()})
    data = ListedData([bad], on_bad_image="answer_blind")
    (sample,) = opened(data, data.test_dataloader)
    (light,) = samples(data.test_dataloader())
    assert seen(sample) == seen(light) == UNCHANGED | UNSEEN


def test_what_all_processes_note_of_images_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = (
        ({f"scaled {n}": ""}, {f"padded {n}": ""}, {f"skipped {n}": "", "both": ""}) for n in (0, 1)
    )

    def gather(everyone: list[Any], own: Any) -> None:
        assert own == mine
        everyone[:] = [own, other]

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    notes = ImageNotes(*(dict(kind) for kind in mine))
    notes.share()
    assert notes == ImageNotes(*({**one, **two} for one, two in zip(mine, other, strict=True)))
    assert notes.counts() == {"scaled": 2, "padded": 2, "skipped": 3}


# Settings


def test_the_runs_seed_orders_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    many = [WHOLE.replace(id=str(number), group=str(number)) for number in range(20)]

    def order(**shared: Any) -> list[str]:
        return [
            sample.id for sample in samples(ListedData(many, views=[Blind()], **shared).train_dataloader())
        ]

    assert order() == order(seed=0)
    seed_everything(7, verbose=False)
    assert order() == order(seed=7) != order(seed=0)


class JudgedByStage(ListedData):
    """Data whose validation has a score of its own."""

    def metric(self, stage: str = "test") -> Any:
        return Track3Metric() if stage == "test" else torchmetrics.MeanMetric()


def test_each_stage_has_its_own_metric() -> None:
    kinds = [type(metric_of(JudgedByStage([WHOLE]), stage)) for stage in ("fit", "validate", "test")]
    assert kinds == [torchmetrics.MeanMetric, torchmetrics.MeanMetric, Track3Metric]
    assert metric_of(SimpleNamespace(metric=lambda: "one of one's own"), "fit") == "one of one's own"


@pytest.mark.parametrize("made", [AiCityTrack3, CvBench, OmniSpatial, SpaceThinker])
def test_what_is_rendered_where_nothing_is_said(made: type[OfficialLayout]) -> None:
    data = made()
    assert (data.root, data.size, data.scenes_seed) == ("rendered", (224, 128), 0)
    assert data.scenes == {"train": 600, "val": 60, "test": 150}
    assert getattr(data, "difficulty", None) == {AiCityTrack3: "easy", CvBench: "ordinary"}.get(made)


@pytest.mark.parametrize(
    ("splits", "val_fraction", "same"),
    [
        ({}, 0.0, False),
        ({"val": "test"}, 0.0, True),
        ({"val": "test"}, 0.5, False),
        ({"test": "val"}, 0.0, True),
    ],
)
def test_validating_on_the_test_questions_is_known(
    splits: dict[str, str], val_fraction: float, same: bool
) -> None:
    alone = CvBench(splits=splits, val_fraction=val_fraction)
    within = Mixture([SpaceThinker()], CvBench(splits=splits), val_fraction=val_fraction)
    assert alone.validates_on_test is within.validates_on_test is same


@pytest.mark.parametrize(("own", "shared", "held_back"), [(0.3, 0.5, 0.3), (0.0, 0.5, 0.5), (0.3, 0.0, 0.3)])
def test_a_part_holds_back_what_it_says_itself(own: float, shared: float, held_back: float) -> None:
    many = [WHOLE.replace(id=str(number), group=str(number)) for number in range(20)]
    data = Mixture(
        [ListedData(many, val_fraction=own)],
        ListedData(many),
        val_fraction=shared,
        num_workers=0,
        views=[Blind()],
    )
    assert len(samples(data.val_dataloader())) == 20 * held_back
    assert len(samples(data.train_dataloader())) == 20 - 20 * held_back
