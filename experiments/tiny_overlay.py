"""The `tiny:` parts of an experiment's files: what differs with `--scale tiny`."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

Overlay = dict[str, Any]


def tiny_overlays(files: Sequence[dict[str, Any]]) -> list[Overlay]:
    """What the tiny size lays over the merged files, to be applied one after the other.

    A file takes back what it inherits: `tiny: null` all of it, the base's included; a null inside takes back
    the setting or the section of that name, and the value is that of the full size again. Where nothing of
    the name is inherited, null is a value like any other.

    Args:
        files: the contents of the files, the oldest first.
    """
    overlays: list[Overlay] = []
    for content in files:
        if "tiny" not in content:
            continue
        own = copy.deepcopy(content["tiny"])
        if own is None:
            overlays = []
            continue
        for place in list(_nulls(own)):
            removed = [_remove(overlay, place) for overlay in overlays]
            if any(removed):
                _remove(own, place)
        overlays.append(own)
    return [overlay for overlay in overlays if overlay]


def _nulls(tree: Overlay, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The places of all nulls, as the keys that lead there."""
    for key, value in tree.items():
        if value is None:
            yield (*above, key)
        elif isinstance(value, dict):
            yield from _nulls(value, (*above, key))


def _remove(tree: Overlay, place: tuple[str, ...]) -> bool:
    """Remove what stands at a place, and sections that are empty then; whether there was something."""
    key, *rest = place
    if key not in tree:
        return False
    if not rest:
        del tree[key]
        return True
    below = tree[key]
    removed = isinstance(below, dict) and _remove(below, tuple(rest))
    if removed and not below:
        del tree[key]
    return removed
