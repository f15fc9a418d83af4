"""From samples to TinyGiant's tensors, each image of a batch prepared once for all its questions."""

from __future__ import annotations

import dataclasses
import inspect
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor

from datamodules.samples import (
    MASK_PLACEHOLDER,
    DataError,
    KeptImage,
    Region,
    SmallSpatialError,
    SpatialSample,
    open_depth,
    open_rgb,
)
from lightning_modules.base import Batch
from lightning_modules.tiny_giant import (
    floor_fit,
    floor_image,
    floor_rectangles,
    geometry,
    hulls,
    standing,
)
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
from lightning_modules.tiny_giant.floor_image import DepthEncoding
from lightning_modules.tiny_giant.geometry import (
    LOG_DISTANCE,
    ON_FLOOR,
    SUPPORT,
    Geometry,
    describe_regions,
    feature_count,
    fill_rows,
    relation_count,
    shares_inside,
)
from lightning_modules.tiny_giant.hulls import STANDS_INSIDE, feet, fill_hulls
from lightning_modules.tiny_giant.vocabulary import END, MASK, PAD, START, Encoded, Vocabulary, without_masks

MASK_STRIDE = 8
"""Pixels of an image per cell of the feature maps that region masks pool."""


COUNTED = "pallet"
"""The kind of thing that questions ask the number of."""

UNKNOWN_COUNT = -1.0


class CollatorError(SmallSpatialError):
    """A sample cannot be turned into TinyGiant's tensors."""


@dataclass(frozen=True)
class PreparedImage:
    """What all questions of one image share.

    Attributes:
        rgb: `[3, height, width]`, uint8.
        masks: share of each square that a region covers, `[regions, 2, height / 8, width / 8]`: the region's
            visible pixels, and what stands inside it.
        features: numbers that describe the regions, `[regions, features]`.
        relations: numbers that describe pairs, `[regions, regions, relations]`.
        shown: how many pallets stand inside of each region, `[regions]`, -1 where nobody knows.
        depth: `[channels, height, width]`, uint8, or None.
    """

    rgb: Tensor
    masks: Tensor
    features: Tensor
    relations: Tensor
    shown: Tensor
    depth: Tensor | None = None


