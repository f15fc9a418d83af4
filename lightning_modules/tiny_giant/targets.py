"""What TinyGiant learns from questions: their answers as tokens, and what else an answer tells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from datamodules.samples import SpatialSample
from lightning_modules.base import Batch
from lightning_modules.tiny_giant.camera_height import measured_pair
from lightning_modules.tiny_giant.chains import (
    ANSWER,
    FILLER,
    FILLERS,
    Chain,
    counted_regions,
    is_counted,
    written_regions,
)
from lightning_modules.tiny_giant.geometry import LOG_DISTANCE, ON_FLOOR, SUPPORT, Geometry
from lightning_modules.tiny_giant.image_preparation import CollatorError
from lightning_modules.tiny_giant.vocabulary import (
    END,
    PAD,
    START,
    Encoded,
    Vocabulary,
    padded,
    without_masks,
)


@dataclass(frozen=True)
class Targets:
    """Makes the tensors that are learnt from.

    Args:
        vocabulary: splits answers into tokens.
        geometry: which numbers describe the regions.
        maximum_words: longest answer, in tokens.
        with_labels: whether the answers are learnt from, so that each question has to have one.
        chain: how the regions before an answer are written; None where none are.
    """

    vocabulary: Vocabulary
    geometry: Geometry
    maximum_words: int
    with_labels: bool
    chain: Chain | None

    def of(self, samples: Sequence[SpatialSample], batch: Batch) -> dict[str, object]:
        """What a batch of questions is to be answered with; `TinyGiantCollator` says what there is.

        Raises:
            CollatorError: a question that is to be learnt from has no answer, or a region it does not have.
        """
        result: dict[str, object] = dict(self._answers(samples))
        result["counted"], result["counted_known"] = self._counted(samples, batch["region_named"])
        result["log_height"], result["height_known"] = self._log_heights(samples, batch)
        result["answer_words"] = {
            objective: int(self.vocabulary.learnt(result[objective][:, 1:]).sum())  # type: ignore[index]
            for objective in self._objectives
        }
        return result

    def _answers(self, samples: Sequence[SpatialSample]) -> dict[str, Tensor]:
        result: dict[str, Tensor] = {}
        for sample in samples if self.with_labels else ():
            if sample.answer is None and not sample.rationale:
                raise CollatorError(
                    f"Question {sample.id!r} has no answer, so nothing can be learnt from it. Train on a "
                    "split with answers."
                )
        others = [*samples[1:], *samples[:1]]
        for name in self._objectives:
            targets = [self._encode_answer(sample, name) for sample in samples]
            if name == "chain":
                pairs = zip(samples, others, targets, strict=True)
                targets = [self._encode_chain(sample, other, answer) for sample, other, answer in pairs]
            empty = all(not target.tokens for target in targets)
            rows = [[] if empty else [START, *target.tokens, END] for target in targets]
            values = [[] if empty else [0.0, *target.values, 0.0] for target in targets]
            result[name] = padded(rows, PAD, torch.long)
            result[f"{name}_values"] = padded(values, 0.0, torch.float32)
        return result

    def _log_heights(self, samples: Sequence[SpatialSample], batch: Batch) -> tuple[Tensor, Tensor]:
        """The camera's height by each question: its distance in metres over that in camera heights."""
        heights, known = torch.zeros(len(samples)), torch.zeros(len(samples), dtype=torch.bool)
        for index, sample in enumerate(samples) if self.with_labels and self.geometry in ON_FLOOR else ():
            pair, image = measured_pair(sample), int(batch["image_of"][index])
            if pair is None or image < 0 or not batch["region_features"][image, 0, SUPPORT]:
                continue
            in_heights = batch["relations"][index, *pair, LOG_DISTANCE]
            heights[index] = math.log(float(sample.answer or 0)) - in_heights
            known[index] = True
        return heights, known

    def _counted(self, samples: Sequence[SpatialSample], named: Tensor) -> tuple[Tensor, Tensor]:
        """Which regions counts are of, by the rationales that name them."""
        counted, known = torch.zeros(named.shape), torch.zeros_like(named)
        for index, sample in enumerate(samples) if self.with_labels else ():
            regions = counted_regions(sample)
            # A question whose regions have lost their marks has no places for them.
            if regions is not None and max(regions, default=-1) < counted.shape[1]:
                counted[index, list(regions)] = 1.0
                known[index] = named[index]
        return counted, known

    @property
    def _objectives(self) -> tuple[str, ...]:
        return ("normalized", "free_form") if self.chain is None else ("normalized", "free_form", "chain")

    def _encode_chain(self, sample: SpatialSample, other: SpatialSample, answer: Encoded) -> Encoded:
        """The regions that lead to an answer, the word `<answer>`, and the normalised answer."""
        assert self.chain is not None
        if not answer.tokens:
            return answer
        regions = written_regions(sample, self.chain, other)
        tokens = [self.vocabulary.size + region for region in regions]
        if self.chain.control == "filler":
            tokens = [self.vocabulary.number_of(FILLER)] * FILLERS
        if is_counted(sample, self.chain):
            answer = Encoded([], [])
        before = [*tokens, self.vocabulary.number_of(ANSWER)]
        return Encoded([*before, *answer.tokens], [0.0] * len(before) + answer.values)

    def _encode_answer(self, sample: SpatialSample, objective: str) -> Encoded:
        if objective == "free_form":
            encoded = self.vocabulary.encode(without_masks(sample.rationale or sample.answer or ""))
        elif sample.answer is None:
            return Encoded([], [])
        else:
            encoded = self.vocabulary.encode(without_masks(sample.answer), sample.answer_type)
        limit = self.vocabulary.size + len(sample.regions)
        if sample.image is not None and any(token >= limit for token in encoded.tokens):
            raise CollatorError(
                f"The answer to question {sample.id!r} names a region it does not have: {sample.answer!r} "
                f"with {len(sample.regions)} regions. Correct or remove the record."
            )
        length = self.maximum_words - 2
        return Encoded(encoded.tokens[:length], encoded.values[:length])
