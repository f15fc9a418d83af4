"""From samples to TinyGiant's tensors, each image of a batch prepared once for all its questions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from datamodules.samples import MASK_PLACEHOLDER, KeptImage, Region, SpatialSample
from lightning_modules.base import Batch
from lightning_modules.tiny_giant import floor_image
from lightning_modules.tiny_giant.chains import Chain
from lightning_modules.tiny_giant.floor_image import DepthEncoding
from lightning_modules.tiny_giant.geometry import Geometry, feature_count, relation_count
from lightning_modules.tiny_giant.image_preparation import (
    CollatorError,
    ImagePreparation,
    PreparedImage,
)
from lightning_modules.tiny_giant.picture_counts import UNKNOWN_COUNT
from lightning_modules.tiny_giant.targets import Targets
from lightning_modules.tiny_giant.vocabulary import MASK, PAD, Vocabulary, padded, without_masks


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

    def __post_init__(self) -> None:
        """Who prepares images, and who makes what is learnt."""
        self._images_as = ImagePreparation(
            self.image_size,
            self.geometry_size,
            self.geometry,
            self.field_of_view,
            self.use_depth,
            self.depth_encoding,
        )
        self._targets = Targets(
            self.vocabulary, self.geometry, self.maximum_words, self.with_labels, self.chain
        )

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

        Raises:
            CollatorError: a question has solved examples, or more words or regions than the model reads.
        """
        _refuse_examples(samples)
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
        batch.update(self._targets.of(samples, batch))
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
        """What the tensors of an image depend on beside it and its regions."""
        return self._images_as.depends_on()

    def prepare(self, sample: SpatialSample, regions: Sequence[Region]) -> dict[str, Tensor]:
        """One image with some regions, as `ImagePreparation.prepare` has it."""
        return self._images_as.prepare(sample, regions)

    def _images(self, prepared: Sequence[PreparedImage]) -> dict[str, Tensor]:
        width, height = self.image_size
        count = len(prepared)
        most = max((len(image.masks) for image in prepared), default=0)
        masks = torch.zeros(count, most, 2, *self._images_as.grid)
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
            "question": padded(encoded, PAD, torch.long),
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


def _refuse_examples(samples: Sequence[SpatialSample]) -> None:
    """Raise `CollatorError` where there are solved examples: a score without them would pass for one with."""
    for sample in samples:
        if sample.examples:
            raise CollatorError(
                f"Question {sample.id!r} has solved examples before it, but TinyGiant looks at one question "
                "alone: leave out the view InContext, or take a vision-language model."
            )


def _number_regions(group: Sequence[SpatialSample]) -> dict[Region, int]:
    numbers: dict[Region, int] = {}
    for sample in group:
        for region in sample.regions:
            numbers.setdefault(region, len(numbers))
    return numbers
