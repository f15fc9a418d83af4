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
    the name is inherited, or null itself, null is a value like any other.

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
            inherited = [overlay for overlay in overlays if _at(overlay, place) is not None]
            for overlay in [*inherited, own] if inherited else []:
                _remove(overlay, place)
        overlays.append(own)
    return [overlay for overlay in overlays if overlay]


def _nulls(tree: Overlay, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The places of all nulls, as the keys that lead there."""
    for key, value in tree.items():
        if value is None:
            yield (*above, key)
        elif isinstance(value, dict):
            yield from _nulls(value, (*above, key))


def _at(tree: Any, place: Sequence[str]) -> Any:
    """What stands at a place; None where nothing does."""
    for key in place:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _remove(tree: Overlay, place: Sequence[str]) -> None:
    """Remove what stands at a place, and sections that are empty then."""
    key, *rest = place
    if rest:
        _remove(tree[key], rest)
    if not rest or not tree[key]:
        del tree[key]
