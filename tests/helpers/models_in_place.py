"""Tiny random models in place of published ones, each of them made once."""

from __future__ import annotations

import copy
from typing import Any

from lightning_modules.vlm.loading import LoadedVlm, load_vlm

LOADED: dict[str, LoadedVlm] = {}


def load_a_tiny_model(model: str, random_weights: bool = False, **options: Any) -> LoadedVlm:
    """The tiny random model in place of the published one; most files want one that another wants, too."""
    wanted = repr((model, sorted(options.items())))
    if wanted not in LOADED:
        LOADED[wanted] = load_vlm(model, True, **options)
    return copy.deepcopy(LOADED[wanted])
