"""Tests of significance as their definitions have them, slowly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

Truths = Iterable[bool]


def sign_flips(a: Truths, b: Truths, images: Iterable[object]) -> float:
    """The mid-p of B's gain over A where each image's gain might as well have the other sign."""
    gains: Counter[object] = Counter()
    for right_a, right_b, image in zip(a, b, images, strict=True):
        gains[image] += int(right_b) - int(right_a)
    ways = {0: 1}
    for gain in gains.values():
        further: Counter[int] = Counter()
        for total, count in ways.items():
            further[total + gain] += count
            further[total - gain] += count
        ways = further
    seen = abs(sum(gains.values()))
    more = sum(count for total, count in ways.items() if abs(total) > seen)
    same = sum(count for total, count in ways.items() if abs(total) == seen)
    everything = sum(ways.values())
    return (2 * more + same) / (2 * everything) if any(gains.values()) else 1.0
