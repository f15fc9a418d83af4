"""The stages of an answer, and the clock that divides the time of answering among them.

The boundaries are seen by hooks on the module's own parts, so that nothing of answering is done otherwise
than in a test. At each of them the accelerator is waited for: it works through what it was told while the
program goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lightning_modules.answering_parts import AnsweringParts

DECODE, PREPROCESS, VISION, PREFILL, DECODING = "decode", "preprocess", "vision", "prefill", "decoding"
ANSWER = "answer"
END_TO_END = "end_to_end"

DIVIDED = (DECODE, PREPROCESS, VISION, PREFILL, DECODING)
"""The stages of a module that tells its parts; their times add up to the time from end to end."""

UNDIVIDED = (DECODE, PREPROCESS, ANSWER)
"""The stages of any other module."""

MEANINGS = {
    DECODE: "taking up the record, the run's views, and opening its image files",
    PREPROCESS: "the collator (resizing images, making tokens) and the copy to the device",
    VISION: "vision tower and connector",
    PREFILL: "from the beginning of the answer to the end of the language model's first call, without vision",
    DECODING: "the rest of the answer: further tokens, candidates, reading the text",
    ANSWER: "the whole answer: the module does not say which parts it answers with",
}


def now(device: torch.device) -> float:
    """The wall clock in seconds, once a device has done all that it was told; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


class AnswerClock:
    """Divides the time of one answer after the other, while `watching`.

    Args:
        parts: the parts of the module that answers; None for one that does not tell.
        device: where it computes.

    Attributes:
        reads: how many tokens each call of the language model has read since `begin`.
    """

    def __init__(self, parts: AnsweringParts | None, device: torch.device) -> None:
        self.parts = parts
        self.device = device
        self.begin()

    def begin(self) -> None:
        """Forget the answer before."""
        self.reads: list[int] = []
        self._first_read: float | None = None
        self._vision = {"before": 0.0, "after": 0.0}
        self._depth = 0
        self._since = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hooks on the parts, which are gone afterwards."""
        hooks: list[Any] = []
        try:
            if self.parts is not None:
                for part in self.parts.vision:
                    # The outermost hooks: what others have hooked to a part is a part of it.
                    hooks.append(part.register_forward_pre_hook(self._enter_vision, prepend=True))
                    hooks.append(part.register_forward_hook(self._leave_vision))
                model = self.parts.language_model
                hooks.append(model.register_forward_pre_hook(self._read, prepend=True, with_kwargs=True))
                hooks.append(model.register_forward_hook(self._has_read))
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def divided(self, began: float, ended: float) -> dict[str, float]:
        """The time of an answer by its stages, in seconds.

        Args:
            began: when it began.
            ended: when it was there.
        """
        if self.parts is None:
            return {ANSWER: ended - began}
        # Without any call of the language model all is done before the first.
        read = ended if self._first_read is None else self._first_read
        before, after = self._vision["before"], self._vision["after"]
        return {
            VISION: before + after,
            PREFILL: read - began - before,
            DECODING: ended - read - after,
        }

    def _enter_vision(self, module: nn.Module, inputs: Any) -> None:
        if self._depth == 0:
            self._since = now(self.device)
        self._depth += 1

    def _leave_vision(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._depth -= 1
        # A part within another one (Qwen2.5-VL's connector within its vision tower) counts with that.
        if self._depth == 0:
            side = "before" if self._first_read is None else "after"
            self._vision[side] += now(self.device) - self._since

    def _read(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        places = (named.get("inputs_embeds"), named.get("input_ids"), *inputs)
        tokens = next((tensor for tensor in places if isinstance(tensor, torch.Tensor)), None)
        self.reads.append(0 if tokens is None else tokens.shape[1])

    def _has_read(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self._first_read is None:
            self._first_read = now(self.device)
