"""The decoder: writes the answer word by word, and looks at the regions again before each word."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.count_head import CountHead
from lightning_modules.tiny_giant.encoded import Encoded
from lightning_modules.tiny_giant.focus import LIKELIER, Focus, FocusedPointers, pointed, written_last
from lightning_modules.tiny_giant.fusion import Attention
from lightning_modules.tiny_giant.vocabulary import DIGITS


@dataclass
class Written:
    """What a decoder makes of the words of an answer.

    Attributes:
        logits: of the word after each one, `[questions, answer, vocabulary + regions]`.
        log_values: logarithm of the metres that it would stand for as a `<number>`, `[questions, answer]`.
        members: logits of regions to be counted, if it were a digit, `[questions, answer, regions]`, or None
            where none are counted.
    """

    logits: Tensor
    log_values: Tensor
    members: Tensor | None = None


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the fused question, feed-forward.

    Args:
        width: size of a token.
        heads: number of attention heads.
        hidden: inner size of the feed-forward network.
        dropout: share of each sub-layer's output that is dropped in training.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm_self = nn.LayerNorm(width)
        self.attend_self = Attention(width, heads)
        self.norm_question = nn.LayerNorm(width)
        self.attend_question = Attention(width, heads)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, encoded: Encoded) -> Tensor:
        """One layer over answer states `[questions, answer, width]`."""
        normed = self.norm_self(states)
        attended = self.attend_self(normed, self.attend_self.memory(normed), causal=True)
        states = states + self.dropout(attended)
        memory = self.attend_question.memory(encoded.tokens)
        looked = self.attend_question(self.norm_question(states), memory, encoded.words[:, None, None])
        states = states + self.dropout(looked)
        return states + self.dropout(self.feed(states))


class Reinspection(nn.Module):
    """Before a word is written, its state attends to the regions once more, and to pairs of regions.

    Where the floor was fitted it also measures: the distance of the pair it looks at, over the size of the
    region it chooses as its ruler. Both are in camera heights, so that the unknown height cancels, and the
    size in metres of a thing like the ruler is left for the value head to know. Where the camera's height is
    estimated, distances are taken times that instead.

    Args:
        width: size of a state.
        heads: number of attention heads.
        relations: size of embedded relations, 0 for none.
        with_ruler: whether a ruler is chosen; otherwise the camera's height is estimated.
        focus: whether the pair of regions that was written last is looked at first, as the last one is seen
            from the one before it: what is left of which depends on that.
    """

    def __init__(self, width: int, heads: int, relations: int, with_ruler: bool, focus: bool) -> None:
        super().__init__()
        self.last_pair = nn.Parameter(torch.tensor(LIKELIER)) if focus and relations else None
        self.norm = nn.LayerNorm(width)
        self.attend_regions = Attention(width, heads)
        self.pairs = None
        if relations:
            self.pairs = nn.ModuleDict(
                {
                    "query": nn.Linear(width, relations),
                    "first": nn.Linear(width, relations),
                    "second": nn.Linear(width, relations),
                    "key": nn.Linear(relations, relations),
                    "value": nn.Linear(relations, width),
                }
            )
            if with_ruler:
                self.pairs["ruler"] = nn.Linear(width, width)

    def forward(
        self, states: Tensor, last: Tensor, before: Tensor, encoded: Encoded
    ) -> tuple[Tensor, Tensor]:
        """Answer states that have looked again, and the logarithm of what they measured.

        Args:
            states: `[questions, answer, width]`.
            last, before: which region was written last, and before it, `[questions, answer, regions]`.
            encoded: the encoder's result.

        Returns:
            states `[questions, answer, width]` and the log of a distance in ruler sizes
            `[questions, answer]`, zero where nothing can be measured.
        """
        measured = states.new_zeros(states.shape[:2])
        regions = encoded.regions
        if regions.shape[1] == 0:
            return states, measured
        normed = self.norm(states)
        has_regions = encoded.named.any(1, keepdim=True)
        memory = self.attend_regions.memory(regions)
        change = self.attend_regions(normed, memory, encoded.visible[:, None, None])
        if self.pairs is not None and encoded.relations is not None:
            attention, keys = self._attend_pairs(normed, last, before, encoded)
            gathered = torch.einsum("qtp,qpr->qtr", attention, keys + encoded.relations.flatten(1, 2))
            change = change + self.pairs["value"](gathered)
            if encoded.log_distance is not None and encoded.log_size is not None:
                distance = encoded.log_distance.flatten(1).to(attention.dtype)
                measured = torch.einsum("qtp,qp->qt", attention, distance)
                if encoded.log_height is None:
                    measured = measured - self._ruler(normed, encoded)
                else:
                    measured = measured + encoded.log_height[:, None].to(measured.dtype)
        return states + change * has_regions[..., None], measured * has_regions

    def _ruler(self, normed: Tensor, encoded: Encoded) -> Tensor:
        """Logarithm of the size of what is chosen as a ruler, in camera heights, `[questions, answer]`."""
        assert self.pairs is not None and encoded.log_size is not None
        scores = pointed(self.pairs["ruler"](normed), encoded.regions)
        chosen = scores.masked_fill(~encoded.visible[:, None], -1e4).softmax(-1)
        return torch.einsum("qtr,qr->qt", chosen, encoded.log_size.to(chosen.dtype))

    def _attend_pairs(
        self, normed: Tensor, last: Tensor, before: Tensor, encoded: Encoded
    ) -> tuple[Tensor, Tensor]:
        """Attention over pairs, `[questions, answer, pairs]`, and the pairs' keys."""
        assert self.pairs is not None and encoded.relations is not None
        keys = (
            self.pairs["key"](encoded.relations)
            + self.pairs["first"](encoded.regions)[:, :, None]
            + self.pairs["second"](encoded.regions)[:, None]
        ).flatten(1, 2)
        both = (encoded.named[:, :, None] & encoded.named[:, None]).flatten(1, 2)
        scores = torch.einsum("qtr,qpr->qtp", self.pairs["query"](normed), keys) / keys.shape[-1] ** 0.5
        if self.last_pair is not None:
            pair = before[..., :, None] * last[..., None, :]
            scores = scores + self.last_pair * pair.flatten(2).to(scores.dtype)
        return scores.masked_fill(~both[:, None], -1e4).softmax(-1), keys


