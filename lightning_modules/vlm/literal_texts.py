"""The texts of records, in which a model's special tokens (placeholders, ends of answers) are mere words."""

from __future__ import annotations

import re
from typing import Any

from lightning_modules.base import ModelError

_OPEN, _CLOSE = "\ue000", "\ue001"
"""Characters for private use, which no chat template trims or changes."""

_GUARDED = re.compile(f"{_OPEN}(\\d+){_CLOSE}")


class SpecialTokenInText(ModelError):
    """A text holds a special token, and the tokenizer can only take it for one."""


class LiteralTexts:
    """Guards special tokens in texts before a template is put around them, and writes them out as words.

    Texts without any go to the tokenizer as they are.

    Args:
        tokenizer: the model's tokenizer.
        image_token: what stands for an image in prompts.
    """

    def __init__(self, tokenizer: Any, image_token: str) -> None:
        self.tokenizer = tokenizer
        added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        # Longest first, so that of two tokens the one that begins like the other is found.
        names = sorted({*added, *tokenizer.all_special_tokens, image_token}, key=len, reverse=True)
        self._names = [*names, _OPEN]
        self._numbers = {name: number for number, name in enumerate(self._names)}
        self._special = re.compile("|".join(map(re.escape, self._names)))
        self._ids = set(tokenizer.convert_tokens_to_ids(names))

    def guard(self, text: str) -> str:
        """The text with a guard in the place of every special token."""
        return self._special.sub(lambda found: f"{_OPEN}{self._numbers[found[0]]}{_CLOSE}", text)

    def without(self, text: str) -> str:
        """A model's own text without the special tokens that it has spelt out in pieces.

        Nobody could correct it, as a record can be, where the tokenizer knows no way to write them as words.
        """
        return self._special.sub("", text)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text: special ones where they stand unguarded, words where they are guarded.

        Raises:
            SpecialTokenInText: the tokenizer knows no way to write a guarded one as words.
        """
        plain, *rest = _GUARDED.split(text)
        tokens = self._tokens(plain)
        for number, following in zip(rest[::2], rest[1::2], strict=True):
            tokens += [*self._written_out(self._names[int(number)]), *self._tokens(following)]
        return tokens

    def _tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def _written_out(self, name: str) -> list[int]:
        tokens = list(self.tokenizer(name, add_special_tokens=False, split_special_tokens=True)["input_ids"])
        if not tokens or self._ids & set(tokens):
            raise SpecialTokenInText(
                f"its texts contain {name}, which this model's tokenizer can only take for its own special "
                "token: take it out of the record."
            )
        return tokens
