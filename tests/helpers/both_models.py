"""Student and teacher asked one sample at a time, by their own outputs, and the losses by their formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_modules.vlm.loading import LoadedVlm
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model

NEVER = -1e9


def saved(
    folder: Path,
    family: str,
    size: TinySize,
    seed: int = 0,
    rows: int = 0,
    softcap: float | None = None,
    end: str = "",
) -> Path:
    """A tiny random model as the hub has models: padded to so many `rows`, or with its answers' own `end`."""
    model, processor = make_tiny_model(family, seed, size)
    if rows:
        torch.manual_seed(seed)
        model.resize_token_embeddings(rows, mean_resizing=False)
    if softcap is not None:
        model.config.text_config.final_logit_softcapping = softcap
    if end:
        processor.chat_template = processor.chat_template.replace("<end_of_utterance>", end)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def by_hand(known: Any, processor: Any, alone: dict[str, Tensor], answer: list[int]) -> dict[str, Tensor]:
    """The inputs of one prompt with an answer behind it, written down without the collator."""
    count = alone["input_ids"].shape[1]
    ids = torch.cat([alone["input_ids"], torch.tensor([answer], dtype=torch.long)], dim=1)
    inputs = {**alone, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if known.token_types == "modality":
        inputs["mm_token_type_ids"] = (ids == processor.image_token_id).long()
    if known.token_types == "prefix":
        inputs["token_type_ids"] = (torch.arange(ids.shape[1]) >= count).long()[None]
    return inputs


@torch.no_grad()
def said_of(network: Any, vlm: LoadedVlm, alone: dict[str, Tensor], answer: list[int]) -> Tensor:
    """The logits before each token of an answer, `[answer, vocabulary]`."""
    inputs = by_hand(vlm.family, vlm.processor, alone, answer)
    return network(**inputs, use_cache=False).logits[0, -len(answer) - 1 : -1].double()


@torch.no_grad()
def maps_of(network: Any, vlm: LoadedVlm, alone: dict[str, Tensor], answer: list[int]) -> list[Tensor]:
    """The attention maps of each layer, `[heads, tokens, tokens]`, as transformers itself gives them."""
    vlm.model.set_attn_implementation("eager")
    inputs = by_hand(vlm.family, vlm.processor, alone, answer)
    maps = network(**inputs, use_cache=False, output_attentions=True).attentions
    vlm.model.set_attn_implementation("sdpa")
    return [each[0].double() for each in maps]


def likeliest_answer(vlm: LoadedVlm, alone: dict[str, Tensor], length: int, ends: set[int]) -> list[int]:
    """What is written where each token is the likeliest that is no image."""
    answer: list[int] = []
    while len(answer) < length and not ends & {*answer[-1:]}:
        said = said_of(vlm.model, vlm, alone, [*answer, 0])[-1]
        said[vlm.processor.image_token_id] = NEVER
        answer.append(int(said.argmax()))
    return answer


def plain_entropy(ours: Tensor, answer: list[int]) -> Tensor:
    """`-log Q(token)` of each token of an answer."""
    return -ours.softmax(-1)[range(len(answer)), answer].log()


def plain_divergence(
    ours: Tensor, theirs: Tensor, classes: tuple[list[int], list[int]], temperature: float, k: int = 0
) -> Tensor:
    """`sum P log(P / Q)` at each position; of a cache the teacher's `k` likeliest classes, and all others.

    Args:
        ours: the student's logits, `[positions, vocabulary]`.
        theirs: the teacher's.
        classes: the student's and the teacher's numbers of what both have.
        temperature: of both.
        k: how many classes the cache holds; all where it is 0.
    """
    q, p = (
        (each[:, numbers] / temperature).softmax(-1)
        for each, numbers in zip((ours, theirs), classes, strict=True)
    )
    if k:
        order = p.argsort(-1, descending=True)
        p, q = (
            torch.cat([each.gather(1, order[:, :k]), each.gather(1, order[:, k:]).sum(1, keepdim=True)], 1)
            for each in (p, q)
        )
    return (p * (p / q).log()).sum(-1)


def plain_attention(ours: Tensor, theirs: Tensor, rows: list[int], columns: list[int]) -> Tensor:
    """The published formula for one sample and one pair of layers, over rows that see one of the columns."""
    student, teacher = (each[:, rows][:, :, columns] for each in (ours, theirs))
    sees = teacher.sum((0, 2)) > 0
    if not sees.any():
        return torch.zeros((), dtype=ours.dtype)
    student, teacher = (each[:, sees] / each[:, sees].sum(-1, keepdim=True) for each in (student, teacher))
    weights = torch.einsum("iqk,jqk->ij", teacher, student).softmax(-1)
    mixture = torch.einsum("ij,jqk->iqk", weights, student)
    return torch.special.xlogy(teacher, teacher / mixture.where(teacher > 0, 1.0)).sum() / sees.sum()