class Decoder(nn.Module):
    """Writes an answer over the vocabulary and the question's own regions.

    A region is read as its own state and written by pointing at it. A `<number>` is written as a value in
    metres that a head regresses on a logarithmic scale, beginning from what reinspection has measured.

    Args:
        embedding: the word table, shared with the question encoder and used for output as well.
        config: the network's shape.
    """

    def __init__(self, embedding: nn.Embedding, config: TinyGiantConfig) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        relations = config.relation_width if config.relations else 0
        self.embedding = embedding
        self.position = nn.Parameter(torch.randn(config.maximum_words, width) * 0.3)
        self.read_value = nn.Linear(1, width)
        self.read_region = nn.Linear(width, width)
        self.read_summary = nn.Linear(width, width)
        self.layers = nn.ModuleList(
            DecoderLayer(width, heads, config.decoder_hidden, config.dropout)
            for _ in range(config.decoder_layers)
        )
        self.reinspect = Reinspection(width, heads, relations, config.scale == "ruler", config.focus)
        self.norm = nn.LayerNorm(width)
        self.word_bias = nn.Parameter(torch.zeros(embedding.num_embeddings))
        self.point = nn.Linear(width, width)
        self.value = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        self.focus = Focus(width) if config.focus else None
        self.focused_pointers = FocusedPointers(width, relations) if config.focus else None
        self.counts = CountHead(width, relations) if config.count_head else None

    def forward(self, tokens: Tensor, values: Tensor, encoded: Encoded) -> Written:
        """The word after each one.

        Args:
            tokens: `[questions, answer]`, words, or vocabulary size + i for the i-th region.
            values: what a `<number>` among them stands for, in metres, `[questions, answer]`.
            encoded: the encoder's result.
        """
        states = self._read(tokens, values, encoded)
        for layer in self.layers:
            states = layer(states, encoded)
        last, before = written_last(tokens, self.embedding.num_embeddings, encoded.regions.shape[1])
        states, measured = self.reinspect(states, last, before, encoded)
        states = self.norm(states)
        words = nn.functional.linear(states, self.embedding.weight, self.word_bias)
        pointers = pointed(self.point(states), encoded.regions)
        members = None
        if self.focus is not None and encoded.regions.shape[1]:
            in_focus, relations = self.focus(states, last, encoded)
            if self.focused_pointers is not None and encoded.relations is not None:
                own = encoded.relations.diagonal(dim1=1, dim2=2).transpose(1, 2)
                pointers = pointers + self.focused_pointers(states, relations, own)
            if self.counts is not None:
                nearness, members = self.counts(states, in_focus, relations, encoded)
                words[..., DIGITS.start : DIGITS.stop] += nearness.to(words.dtype)
        pointers = pointers.masked_fill(~encoded.named[:, None], -1e4)
        log_value = self.value(states).squeeze(-1) + measured
        return Written(torch.cat([words, pointers], dim=-1), log_value, members)

    def _read(self, tokens: Tensor, values: Tensor, encoded: Encoded) -> Tensor:
        size = self.embedding.num_embeddings
        is_region = tokens >= size
        scale = self.embedding.embedding_dim**0.5
        states = self.embedding(tokens.masked_fill(is_region, 0)) * scale
        if encoded.regions.shape[1]:
            index = (tokens - size).clamp(0, encoded.regions.shape[1] - 1)
            named = encoded.regions.gather(1, index[..., None].expand(-1, -1, states.shape[-1]))
            states = torch.where(is_region[..., None], self.read_region(named).to(states.dtype), states)
        log_value = torch.where(values > 0, values.clamp(min=0.05).log(), values)
        # Values are float32 in every precision, the layers may not be.
        log_value = log_value.to(self.read_value.weight.dtype)
        states = states + self.read_value(log_value[..., None]) * (values > 0)[..., None]
        states = states + self.read_summary(encoded.summary)[:, None]
        return states + self.position[: tokens.shape[1]]
