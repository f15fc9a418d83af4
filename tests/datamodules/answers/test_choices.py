"""Reading letters out of text: a table of phrases, real outputs of a model, and what must stay unreadable."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.answers import read_choice


@pytest.mark.parametrize(
    ("text", "letters", "choices", "letter"),
    [
        ("B", "ABCD", (), "B"),
        ("b", "ABCD", (), "B"),
        ("(B)", "ABCD", (), "B"),
        ("(b)", "ABCD", (), "B"),
        ("[C]", "ABCD", (), "C"),
        ("B.", "ABCD", (), "B"),
        ("**B**", "ABCD", (), "B"),
        ("b) text", "ABCD", (), "B"),
        ("B) text", "ABCD", (), "B"),
        ("B. the chair", "ABCD", (), "B"),
        ("B: left", "ABCD", (), "B"),
        ("The answer is (B)", "ABCD", (), "B"),
        ("The answer is (B).", "ABCD", (), "B"),
        ("Answer: B", "ABCD", (), "B"),
        ("Answer: A\nHm, wait.\nAnswer: C", "ABCD", (), "C"),
        ("answer: b", "ABCD", (), "B"),
        ("Answer: a", "ABCD", (), "A"),
        ("the answer is a", "ABCD", (), None),
        ("the answer is a.", "ABCD", (), "A"),
        ("**Answer:** B", "ABCD", (), "B"),
        ("**Answer: B**", "ABCD", (), "B"),
        ("Answer:\n\nB", "ABCD", (), "B"),
        ("Final Answer: (D)", "ABCD", (), "D"),
        ("<answer>B</answer>", "ABCD", (), "B"),
        ("<think>It is (A) or (C).</think><answer>(C) left</answer>", "ABCD", (), "C"),
        ("<think>The answer is A</think>\nB", "ABCD", (), "B"),
        ("<answer>\nB", "ABCD", (), "B"),
        ("<answer></answer> The answer is B", "ABCD", (), "B"),
        ("\\boxed{B}", "ABCD", (), "B"),
        ("The answer is $\\boxed{\\text{C}}$.", "ABCD", (), "C"),
        ("\\boxed{(A)}", "ABCD", (), "A"),
        ("Based on the image, the answer is D", "ABCD", (), "D"),
        ("Based on the image, the answer is D.", "ABCD", (), "D"),
        ("The correct option is C.", "ABCD", (), "C"),
        ("I would choose B because it is closer.", "ABCD", (), "B"),
        ("I think it's D.", "ABCD", (), "D"),
        ("Option B", "ABCD", (), "B"),
        ("The correct choice is option (C).", "ABCD", (), "C"),
        ("A", "ABCD", (), "A"),
        ("A.", "ABCD", (), "A"),
        ("A dog", "ABCD", (), None),
        ("A dog is on the left.", "ABCD", (), None),
        ("a dog", "ABCD", (), None),
        ("Answer: A dog", "ABCD", (), None),
        ("The answer is A dog", "ABCD", (), None),
        ("The answer is a dog.", "ABCD", ("a cat", "a dog"), "B"),
        ("A dog", "AB", ("a cat", "a dog"), "B"),
        ("The", "ABCDEFGHIJKLMNOPQRST", (), None),
        ("The dog", "ABCDEFGHIJKLMNOPQRST", (), None),
        ("I think so", "ABCDEFGHIJ", (), None),
        ("I", "ABCDEFGHI", (), "I"),
        ("left", "AB", ("left", "right"), "A"),
        ("It is left of the chair.", "ABC", ("left", "left of the chair", "right"), "B"),
        ("Left", "AB", ("left of the chair", "left"), "B"),
        ("On the left side", "AB", ("left", "right"), "A"),
        ("left or right", "AB", ("left", "right"), None),
        ("It is not left", "AB", ("left", "right"), None),
        ("not left but right", "AB", ("left", "right"), "B"),
        ("upleft", "AB", ("left", "right"), None),
        ("E", "ABCD", (), None),
        ("(E)", "ABCD", (), None),
        ("The answer is E.", "ABCD", (), None),
        ("A or B", "ABCD", (), None),
        ("A and B", "ABCD", (), None),
        ("The answer is A or B.", "ABCD", (), None),
        ("(A) or (B)", "ABCD", (), None),
        ("A, B", "ABCD", (), None),
        ("A/B", "ABCD", (), None),
        ("AB", "ABCD", (), None),
        ("(A) left (B) right", "AB", ("left", "right"), None),
        ("A) left\nB) right", "AB", ("left", "right"), None),
        ("A. left B. right", "AB", ("left", "right"), None),
        ("None of the above", "ABCD", (), None),
        ("I cannot tell.", "ABCD", (), None),
        ("", "ABCD", (), None),
        ("...", "ABCD", (), None),
        ("The answer is not B.", "ABCD", (), None),
        ("It is not A, it is C.", "ABCD", (), "C"),
        ("(A) is incorrect; (B) is correct", "ABCD", (), "B"),
        ("Option A is wrong, so option B.", "ABCD", (), "B"),
        ("There are three organs.", "ABCD", ("3", "2", "1", "0"), "A"),
        ("3", "ABCD", ("3", "2", "1", "0"), "A"),
        ("13", "ABCD", ("3", "2", "1", "0"), None),
        ("3.5", "ABCD", ("3", "2", "1", "0"), None),
        ("2.7s", "ABCD", ("2.7s", "14.7s", "25.7s", "3.9s"), "A"),
        ("2.7 s", "ABCD", ("2.7s", "14.7s", "25.7s", "3.9s"), "A"),
        (
            "can not determine",
            "ABCD",
            ("can not determine", "Left rear", "can not determine", "Right rear"),
            None,
        ),
        ("Cannot determine", "AB", ("can not determine", "Left"), "A"),
        ("left rear", "ABCD", ("can not determine", "Left rear", "can not determine", "Right rear"), "B"),
        ("The desk is closer than the shelves.", "AB", ("desk", "shelves"), "A"),
        ("The desk is closer. The shelves are further away.", "AB", ("desk", "shelves"), "A"),
        ("I can't determine whether the desk is closer.", "AB", ("desk", "shelves"), None),
        ("B\n\nThe chair is on the left.", "AB", (), "B"),
        ("(B) left\n\nOption (A) would be wrong.", "AB", (), "B"),
        ("A left", "AB", ("left", "right"), "A"),
        ("A right", "AB", ("left", "right"), "B"),
        ("B - left", "AB", ("left", "right"), "B"),
        ("A: left, B: right", "AB", ("left", "right"), None),
        ("The T-shirt is red", "ABCDEFGHIJKLMNOPQRST", (), None),
        ("The answer is T-shirt", "ABCDEFGHIJKLMNOPQRST", (), None),
        ('{"answer": "B"}', "ABCD", (), "B"),
        ("\uff22", "ABCD", (), "B"),
        ("\uff08B\uff09", "ABCD", (), "B"),
        ("So the correct answer is:\n\n(D) 3", "ABCD", (), "D"),
        ("Therefore, (A) A is closer.", "AB", (), "A"),
        ("Therefore, B.", "ABCD", (), "B"),
        ("The answer is B, not A.", "ABCD", (), "B"),
        ("The answer is either A or C", "ABCD", (), None),
        ("The answer is A. No, the answer is B.", "ABCD", (), "B"),
        ("Let me think. A chair stands in front.\nB", "ABCD", (), "B"),
        ("The object is closer to B.", "ABCD", (), None),
        ("vitamin C", "ABCD", (), None),
        ("A is closer to the camera.", "AB", (), "A"),
        ("Answer: (B) left", "AB", ("left", "right"), "B"),
        ("answer B", "ABCD", (), "B"),
        ("Answer B.", "ABCD", (), "B"),
        ("My answer is C, because ...", "ABCD", (), "C"),
        ("The answer choices are (A) left and (B) right.", "AB", ("left", "right"), None),
        ("yes", "ABCD", ("no", "can not determine", "yes", "can not determine"), "C"),
        ("No, it does not.", "ABC", ("no", "maybe", "yes"), "A"),
        ("The chair", "AB", ("chair", "table"), "A"),
        ("the answer is: the table", "AB", ("chair", "table"), "B"),
        ("It is the one on the left", "AB", ("1", "2"), None),
        ("45°", "ABCD", ("45°", "90°", "45%", "135°"), "A"),
        ("D", "ABC", (), None),
        ("The correct answer is B) left.", "ABCD", (), "B"),
        ("Answer: B\n", "ABCD", (), "B"),
        ("Answer:B", "ABCD", (), "B"),
        ("answer is:B", "ABCD", (), "B"),
        ('The answer is "B".', "ABCD", (), "B"),
        ("I'd go with C", "ABCD", (), "C"),
        ("Choose (D).", "ABCD", (), "D"),
        ("The best answer is A because it is closer", "ABCD", (), "A"),
        ("Answer: A.", "ABCD", (), "A"),
        ("Answer: A, the chair", "ABCD", (), "A"),
        ("The answer is A: the chair", "ABCD", (), "A"),
        ("A: the chair", "ABCD", (), "A"),
        ("Answer: B dog", "AB", (), "B"),
        ("Both A and B are correct", "AB", (), None),
        ("B is correct", "AB", (), "B"),
        ("B is the correct answer.", "ABCD", (), "B"),
        ("B is right", "ABCD", (), "B"),
        ("A is right of B", "AB", (), None),
        ("The answer is A) the chair, because B) is wrong", "AB", (), "A"),
        ("Answer: X", "ABCD", (), None),
        ("Sure! The letter is C", "ABCD", (), "C"),
        ("The answer is left, since the chair is right of it.", "AB", ("left", "right"), "A"),
        ("The answer is left or right.", "AB", ("left", "right"), None),
        ("Left, because the chair is on the right.", "AB", ("left", "right"), "A"),
        ("Left. No, right.", "AB", ("left", "right"), None),
        ("Answer - B", "ABCD", (), "B"),
        ("Ans: B", "ABCD", (), "B"),
        ("Choice: C", "ABCD", (), "C"),
        ("I think the answer is b.", "ABCD", (), "B"),
        ("The answer is: Left rear", "AB", ("Left", "Left rear"), "B"),
        ("$5", "AB", ("$5", "$15"), "A"),
    ],
)
def test_phrases(text: str, letters: str, choices: Sequence[str], letter: str | None) -> None:
    assert read_choice(text, letters, choices) == letter


DIFFERENCES: dict[str, str] = {}
"""Real outputs that are read otherwise than their authors read them, with the reason. There are none."""


@pytest.mark.parametrize(
    ("file", "letters", "choices"),
    [
        ("Counting", "ABCD", ()),
        ("Relative_Depth", "AB", ()),
        ("Relative_Depth", "AB", ("A is closer", "B is closer")),
    ],
)
def test_real_outputs_are_read_as_their_authors_read_them(
    shared_data: Path, file: str, letters: str, choices: Sequence[str]
) -> None:
    """Both splits: 120 and 124 answers each; "(Z)" is the authors' mark for unreadable."""
    parts = json.loads((shared_data / "answers" / f"blink_gpt4v_{file}.json").read_text())
    for row in (row for part in ("val", "test") for row in parts[part]):
        authors = None if row["prediction"] == "(Z)" else row["prediction"].strip("()")
        same = read_choice(row["full_prediction"], letters, choices) == authors
        assert same != (row["idx"] in DIFFERENCES), row


