"""The words of questions: settings, a benchmark's own words, files; the same for all who ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.samples import AnswerType, SpatialSample
from lightning_modules.base import ModelError
from lightning_modules.distillation.teachers.live import LiveTeacher, Teacher
from lightning_modules.distillation.teachers.output_keys import output_key
from lightning_modules.vlm.collator import VlmCollator
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.model_card import write_card
from lightning_modules.vlm.prompt_template import Prompt
from lightning_modules.vlm.prompts import question_text
from lightning_modules.vlm.sft import PeftSft
from lightning_modules.vlm.tiny_models import TinySize
from tests.helpers.sample_questions import letter_question
from tests.helpers.small_models import tiny_model

OWN = "Which is closer?  Select from these.\n(A) the red chair\n(B) the lamp"
SIZE = TinySize(width=64, layers=2, vision_layers=2)


def drawn() -> SpatialSample:
    return letter_question(choices=(), answer="D")


@pytest.mark.parametrize(
    ("words", "sample", "expected"),
    [
        (
            {"question": "Question: {question}", "options": "{letter}. {choice}", "ending": "Letter?"},
            letter_question(),
            "Question: Which object is closer to the camera?\nA. the red chair\nB. the zürich lamp\n"
            "C. the box\nLetter?",
        ),
        (
            {"question": "Look.\n{options}\nNow: {question}", "ending": ""},
            letter_question(),
            "Look.\n(A) the red chair\n(B) the zürich lamp\n(C) the box\n"
            "Now: Which object is closer to the camera?",
        ),
        ({"question": "{prompt}", "ending": "Go."}, letter_question(prompt=OWN), f"{OWN}\nGo."),
        (
            {"question": "{prompt}", "ending": "Go."},
            letter_question(),
            "Which object is closer to the camera?\n(A) the red chair\n(B) the zürich lamp\n(C) the box\nGo.",
        ),
        (
            {"question": "{question}", "ending": {"letter": "Letter.", "other": "Words."}},
            letter_question(prompt=OWN, choices=()),
            "Which object is closer to the camera?\nLetter.",
        ),
        ({"ending": {"other": "Words."}}, drawn(), "Which object is closer to the camera?\nWords."),
        ({"ending": {"count": "Count."}}, drawn(), "Which object is closer to the camera?"),
    ],
)
def test_words_by_hand(words: dict[str, Any], sample: SpatialSample, expected: str) -> None:
    assert question_text(sample, prompt=Prompt(**words)) == expected


@given(st.text("{question}optionspromptletterchoice \n", max_size=40), st.text("{}letterchoice", min_size=1))
def test_what_is_filled_in_is_not_taken_for_a_place(question: str, choice: str) -> None:
    text = Prompt(question="A {question} B", ending="").text(question, (("A", choice),))
    assert text == f"A {question} B\n(A) {choice}"


def test_a_file_holds_a_benchmarks_words_to_the_letter(tmp_path: Path) -> None:
    """Braces that are no places stand in such words; question and choices follow after an empty line."""
    file = tmp_path / "words.txt"
    file.write_bytes("\nThink. X ∈ {A, B}:\r\nAnswer: X\n".encode())
    prompt = Prompt(file=str(file), options="{letter}. {choice}", ending="not used", system="Look.")
    assert question_text(letter_question(), prompt=prompt) == (
        "\nThink. X ∈ {A, B}:\r\nAnswer: X\n\n\nWhich object is closer to the camera?\n"
        "A. the red chair\nB. the zürich lamp\nC. the box"
    )
    assert prompt.system == "Look."
    origin = prompt.origin
    assert origin is not None and origin.startswith(str(file))
    file.write_text("Before {question} behind {options}!")
    other = Prompt(file=str(file), options="{letter}: {choice}")
    assert question_text(letter_question(choices=("x", "y")), prompt=other) == (
        "Before Which object is closer to the camera? behind A: x\nB: y!"
    )
    assert other.origin != origin
    assert Prompt().origin is None


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        ({"question": "Which?"}, "prompt.question is 'Which\\?', which leaves the question out"),
        ({"options": "{choice}"}, "prompt.options is .* leaves the letter out"),
        ({"ending": {"colour": "Say it."}}, "form of answer 'colour'; known are letter, region"),
        ({"file": "no such file.txt"}, "prompt.file: no such file.txt cannot be read. There is no such file"),
    ],
)
def test_words_that_cannot_ask_are_refused(words: dict[str, Any], pattern: str) -> None:
    with pytest.raises(ModelError, match=pattern):
        Prompt(**words)


@pytest.mark.parametrize(("content", "pattern"), [(b" \n", "is empty"), (b"\xff\xfe\x00w", "cannot be read")])
def test_files_without_words_are_refused(tmp_path: Path, content: bytes, pattern: str) -> None:
    (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(ModelError, match=pattern):
        Prompt(file=str(tmp_path / "words.txt"))


PROMPT = Prompt(
    system="You look closely.", question="Q: {prompt}", options="{letter}) {choice}", ending="Now."
)


@pytest.mark.parametrize("family", ["smolvlm", "qwen2_5_vl", "internvl", "composed"])
def test_the_model_reads_the_words_and_its_system(family: str) -> None:
    _, processor = tiny_model(family)
    collator = VlmCollator(processor, FAMILIES[family], with_labels=False, prompt=PROMPT)
    batch = collator([letter_question(prompt=OWN)])
    read = processor.tokenizer.decode(batch["prompt"]["input_ids"][0])
    assert read.index("You look closely.") < read.index(f"Q: {OWN}\nNow.")
    assert "helpful assistant" not in read, "its own system's words would stand beside these"
    assert batch["asked"] == [f"You look closely.\nQ: {OWN}\nNow."]


def test_a_model_without_a_system_says_so() -> None:
    _, processor = tiny_model("paligemma")
    with pytest.raises(ModelError, match="paligemma models know no system's words"):
        VlmCollator(processor, FAMILIES["paligemma"], with_labels=False, prompt=PROMPT)
    words = Prompt(question="look: {question}", ending="")
    batch = VlmCollator(processor, FAMILIES["paligemma"], with_labels=False, prompt=words)([drawn()])
    assert "answer en look: Which object" in processor.tokenizer.decode(batch["prompt"]["input_ids"][0])


@pytest.mark.parametrize("model", ["smolvlm_500m", "qwen2_5_vl_3b"], ids=["one reading", "two readings"])
def test_a_teacher_is_asked_as_its_student_is(model: str) -> None:
    """In its own chat template and family, with the student's words."""
    student = PeftSft("smolvlm_500m", random_weights=True, tiny_size=SIZE, prompt=PROMPT)
    student.response_template = None if model == "smolvlm_500m" else ""
    reader = student.vlm_collator(with_labels=True)
    teacher = LiveTeacher(Teacher(model, random_weights=True, tiny_size=SIZE), reader)
    sample = letter_question(prompt=OWN)
    batch = teacher.collator(reader)([sample])
    asked = batch["prompt"] if teacher.same_tokenization else batch["teacher_prompt"]
    tokenizer = teacher._collator.processor.tokenizer
    assert PROMPT.text("", (), None, OWN) in tokenizer.decode(asked["input_ids"][0])
    assert "You look closely." in tokenizer.decode(asked["input_ids"][0])


