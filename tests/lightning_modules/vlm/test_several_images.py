"""Prompts with several images: how large each may be, what stands before it, how many features it has."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText

from datamodules.samples import SpatialSample
from datamodules.views import PlainGray
from lightning_modules.vlm.collator import VlmCollator
from lightning_modules.vlm.families import FAMILIES, Family
from lightning_modules.vlm.loading import family_named
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from tests.helpers.sample_questions import TINY_FAMILIES, noise_image, tiny_model
from tests.helpers.solved_examples import (
    plain_inputs,
    processor_of,
    question_after_examples,
    require_equal,
)

INTERNVL = "internvl3_1b"
SEVERAL_TILES = {"smolvlm_500m": 5 * 64, "smolvlm_2b": 5 * 81, "qwen2_5_vl_3b": 40, INTERNVL: 3 * 256}
"""Image limits of a few tiles, so that a test is quick."""

Folder = Callable[[str], str]


@pytest.fixture(scope="module")
def folder(zoo: Path) -> Folder:
    """The folder of a model by its name."""
    return lambda name: str(zoo / name)


def limited(folder: str, tokens: int) -> tuple[Any, Family]:
    """A processor that is limited as `image_tokens` does it, and its family."""
    processor, family = copy.copy(processor_of(folder)), family_named(folder)
    processor.image_processor = copy.deepcopy(processor.image_processor)
    family.limit_image_tokens(processor, tokens)
    return processor, family


def tiles_of(prompt: dict[str, Any], processor: Any) -> list[int]:
    """How many tiles each image of an InternVL prompt has, by the tokens between its two marks."""
    text = processor.decode(prompt["input_ids"][0])
    images = [part.partition("</img>")[0] for part in text.split("<img>")[1:]]
    return [image.count("<IMG_CONTEXT>") // 256 for image in images]


def labels_in(text: str) -> list[str]:
    """What stands on the line of each InternVL image before it."""
    return [part.rpartition("\n")[2] for part in text.split("<img>")[:-1]]


@cache
def of_twelve_tiles() -> Any:
    """The processor of a tiny random InternVL that cuts images as the real one does, of 4 tokens a tile."""
    size = TinySize(width=64, layers=1, vision_layers=1, image_size=56, image_tiles=12)
    return make_tiny_model("internvl", size=size)[1]


def about_many(images: int) -> SpatialSample:
    """A question about one or two of so many wide images, behind examples with two of the others each."""
    shown = [noise_image(number, 60, 720) for number in range(images)]
    turns = [
        SpatialSample(
            f"{at}",
            f"What is at {at}?",
            image=shown[at],
            further_images=tuple(shown[at + 1 : at + 2]),
            answer="x",
        )
        for at in range(0, images, 2)
    ]
    return turns[-1].replace(examples=tuple(turns[:-1]))


# InternVL's tiles and labels


@pytest.mark.parametrize("images", [1, 2, 5, 6, 7, 8, 10, 12, 16, 21, 22, 32, 33, 64, 65, 200])
def test_the_images_of_an_internvl_prompt_share_64_tiles(images: int) -> None:
    """As VLMEvalKit has them: at most `max(1, min(12, 64 // images))`, and beside several the whole image."""
    processor = of_twelve_tiles()
    most = FAMILIES["internvl"].image_limit.of_several(processor, images)
    tiles = max(1, min(12, 64 // images))
    assert (most or 13 * 4) == 4 * (1 if tiles == 1 else tiles + 1)
    assert (most is None) == (tiles == 12)


def test_images_are_labelled_and_shared_where_there_are_several() -> None:
    processor, internvl = of_twelve_tiles(), FAMILIES["internvl"]
    collate = VlmCollator(processor, internvl, False)
    sample = about_many(8)
    last = sample.replace(examples=sample.examples[-1:], further_images=())
    for asked, labels, tiles in (
        (sample, [f"Image-{number}: " for number in range(1, 9)], 9),
        (last, ["Image-1: ", "Image-2: ", "Image-3: "], 13),
        (last.replace(examples=()), [""], 13),
        (last.replace(examples=(last.replace(image=None),)), [""], 13),
    ):
        prompt = collate([asked])["prompt"]
        text = processor.decode(prompt["input_ids"][0])
        assert labels_in(text) == labels
        assert len(prompt["pixel_values"]) == tiles * len(labels)
        assert text.count("<IMG_CONTEXT>") == 4 * tiles * len(labels)


@pytest.mark.parametrize("name", [name for name in TINY_FAMILIES if name != "internvl"] + ["composed"])
def test_other_models_see_each_of_several_images_as_one_alone(name: str) -> None:
    processor = object() if name == "composed" else tiny_model(name)[1]
    assert FAMILIES[name].image_limit.of_several(processor, 50) is None
    assert FAMILIES[name].image_label == ""


@pytest.mark.parametrize(("images", "tiles"), [(3, 12), (7, 9), (12, 5)])
def test_an_internvl_prompt_has_labelled_images_of_a_share_of_the_tiles(
    images: int, tiles: int, folder: Folder
) -> None:
    """By its own processor, told how many tiles there are at most; numbers go on through all turns."""
    family, processor = family_named(folder(INTERNVL)), processor_of(folder(INTERNVL))
    sample = about_many(images)
    prompt = VlmCollator(processor, family, False)([sample])["prompt"]
    require_equal(prompt, plain_inputs(folder(INTERNVL), sample, max_patches=tiles), family)
    # An image that is twelve times as wide as high uses up what there is; the whole one is there too.
    assert tiles_of(prompt, processor) == [tiles + 1] * images
    labels = labels_in(processor.decode(prompt["input_ids"][0]))
    assert labels == [f"Image-{number}: " for number in range(1, images + 1)]


def test_fewer_tokens_than_the_share_stay_the_upper_bound(folder: Folder) -> None:
    """Of the user's `image_tokens`, and of the window where it has room for less."""
    processor, family = limited(folder(INTERNVL), 3 * 256)
    prompt = VlmCollator(processor, family, False)([about_many(8)])["prompt"]
    assert tiles_of(prompt, processor) == [3] * 8
    alone = about_many(2).replace(examples=())
    whole = VlmCollator(processor_of(folder(INTERNVL)), family, False, maximum_tokens=4 * 256 + 300)
    assert tiles_of(whole([alone])["prompt"], processor) == [1, 1]
    assert tiles_of(VlmCollator(processor, family, False)([about_many(40)])["prompt"], processor) == [1] * 40


