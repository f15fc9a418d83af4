"""Images that were prepared once and are kept: equal to those prepared anew, whatever was asked before."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datamodules.loading.batching import BatchRequest, ImageRequest
from datamodules.loading.image_loading import BadImagePolicy, CollateLoaded, ImageLoading
from datamodules.loading.kept_images import KeptImages
from datamodules.samples import AnswerType, ImageFile, KeptImage, Region, SpatialSample, UnreadableImage
from datamodules.views import Grayscale
from lightning_modules.tiny_giant.image_preparation import CollatorError
from lightning_modules.whole_batches import WholeBatches
from tests.helpers.listed_data import ListedData
from tests.helpers.scenes import as_image, floor_depth
from tests.helpers.small_tiny_giant import collator_for
from tests.helpers.text_lengths import longest_texts

WIDTH, HEIGHT = 80, 48
LIMIT = 10**8


class Questions:
    """Three images in files; each of their questions names other regions in another order."""

    NAMED: tuple[tuple[int, ...], ...] = ((0, 1), (2, 0), (), (1, 1), (3, 2, 0))

    def __init__(self, folder: Path, region: Region | None = None) -> None:
        self.folder, self.region = folder, region

    def __len__(self) -> int:
        return 3

    def group_sizes(self) -> np.ndarray:
        return np.full(3, len(self.NAMED))

    def samples(self, group: int, questions: Sequence[int]) -> list[SpatialSample]:
        depth = ImageFile(self.folder / f"{group}_depth.png", depth=True)
        regions = regions_of(group)
        if self.region is not None:
            regions[3] = self.region
        return [
            SpatialSample(
                id=f"{group}-{number}",
                question="where is " + "<mask> " * len(self.NAMED[number]) + "?",
                image=ImageFile(self.folder / f"{group}.png"),
                depth=None if group == 2 else depth,
                regions=tuple(regions[place] for place in self.NAMED[number]),
                answer="left",
                answer_type=AnswerType.SIDE,
                group=str(group),
            )
            for number in questions
        ]

    def lengths(self) -> np.ndarray:
        return longest_texts(self)


def regions_of(group: int) -> list[Region]:
    rng = np.random.default_rng(group)
    found = []
    for place in range(4):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        top, left = int(rng.integers(2, 30)), 3 + 17 * place
        mask[top : top + int(rng.integers(5, 17)), left : left + int(rng.integers(6, 25))] = True
        found.append(Region.from_mask(mask))
    return found


def write(folder: Path, seed: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    for group in range(3):
        rng = np.random.default_rng(seed + group)
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(
            folder / f"{group}.png"
        )
        depth = as_image(floor_depth(HEIGHT, WIDTH, 4.0 + seed + group, 0.5))
        Image.fromarray(depth).save(folder / f"{group}_depth.png")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write(folder)
    return folder


def loading(questions: Questions, kept: KeptImages | None, policy: BadImagePolicy = "error") -> ImageLoading:
    return ImageLoading(questions, on_bad_image=policy, kept=kept)


def batch(
    questions: Questions, kept: KeptImages | None, *images: ImageRequest, policy: BadImagePolicy = "error"
) -> dict[str, Any]:
    collate = CollateLoaded(kept.collator if kept else collator_for())  # type: ignore[arg-type]
    return collate(loading(questions, kept, policy)[BatchRequest(images)])


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            assert value.dtype == other[name].dtype and torch.equal(value, other[name]), name
        else:
            assert (list(value) if name == "samples" else value) == (
                list(other[name]) if name == "samples" else other[name]
            ), name


requests = st.lists(
    st.builds(
        ImageRequest,
        st.integers(0, 2),
        st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True).map(tuple),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(st.lists(requests, min_size=2, max_size=4))
def test_batches_are_those_of_images_prepared_anew(
    images: Path, tmp_path_factory: pytest.TempPathFactory, batches: list[list[ImageRequest]]
) -> None:
    kept = KeptImages(collator_for(), LIMIT, folder=tmp_path_factory.mktemp("kept"))
    questions = Questions(images)
    for asked in batches:
        assert_equal(batch(questions, kept, *asked), batch(questions, None, *asked))


def test_an_image_is_decoded_once(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    open_it = ImageFile.open

    def noted(self: ImageFile) -> Image.Image:
        opened.append(self.path.name)
        return open_it(self)

    monkeypatch.setattr(ImageFile, "open", noted)
    for first in (True, False):
        # Another object each time, as in another process or run.
        kept = KeptImages(collator_for(), LIMIT, folder=tmp_path)
        for number in range(5):
            batch(Questions(images), kept, *(ImageRequest(group, (number,)) for group in range(3)))
        assert sorted(opened) == (["0.png", "0_depth.png", "1.png", "1_depth.png", "2.png"] if first else [])
        opened.clear()


@pytest.mark.parametrize("changed", ["1.png", "1_depth.png"])
def test_an_image_that_was_exchanged_is_prepared_again(tmp_path: Path, changed: str) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b", seed=9)
    questions, asked = Questions(tmp_path / "a"), ImageRequest(1, (0, 4))
    kept = KeptImages(collator_for(), LIMIT, folder=tmp_path / "kept")
    before = batch(questions, kept, asked)
    (tmp_path / "b" / changed).replace(tmp_path / "a" / changed)
    after = batch(questions, kept, asked)
    assert_equal(after, batch(questions, None, asked))
    names = ["rgb", "depth", "region_features"]
    assert [not torch.equal(before[name], after[name]) for name in names] == (
        [True, False, False] if changed == "1.png" else [False, True, True]
    )


def test_a_mask_that_was_changed_is_prepared_again(images: Path, tmp_path: Path) -> None:
    kept, asked = KeptImages(collator_for(), LIMIT, folder=tmp_path), ImageRequest(0, (4,))
    batch(Questions(images), kept, asked)
    changed = Questions(images, regions_of(1)[3])
    assert_equal(batch(changed, kept, asked), batch(changed, None, asked))


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": (96, 64)},
        {"geometry_size": (160, 96)},
        {"geometry": "mask"},
        {"field_of_view": 55.0},
        {"use_depth": False},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_settings_find_nothing_that_is_kept(
    images: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    asked = ImageRequest(0, (0, 1, 4))
    batch(Questions(images), KeptImages(collator_for(), LIMIT, folder=tmp_path), asked)
    other = dataclasses.replace(collator_for(), **change)
    kept = KeptImages(other, LIMIT, folder=tmp_path)
    anew = CollateLoaded(other)(loading(Questions(images), None)[BatchRequest((asked,))])
    assert_equal(batch(Questions(images), kept, asked), anew)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_file_is_written_anew(images: Path, tmp_path: Path) -> None:
    kept, asked = KeptImages(collator_for(), LIMIT, folder=tmp_path), ImageRequest(0, (0, 1))
    whole = batch(Questions(images), kept, asked)
    (file,) = tmp_path.rglob("*.safetensors")
    for content in (b"", file.read_bytes()[:-40], b"no tensors at all"):
        file.write_bytes(content)
        assert_equal(batch(Questions(images), kept, asked), whole)
        assert len(file.read_bytes()) > 1000
    assert list(tmp_path.rglob("*.*")) == [file]


def test_no_more_is_kept_than_there_is_room_for(images: Path, tmp_path: Path) -> None:
    asked = [ImageRequest(group, (0, 1)) for group in range(3)]
    batch(Questions(images), KeptImages(collator_for(), LIMIT, folder=tmp_path / "whole"), *asked)
    size = sum(file.stat().st_size for file in (tmp_path / "whole").rglob("*.safetensors"))
    for limit, writers, files in ((0, 1, 0), (size * 2 // 3, 1, 2), (size * 2 // 3, 4, 0), (size, 1, 3)):
        folder = tmp_path / f"{limit} {writers}"
        kept = KeptImages(collator_for(), limit, writers, folder)
        assert_equal(batch(Questions(images), kept, *asked), batch(Questions(images), None, *asked))
        assert len(list(folder.rglob("*.safetensors"))) == files
        # What is there counts when the next run begins.
        KeptImages(collator_for(), limit, folder=folder)
        assert sum(file.stat().st_size for file in folder.rglob("*.*")) <= limit


def test_what_other_settings_left_makes_room(images: Path, tmp_path: Path) -> None:
    asked = ImageRequest(0, (0, 1))
    batch(Questions(images), KeptImages(collator_for(), LIMIT, folder=tmp_path), asked)
    (old,) = tmp_path.iterdir()
    other = dataclasses.replace(collator_for(), field_of_view=55.0)
    size = sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors"))
    KeptImages(other, size * 3, folder=tmp_path)
    assert old.exists()
    kept = KeptImages(other, size + 100, folder=tmp_path)
    assert not old.exists()
    batch(Questions(images), kept, asked)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    KeptImages(other, size + 100, folder=tmp_path)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1, "a run's own images were thrown away"


def test_a_disk_that_takes_nothing_is_said_once(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    kept, asked = KeptImages(collator_for(), LIMIT, folder=tmp_path), [ImageRequest(n, (0,)) for n in (0, 1)]
    with pytest.warns(UserWarning, match="No space left on device") as said:
        assert_equal(batch(Questions(images), kept, *asked), batch(Questions(images), None, *asked))
    assert ["kept" in str(warning.message) for warning in said].count(True) == 1
    assert not list(tmp_path.rglob("*.*"))


def test_an_image_that_a_view_changes_is_not_kept(images: Path, tmp_path: Path) -> None:
    kept, asked = KeptImages(collator_for(), LIMIT, folder=tmp_path), BatchRequest((ImageRequest(0, (0,)),))
    plain, gray = (
        ImageLoading(Questions(images), views, kept=kept)[asked].opened[0] for views in ((), (Grayscale(),))
    )
    assert isinstance(plain.image, KeptImage) and not isinstance(gray.image, KeptImage)
    rgb = collator_for()([gray])["rgb"]
    assert torch.equal(rgb[:, 0], rgb[:, 1]) and not torch.equal(rgb, collator_for()([plain])["rgb"])


def test_an_unreadable_image_is_refused_or_passed_over_as_ever(tmp_path: Path) -> None:
    write(tmp_path)
    kept = KeptImages(collator_for(), LIMIT, folder=tmp_path / "kept")
    questions, asked = Questions(tmp_path), ImageRequest(1, (0, 4))
    batch(questions, kept, asked)
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:200])
    policies: tuple[BadImagePolicy, ...] = ("answer_blind", "next_image")
    for policy in policies:
        loaded = batch(questions, kept, asked, policy=policy)
        assert_equal(loaded, batch(questions, None, asked, policy=policy))
        assert list(loaded["skipped"]) == ["1"]
    with pytest.raises(UnreadableImage, match=r"1\.png"):
        batch(questions, kept, asked)
    (tmp_path / "1.png").unlink()
    with pytest.raises(UnreadableImage, match="does not exist"):
        batch(questions, kept, asked)


def test_a_wrong_mask_of_another_question_does_not_matter(images: Path, tmp_path: Path) -> None:
    questions = Questions(images, Region(HEIGHT, WIDTH, "no runs"))
    kept = KeptImages(collator_for(), LIMIT, folder=tmp_path)
    assert_equal(
        batch(questions, kept, ImageRequest(0, (0, 1))), batch(questions, None, ImageRequest(0, (0, 1)))
    )
    with pytest.raises(CollatorError, match="'0-4'"):
        batch(questions, kept, ImageRequest(0, (4,)))


def test_a_run_keeps_images_for_all_its_loading_processes(
    images: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    questions = Questions(images)
    samples = [sample for group in range(3) for sample in questions.samples(group, range(5))]

    def batches(gigabytes: float) -> list[dict[str, Any]]:
        data = ListedData(samples, num_workers=2, batch_size=2, kept_images_gb=gigabytes)
        # As a module gives it.
        data.collator = WholeBatches(collator_for())
        loader = data.test_dataloader()
        return [*loader, *loader]

    for one, other in zip(batches(0), batches(0.1), strict=True):
        assert_equal(one, other)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3
