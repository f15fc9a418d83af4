"""The TinyGiant network: two vision backbones, region tokens, mixture-of-experts fusion, a decoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.tiny_giant.backbones import Backbone
from lightning_modules.tiny_giant.camera_height import CameraHeight
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.decoder import Decoder
from lightning_modules.tiny_giant.encoded import Encoded
from lightning_modules.tiny_giant.experts import Routing
from lightning_modules.tiny_giant.floor_image import CHANNELS
from lightning_modules.tiny_giant.fusion import FusionLayer, Words
from lightning_modules.tiny_giant.geometry import (
    IS_HIDDEN,
    LOG_DISTANCE,
    LOG_SIZE,
    ON_FLOOR,
    SUPPORT,
    feature_count,
    relation_count,
)
from lightning_modules.tiny_giant.picture_counts import UNKNOWN_COUNT, PictureCounts
from lightning_modules.tiny_giant.regions import RegionEncoder, RelationEncoder
from lightning_modules.tiny_giant.vocabulary import END, MASK, NUMBER, PAD, START


class QuestionStem(nn.Module):
    """The first look at a question: each word with its place and its neighbours.

    A convolution over five words joins "to the right of" to the `<mask>` beside it from the first step of
    training on, where attention would first have to learn what a neighbour is.

    Args:
        width: size of a token.
        maximum_words: longest question, in tokens.
    """

    def __init__(self, width: int, maximum_words: int) -> None:
        super().__init__()
        self.scale = width**0.5
        self.position = nn.Parameter(torch.randn(maximum_words, width) * 0.3)
        self.neighbours = nn.Conv1d(width, width, kernel_size=5, padding=2)

    def forward(self, embedded: Tensor, words: Tensor) -> Tensor:
        """Tokens `[questions, words, width]` from embedded words of the same shape.

        `words` says which positions hold a word, `[questions, words]`.
        """
        # The table is small in scale because it is the output layer too; here its words have unit size.
        tokens = embedded * self.scale * words[..., None]
        around = self.neighbours(tokens.transpose(1, 2)).transpose(1, 2)
        return tokens + nn.functional.gelu(around) + self.position[: tokens.shape[1]]


class TinyGiantNetwork(nn.Module):
    """Answers questions about regions of an RGB and depth image.

    Args:
        config: its shape.
    """

    def __init__(self, config: TinyGiantConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.rgb = self.depth = None
        if config.rgb_backbone is not None:
            self.rgb = Backbone(config.rgb_backbone, 3, config.visual_width, config.pretrained)
        if config.depth_backbone is not None:
            channels = CHANNELS[config.depth_encoding]
            self.depth = Backbone(
                config.depth_backbone, channels, config.visual_width, config.pretrained_depth
            )
        maps = (self.rgb is not None) + (self.depth is not None)
        self.no_depth = nn.Parameter(torch.zeros(config.visual_width, 1, 1))
        rows, columns = config.global_grid
        self.shrink = nn.AdaptiveAvgPool2d((rows, columns))
        self.global_tokens = nn.Linear(config.visual_width * maps, width) if maps else None
        self.global_position = nn.Parameter(torch.randn(rows * columns, width) * 0.02)
        self.no_image = nn.Parameter(torch.randn(rows * columns, width) * 0.02)
        self.regions = RegionEncoder(config.visual_width, maps, feature_count(config.geometry), width)
        self.relations = None
        if config.relations:
            self.relations = RelationEncoder(2 * relation_count(config.geometry) + 1, config.relation_width)
        self.embedding = nn.Embedding(config.vocabulary_size, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.stem = QuestionStem(width, config.maximum_words)
        self.order = nn.Parameter(torch.randn(config.maximum_regions, width) * 0.3)
        relation_width = config.relation_width if config.relations else 0
        self.fusion = nn.ModuleList(
            FusionLayer(
                width,
                config.heads,
                config.expert_hidden,
                config.experts,
                config.top_k,
                relation_width,
                config.dropout,
            )
            for _ in range(config.fusion_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.decoder = Decoder(self.embedding, config)
        self.picture_counts = None
        if config.picture_counts:
            hiding = len(range(feature_count(config.geometry))[IS_HIDDEN])
            self.picture_counts = PictureCounts(hiding, config.visual_width * maps, config.visual_width)
        self.camera_height = None
        if config.scale != "ruler":
            channels = config.visual_width * maps if config.scale == "picture" else 0
            self.camera_height = CameraHeight(width, channels, config.visual_width)

    def encode(self, batch: dict[str, Any]) -> tuple[Encoded, list[Routing]]:
        """Encode every image once and fuse it with each of its questions.

        Args:
            batch: as `TinyGiantCollator` makes it.

        Returns:
            the encoded questions, and what each fusion layer's router did.
        """
        image_tokens, regions, maps = self._see(batch)
        image_of = batch["image_of"] % image_tokens.shape[0]
        question, named = batch["question"], batch["region_named"]
        present = question != PAD
        present[:, 0] = True
        words = Words.where(present)
        tokens = self.stem(self.embedding(question), present)
        places = self._places(question, named)
        described = self._described_regions(regions, image_of, batch["regions"])
        tokens = tokens.scatter_add(
            1,
            places[..., None].expand(-1, -1, tokens.shape[-1]),
            (described * named[..., None]).to(tokens.dtype),
        )
        relations = None if self.relations is None else self.relations(_with_order(batch["relations"]))
        routings = []
        for layer in self.fusion:
            tokens, routing = layer(tokens, words, image_tokens, image_of, places, named, relations)
            if routing is not None:
                routings.append(routing)
        tokens = self.norm(tokens)
        summary = (tokens * present[..., None]).sum(1) / present.sum(1, keepdim=True)
        states = tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[-1]))
        log_distance = log_size = log_height = None
        if self.relations is not None and self.config.geometry in ON_FLOOR:
            log_distance = batch["relations"][..., LOG_DISTANCE]
            log_size = _of_questions(batch["region_features"][..., LOG_SIZE], image_of, batch["regions"])
            log_size = log_size * (batch["regions"] >= 0)
            if self.camera_height is not None:
                seen = named & (batch["regions"] >= 0)
                guesses = self._squares(maps, image_of)
                support = _of_questions(batch["region_features"][..., SUPPORT], image_of, batch["regions"])
                # Where no floor was found nothing is measured in camera heights.
                log_height = self.camera_height(states, log_size, seen, guesses) * (support * seen > 0).any(1)
        in_images = shown = None
        if self.picture_counts is not None and len(batch["rgb"]):
            hiding = batch["region_features"][..., IS_HIDDEN]
            in_images = self.picture_counts(hiding, maps, batch["masks"])
            shown = _of_questions(in_images, image_of, batch["regions"])
            shown = shown.masked_fill(batch["regions"] < 0, UNKNOWN_COUNT)
        encoded = Encoded(
            tokens,
            present,
            summary,
            states,
            named,
            relations,
            log_distance,
            log_size,
            log_height,
            shown,
            in_images,
        )
        return encoded, routings

    @torch.no_grad()
    def write(
        self,
        encoded: Encoded,
        longest: int,
        allowed: Callable[[Tensor, Tensor], Tensor] | None = None,
        given: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Answer greedily.

        Args:
            encoded: the encoder's result.
            longest: most tokens to write.
            allowed: says which tokens may follow on those written so far, given which regions there are; all
                may where left out.
            given: tokens that are written whatever the model would write, `[questions, given]`, -1 where it
                goes on by itself.

        Returns:
            tokens `[questions, answer]` and the values of numbers among them, in metres, the same shape: 0
            for other words, NaN where the likelihoods of words are no numbers.
        """
        questions = encoded.tokens.shape[0]
        tokens = torch.full((questions, 1), START, device=encoded.tokens.device)
        values = torch.zeros(questions, 1, device=encoded.tokens.device)
        done = torch.zeros(questions, dtype=torch.bool, device=encoded.tokens.device)
        for _ in range(longest):
            written = self.decoder(tokens, values, encoded)
            last = written.logits[:, -1]
            if allowed is not None:
                last = last.masked_fill(~allowed(tokens, encoded.named), -torch.inf)
            chosen = last.argmax(-1)
            place = tokens.shape[1] - 1
            if given is not None and place < given.shape[1]:
                chosen = torch.where(given[:, place] >= 0, given[:, place], chosen)
            chosen = chosen.masked_fill(done, END)
            unknown = ~written.logits[:, -1:].amax(-1).isfinite() & ~done[:, None]
            tokens = torch.cat([tokens, chosen[:, None]], dim=1)
            # Clamped far beyond any room: an untrained head must not overflow. Only a number has a value, as
            # in the answers that are learnt.
            metres = written.log_values[:, -1:].float().clamp(-5, 7).exp()
            value = metres.masked_fill(chosen[:, None] != NUMBER, 0)
            values = torch.cat([values, value.masked_fill(unknown, torch.nan)], dim=1)
            done |= chosen == END
            if bool(done.all()):
                break
        return tokens[:, 1:], values[:, 1:]

    def _see(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Tokens of each image and of "no image", embeddings of each image's regions, and feature maps.

        These are those of all backbones, `[images, channels, rows, columns]`, or None where there are none.
        """
        nothing = self.no_image[None]
        if batch["rgb"].shape[0] == 0:
            return nothing, nothing.new_zeros(1, 1, self.config.width), None
        maps = [] if self.rgb is None else [self.rgb(batch["rgb"])]
        if self.depth is not None:
            seen = self.depth(batch["depth"])
            maps.append(
                torch.where(batch["has_depth"][:, None, None, None], seen, self.no_depth.to(seen.dtype))
            )
        regions = self.regions(maps, batch["masks"], batch["region_features"])
        if self.global_tokens is None:
            unseen = self.global_position.expand(len(batch["rgb"]), -1, -1)
            return torch.cat([unseen, nothing]), regions, None
        all_maps = torch.cat(maps, dim=1)
        shrunk = self.shrink(all_maps).flatten(2).transpose(1, 2)
        image_tokens = self.global_tokens(shrunk) + self.global_position
        return torch.cat([image_tokens, nothing.to(image_tokens.dtype)]), regions, all_maps

    def _squares(self, maps: Tensor | None, image_of: Tensor) -> Tensor | None:
        """What the squares of questions' images guess of the camera's height, `[questions, 2, squares]`."""
        assert self.camera_height is not None
        squares = None if maps is None else self.camera_height.of_squares(maps)
        if squares is None:
            return None
        nothing = torch.zeros_like(squares[:1])
        nothing[:, 0] = -torch.inf
        return torch.cat([squares, nothing])[image_of]

    def _described_regions(self, regions: Tensor, image_of: Tensor, numbers: Tensor) -> Tensor:
        """What each question's regions look like, plus their order, `[questions, regions, width]`."""
        order = self.order[: numbers.shape[1]].expand(numbers.shape[0], -1, -1)
        if regions.shape[1] == 0:
            return order
        return order + _of_questions(regions, image_of, numbers) * (numbers >= 0)[..., None]

    @staticmethod
    def _places(question: Tensor, named: Tensor) -> Tensor:
        """Position of each `<mask>` among the words, `[questions, regions]`, 0 where there is none."""
        count = named.shape[1]
        is_mask = (question == MASK).to(torch.int8)
        # A stable sort puts the positions of masks first, in their order.
        return is_mask.argsort(dim=1, descending=True, stable=True)[:, :count] * named


def _of_questions(of_images: Tensor, image_of: Tensor, numbers: Tensor) -> Tensor:
    """What belongs to the regions of images, `[images, regions, ...]`, handed to those of questions.

    `numbers` are the regions' numbers in their images, `[questions, regions]`; where one is -1 the result
    stands for nothing.
    """
    if of_images.shape[0] == 0 or of_images.shape[1] == 0:
        return of_images.new_zeros(*numbers.shape, *of_images.shape[2:])
    image = image_of.clamp(max=of_images.shape[0] - 1)
    return of_images[image[:, None], numbers.clamp(min=0)]


def _with_order(relations: Tensor) -> Tensor:
    """Add which region of a pair is mentioned first, and each relation as seen from that one.

    "Is A left of B" asks about A: without the order a pair and its mirror image would look alike.
    `[questions, regions, regions, relations]` becomes `[..., 2 * relations + 1]`.
    """
    place = torch.arange(relations.shape[1], device=relations.device)
    order = torch.sign(place[None, :] - place[:, None]).to(relations.dtype)[None, ..., None]
    return torch.cat([relations, relations * order, order.expand(*relations.shape[:3], 1)], dim=-1)
