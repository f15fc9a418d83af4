"""What a module answers with, part by part, for whoever measures what an answer costs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class AnsweringParts:
    """The parts of a module whose calls divide the time of an answer.

    Attributes:
        vision: what makes tokens of images: vision towers and connectors. One may lie within another one.
        language_model: what reads the tokens and writes; an answer's first call of it reads the prompt.
    """

    vision: tuple[nn.Module, ...]
    language_model: nn.Module


@dataclass(frozen=True)
class PromptTokens:
    """How many tokens a question takes, all together and those that stand for its images."""

    total: int
    image: int
