"""From samples to tensors for vision-language models: prompts, answers and images.

Prompt and answer are tokenised apart and put one behind the other, so that which positions are learnt follows
from the construction and not from a search for token ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from datamodules.samples import ImageSource, SmallSpatialError, SpatialSample
from lightning_modules.base import Batch, ModelError
from lightning_modules.vlm.conversation import Conversation
from lightning_modules.vlm.families import Family
from lightning_modules.vlm.image_inputs import BatchImages, ProcessedImage, join_images
from lightning_modules.vlm.image_limits import share_of_each
from lightning_modules.vlm.literal_texts import SpecialTokenInText
from lightning_modules.vlm.prompt_template import Prompt, default_prompt
from lightning_modules.vlm.prompts import (
    answer_text,
    candidates_of,
    images_of,
    question_text,
    rationale_of,
    turns_of,
)

IGNORED = -100
"""The label of positions that are not learnt."""

TOKEN_INPUTS = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")
"""The inputs that tell a model something of each token; all others are tensors of the images."""


class CollatorError(SmallSpatialError):
    """A sample cannot be given to the model."""


@dataclass(frozen=True)
class Encoded:
    """A sample in tokens; `shortened` where text had to be left out of it.

    `examples` is how many of its solved examples there was room for, and `limit` the most tokens that one of
    its images might take, where they had to be scaled down.
    """

    prompt: list[int]
    answer: list[int]
    images: list[ProcessedImage]
    shortened: bool
    examples: int = 0
    limit: int | None = None


def label_count(labels: Tensor) -> int:
    """How many tokens of labels `[questions, tokens]` are learnt: the first has nothing before it."""
    return int((labels[:, 1:] != IGNORED).sum())


def unpadded(prompt: Mapping[str, Tensor]) -> list[list[int]]:
    """The tokens of each prompt of a batch without its padding; in one copy from the device."""
    tokens, mask = torch.stack([prompt["input_ids"], prompt["attention_mask"]]).cpu()
    return [row[real].tolist() for row, real in zip(tokens, mask.bool(), strict=True)]


class VlmCollator:
    """Makes batches for one model; pickles, so it runs in data-loading workers.

    A batch holds, with Q questions and T tokens:

    - `prompt`: the model's inputs up to where the answer begins, padded on the left: `input_ids`,
      `attention_mask` `[Q, T]`, what the family wants besides, and the images' tensors, in the order of the
      questions, joined along their first dimension; without images none of these.
    - `prompt_rows`: how many rows of each image tensor belong to each question.
    - `asked`: the words of each question as the model reads them, with the system's before them.
    - `candidates`, `candidate_texts`: the answers among which the right one must be, as tokens (see
      `Conversation.encode_candidates`) and as text; empty lists where there is no closed set.
    - for learning, `inputs`: the same with the answer and its end token behind it, padded on the right, and
      `labels` `[Q, T]`: -100 everywhere but at the answer and its end token.
    - `label_count`: how many tokens of answers there are in `labels`; 0 where nothing is learnt.
    - `tokens`, `cells`: how many tokens and how many places for tokens there are in `inputs` (in `prompt`
      where nothing is learnt).
    - `examples`: how many of each question's solved examples there was room for: the last ones.
    - `shortened`: of how many questions text was left out to keep within `maximum_tokens`.
    - `scaled`, `padded`: by the names of images that had to be scaled down to keep within `maximum_tokens`,
      or that got a border because their sides are too unequal for the model: a sentence on each.

    What is too long for `maximum_tokens` loses the end of its reasoning first, then its solved examples, the
    first one first: what is left of a text is still true; what can no longer be seen cannot be answered.
    Images are scaled down where they do not fit beside the bare question and its answer: the largest ones
    first, to the room that is left. The reasoning then stays as far as it leaves half of the window to the
    images: scaled they have to be anyway, and some tokens less hardly show. No piece is ever cut off them.
    Of a prompt's several images none is larger than the family has them, whatever the window.

    A batch without any image gives the vision tower no gradient; with several processes that needs a
    strategy that looks for unused parameters, as `base.yaml` sets it.

    Args:
        processor: the model's processor.
        family: the model's family.
        with_labels: make `inputs` and `labels` too.
        rationale: learn the reasoning before the answer, and ask for it where no prompt is given.
        maximum_tokens: the window of prompt and answer.
        prefix: special tokens that every prompt begins with (those of prompt tuning).
        response_template: what stands between a prompt and its answer, where it shall not be the model's own.
        prompt: the words that questions are asked in; the usual ones when left out.

    Raises:
        CollatorError: a sample has no answer to learn, or one that its question does not allow; its images
            cannot be used, or are more than the model can look at; its texts contain a special token that the
            tokenizer cannot take literally; or it does not fit into the window.
    """

    def __init__(
        self,
        processor: Any,
        family: Family,
        with_labels: bool,
        rationale: bool = False,
        maximum_tokens: int | None = None,
        prefix: Sequence[str] = (),
        response_template: str | None = None,
        prompt: Prompt | None = None,
    ) -> None:
        self.processor = processor
        self.family = family
        self.with_labels = with_labels
        self.rationale = rationale
        self.maximum_tokens = maximum_tokens
        self.prefix = "".join(prefix)
        self.prompt = prompt or default_prompt(rationale)
        self.conversation = Conversation(processor, family, response_template, self.prompt.system)
        tokenizer = processor.tokenizer
        self.padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def __call__(self, samples: Sequence[SpatialSample]) -> Batch:
        """The batch of some questions; raises `CollatorError`."""
        shown = BatchImages(self.processor, self.family)
        encoded = [self._encode_by_name(sample, shown) for sample in samples]
        tensors, rows = join_images([one.images for one in encoded])
        prompts = [one.prompt for one in encoded]
        texts = [candidates_of(sample) for sample in samples]
        batch: Batch = {
            "samples": list(samples),
            "prompt": {**self._layout(prompts, [[] for _ in prompts], "left"), **tensors},
            "prompt_rows": rows,
            "asked": [self._asked(sample) for sample in samples],
            "candidates": [self.conversation.encode_candidates(several) for several in texts],
            "candidate_texts": texts,
            "shortened": sum(one.shortened for one in encoded),
            "examples": [one.examples for one in encoded],
            "scaled": shown.scaled({one.limit for one in encoded if one.limit}, self.maximum_tokens),
            "padded": shown.padded(),
        }
        if self.with_labels:
            answers = [one.answer for one in encoded]
            batch["inputs"], batch["labels"] = self.with_answers(prompts, answers, tensors)
        labelled = label_count(batch["labels"]) if self.with_labels else 0
        mask = batch["inputs" if self.with_labels else "prompt"]["attention_mask"]
        return {**batch, "label_count": labelled, "tokens": int(mask.sum()), "cells": mask.numel()}

    def _asked(self, sample: SpatialSample) -> str:
        """The words of a question, with the system's before them."""
        text = question_text(sample, self.rationale, self.prompt)
        return f"{self.prompt.system}\n{text}" if self.prompt.system else text

    def with_answers(
        self, prompts: Sequence[list[int]], answers: Sequence[list[int]], images: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """What is learnt from: answers behind their prompts, padded on the right.

        Args:
            prompts: the tokens of each prompt.
            answers: the tokens of each answer, with its end token where it has one.
            images: the images' tensors by name, in the order of the prompts.

        Returns:
            the model's inputs, and labels `[prompts, tokens]`: -100 everywhere but at the answers.
        """
        labels = [[IGNORED] * len(prompt) + answer for prompt, answer in zip(prompts, answers, strict=True)]
        inputs = {**self._layout(prompts, answers, "right"), **images}
        return inputs, _padded(labels, IGNORED, "right")

    def continued(self, prompt: Mapping[str, Tensor], texts: Sequence[list[int]]) -> dict[str, Tensor]:
        """A batch's prompts with more text behind each, padded on the left, on the device of the prompts.

        Args:
            prompt: the prompts of a batch of this collator.
            texts: the tokens behind each of them; none for nothing.
        """
        tokens = self._layout(unpadded(prompt), texts, "left")
        device = prompt["input_ids"].device
        return {**prompt, **{name: tensor.to(device) for name, tensor in tokens.items()}}

    def _layout(
        self, prompts: Sequence[list[int]], answers: Sequence[list[int]], side: Literal["left", "right"]
    ) -> dict[str, Tensor]:
        """What a model is told of each token, padded on one side."""
        rows = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        inputs = {
            "input_ids": _padded(rows, self.padding, side),
            "attention_mask": _padded([[1] * len(row) for row in rows], 0, side),
        }
        if self.family.token_types == "modality":
            inputs["mm_token_type_ids"] = (inputs["input_ids"] == self.processor.image_token_id).long()
        elif self.family.token_types == "prefix":
            types = [
                [0] * len(prompt) + [1] * len(answer) for prompt, answer in zip(prompts, answers, strict=True)
            ]
            inputs["token_type_ids"] = _padded(types, 0, side)
        return inputs

    def _encode_by_name(self, sample: SpatialSample, images: BatchImages) -> Encoded:
        try:
            return self._encode(sample, images)
        except SpecialTokenInText as error:
            raise CollatorError(f"Question {sample.id!r} cannot be used: {error}") from error

    def _encode(self, sample: SpatialSample, images: BatchImages) -> Encoded:
        """A sample in tokens, shortened to the window."""
        _refuse_unlearnable([*sample.examples, *([sample] if self.with_labels else [])])
        if self.family.one_image:
            _refuse_several_images(sample, self.family.name)
        examples = list(sample.examples)
        whole = rationale = rationale_of(sample) if self.rationale else None
        shortened = False
        limit: int | None = None
        while True:
            prompt, shown = self._prompt(sample, examples, images, limit)
            answer = (
                self.conversation.encode_answer(answer_text(sample, rationale)) if self.with_labels else []
            )
            excess = 0 if self.maximum_tokens is None else len(prompt) + len(answer) - self.maximum_tokens
            if excess <= 0:
                return Encoded(prompt, answer, shown, shortened, len(examples), limit)
            if self.with_labels and rationale:
                rationale, shortened = self._cut(rationale, excess), True
            elif examples:
                del examples[0]
                shortened = True
            else:
                if limit is None and self.with_labels and whole:
                    # To be scaled they have anyway: what they leave of half the window is for the reasoning.
                    assert self.maximum_tokens is not None
                    room = sum(image.tokens for image in shown) - excess
                    reasoned = self.conversation.encode_answer(answer_text(sample, whole))
                    excess += min(len(reasoned) - len(answer), max(0, room - self.maximum_tokens // 2))
                    rationale, shortened = whole, bool(sample.examples)
                limit = self._smaller(sample, shown, limit, excess, (len(prompt), len(answer)))

    def _smaller(
        self,
        sample: SpatialSample,
        shown: Sequence[ProcessedImage],
        limit: int | None,
        excess: int,
        lengths: tuple[int, int],
    ) -> int:
        """The most tokens that an image may take for all of them to take `excess` tokens less.

        Raises:
            CollatorError: they are as small as they can be, or there are none.
        """
        sizes = [image.tokens for image in shown]
        fewest = self.family.image_limit.fewest(self.processor)
        smaller = max(fewest, share_of_each(sizes, max(0, sum(sizes) - excess)))
        if not sizes or (limit is not None and smaller >= limit):
            small = ", as small as they can be," if sizes else ""
            raise CollatorError(
                f"Question {sample.id!r} does not fit: its images{small} and text take {lengths[0]} tokens "
                f"and its answer {lengths[1]}, but maximum_tokens is {self.maximum_tokens}. Raise "
                "maximum_tokens."
            )
        return smaller

    def _cut(self, text: str, excess: int) -> str:
        """A text without its last words, shorter by about `excess` tokens, and always shorter."""
        tokens = len(self.conversation.encode_candidate(text))
        kept = text[: len(text) * max(0, tokens - excess) // tokens]
        return kept.rpartition(" ")[0].rstrip()

    def _prompt(
        self,
        sample: SpatialSample,
        examples: Sequence[SpatialSample],
        images: BatchImages,
        limit: int | None,
    ) -> tuple[list[int], list[ProcessedImage]]:
        """The tokens of a prompt and the images in it."""
        turns = turns_of(sample, examples, self.rationale, self.prompt)
        several = self.family.image_limit.of_several(self.processor, sum(len(turn.images) for turn in turns))
        most = min((tokens for tokens in (limit, several) if tokens is not None), default=None)
        shown = [self._image(sample, source, images, most) for turn in turns for source in turn.images]
        pieces = self.conversation.prompt(turns).split(self.processor.image_token)
        if len(pieces) != len(shown) + 1:
            raise CollatorError(
                f"The chat template writes {len(pieces) - 1} of {self.processor.image_token} for the "
                f"{len(shown)} images of question {sample.id!r}: take the model with the template of its "
                "family."
            )
        text = (
            self.prefix
            + pieces[0]
            + "".join(image.text + piece for image, piece in zip(shown, pieces[1:], strict=True))
        )
        return self.conversation.encode(text), shown

    @staticmethod
    def _image(
        sample: SpatialSample, source: ImageSource, images: BatchImages, limit: int | None
    ) -> ProcessedImage:
        try:
            return images.prepare(source, limit)
        except (ValueError, ModelError) as error:
            raise CollatorError(
                f"The model cannot look at the image {source.name} of question {sample.id!r}: {error}"
            ) from error


def _refuse_several_images(sample: SpatialSample, family: str) -> None:
    """Raise `CollatorError` where more is shown than one image, for models that were trained on one."""
    solved = any(images_of(example) for example in sample.examples)
    if solved or len(images_of(sample)) > 1:
        shown = "solved examples with images" if solved else f"{len(images_of(sample))} images"
        without = (
            ", show the examples without theirs (`images: none` of the view InContext)" if solved else ""
        )
        raise CollatorError(
            f"Question {sample.id!r} shows {shown}, but {family} models look at one image in front of one "
            f"question: leave out the views that add examples or images (such as DepthAsImage){without}, or "
            "take a model that looks at several."
        )


def _refuse_unlearnable(samples: Sequence[SpatialSample]) -> None:
    """Raise `CollatorError` where there is no answer to learn from, or one that cannot be."""
    for asked in samples:
        allowed = candidates_of(asked)
        if not asked.answer:
            raise CollatorError(
                f"Question {asked.id!r} has no answer, so nothing can be learnt from it. Train on a split "
                "with answers."
            )
        if allowed and asked.answer not in allowed:
            raise CollatorError(
                f"The answer to question {asked.id!r} is {asked.answer!r}, but it can only be one of "
                f"{', '.join(allowed)}. Correct or remove the record."
            )


def _padded(rows: Sequence[list[int]], value: int, side: Literal["left", "right"]) -> Tensor:
    """Rows of token numbers as one tensor `[rows, longest]`."""
    longest = max(len(row) for row in rows)
    if side == "left":
        return torch.tensor([[value] * (longest - len(row)) + row for row in rows])
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])
