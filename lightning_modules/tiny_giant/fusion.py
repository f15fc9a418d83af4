"""Fusion: words, regions and the whole image meet, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_modules.tiny_giant.experts import DenseFeedForward, Experts, Routing
from lightning_modules.tiny_giant.regions import RelationLayer


class Attention(nn.Module):
    """Multi-head attention through torch's scaled dot product, with keys and values from another sequence.

    Args:
        width: size of a token.
        heads: number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def memory(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of `[batch, keys, width]`, each `[batch, heads, keys, width / heads]`."""
        key, value = self.key_value(source).chunk(2, dim=-1)
        return self._split(key), self._split(value)

    def forward(
        self, queries: Tensor, memory: tuple[Tensor, Tensor], mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """Attend from `[batch, queries, width]` to a memory made by `memory`.

        `mask` is true where a key may be seen, broadcast to `[batch, heads, queries, keys]`.
        """
        attended = nn.functional.scaled_dot_product_attention(
            self._split(self.query(queries)), *memory, attn_mask=mask, is_causal=causal
        )
        return self.output(attended.transpose(1, 2).flatten(2))

    def _split(self, tokens: Tensor) -> Tensor:
        batch, length, width = tokens.shape
        return tokens.view(batch, length, self.heads, width // self.heads).transpose(1, 2)


@dataclass(frozen=True)
class Words:
    """Which positions of a batch of questions hold a word.

    Attributes:
        present: true where there is one, `[questions, words]`.
        question: the question of each word of the whole batch, `[all words]`.
        position: its position there, `[all words]`.
    """

    present: Tensor
    question: Tensor
    position: Tensor

    @staticmethod
    def where(present: Tensor) -> Words:
        """From the mask `[questions, words]`; found once for all layers, since it waits for the device."""
        return Words(present, *present.nonzero(as_tuple=True))


class FusionLayer(nn.Module):
    """Self-attention over the question, a look at the image, relations between regions, then experts.

    Args:
        width: size of a token.
        heads: number of attention heads.
        hidden: inner size of one expert, or of the dense network.
        experts: number of experts, 0 for a dense network.
        top_k: experts a token passes through.
        relations: size of embedded relations, 0 for none.
        dropout: share of each sub-layer's output that is dropped in training.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, experts: int, top_k: int, relations: int, dropout: float
    ) -> None:
        super().__init__()
        self.norm_self = nn.LayerNorm(width)
        self.attend_self = Attention(width, heads)
        self.norm_image = nn.LayerNorm(width)
        self.attend_image = Attention(width, heads)
        self.relate = RelationLayer(width, heads, relations) if relations else None
        self.norm_feed = nn.LayerNorm(width)
        self.feed: Experts | DenseFeedForward = (
            Experts(width, hidden, experts, top_k) if experts else DenseFeedForward(width, hidden)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        tokens: Tensor,
        words: Words,
        image_tokens: Tensor,
        image_of: Tensor,
        places: Tensor,
        named: Tensor,
        relations: Tensor | None,
    ) -> tuple[Tensor, Routing | None]:
        """One layer over all questions of a batch.

        Args:
            tokens: `[questions, words, width]`.
            words: which positions hold a word.
            image_tokens: `[images + 1, tokens, width]`; the last stands for "no image".
            image_of: each question's row of `image_tokens`, `[questions]`.
            places: position of each region's `<mask>` among the words, `[questions, regions]`.
            named: which regions exist, `[questions, regions]`.
            relations: embedded pairs, `[questions, regions, regions, relations]`, or None.
        """
        normed = self.norm_self(tokens)
        memory = self.attend_self.memory(normed)
        tokens = tokens + self.dropout(self.attend_self(normed, memory, words.present[:, None, None]))
        # Keys and values are made once an image and then handed to each of its questions.
        key, value = self.attend_image.memory(image_tokens)
        looked = self.attend_image(self.norm_image(tokens), (key[image_of], value[image_of]))
        tokens = tokens + self.dropout(looked)
        if self.relate is not None and relations is not None and places.shape[1]:
            index = places[..., None].expand(-1, -1, tokens.shape[-1])
            states = tokens.gather(1, index)
            change = self.relate(states, relations, named) * named[..., None]
            tokens = tokens.scatter_add(1, index, self.dropout(change).to(tokens.dtype))
        fed, routing = self._feed(self.norm_feed(tokens), words)
        return tokens + self.dropout(fed), routing

    def _feed(self, tokens: Tensor, words: Words) -> tuple[Tensor, Routing | None]:
        """Feed only real words, so that padding neither costs time nor counts in the router's load."""
        share = words.present[..., None].to(tokens.dtype)
        summary = (tokens * share).sum(1) / share.sum(1).clamp(min=1)
        fed, routing = self.feed(tokens[words.question, words.position], summary[words.question])
        result = torch.zeros_like(tokens)
        result[words.question, words.position] = fed.to(result.dtype)
        return result, routing
