"""A question behind solved examples, and the same conversation as transformers alone writes it down."""

from __future__ import annotations

from functools import cache
from itertools import count
from typing import Any

from torch import Tensor
from transformers import AutoProcessor

from datamodules.samples import SpatialSample
from lightning_modules.vlm.families import Family
from lightning_modules.vlm.prompts import images_of
from tests.helpers.sample_questions import noise_image

THINGS = ("sofa", "stove", "ladder", "mirror", "piano")
REPLIES = ("a crate", "two jars", "some rope", "one drum", "the door")
SIZES = ((60, 90), (150, 56), None, (84, 84), (112, 140))
"""Height and width of each image; the third example is a text alone."""

LABEL = "Image-{}: "
"""What InternVL was trained to read before each of several images."""

NOT_OF_THE_MODEL = ("labels", "rows", "cols", "num_patches")
"""What processors return beside what their models take."""


@cache
def processor_of(folder: str) -> Any:
    """A folder's processor; not to be changed."""
    return AutoProcessor.from_pretrained(folder)


def question_after_examples(family: Family) -> SpatialSample:
    """Four solved examples before a question, of images that differ in size; PaliGemma's are texts."""
    *examples, asked = (
        SpatialSample(thing, f"What is beside the {thing}?", answer=reply, image=_image(number, size))
        for number, (thing, reply, size) in enumerate(zip(THINGS, REPLIES, SIZES, strict=True))
    )
    if family.one_image:
        examples = [example.replace(image=None) for example in examples]
    return asked.replace(examples=tuple(examples))


def _image(seed: int, size: tuple[int, int] | None) -> Any:
    return None if size is None else noise_image(seed, *size)


def messages(sample: SpatialSample, label: str = "") -> list[dict[str, Any]]:
    """The conversation as a model's own page writes it, with opened images, and a label before each."""
    numbers, turns = count(1), []
    for turn in (*sample.examples, sample):
        content: list[dict[str, Any]] = []
        for image in images_of(turn):
            content += [{"type": "text", "text": label.format(next(numbers))}] if label else []
            content.append({"type": "image", "image": image.open()})
        turns.append({"role": "user", "content": [*content, {"type": "text", "text": turn.question}]})
        if turn is not sample:
            turns.append({"role": "assistant", "content": [{"type": "text", "text": turn.answer}]})
    return turns


def plain_inputs(folder: str, sample: SpatialSample, **options: Any) -> dict[str, Tensor]:
    """What a folder's processor makes of the conversation, told nothing but `options`."""
    processor = processor_of(folder)
    if processor.chat_template is None:
        (image,) = images_of(sample)
        solved = "".join(f"answer en {each.question}\n{each.answer}\n" for each in sample.examples)
        text, images = f"<image>{solved}answer en {sample.question}", [image.open()]
    else:
        several = len([image for turn in (*sample.examples, sample) for image in images_of(turn)]) > 1
        turns = messages(sample, LABEL if several and "internvl" in folder else "")
        text = processor.apply_chat_template(turns, add_generation_prompt=True)
        content = [part for turn in turns for part in turn["content"]]
        images = [part["image"] for part in content if part["type"] == "image"]
    made = processor(text=[text], images=[images], return_tensors="pt", **options)
    return {name: tensor for name, tensor in made.items() if name not in NOT_OF_THE_MODEL}


def require_equal(ours: dict[str, Tensor], plain: dict[str, Tensor], family: Family) -> None:
    """The same tokens and the same image tensors."""
    assert set(ours) == set(plain)
    for name, tensor in plain.items():
        if name.startswith("pixel_") and family.nested_images:
            tensor = tensor.transpose(0, 1)
        assert ours[name].shape == tensor.shape and (ours[name] == tensor).all(), name