@dataclass
class TinyGiantCollator:
    """Turns samples into tensors; runs in the data-loading workers.

    The questions of one image are recognised by their sharing the same image object.

    Args:
        vocabulary: splits questions and answers into tokens.
        image_size: width and height to which images are resized, multiples of 32.
        geometry_size: width and height at which regions are measured.
        geometry: which numbers describe the regions.
        field_of_view: the camera's assumed horizontal field of view, in degrees.
        use_depth: whether the depth image is read.
        depth_encoding: what is made of it for the depth backbone.
        maximum_words: longest question or answer, in tokens.
        maximum_regions: most regions in one question.
        with_labels: whether the answers are learnt from, so that each question has to have one.
        chain: how the regions before an answer are written; None where none are.
    """

    vocabulary: Vocabulary
    image_size: tuple[int, int]
    geometry_size: tuple[int, int]
    geometry: Geometry
    field_of_view: float
    use_depth: bool
    maximum_words: int
    maximum_regions: int
    with_labels: bool = False
    chain: Chain | None = None
    depth_encoding: DepthEncoding = "raw"

    def __call__(self, samples: Sequence[SpatialSample]) -> Batch:
        """The batch of these samples.

        Beside the samples themselves ("samples"), with I images, R regions in the image with most of them,
        Q questions, L words, M regions in a question:

        - `rgb` `[I, 3, height, width]` and `depth` `[I, channels, height, width]`, uint8; `has_depth` `[I]`
        - `masks` `[I, R, 2, height / 8, width / 8]`, `region_features` `[I, R, features]`
        - `shown` `[I, R]`: how many pallets stand inside of each region, -1 where nobody knows
        - `image_of` `[Q]`: the question's image, -1 for a question without one
        - `question` `[Q, L]`: tokens
        - `regions` `[Q, M]`: number in the image of the region each `<mask>` names, -1 where there is no
          image of it; `region_named` `[Q, M]`: whether there is such a `<mask>`
        - `relations` `[Q, M, M, relations]`
        - `log_height` `[Q]`: logarithm of the camera's height in metres, as a distance that is learnt from
          has it; `height_known` `[Q]`: whether there is such a distance
        - `counted` `[Q, M]`: 1 for the regions that a count which is learnt from counts; `counted_known`
          `[Q, M]`: where that is known
        - `normalized`, `free_form` and, where chains are written, `chain` `[Q, T]` with `..._values`: the
          answers between start and end token; empty (`T` = 0) where no sample has one
        - `answer_words`: how many words there are to learn in each of them
        """
        images: dict[int, int] = {}
        groups: list[list[SpatialSample]] = []
        for sample in samples:
            if sample.image is None:
                continue
            key = id(sample.image)
            if key not in images:
                images[key] = len(groups)
                groups.append([])
            groups[images[key]].append(sample)
        numbers: list[dict[Region, int]] = [_number_regions(group) for group in groups]
        prepared = [self._prepared(group[0], tuple(n)) for group, n in zip(groups, numbers, strict=True)]
        batch: Batch = {"samples": list(samples)}
        batch.update(self._images(prepared))
        batch["image_of"] = torch.tensor(
            [-1 if sample.image is None else images[id(sample.image)] for sample in samples]
        )
        batch.update(self._questions(samples, batch["image_of"].tolist(), numbers, prepared))
        batch.update(self._targets(samples))
        batch["counted"], batch["counted_known"] = self._counted(samples, batch["region_named"])
        batch["log_height"], batch["height_known"] = self._log_heights(samples, batch)
        batch["answer_words"] = {
            objective: int(self.vocabulary.learnt(batch[objective][:, 1:]).sum())
            for objective in self._objectives
        }
        return batch

    def _prepared(self, sample: SpatialSample, regions: Sequence[Region]) -> PreparedImage:
        """One image with the regions that its questions name."""
        if not isinstance(sample.image, KeptImage):
            return PreparedImage(**self.prepare(sample, regions))
        places = torch.tensor([sample.image.places[region] for region in regions], dtype=torch.long)
        made = PreparedImage(**sample.image.made)
        return dataclasses.replace(
            made,
            masks=made.masks[places],
            features=made.features[places],
            relations=made.relations[places][:, places],
            shown=made.shown[places],
        )

    def preparation(self) -> str:
        """What the tensors of an image depend on beside it and its regions: settings, this code, Pillow."""
        settings = (
            self.image_size,
            self.geometry_size,
            self.geometry,
            self.field_of_view,
            self.use_depth,
            self.depth_encoding,
        )
        modules = (sys.modules[__name__], geometry, floor_fit, floor_rectangles, hulls, standing, floor_image)
        code = tuple(map(inspect.getsource, modules))
        return repr((settings, code, PIL.__version__))

    def prepare(self, sample: SpatialSample, regions: Sequence[Region]) -> dict[str, Tensor]:
        """Open, resize and describe one image with some regions: what a `PreparedImage` is made of.

        Raises:
            UnreadableImage: an image cannot be decoded.
            CollatorError: a region's run lengths are not those of a mask.
        """
        assert sample.image is not None
        rgb = open_rgb(sample.image).resize(self.image_size, Image.Resampling.BILINEAR)
        depth = fine_depth = None
        if self.use_depth and sample.depth is not None:
            image = open_depth(sample.depth)
            # Nearest: a mean across an object's edge would be a depth where nothing is.
            fine_depth = np.asarray(image.resize(self.geometry_size, Image.Resampling.NEAREST))
            depth = torch.from_numpy(self._depth_channels(image, fine_depth))
        width, height = self.geometry_size
        masks = np.zeros((len(regions), height, width), bool)
        for index, region in enumerate(regions):
            try:
                masks[index] = _resized(region.mask(), width, height)
            except DataError as error:
                raise CollatorError(
                    f"{error} It is a region of the image of question {sample.id!r}."
                ) from error
        hulls = fill_hulls(masks) if self.geometry == "containment" else None
        features, relations = describe_regions(masks, fine_depth, self.geometry, self.field_of_view, hulls)
        filled = fill_rows(masks) if hulls is None else hulls
        both = torch.from_numpy(np.stack([masks, filled & ~masks], axis=1)).float()
        grid = torch.nn.functional.adaptive_avg_pool2d(both.flatten(0, 1), self._grid())
        return {
            "rgb": torch.from_numpy(np.array(rgb)).permute(2, 0, 1).contiguous(),
            "masks": grid.unflatten(0, both.shape[:2]),
            "features": torch.from_numpy(features),
            "relations": torch.from_numpy(relations),
            "shown": torch.from_numpy(self._shown(sample, filled)),
            **({} if depth is None else {"depth": depth}),
        }

    def _shown(self, sample: SpatialSample, zones: np.ndarray) -> np.ndarray:
        """How many pallets stand inside of each zone `[regions, height, width]`; -1 where nobody knows."""
        if sample.shown is None:
            return np.full(len(zones), UNKNOWN_COUNT, np.float32)
        width, height = self.geometry_size
        seen = [_resized(mask, width, height) for mask in sample.shown.masks(COUNTED)]
        things = np.array(seen, bool).reshape(-1, height, width)
        return (shares_inside(feet(things), zones) > STANDS_INSIDE).sum(0).astype(np.float32)

    def _depth_channels(self, image: Image.Image, fine_depth: np.ndarray) -> np.ndarray:
        """What the depth backbone sees, `[channels, height, width]` in uint8."""
        channels = [image]
        if self.depth_encoding == "floor":
            channels += map(Image.fromarray, floor_image.floor_image(fine_depth, self.field_of_view))
        return np.stack(
            [np.asarray(each.resize(self.image_size, Image.Resampling.BILINEAR)) for each in channels]
        )

    def _grid(self) -> tuple[int, int]:
        """Rows and columns of a backbone's feature map."""
        width, height = self.image_size
        return height // MASK_STRIDE, width // MASK_STRIDE

    def _images(self, prepared: Sequence[PreparedImage]) -> dict[str, Tensor]:
        width, height = self.image_size
        count = len(prepared)
        most = max((len(image.masks) for image in prepared), default=0)
        masks = torch.zeros(count, most, 2, *self._grid())
        features = torch.zeros(count, most, feature_count(self.geometry))
        shown = torch.full((count, most), UNKNOWN_COUNT)
        channels = floor_image.CHANNELS[self.depth_encoding]
        depth = torch.zeros(count, channels, height, width, dtype=torch.uint8)
        for index, image in enumerate(prepared):
            masks[index, : len(image.masks)] = image.masks
            features[index, : len(image.features)] = image.features
            shown[index, : len(image.shown)] = image.shown
            if image.depth is not None:
                depth[index] = image.depth
        rgb = [image.rgb for image in prepared]
        return {
            "rgb": torch.stack(rgb) if rgb else torch.zeros(0, 3, height, width, dtype=torch.uint8),
            "depth": depth,
            "has_depth": torch.tensor([image.depth is not None for image in prepared], dtype=torch.bool),
            "masks": masks,
            "region_features": features,
            "shown": shown,
        }

    def _questions(
        self,
        samples: Sequence[SpatialSample],
        image_of: Sequence[int],
        numbers: Sequence[dict[Region, int]],
        prepared: Sequence[PreparedImage],
    ) -> dict[str, Tensor]:
        encoded = [self._encode_question(sample) for sample in samples]
        named = [tokens.count(MASK) for tokens in encoded]
        most = max(named)
        regions = torch.full((len(samples), most), -1)
        relations = torch.zeros(len(samples), most, most, relation_count(self.geometry))
        for index, (sample, image) in enumerate(zip(samples, image_of, strict=True)):
            if image < 0 or not sample.regions:
                continue
            if named[index] != len(sample.regions):
                raise CollatorError(
                    f"Question {sample.id!r} has {named[index]} {MASK_PLACEHOLDER} for "
                    f"{len(sample.regions)} regions: each region needs its own placeholder."
                )
            own = torch.tensor([numbers[image][region] for region in sample.regions])
            regions[index, : len(own)] = own
            relations[index, : len(own), : len(own)] = prepared[image].relations[own][:, own]
        return {
            "question": _pad(encoded, PAD, torch.long),
            "regions": regions,
            "region_named": torch.arange(most)[None] < torch.tensor(named)[:, None],
            "relations": relations,
        }

    def _encode_question(self, sample: SpatialSample) -> list[int]:
        text = sample.question
        if sample.choices:
            lettered = zip(sample.letters, sample.choices, strict=True)
            text += " : " + " ; ".join(f"{letter} {without_masks(choice)}" for letter, choice in lettered)
        tokens = self.vocabulary.encode(text).tokens
        if len(tokens) > self.maximum_words:
            raise CollatorError(
                f"Question {sample.id!r} has {len(tokens)} words, the model reads {self.maximum_words}: "
                "raise maximum_words."
            )
        if tokens.count(MASK) > self.maximum_regions:
            raise CollatorError(
                f"Question {sample.id!r} names {tokens.count(MASK)} regions, the model knows "
                f"{self.maximum_regions}: raise maximum_regions."
            )
        return tokens or [PAD]

    def _targets(self, samples: Sequence[SpatialSample]) -> dict[str, Tensor]:
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
            result[name] = _pad(rows, PAD, torch.long)
            result[f"{name}_values"] = _pad(values, 0.0, torch.float32)
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
            if regions is not None:
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


def _number_regions(group: Sequence[SpatialSample]) -> dict[Region, int]:
    numbers: dict[Region, int] = {}
    for sample in group:
        for region in sample.regions:
            numbers.setdefault(region, len(numbers))
    return numbers


def _resized(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    if mask.shape == (height, width):
        return mask
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(image.resize((width, height), Image.Resampling.BOX)) >= 128


def _pad(rows: Sequence[Sequence[float]], value: float, dtype: torch.dtype) -> Tensor:
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows], dtype=dtype)
