"""Which prompts of a batch begin alike, so that the language model reads their beginning once.

A prompt opens with the conversation's frame and the image, which are most of its tokens; the question comes
after. The questions about one image therefore share all but their last tokens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

WORTHWHILE = 0.75
"""Part of the tokens that must be left to read at most; for less, a second pass is not worth its start."""


@dataclass(frozen=True)
class SharedPrefixes:
    """How prompts are split into shared prefixes and rests of their own.

    Attributes:
        length: for each prompt, how many of its tokens are read with its beginning.
        group: for each prompt, the number of its beginning.
        first: for each beginning, a prompt that has it.
    """

    length: list[int]
    group: list[int]
    first: list[int]


def shared_prefixes_of(
    input_ids: Tensor, mask: Tensor, placeholders: Tensor, images: Sequence[tuple[int, ...]]
) -> SharedPrefixes | None:
    """Find the beginnings that prompts share, or None where reading them once would not save much.

    Args:
        input_ids: `[questions, tokens]`, padded on the left.
        mask: the same shape, 0 at padding.
        placeholders: the same shape, where an image's tokens stand.
        images: for each question, the numbers of its images; the same number is the same image.
    """
    lengths = mask.sum(1).tolist()
    tokens = [row[len(row) - length :] for row, length in zip(input_ids.tolist(), lengths, strict=True)]
    groups: dict[object, list[int]] = defaultdict(list)
    for question, shown in enumerate(images):
        # Questions without an image have little in common: each is a group of its own.
        groups[shown or question].append(question)
    last_image_token = [
        max((at for at, is_image in enumerate(row[len(row) - length :]) if is_image), default=-1)
        for row, length in zip(placeholders.tolist(), lengths, strict=True)
    ]
    common: dict[int, int] = {}
    for members in groups.values():
        if len(members) < 2:
            continue
        shared = _common_length([tokens[member] for member in members])
        if shared > last_image_token[members[0]]:
            common.update(dict.fromkeys(members, shared))
    if not common:
        return None
    rest = max(lengths[member] - shared for member, shared in common.items())
    return _split(list(groups.values()), lengths, common, rest)


def _split(
    groups: list[list[int]], lengths: list[int], common: dict[int, int], rest: int
) -> SharedPrefixes | None:
    length, group, first = [0] * len(lengths), [0] * len(lengths), []
    for members in groups:
        if members[0] in common:
            first.append(members[0])
            for member in members:
                length[member], group[member] = common[member], len(first) - 1
            continue
        for member in members:
            # Who shares with nobody is split as well, so that all rests are of about one length.
            first.append(member)
            length[member], group[member] = max(1, lengths[member] - rest), len(first) - 1
    rest = max(whole - read for whole, read in zip(lengths, length, strict=True))
    cost = len(first) * max(length) + len(lengths) * rest
    if cost > WORTHWHILE * len(lengths) * max(lengths):
        return None
    return SharedPrefixes(length, group, first)


def _common_length(rows: list[list[int]]) -> int:
    """How many first tokens all rows share; at least one token of each is left over."""
    longest = min(len(row) for row in rows) - 1
    return next((at for at in range(longest) if any(row[at] != rows[0][at] for row in rows)), max(longest, 0))
