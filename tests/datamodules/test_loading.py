"""Opening images in the workers: once each, through views, and what happens to bad ones."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.loading.batching import BatchRequest, ImageRequest, TrainingBatches
from datamodules.loading.image_loading import BatchSamples, CollateLoaded, ImageLoading
from datamodules.samples import (
    DataError,
    ImageFile,
    MissingImage,
    OpenedImage,
    Region,
    SpatialSample,
    UnreadableImage,
)
from datamodules.views import Blind, GrayImage, Grayscale, NoDepth, View
from tests.helpers.text_lengths import longest_texts

WIDTH, HEIGHT = 8, 6


@dataclass(frozen=True)
class StubImage:
    """An image in memory that counts how often it is opened, or cannot be."""

    name: str
    error: type[UnreadableImage] | None = None
    opened: list[str] = field(default_factory=list, compare=False)

    def open(self) -> Image.Image:
        self.opened.append(self.name)
        if self.error:
            raise self.error(f"The image {self.name} cannot be read.")
        return Image.new("RGB", (WIDTH, HEIGHT), (200, 10, 10))


class Questions:
    """Images with three questions each; every sample has its own, equal, image objects."""

    def __init__(self, bad: dict[int, type[UnreadableImage]] | None = None, images: int = 5) -> None:
        self.bad = bad or {}
        self.images = images
        self.opened: list[str] = []

    def __len__(self) -> int:
        return self.images

    def group_sizes(self) -> np.ndarray:
        return np.full(self.images, 3)

    def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
        return [
            SpatialSample(
                id=f"{group}-{number}",
                question="?",
                image=StubImage(f"image {group}", self.bad.get(group), self.opened),
                depth=StubImage(f"depth {group}", None, self.opened),
                regions=(Region.from_mask(np.ones((HEIGHT, WIDTH), bool)),),
                group=f"image {group}",
            )
            for number in questions
        ]

    def lengths(self) -> np.ndarray:
        return longest_texts(self)


ALL = (0, 1, 2)
BATCH = BatchRequest((ImageRequest(0, ALL), ImageRequest(1, ALL)), epoch=0)


def test_an_image_is_opened_once_and_shared() -> None:
    questions = Questions()
    batch = ImageLoading(questions)[BATCH]
    assert sorted(questions.opened) == ["depth 0", "depth 1", "image 0", "image 1"]
    assert [sample.id for sample in batch.opened] == ["0-0", "0-1", "0-2", "1-0", "1-1", "1-2"]
    first, second, third, other = (batch.opened[index].image for index in range(4))
    assert isinstance(first, OpenedImage)
    assert first is second is third
    assert first is not other


def test_light_samples_hold_no_image() -> None:
    batch = ImageLoading(Questions())[BATCH]
    assert all(isinstance(sample.image, StubImage) for sample in batch.light)
    assert len(pickle.dumps(batch.light)) < 5000


@pytest.mark.parametrize(
    ("views", "opened"),
    [
        ((Blind(),), []),
        ((NoDepth(),), ["image 0", "image 1"]),
        ((Grayscale(), NoDepth()), ["image 0", "image 1"]),
    ],
)
def test_views_decide_what_is_opened(views: tuple[View, ...], opened: list[str]) -> None:
    questions = Questions()
    ImageLoading(questions, views)[BATCH]
    assert sorted(questions.opened) == opened


def test_blind_keeps_the_text_alone() -> None:
    (sample,) = Questions().samples(0, (0,))
    seen = Blind()(sample)
    assert (seen.image, seen.depth, seen.regions, seen.question) == (None, None, (), "?")


def test_grayscale_has_three_equal_channels() -> None:
    batch = ImageLoading(Questions(), (Grayscale(),))[BATCH]
    opened = batch.opened[0].image
    assert opened is not None
    image = np.asarray(opened.open())
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert (image == image[..., :1]).all()
    assert isinstance(batch.light[0].image, GrayImage)
    assert batch.light[0].image.name == "image 0"
    blind = SpatialSample(id="a", question="?")
    assert Grayscale()(blind) == blind


def test_training_takes_the_next_image_for_a_bad_one() -> None:
    questions = Questions(bad={4: UnreadableImage, 0: UnreadableImage})
    request = BatchRequest((ImageRequest(4, ALL), ImageRequest(2, (1,))), epoch=3)
    batch = ImageLoading(questions, on_bad_image="next_image", questions_per_image=2)[request]
    assert len(batch.light) == 3
    assert [sample.group for sample in batch.light] == ["image 1", "image 1", "image 2"]
    assert list(batch.skipped) == ["image 4", "image 0"]
    again = ImageLoading(questions, on_bad_image="next_image", questions_per_image=2)[request]
    assert again.light == batch.light


def test_what_steps_in_for_a_bad_image_is_what_is_asked_of_it_in_that_epoch() -> None:
    for seed, epoch in ((0, 0), (0, 1), (0, 2), (3, 2)):
        loading = ImageLoading(Questions(bad={0: UnreadableImage}), (), "next_image", 2, seed)
        batches = TrainingBatches(loading.questions.group_sizes(), 5, 2, seed)
        batches.epoch = epoch
        (whole,) = batches
        (usual,) = (image.questions for image in whole.images if image.group == 1)
        batch = loading[BatchRequest((ImageRequest(0, ALL),), epoch)]
        assert [sample.id for sample in batch.light] == [f"1-{number}" for number in usual]


def test_training_does_not_pass_over_missing_files() -> None:
    with pytest.raises(MissingImage, match="Record 0-0 needs it; the view `Blind`"):
        ImageLoading(Questions(bad={0: MissingImage}), on_bad_image="next_image")[BATCH]


def test_training_with_no_readable_image_ends() -> None:
    bad = dict.fromkeys(range(5), UnreadableImage)
    with pytest.raises(UnreadableImage, match="None of the 5 training images"):
        ImageLoading(Questions(bad), on_bad_image="next_image")[BATCH]


def test_evaluation_stops_at_a_bad_image() -> None:
    with pytest.raises(UnreadableImage, match=r"image 1 cannot be read\. Record 1-0 needs it"):
        ImageLoading(Questions(bad={1: UnreadableImage}))[BATCH]


@pytest.mark.parametrize("error", [UnreadableImage, MissingImage])
def test_evaluation_can_answer_blind(error: type[UnreadableImage]) -> None:
    batch = ImageLoading(Questions(bad={1: error}), on_bad_image="answer_blind")[BATCH]
    assert [sample.id for sample in batch.opened] == ["0-0", "0-1", "0-2", "1-0", "1-1", "1-2"]
    assert [sample.image is None for sample in batch.opened] == [False] * 3 + [True] * 3
    assert [sample.depth is None for sample in batch.light] == [False] * 3 + [True] * 3
    assert list(batch.skipped) == ["image 1"]


def test_masks_must_have_the_size_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StubImage, "open", lambda _: Image.new("RGB", (WIDTH, HEIGHT + 1)))
    with pytest.raises(DataError, match=r"Mask 0 of record 0-0 is 6x8 .* its image image 0 is 7x8\."):
        ImageLoading(Questions())[BATCH]


def test_the_batch_has_the_collators_entries_and_two_more() -> None:
    loaded = ImageLoading(Questions())[BATCH]
    batch = CollateLoaded(lambda samples: {"ids": [sample.id for sample in samples]})(loaded)
    assert batch.keys() == {"ids", "samples", "skipped"}
    samples = batch["samples"]
    assert isinstance(samples, BatchSamples)
    assert (len(samples), samples[0].id, [sample.id for sample in samples]) == (6, "0-0", batch["ids"])


def test_real_files_tell_missing_from_truncated(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    with pytest.raises(MissingImage, match=r"a\.png does not exist"):
        ImageFile(file).open()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(UnreadableImage, match=r"a\.png cannot be read") as caught:
        ImageFile(file).open()
    assert not isinstance(caught.value, MissingImage)
