"""Depth that is spoilt or taken away: how much, of which images, and always the same."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.loading.batching import BatchRequest, ImageRequest
from datamodules.loading.image_loading import ImageLoading
from datamodules.loading.kept_images import KeptImages
from datamodules.loading.listed_questions import ListedQuestions
from datamodules.samples import DataError, ImageFile, KeptImage, OpenedImage, SpatialSample, open_depth
from datamodules.views import DroppedDepth, NoisyDepth, View
from tests.helpers.small_tiny_giant import collator_for

WIDTH, HEIGHT = 300, 200


def depth_of(value: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH), value, np.uint8)


def asked(group: str = "a.png", value: int | np.ndarray = 120, **changes: object) -> SpatialSample:
    values = depth_of(value) if isinstance(value, int) else value
    depth = OpenedImage(f"{group}_depth", Image.fromarray(values))
    return SpatialSample(id=f"{group}-1", question="?", depth=depth, group=group).replace(**changes)


def noisy(sample: SpatialSample, sigma: float, seed: int = 0) -> np.ndarray:
    seen = NoisyDepth(sigma, seed)(sample)
    assert seen.depth is not None
    return np.asarray(open_depth(seen.depth)).astype(int)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 4.0, 8.0])
def test_noise_is_normal_with_the_deviation_that_is_asked_for(sigma: float) -> None:
    added = noisy(asked(), sigma) - 120
    # Rounding to whole steps adds a twelfth of a step squared.
    assert added.std() == pytest.approx(math.sqrt(sigma**2 + 1 / 12), rel=0.03)
    assert abs(added.mean()) < 4 * sigma / math.sqrt(added.size)
    within = (np.abs(added) <= sigma + 0.5).mean()
    assert within == pytest.approx(math.erf((math.floor(sigma + 0.5) + 0.5) / sigma / math.sqrt(2)), abs=0.02)
    # Neighbours know nothing of each other.
    assert abs(np.corrcoef(added[:, 1:].ravel(), added[:, :-1].ravel())[0, 1]) < 0.02


def test_noise_follows_from_seed_and_image_alone() -> None:
    first = noisy(asked("a.png"), 4.0)
    assert np.array_equal(first, noisy(asked("a.png", id="another question", question="??"), 4.0))
    for other in (noisy(asked("b.png"), 4.0), noisy(asked("a.png"), 4.0, seed=1)):
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.02


def test_nothing_that_was_not_measured_is_measured_and_the_other_way_round() -> None:
    values = depth_of(1)
    values[:, ::2] = 0
    values[0] = 255
    seen = noisy(asked(value=values), 8.0)
    assert np.array_equal(seen == 0, values == 0)
    assert seen.min() >= 0 and seen.max() == 255


def test_no_noise_and_no_depth_change_nothing() -> None:
    for view, sample in ((NoisyDepth(0.0), asked()), (NoisyDepth(3.0), asked(depth=None))):
        assert view(sample) is sample
    assert DroppedDepth(1.0)(asked(depth=None)).depth is None


def test_depth_is_dropped_of_whole_images_and_of_so_many() -> None:
    names = [f"{number:06d}.png" for number in range(2000)]

    def kept(share: float, seed: int = 0) -> set[str]:
        return {name for name in names if DroppedDepth(share, seed)(asked(name, 9)).depth is not None}

    assert kept(0.0) == set(names)
    assert kept(1.0) == set()
    # Three standard deviations of a fair draw.
    for share in (0.2, 0.5):
        assert len(kept(share)) / len(names) == pytest.approx(1 - share, abs=0.034)
    assert kept(0.5) < kept(0.2)
    both = len(kept(0.5) & kept(0.5, seed=1))
    assert both / len(names) == pytest.approx(0.25, abs=0.03)
    view = DroppedDepth(0.5)
    for name in names[:20]:
        questions = [view(asked(name, id=f"{name}-{number}", question="?" * number)) for number in range(5)]
        assert len({question.depth is None for question in questions}) == 1


def test_without_a_group_the_file_counts_whatever_folder_it_lies_in() -> None:
    view = DroppedDepth(0.5)

    def without(name: str) -> bool:
        return view(asked(group="", id="x", image=OpenedImage(name, Image.new("RGB", (2, 2))))).depth is None

    verdicts = {number: without(f"/one/folder/{number}.png") for number in range(40)}
    assert verdicts == {number: without(f"other/{number}.png") for number in range(40)}
    assert len(set(verdicts.values())) == 2


@pytest.mark.parametrize("sigma", [-1.0, math.nan, math.inf])
def test_what_is_no_deviation_is_refused(sigma: float) -> None:
    with pytest.raises(DataError, match="`sigma` of NoisyDepth"):
        NoisyDepth(sigma)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(DataError, match="`share` of DroppedDepth"):
        DroppedDepth(share)


@pytest.mark.parametrize("view", [NoisyDepth, DroppedDepth])
def test_what_is_no_seed_is_refused(view: type[NoisyDepth] | type[DroppedDepth]) -> None:
    with pytest.raises(DataError, match=f"`seed` of {view.__name__} is -1"):
        view(0.5, seed=-1)


def test_spoilt_depth_is_not_taken_for_the_plain_one_that_is_kept(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(generator.integers(1, 256, (64, 64), np.uint8)).save(tmp_path / "a_depth.png")
    image, depth = ImageFile(tmp_path / "a.png"), ImageFile(tmp_path / "a_depth.png")
    sample = SpatialSample(id="a-1", question="?", image=image, depth=depth, answer="2", group="a.png")
    collator, request = collator_for(), BatchRequest((ImageRequest(0, (0,)),))
    kept = KeptImages(collator, 10**9, folder=tmp_path / "kept")
    seen: list[tuple[View, ...]] = [(), (NoisyDepth(5.0),), (DroppedDepth(1.0),), (NoisyDepth(9.0),), ()]
    for views in seen * 2:
        questions = ListedQuestions.grouped([sample])
        loaded = ImageLoading(questions, views, kept=kept)[request].opened
        anew = ImageLoading(questions, views)[request].opened
        assert isinstance(loaded[0].image, KeptImage) != any(isinstance(view, NoisyDepth) for view in views)
        for name in ("rgb", "depth", "has_depth"):
            assert collator(loaded)[name].equal(collator(anew)[name])
