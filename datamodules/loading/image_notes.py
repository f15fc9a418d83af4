"""What happened to images on their way to the model, noted once an image, over all processes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch.distributed


@dataclass
class ImageNotes:
    """By the names of images: what was done to them, and why.

    Attributes:
        scaled: they were too large for the model's window.
        padded: their sides were too unequal for the model.
        skipped: they could not be read.
    """

    scaled: dict[str, str] = field(default_factory=dict)
    padded: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, batch: Mapping[str, Any]) -> None:
        """Note what a batch says under "scaled", "padded" and "skipped".

        Every image that cannot be read is named in a warning, since something is wrong with it. Of those that
        are scaled or padded, which may be all, only the first one is.
        """
        for name, reason in batch.get("skipped", {}).items():
            if name not in self.skipped:
                self.skipped[name] = reason
                warnings.warn(f"Passing over an image that cannot be read. {reason}", stacklevel=2)
        for kind, noted in (("scaled", self.scaled), ("padded", self.padded)):
            found: Mapping[str, str] = batch.get(kind, {})
            if found and not noted:
                first = next(iter(found.values()))
                warnings.warn(
                    f"{first} Further ones are only counted (`images` in results.json).", stacklevel=2
                )
            noted.update({name: reason for name, reason in found.items() if name not in noted})

    def share(self) -> None:
        """Give every process what all of them have noted; all of them have to call this."""
        if not torch.distributed.is_available() or not torch.distributed.is_initialized():
            return
        everyone: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(everyone, (self.scaled, self.padded, self.skipped))
        for scaled, padded, skipped in everyone:
            self.scaled |= scaled
            self.padded |= padded
            self.skipped |= skipped

    def counts(self) -> dict[str, int]:
        """How many images were scaled, padded and skipped."""
        return {"scaled": len(self.scaled), "padded": len(self.padded), "skipped": len(self.skipped)}
