"""Answering by ranking after a reasoning: the model's own text, a cue, and how likely each answer is there.

No answer is read out of the text, so that none is unreadable: a reasoning that the limit has cut off is
closed by the cue like any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from lightning_modules.vlm.collator import VlmCollator
from lightning_modules.vlm.conversation import Conversation
from lightning_modules.vlm.prompt_template import ANSWER
from lightning_modules.vlm.prompts import END_OF_THOUGHT, THOUGHT
from lightning_modules.vlm.ranking import rank_candidates

_CUT_OFF = "\ufffd"
"""What a character becomes of which only the first bytes were written."""


class Cue:
    """What leads from a model's own reasoning to its answer.

    A reasoning that stands between tags is closed as it is learnt: reasoning, cue and true answer are then
    the very text that a rationale is trained on.

    Args:
        template: the cue, in which `{answer}` stands for the answer.

    Attributes:
        before: what stands before the answer.
        behind: what stands behind it, if anything.
    """

    def __init__(self, template: str) -> None:
        self.before, _, self.behind = template.partition(ANSWER)
        # At the end of a text, at the start of a line or sentence: elsewhere the reasoning only speaks of it.
        lead = re.escape(self.before.strip())
        self._own = re.compile(rf"(?:^[ \t*#>_]*|(?<=[.!?])\s+){lead}[^\n]*\Z", re.IGNORECASE | re.MULTILINE)

    def after(self, text: str) -> str:
        """The reasoning of a text, closed, with the cue behind it: all that stands before an answer.

        The reasoning ends where its tag is closed, else before a cue that the text itself ends with, else
        with the text. A character that the limit has cut in two is left out.

        Args:
            text: what the model wrote, without special tokens; an answer stated behind the reasoning is not
                looked at.
        """
        reasoning, closed, _ = text.strip().partition(END_OF_THOUGHT)
        if not closed and self.before.strip():
            reasoning = self._own.sub("", reasoning)
        reasoning = reasoning.rstrip(_CUT_OFF).rstrip()
        if not reasoning:
            return self.before
        if closed or THOUGHT in reasoning:
            reasoning += f"\n{END_OF_THOUGHT}"
        return f"{reasoning}\n{self.before}"


def rank_after(
    model: Any,
    collator: VlmCollator,
    prompt: Mapping[str, Tensor],
    texts: Sequence[str],
    answers: Sequence[Sequence[str]],
    behind: str = "",
    names: Sequence[str] = (),
) -> list[list[float]]:
    """The log-likelihood of every possible answer behind a prompt and a text.

    Text and answer are tokenised in one piece, as they are where they are learnt: what all answers of a
    question begin with in tokens is read with the prompt, and only the rest is weighed. As everywhere in
    ranking, prompts about one image are read once up to where they part.

    Args:
        model: a vision-language model of transformers, with or without an adapter around it; in evaluation
            mode.
        collator: the one that made the prompts.
        prompt: the inputs of a batch, padded on the left.
        texts: what stands between each prompt and its answer.
        answers: for each question, its possible answers.
        behind: what stands behind an answer; the token that ends one, when left out.
        names: the questions' ids, for messages.

    Returns:
        for each question, one number for each of its answers.

    Raises:
        ModelError: as `rank_candidates` does.
    """
    read, candidates = [], []
    for text, several in zip(texts, answers, strict=True):
        before, rests = _parted(collator.conversation, text, several, behind)
        read.append(before)
        candidates.append(rests)
    return rank_candidates(model, collator.continued(prompt, read), candidates, names)


def _parted(
    conversation: Conversation, text: str, answers: Sequence[str], behind: str
) -> tuple[list[int], list[list[int]]]:
    """The tokens that a text with each of its answers begins with, and those that each goes on with."""
    rows = conversation.encode_candidates(answers, conversation.texts.without(text), behind)
    shared = 0
    # Of each answer at least one token is left to be weighed.
    while all(shared < len(row) - 1 and row[shared] == rows[0][shared] for row in rows):
        shared += 1
    return rows[0][:shared], [row[shared:] for row in rows]
