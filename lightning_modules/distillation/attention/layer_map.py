"""Which layer of the teacher each layer of the student learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lightning_modules.base import ModelError

LayerMap = Literal["linear", "first", "last"] | list[tuple[int, int]]
"""How layers are paired, all counted from zero.

`linear`: every layer of the student with the teacher's layer at the same share of its depth, first with first
and last with last (as published). `first`: layer by layer from the input; `last`: layer by layer from the
output. Or the pairs themselves, student's layer first, which may leave layers out.
"""


def pair_layers(student_layers: int, teacher_layers: int, layer_map: LayerMap) -> list[tuple[int, int]]:
    """Pairs (student's layer, teacher's layer) of language models of so many layers.

    A student of one layer, which is both first and last, is paired with the teacher's last one.

    Raises:
        ModelError: a pair names a layer that one of the models does not have, or there is no pair.
    """
    if layer_map == "linear":
        return [(layer, _linear(layer, student_layers, teacher_layers)) for layer in range(student_layers)]
    if isinstance(layer_map, str):
        shift = teacher_layers - student_layers if layer_map == "last" else 0
        pairs = [(layer, layer + shift) for layer in range(student_layers)]
    else:
        pairs = [(student, teacher) for student, teacher in layer_map]
    _require_layers([student for student, _ in pairs], student_layers, "student", layer_map)
    _require_layers([teacher for _, teacher in pairs], teacher_layers, "teacher", layer_map)
    return pairs


def _linear(layer: int, student_layers: int, teacher_layers: int) -> int:
    """(T - 1) / (S - 1) * layer, to the nearest whole number, halves upwards, in whole numbers throughout."""
    if student_layers == 1:
        return teacher_layers - 1
    return (2 * (teacher_layers - 1) * layer + student_layers - 1) // (2 * (student_layers - 1))


def _require_layers(layers: Sequence[int], available: int, who: str, layer_map: LayerMap) -> None:
    if not layers:
        raise ModelError(
            "The layer map is an empty list: name pairs of layers, or say linear, first or last."
        )
    outside = [layer for layer in layers if not 0 <= layer < available]
    if outside:
        raise ModelError(
            f"The layer map {layer_map!r} asks for the {who}'s layer {outside[0]}, but the {who} has "
            f"{available} layers, 0 to {available - 1}: say linear, or list pairs (student's layer, "
            "teacher's layer) within that."
        )
