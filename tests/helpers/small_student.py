"""The settings of a small student that reasons before it answers."""

from __future__ import annotations

from typing import Any

from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.tiny_models import TinySize

SIZE = TinySize(width=64, layers=2, vision_layers=1)
STUDENT: dict[str, Any] = {
    "model": "smolvlm_500m",
    "random_weights": True,
    "tiny_size": SIZE,
    "adapter": AdapterConfig(dropout=0.0),
    "rationale": True,
    "answering": "generate",
}
