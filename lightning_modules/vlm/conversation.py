"""How one model writes a conversation down, and how it ends an answer; asked of its own processor."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from lightning_modules.base import ModelError
from lightning_modules.vlm.families import Family
from lightning_modules.vlm.literal_texts import LiteralTexts
from lightning_modules.vlm.prompts import Turn

_PROBE = "X"


class Conversation:
    """Writes prompts and answers in the form a model was trained on.

    Args:
        processor: the model's processor.
        family: the model's family.
        response_template: what stands between a prompt and the answer's text, where it shall not be the
            model's own.
        system: what the system says before the conversation; "" for what the model's own template says.

    Attributes:
        response_template: what stands between a prompt and the answer's text: a space for SmolVLM.
        end: the token that ends an answer, as text.
        end_id: the number of that token.

    Raises:
        ModelError: the processor lacks a chat template, its template does not say how an answer ends, or it
            knows no system.
    """

    def __init__(
        self, processor: Any, family: Family, response_template: str | None = None, system: str = ""
    ) -> None:
        self.processor = processor
        self.family = family
        self.system = system
        if system and not family.chat:
            raise ModelError(
                f"{family.name} models know no system's words: leave prompt.system out, or put them into "
                "prompt.question."
            )
        self.texts = LiteralTexts(processor.tokenizer, processor.image_token)
        own, end = self._frame() if family.chat else ("", processor.tokenizer.eos_token)
        self.response_template: str = own if response_template is None else response_template
        self.end: str = end
        self.end_id = processor.tokenizer.convert_tokens_to_ids(self.end)

    def prompt(self, turns: Sequence[Turn]) -> str:
        """The text up to where the answer begins, with one placeholder for each image.

        Where there are several images, each has the family's label before it, numbered through all turns.
        Special tokens in the texts of the turns are guarded: `encode` takes them literally.
        """
        guard = self.texts.guard
        turns = [
            Turn(turn.images, guard(turn.text), None if turn.reply is None else guard(turn.reply))
            for turn in turns
        ]
        count = sum(len(turn.images) for turn in turns)
        if self.family.chat:
            label = self.family.image_label if count > 1 else ""
            return self._render(_messages(turns, guard(self.system), label), True)
        images = self.processor.image_token * count
        prefix = self.family.question_prefix
        texts = [text for turn in turns for text in (prefix + turn.text, turn.reply) if text is not None]
        return f"{images}{self.processor.tokenizer.bos_token}" + "".join(f"{text}\n" for text in texts)

    def encode_answer(self, text: str) -> list[int]:
        """The tokens of an answer that follows a prompt, with the token that ends it."""
        return [*self.encode_candidate(text), self.end_id]

    def encode_candidate(self, text: str) -> list[int]:
        """The tokens of an answer without its end; special tokens in it are taken literally."""
        return self.encode(self.response_template + self.texts.guard(text))

    def encode_candidates(self, texts: Sequence[str], before: str = "", behind: str = "") -> list[list[int]]:
        """The tokens of several answers among which one is to be chosen.

        They are those of a trained answer without its end, unless one of them is the beginning of another one
        (region 1 and 12), or reads on into what is written behind it: then all have their end.

        Args:
            texts: the answers.
            before: what is written before each of them, which is read in one piece with it.
            behind: what is written behind each of them; the token that ends an answer, when left out.
        """
        bare = [self.encode_candidate(before + text) for text in texts]
        if behind:
            ended = [self.encode_candidate(before + text + behind) for text in texts]
        else:
            ended = [[*row, self.end_id] for row in bare]
        reads_on = any(whole[: len(row)] != row for row, whole in zip(bare, ended, strict=True))
        begins_another = any(a is not b and b[: len(a)] == a for a in bare for b in bare)
        return ended if reads_on or begins_another else bare

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, special tokens only where they stand in it unguarded.

        Raises:
            SpecialTokenInText: a guarded one cannot be taken literally.
        """
        return self.texts.encode(text)

    def _frame(self) -> tuple[str, str]:
        """What the chat template writes before and right after the text of an answer."""
        question = Turn((), "?")
        prompt = self._render(_messages([question]), True)
        whole = self._render(_messages([Turn((), "?", _PROBE)]), False)
        before, found, after = whole.removeprefix(prompt).partition(_PROBE)
        tokens = self.encode(after)
        if not whole.startswith(prompt) or not found or not tokens:
            raise ModelError(
                f"The chat template of this {self.family.name} model does not write an answer after its "
                "prompt and an end after the answer, so nothing can be learnt with it. Take a model with the "
                "template of its family."
            )
        return before, self.processor.tokenizer.convert_ids_to_tokens(tokens[0])

    def _render(self, messages: list[dict[str, Any]], prompt: bool) -> str:
        try:
            return self.processor.apply_chat_template(messages, add_generation_prompt=prompt, tokenize=False)
        except ValueError as error:
            raise ModelError(
                f"The processor of this {self.family.name} model has no chat template: {error} Take the "
                "instruction-tuned model, or add chat_template.jinja to its folder."
            ) from error


def _messages(turns: Sequence[Turn], system: str = "", label: str = "") -> list[dict[str, Any]]:
    """The conversation as chat templates take it; `label` stands before each image, with its number in it."""
    messages: list[dict[str, Any]] = []
    numbers = itertools.count(1)
    if system:
        messages.append({"role": "system", "content": [{"type": "text", "text": system}]})
    for turn in turns:
        content: list[dict[str, str]] = []
        for _ in turn.images:
            if label:
                content.append({"type": "text", "text": label.format(number=next(numbers))})
            content.append({"type": "image"})
        content.append({"type": "text", "text": turn.text})
        messages.append({"role": "user", "content": content})
        if turn.reply is not None:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": turn.reply}]})
    return messages