LETTERS_AS_CHOICES = {("C", "B", "D", "Fire Extinguisher"), ("can not determine", "B", "C", "A")} | {
    ("R", "D", "can not determine", "can not determine")
}
"""Real questions in which a choice's text is the letter of another choice: the letter is read."""


@pytest.mark.parametrize(
    "frame",
    [
        "{}",
        "{}.",
        "The answer is {}.",
        "Answer: {}",
        "<answer>{}</answer>",
        "So the answer is: {}",
        "I think it is {}.",
    ],
)
def test_every_choice_of_the_real_questions_is_read_back(shared_data: Path, frame: str) -> None:
    rows = json.loads((shared_data / "omni_spatial" / "data.json").read_text())
    for options in (row["options"] for row in rows[len(frame) % 3 :: 3]):
        texts = [option.strip().lower() for option in options]
        letters = "ABCD"[: len(options)]
        for letter, option, text in zip(letters, options, texts, strict=True):
            expected = letter if texts.count(text) == 1 else None
            if option in letters and tuple(options) in LETTERS_AS_CHOICES:
                expected = option
            assert read_choice(frame.format(option), letters, options) == expected, (frame, options)
            assert read_choice(frame.format(f"({letter}) {option}"), letters, options) == letter


FRAMES = (
    "{}", "{}.", "({})", "[{}]", "({}).", "{})", "**{}**", '"{}"', "Option {}", "Answer: {}", "Answer: ({})",
    "**Answer:** {}", "answer: {}.", "The answer is {}.", "The answer is ({}).",
    "The correct answer is:\n\n({}) 3",
    "The correct option is {}.", "Final answer: {}", "<answer>{}</answer>", "<answer>({}) left</answer>",
    "<think>It may be (A) or (B).</think><answer>{}</answer>", "<think>Perhaps (C).</think>\n{}",
    "\\boxed{{{}}}", "$\\boxed{{\\text{{{}}}}}$", "({}) the chair",
    "{}) the chair", "{}. the chair", "{}: the chair",
    "Based on the image, the answer is {}.", "A chair stands in front of the table. So the answer is ({}).",
    "I would choose ({}).", "Therefore, ({}).", "({}) is correct.", "There are ({}) 3 chairs.",
    "Let me think.\n{}", "Answer: A\nNo, I was wrong.\nAnswer: {}", '{{"answer": "{}"}}',
)  # fmt: skip
LOWER_CASE_FRAMES = ("{}", "({})", "{})", "{}.", "Answer: {}", "the answer is ({})", "<answer>{}</answer>")