# Limits and features, of every family


@pytest.mark.parametrize("tokens", [4, 40, 64])
def test_each_of_qwens_images_keeps_within_its_limit(tokens: int, folder: Folder) -> None:
    processor, family = limited(folder("qwen2_5_vl_3b"), tokens)
    sizes = [(600, 900), (60, 60), (1200, 100), (90, 700), (28, 28)]
    first, second, *rest = (noise_image(number, *size) for number, size in enumerate(sizes))
    solved = SpatialSample("solved", "What?", image=first, further_images=(second,), answer="x")
    sample = SpatialSample(
        "asked", "What?", image=rest[0], further_images=tuple(rest[1:]), examples=(solved,)
    )
    prompt = VlmCollator(processor, family, False)([sample])["prompt"]
    taken = [int(grid.prod()) // 4 for grid in prompt["image_grid_thw"]]
    assert len(taken) == 5 and max(taken) <= tokens < 2 * max(taken)
    runs = processor.decode(prompt["input_ids"][0]).split("<|vision_start|>")[1:]
    assert [run.count("<|image_pad|>") for run in runs] == taken


@pytest.mark.parametrize("name", [*SEVERAL_TILES, "paligemma2_3b"])
def test_plain_gray_images_have_the_features_of_others(name: str, folder: Folder) -> None:
    """SmolVLM takes tiles that are zero everywhere for padding, and drops them."""
    processor, family = limited(folder(name), SEVERAL_TILES.get(name, 256))
    sample = question_after_examples(family)
    seen, gray = (
        VlmCollator(processor, family, False)([one])["prompt"] for one in (sample, PlainGray()(sample))
    )
    assert torch.equal(seen["input_ids"], gray["input_ids"])
    assert not torch.equal(seen["pixel_values"], gray["pixel_values"])
    network = AutoModelForImageTextToText.from_pretrained(folder(name), dtype=torch.float32).eval()
    tensors = {key: value for key, value in gray.items() if key.startswith(("pixel_", "image_grid"))}
    with torch.no_grad():
        features = network.get_image_features(**tensors).pooler_output
        tokens = int((gray["input_ids"] == processor.image_token_id).sum())
        assert sum(part[..., 0].numel() for part in features) == tokens
        assert torch.isfinite(network(**gray, logits_to_keep=1).logits).all()
