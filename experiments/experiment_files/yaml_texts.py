"""YAML as plain values: no tag makes an object, and no alias makes more of a text than stands in it."""

from __future__ import annotations

from typing import Any

import yaml

LARGEST = 100_000
"""How many values a text may stand for: with aliases of aliases, a KB can stand for more than any memory."""


def plain_values(text: str) -> Any:
    """What a text stands for.

    Raises:
        yaml.YAMLError: it is no YAML, has tags of other than plain values, or aliases that contain themselves
            or grow without end.
        ValueError: a number or a date in it is none.
        RecursionError: it is nested too deeply.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _size(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for; `known` has those of counted nodes, 0 of those being counted."""
    if id(node) not in known:
        known[id(node)] = 0
        within: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            within = node.value
        elif isinstance(node, yaml.MappingNode):
            within = [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_size(part, known) for part in within)
    size = known[id(node)]
    if not 0 < size <= LARGEST:
        raise yaml.constructor.ConstructorError(
            problem="an alias in it contains itself, or stands for more values than any file needs",
            problem_mark=node.start_mark,
        )
    return size