@given(st.sampled_from("ABCDEF"), st.sampled_from(FRAMES))
def test_any_letter_in_any_frame_is_read_back(letter: str, frame: str) -> None:
    text = frame.format(letter)
    assert read_choice(text, "ABCDEF") == letter
    assert read_choice(text, "ABCDEF", ["lamp", "bed", "desk", "sofa", "bath", "door"]) == letter
    unknown = "ABCDEF".replace(letter, "")
    assert read_choice(text, unknown) is None or frame.startswith(("Answer: A", "<think>"))


@given(st.sampled_from("abcdef"), st.sampled_from(LOWER_CASE_FRAMES))
def test_small_letters_where_no_word_can_be_meant(letter: str, frame: str) -> None:
    assert read_choice(frame.format(letter), "ABCDEF") == letter.upper()


WORDS = [
    "a",
    "A",
    "the",
    "The",
    "dog",
    "is",
    "on",
    "I",
    "think",
    "T-shirt",
    "12",
    "stands",
    "near",
    "an",
    "big",
    "\n",
    ".",
]


@given(st.lists(st.sampled_from(WORDS), min_size=2, max_size=12).map(" ".join))
def test_words_without_letters_and_choices_are_unreadable(text: str) -> None:
    if text.rstrip(" .\n").endswith((" A", " I")) or text.strip(" .\n").lower() in ("a", "i"):
        return  # a lone letter, perhaps on a line of its own
    lines = text.replace(".", ".\n").split("\n")
    if any(f" {line}".rstrip(" .").endswith((" a", " A", " I")) for line in lines):
        return
    assert read_choice(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") is None
    assert read_choice(text, "AB", ["left", "right"]) is None


CHOICE = st.lists(
    st.sampled_from(["left", "right", "of", "red", "chair", "3", "two", "front"]), min_size=1, max_size=4
)
CHOICES = st.lists(CHOICE.map(" ".join), min_size=2, max_size=6, unique=True)


@given(CHOICES, st.data())
def test_the_text_of_a_choice_is_read_even_where_it_holds_another(
    choices: list[str], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(choices) - 1))
    for frame in ("{}", "The {}.", "<answer>{}</answer>", "The answer is: {}"):
        assert read_choice(frame.format(choices[index]), "ABCDEF", choices) == "ABCDEF"[index]


@given(st.text(max_size=80), st.sampled_from(["", "AB", "ABCD"]), st.lists(st.text(max_size=8), max_size=4))
def test_no_text_breaks_the_reader(text: str, letters: str, choices: list[str]) -> None:
    assert read_choice(text, letters, choices) in (None, *letters)


@pytest.mark.parametrize(
    "piece",
    [
        "the answer is ",
        "(A) or ",
        "left ",
        "A is ",
        "not ",
        "Point A, which ",
        "I think ",
        "<answer>",
        "\\boxed{",
        ": ",
    ],
)
def test_a_model_that_repeats_itself_costs_no_time(piece: str) -> None:
    started = time.perf_counter()
    read_choice(piece * (8000 // len(piece)), "ABCD", ("left", "right", "left of", "in front"))
    assert time.perf_counter() - started < 5  # milliseconds alone on a machine