def test_cached_words_of_a_teacher_are_found_by_the_prompt() -> None:
    sample = letter_question(prompt=OWN)
    prompts = [
        Prompt(),
        Prompt(system="Look."),
        Prompt(question="{prompt}"),
        Prompt(question="Q: {question}"),
        Prompt(options="{letter}. {choice}"),
        Prompt(ending="Go."),
    ]
    keys = {output_key(sample, False, prompt=prompt) for prompt in prompts}
    assert len(keys) == len(prompts)
    assert output_key(sample, False, prompt=Prompt()) == output_key(sample, False)


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(),
        PROMPT,
        Prompt(question="{options}\n'{question}'", ending={"letter": 'Say "A".', "other": "Say {it}."}),
        None,
    ],
)
def test_the_readme_writes_the_same_words(tmp_path: Path, prompt: Prompt | None) -> None:
    (tmp_path / "words.txt").write_text("Look.")
    prompt = prompt or Prompt(file=str(tmp_path / "words.txt"))
    model, processor = tiny_model("smolvlm")
    write_card(tmp_path, "model", "A model.", model, FAMILIES["smolvlm"], processor=processor, prompt=prompt)
    code = (tmp_path / "README.md").read_text().partition("def worded")[2].partition("def ask")[0]
    made: dict[str, Any] = {}
    exec(f"import re\ndef worded{code}", made)

    @settings(deadline=None, max_examples=40)
    @given(
        st.text(max_size=9),
        st.lists(st.text("ab' \"", max_size=4), max_size=4),
        st.sampled_from([*AnswerType, None]),
    )
    def same(question: str, choices: list[str], form: AnswerType | None) -> None:
        lettered = tuple(zip("ABCD", choices, strict=False))
        assert made["worded"](question, choices, form or "") == prompt.text(question, lettered, form)
        assert made["worded"](question, choices, form or "", OWN) == prompt.text(
            question, lettered, form, OWN
        )

    same()
    assert (prompt.system in (tmp_path / "README.md").read_text()) or not prompt.system
