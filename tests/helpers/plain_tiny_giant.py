"""TinyGiant's forward pass as its parts are described: question by question, head by head."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lightning_modules.tiny_giant.model import TinyGiantNetwork
from lightning_modules.tiny_giant.vocabulary import MASK, PAD

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
GREY = ((0.5,), (0.5,))
LOG_SIZE = 14 + 8  # the ninth number about the floor, behind the fourteen about the mask
LOG_DISTANCE = 9 + 3  # the fourth about the floor, behind the nine about two masks


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / 2**0.5)) / 2


@dataclass
class PlainTinyGiant:
    """Computes with a network's weights (and timm's networks in it), and with nothing else of it.

    Args:
        network: the network.
        kept: what is left of each sub-layer's output, as by dropout.

    Attributes:
        routers: logits of the routers for each word, by fusion layer.
        shown: what the picture shows in the regions of the last question.
    """

    network: TinyGiantNetwork
    kept: float = 1.0
    routers: dict[int, list[Tensor]] = field(default_factory=dict)
    shown: Tensor | None = None

    def __post_init__(self) -> None:
        self.weights: dict[str, Tensor] = dict(self.network.named_parameters())
        self.config = self.network.config

    def __call__(self, batch: dict[str, Any], objective: str) -> list[tuple[Tensor, Tensor]]:
        """Logits and log metres of each question's answer, the true words before each given."""
        maps = []
        if self.config.rgb_backbone is not None:
            maps.append(self.see("rgb", batch["rgb"], IMAGENET))
        if self.config.depth_backbone is not None:
            seen = self.see("depth", batch["depth"], GREY)
            nothing = self.weights["no_depth"].expand_as(seen[0])
            pairs = zip(seen, batch["has_depth"], strict=True)
            maps.append(torch.stack([one if has else nothing for one, has in pairs]))
        return [self.question(batch, maps, q, objective) for q in range(len(batch["question"]))]

    def see(self, name: str, images: Tensor, normal: Any) -> Tensor:
        mean, deviation = (torch.tensor(each).view(1, -1, 1, 1) for each in normal)
        backbone = getattr(self.network, name).network
        found: Any = 0
        for level, each in enumerate(backbone((images / 255.0 - mean) / deviation)[2:]):
            weight, bias = (self.weights[f"{name}.project.{level}.{what}"] for what in ("weight", "bias"))
            one = torch.einsum("oc,ichw->iohw", weight[..., 0, 0], each) + bias[:, None, None]
            found = found + one.repeat_interleave(2**level, 2).repeat_interleave(2**level, 3)
        return found

    def question(self, batch: Any, maps: list[Tensor], q: int, objective: str) -> tuple[Tensor, Tensor]:
        words = [int(token) for token in batch["question"][q] if token != PAD]
        image, numbers = int(batch["image_of"][q]), [int(n) for n in batch["regions"][q] if n >= 0]
        if image < 0:
            image_tokens = self.weights["no_image"]
        elif not maps:
            image_tokens = self.weights["global_position"]
        else:
            image_tokens = self.image_tokens(torch.cat([each[image] for each in maps]))
        places = [place for place, word in enumerate(words) if word == MASK]
        count, named = len(places), range(len(places))
        relations = batch["relations"][q, :count, :count]
        pairs = [[self.pair(relations, i, j) for j in named] for i in named if self.config.relations]
        tokens = self.stem(torch.tensor(words))
        add = torch.zeros_like(tokens)
        for i, place in enumerate(places):
            add[place] = self.weights["order"][i]
            if numbers:
                own, features = batch["masks"][image, numbers[i]], batch["region_features"][image, numbers[i]]
                add[place] = add[place] + self.region([each[image] for each in maps], own, features)
        tokens = tokens + add
        for layer in range(self.config.fusion_layers):
            tokens = self.fuse(layer, tokens, image_tokens, places, pairs)
        tokens = self.norm("norm", tokens)
        distances, sizes = torch.zeros(count, count), torch.zeros(count)
        if self.config.geometry in ("floor_fit", "containment"):
            distances = relations[..., LOG_DISTANCE]
            if numbers:
                sizes = batch["region_features"][image, numbers, LOG_SIZE]
        target = batch[objective][q]
        length = int((target != PAD).sum()) - 1
        values = batch[f"{objective}_values"][q, :length]
        height = None
        if self.config.scale != "ruler":
            seen = torch.cat([each[image] for each in maps]) if maps and image >= 0 else None
            on_floor = bool(numbers) and float(batch["region_features"][image, 0, 14 + 16]) > 0
            height = self.log_height(tokens[places][: len(numbers)], sizes, seen) * on_floor
        self.shown = None
        if self.config.picture_counts and numbers:
            masks = batch["masks"][image, numbers]
            hiding = batch["region_features"][image, numbers][:, 31:]
            self.shown = torch.stack(
                [
                    self.counted([each[image] for each in maps], mask, own)
                    for mask, own in zip(masks, hiding, strict=True)
                ]
            )
        return self.decode(target[:length], values, tokens, tokens[places], pairs, distances, sizes, height)

    def counted(self, maps: list[Tensor], masks: Tensor, hiding: Tensor) -> Tensor:
        """What hides a part of a region, and what the squares of a picture add inside of it."""
        name, total = "picture_counts", torch.zeros(())
        if hiding.any():
            hidden = gelu(self.linear(f"{name}.hiding.0", hiding))
            total = total + (1 + self.linear(f"{name}.hiding.2", hidden)[0].exp()).log()
        seen = torch.cat(maps).flatten(1).T if maps else ()
        for square, shares in zip(seen, masks.flatten(1).T, strict=bool(maps)):
            if shares.sum() > 0:
                hidden = gelu(self.convolved(f"{name}.seen", square) + self.linear(f"{name}.covered", shares))
                total = total + (1 + self.linear(f"{name}.adds", hidden)[0].exp()).log()
        return total

    def log_height(self, regions: Tensor, sizes: Tensor, seen: Tensor | None) -> Tensor:
        """The mean of what regions and the squares of a picture guess, each weighed by how sure it is."""
        typical = self.weights["camera_height.typical"]
        weights, guesses = [], []
        for region, size in zip(regions, sizes, strict=False):
            hidden = gelu(self.linear("camera_height.size.0", region))
            sure, log_metres = self.linear("camera_height.size.2", hidden)
            weights.append(sure.exp())
            guesses.append((log_metres - size) * sure.exp())
        for square in seen.flatten(1).T if self.config.scale == "picture" and seen is not None else ():
            hidden = gelu(self.convolved("camera_height.squares.0", square))
            sure, offset = self.convolved("camera_height.squares.2", hidden)
            weights.append(sure.exp())
            guesses.append((typical + offset) * sure.exp())
        return torch.stack(guesses).sum() / torch.stack(weights).sum() if weights else typical

    def convolved(self, name: str, x: Tensor) -> Tensor:
        return self.weights[f"{name}.weight"][:, :, 0, 0] @ x + self.weights[f"{name}.bias"]

    def image_tokens(self, features: Tensor) -> Tensor:
        rows, columns = self.config.global_grid
        cells = [cell for row in features.chunk(rows, 1) for cell in row.chunk(columns, 2)]
        means = torch.stack([cell.mean((1, 2)) for cell in cells])
        return self.linear("global_tokens", means) + self.weights["global_position"]

    def region(self, maps: list[Tensor], masks: Tensor, features: Tensor) -> Tensor:
        if not maps:
            return self.linear("regions.geometry.2", gelu(self.linear("regions.geometry.0", features)))
        pooled = [(each * mask).sum((1, 2)) / mask.sum().clamp(min=1e-3) for each in maps for mask in masks]
        found = self.linear("regions.visual.1", self.norm("regions.visual.0", torch.cat(pooled)))
        if len(features):
            found = found + self.linear(
                "regions.geometry.2", gelu(self.linear("regions.geometry.0", features))
            )
        return found

    def pair(self, relations: Tensor, i: int, j: int) -> Tensor:
        first = torch.tensor([float((j > i) - (j < i))])
        numbers = torch.cat([relations[i, j], relations[i, j] * first, first])
        return gelu(self.linear("relations.layers.2", gelu(self.linear("relations.layers.0", numbers))))

    def stem(self, words: Tensor) -> Tensor:
        embedded = self.weights["embedding.weight"][words] * self.config.width**0.5
        nothing = embedded.new_zeros(2, self.config.width)
        padded = torch.cat([nothing, embedded, nothing])
        weight, bias = (self.weights[f"stem.neighbours.{what}"] for what in ("weight", "bias"))
        around = [
            bias + sum(weight[:, :, step] @ padded[place + step] for step in range(5))
            for place in range(len(words))
        ]
        return embedded + gelu(torch.stack(around)) + self.weights["stem.position"][: len(words)]

    def fuse(
        self, layer: int, tokens: Tensor, image_tokens: Tensor, places: list[int], pairs: list[list[Tensor]]
    ) -> Tensor:
        name = f"fusion.{layer}"
        normed = self.norm(f"{name}.norm_self", tokens)
        tokens = tokens + self.kept * self.attention(f"{name}.attend_self", normed, normed)
        normed = self.norm(f"{name}.norm_image", tokens)
        tokens = tokens + self.kept * self.attention(f"{name}.attend_image", normed, image_tokens)
        change = torch.zeros_like(tokens)
        if self.config.relations:
            change[places] = self.relate(f"{name}.relate", tokens[places], pairs)
        tokens = tokens + self.kept * change
        normed = self.norm(f"{name}.norm_feed", tokens)
        if self.config.experts:
            fed = [self.experts(layer, token, normed.mean(0)) for token in normed]
            return tokens + self.kept * torch.stack(fed)
        hidden = gelu(self.linear(f"{name}.feed.layers.0", normed))
        return tokens + self.kept * self.linear(f"{name}.feed.layers.2", hidden)

    def relate(self, name: str, states: Tensor, pairs: list[list[Tensor]]) -> Tensor:
        query, key, value = self.linear(f"{name}.query_key_value", self.norm(f"{name}.norm", states)).chunk(
            3, -1
        )
        size = self.config.width // self.config.heads
        picked, counted = torch.zeros_like(states), torch.zeros_like(states)
        for i in range(len(states)):
            own_pairs = torch.stack(pairs[i])
            pick, count = self.linear(f"{name}.pick", own_pairs), self.linear(f"{name}.count", own_pairs)
            values = value + self.linear(f"{name}.relation_value", own_pairs)
            for head in range(self.config.heads):
                own = slice(head * size, head * size + size)
                scores = key[:, own] @ query[i, own] / size**0.5
                picked[i, own] = torch.softmax(scores + pick[:, head], 0) @ values[:, own]
                counted[i, own] = torch.sigmoid(scores + count[:, head] - 2) @ values[:, own]
        return self.linear(f"{name}.output", torch.cat([picked, counted], -1))

    def experts(self, layer: int, token: Tensor, summary: Tensor) -> Tensor:
        name = f"fusion.{layer}.feed"
        logits = self.linear(f"{name}.router.token", token) + self.linear(f"{name}.router.question", summary)
        self.routers.setdefault(layer, []).append(logits)
        best = sorted(range(len(logits)), key=lambda e: -float(logits[e].detach()))[: self.config.top_k]
        shares = torch.softmax(logits[best], 0)
        up, up_bias, down, down_bias = (
            self.weights[f"{name}.{what}"] for what in ("up", "up_bias", "down", "down_bias")
        )
        made = [gelu(token @ up[e] + up_bias[e]) @ down[e] + down_bias[e] for e in best]
        return sum((share * each for share, each in zip(shares, made, strict=True)), torch.zeros_like(token))

    def decode(
        self,
        target: Tensor,
        values: Tensor,
        words: Tensor,
        regions: Tensor,
        pairs: list[list[Tensor]],
        distances: Tensor,
        sizes: Tensor,
        height: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        states = torch.stack(
            [
                self.read(int(token), float(value), regions)
                for token, value in zip(target, values, strict=True)
            ]
        )
        states = states + self.linear("decoder.read_summary", words.mean(0))
        states = states + self.weights["decoder.position"][: len(states)]
        before = torch.ones(len(states), len(states)).tril().bool()
        for layer in range(self.config.decoder_layers):
            name = f"decoder.layers.{layer}"
            normed = self.norm(f"{name}.norm_self", states)
            states = states + self.kept * self.attention(f"{name}.attend_self", normed, normed, before)
            normed = self.norm(f"{name}.norm_question", states)
            states = states + self.kept * self.attention(f"{name}.attend_question", normed, words)
            hidden = gelu(self.linear(f"{name}.feed.1", self.norm(f"{name}.feed.0", states)))
            states = states + self.kept * self.linear(f"{name}.feed.3", hidden)
        size, written = self.config.vocabulary_size, []
        chains = [written := [*written, int(token) - size] if token >= size else written for token in target]
        changes, measured = zip(
            *(
                self.inspect(state, chain, regions, pairs, distances, sizes, height)
                for state, chain in zip(states, chains, strict=True)
            ),
            strict=True,
        )
        states = self.norm("decoder.norm", states + torch.stack(changes))
        words = states @ self.weights["embedding.weight"].T + self.weights["decoder.word_bias"]
        if self.config.count_head and len(regions):
            added = [self.digits(*each, regions, pairs) for each in zip(states, chains, strict=True)]
            words[:, 6:16] += torch.stack(added)
        pointers = self.linear("decoder.point", states) @ regions.T / self.config.width**0.5
        if self.config.focus and len(regions):
            added = [self.focused(*each, regions, pairs) for each in zip(states, chains, strict=True)]
            pointers = pointers + torch.stack(added)
        log_values = self.linear("decoder.value.2", gelu(self.linear("decoder.value.0", states)))[:, 0]
        return torch.cat([words, pointers], -1), log_values + torch.stack(measured)

    def read(self, token: int, value: float, regions: Tensor) -> Tensor:
        if token >= self.config.vocabulary_size:
            return self.linear("decoder.read_region", regions[token - self.config.vocabulary_size])
        word = self.weights["embedding.weight"][token] * self.config.width**0.5
        if value <= 0:
            return word
        return word + self.linear("decoder.read_value", torch.tensor([max(value, 0.05)]).log())

    def in_focus(self, state: Tensor, chain: list[int], regions: Tensor) -> Tensor:
        """How much each region is in focus."""
        scores = regions @ self.linear("decoder.focus.query", state) / self.config.width**0.5
        if chain:
            scores[chain[-1]] += self.weights["decoder.focus.last"]
        return torch.softmax(scores, 0)

    def about(
        self, state: Tensor, chain: list[int], regions: Tensor, pairs: list[list[Tensor]]
    ) -> list[Tensor]:
        """How each region stands to the one in focus."""
        focus = self.in_focus(state, chain, regions)
        return [
            torch.stack([share * pairs[i][j] for j, share in enumerate(focus)]).sum(0)
            for i in range(len(regions))
        ]

    def focused(self, state: Tensor, chain: list[int], regions: Tensor, pairs: list[list[Tensor]]) -> Tensor:
        """What is added to the logit of each region."""
        name, added = "decoder.focused_pointers", []
        for i, relation in enumerate(self.about(state, chain, regions, pairs)):
            seen = gelu(self.linear(f"{name}.seen", relation))
            own = gelu(self.linear(f"{name}.seen", pairs[i][i]))
            to_focus = self.linear(f"{name}.wanted", state) @ seen
            added.append(to_focus + self.linear(f"{name}.wanted_by_itself", state) @ own)
        return torch.stack(added)

    def digits(self, state: Tensor, chain: list[int], regions: Tensor, pairs: list[list[Tensor]]) -> Tensor:
        """How near each digit is to the number of regions that lie in the container."""
        name, total = "decoder.counts", torch.zeros(1)
        focus = self.in_focus(state, chain, regions)
        relations = self.about(state, chain, regions, pairs)
        for share, region, relation in zip(focus, regions, relations, strict=True):
            inside = self.linear(f"{name}.inside.2", gelu(self.linear(f"{name}.inside.0", relation)))
            wanted = region @ self.linear(f"{name}.wanted", state) / self.config.width**0.5
            total = total + torch.sigmoid(inside + wanted) * (1 - share)
        seen = torch.full((10,), 0.1)
        if self.shown is not None:
            seen = self.near((focus @ self.shown)[None])
        listed = torch.sigmoid(self.linear(f"{name}.is_listed", state))
        return (listed * self.near(total) + (1 - listed) * seen).log()

    def near(self, total: Tensor) -> Tensor:
        """How likely each digit is by its nearness to a number."""
        if total >= 9.5:
            return torch.full((10,), 0.1)
        steep = 3 * (1 + self.weights["decoder.counts.sharpness"].exp()).log()
        away = [(total - digit).abs() for digit in range(10)]
        return torch.softmax(torch.cat([-steep * (far - 0.5 if far >= 1 else far**2 / 2) for far in away]), 0)

    def inspect(
        self,
        state: Tensor,
        chain: list[int],
        regions: Tensor,
        pairs: list[list[Tensor]],
        distances: Tensor,
        sizes: Tensor,
        height: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        if not len(regions):
            return torch.zeros_like(state), torch.zeros(())
        name = "decoder.reinspect"
        normed = self.norm(f"{name}.norm", state)
        change = self.attention(f"{name}.attend_regions", normed[None], regions)[0]
        if not self.config.relations:
            return change, torch.zeros(())
        query = self.linear(f"{name}.pairs.query", normed)
        keys, scores, places = [], [], []
        for i in range(len(regions)):
            for j in range(len(regions)):
                key = self.linear(f"{name}.pairs.key", pairs[i][j])
                key = key + self.linear(f"{name}.pairs.first", regions[i])
                key = key + self.linear(f"{name}.pairs.second", regions[j])
                keys.append(key + pairs[i][j])
                score = query @ key / len(key) ** 0.5
                if self.config.focus:
                    score = score + (chain[-2:] == [i, j]) * self.weights[f"{name}.last_pair"]
                scores.append(score)
                places.append(distances[i, j])
        shares = torch.softmax(torch.stack(scores), 0)
        change = change + self.linear(f"{name}.pairs.value", shares @ torch.stack(keys))
        if height is not None:
            return change, shares @ torch.stack(places) + height
        ruler = torch.softmax(
            regions @ self.linear(f"{name}.pairs.ruler", normed) / self.config.width**0.5, 0
        )
        return change, shares @ torch.stack(places) - ruler @ sizes

    def attention(self, name: str, queries: Tensor, source: Tensor, seen: Tensor | None = None) -> Tensor:
        query = self.linear(f"{name}.query", queries)
        key, value = self.linear(f"{name}.key_value", source).chunk(2, -1)
        size = self.config.width // self.config.heads
        heads = []
        for head in range(self.config.heads):
            own = slice(head * size, head * size + size)
            scores = query[:, own] @ key[:, own].T / size**0.5
            if seen is not None:
                scores = scores.masked_fill(~seen, -torch.inf)
            heads.append(scores.softmax(-1) @ value[:, own])
        return self.linear(f"{name}.output", torch.cat(heads, -1))

    def linear(self, name: str, x: Tensor) -> Tensor:
        made = x @ self.weights[f"{name}.weight"].T
        return made + self.weights[f"{name}.bias"] if f"{name}.bias" in self.weights else made

    def norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
