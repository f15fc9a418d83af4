"""Other last lines of a prompt: only the usual words of it are exchanged."""

from __future__ import annotations

from datamodules.samples import AnswerType
from experiments.audits.asking import _with_endings
from experiments.audits.passes import WORDINGS
from lightning_modules.vlm.prompt_template import ENDINGS, OTHER, REASONED, REASONING, Prompt


def test_reasoning_stays_and_so_does_what_has_no_usual_words() -> None:
    for words in WORDINGS:
        assert words.keys() == ENDINGS.keys()
        worded = _with_endings(REASONED, words)
        for form, usual in ENDINGS.items():
            assert (
                worded.ending_of(AnswerType(form)) == f"{words[form]} {REASONING}" != f"{usual} {REASONING}"
            )
        assert worded.ending_of(AnswerType.TEXT) == worded.ending_of(None) == REASONING
        assert worded.cue == REASONED.cue


def test_a_prompt_of_ones_own_keeps_all_else() -> None:
    prompt = Prompt(system="You see.", ending={"letter": f"Look! {ENDINGS['letter']}", OTHER: "Be brief."})
    worded = _with_endings(prompt, WORDINGS[0])
    assert worded.ending_of(AnswerType.LETTER) == f"Look! {WORDINGS[0]['letter']}"
    assert worded.ending_of(AnswerType.COUNT) == worded.ending_of(None) == "Be brief."
    assert worded.system == "You see."
