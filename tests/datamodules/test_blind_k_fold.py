"""Predictors of words alone: what they find where it is planted, and that no held-out answer is read."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from datamodules.omni_spatial import read_rows
from datamodules.samples import AnswerType
from datamodules.scoring.answer_bias import ladder
from datamodules.scoring.choice_metrics import OmniSpatialMetric
from datamodules.scoring.possible_answers import DISTANCES, possible_answers
from datamodules.scoring.words_baseline import WordsAlone
from datamodules.statistics.blind_k_fold import PREDICTORS, TooFewQuestions, _folds, blind_k_fold
from datamodules.statistics.blind_predictors import SMOOTHING, NaiveBayes, TextQuestion, Texts
from experiments.commands.bias import main
from tests.helpers.scenes import questions
from tests.helpers.track3_files import record

COLOURS = ("red", "green", "blue", "grey")


def made(count: int, planted: str, seed: int = 0) -> tuple[list[TextQuestion], np.ndarray, np.ndarray]:
    """Questions with four choices in random order, and the right ones.

    What gives the answer away: a word of the right choice, a word of the question that tells which is right,
    the picture's own name (two questions a picture), or nothing.
    """
    random = np.random.default_rng(seed)
    texts, answers = [], []
    for number in range(count):
        order = random.permutation(4)
        choices = [COLOURS[place] for place in order]
        right = int(random.integers(4))
        text = f"which colour has thing {random.integers(40)}"
        if planted == "choice":
            right = choices.index("blue")
        if planted == "question":
            right = choices.index(COLOURS[number % 4])
            text = f"which colour has the {('apple', 'leaf', 'sky', 'stone')[number % 4]}"
        if planted == "picture":
            right = choices.index(COLOURS[(number // 2 * 7 + number // 2 // 5) % 4])
            text = f"which colour has picture{number // 2}"
        texts.append(TextQuestion(text, tuple(choices), "colour"))
        answers.append(right)
    return texts, np.array(answers), np.arange(count) // 2


def share_right(found: np.ndarray, answers: np.ndarray) -> float:
    return float((found == answers).mean())


def test_a_word_of_the_right_choice_is_found() -> None:
    texts, answers, groups = made(200, "choice")
    assert share_right(blind_k_fold(texts, answers, groups, [0]).chosen, answers) == 1.0


def test_a_word_of_the_question_is_found_by_neighbours() -> None:
    texts, answers, groups = made(200, "question")
    found = blind_k_fold(texts, answers, groups, [0])
    assert share_right(found.chosen, answers) == 1.0
    assert found.by["vote of neighbours"] == 5


def test_where_nothing_is_planted_nothing_is_found() -> None:
    texts, answers, groups = made(600, "nothing")
    share = share_right(blind_k_fold(texts, answers, groups, range(3)).chosen, answers)
    assert abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 600)


def test_what_a_picture_gives_away_is_found_only_where_its_questions_are_apart() -> None:
    texts, answers, groups = made(300, "picture")
    apart = share_right(blind_k_fold(texts, answers, np.arange(300), [0]).chosen, answers)
    together = share_right(blind_k_fold(texts, answers, groups, [0]).chosen, answers)
    assert apart > 0.8 and together < 0.45, "a colour is right in 40 of 100 cases"


@pytest.mark.parametrize("planted", ["choice", "question", "nothing"])
def test_other_answers_of_a_fold_change_nothing_that_is_answered_there(planted: str) -> None:
    """The leak of the first version of arXiv 2511.04655 would be seen here."""
    texts, answers, groups = made(160, planted)
    before = blind_k_fold(texts, answers, groups, [3]).chosen[0]
    fold = _folds(groups, 5, 3)
    for held_out in range(5):
        changed = np.where(fold == held_out, (answers + 1) % 4, answers)
        after = blind_k_fold(texts, changed, groups, [3]).chosen[0]
        assert np.array_equal(after[fold == held_out], before[fold == held_out])
        assert planted != "nothing" or not np.array_equal(after, before)


def test_folds_hold_whole_groups_of_about_one_size() -> None:
    groups = np.repeat(np.arange(43), 3)
    fold = _folds(groups, 5, 0)
    assert all(len(set(fold[groups == group])) == 1 for group in range(43))
    assert set(Counter(fold[::3].tolist()).values()) == {8, 9}
    assert not np.array_equal(fold, _folds(groups, 5, 1))


def test_too_few_pictures_are_refused() -> None:
    texts, answers, groups = made(28, "choice")
    with pytest.raises(TooFewQuestions, match=r"28 questions about 14 pictures .* takes 15"):
        blind_k_fold(texts, answers, groups, [0])


def test_naive_bayes_is_the_ratio_of_its_counts() -> None:
    texts = [
        TextQuestion("q", ("alpha", "beta"), "t"),
        TextQuestion("q", ("gamma", "alpha"), "t"),
        TextQuestion("q", ("beta", "alpha"), "t"),
    ]

    def weight(feature: str) -> float:
        """Of two known questions, the first answered alpha, the second gamma."""
        right = {"word alpha": 1, "word gamma": 1}.get(feature, 0)
        wrong = {"word beta": 1, "word alpha": 1}.get(feature, 0)
        chances = [(count + SMOOTHING) / (2 + 2 * SMOOTHING) for count in (right, wrong)]
        return math.log(chances[0] / chances[1])

    assert weight("word alpha") == 0 and weight("word beta") < 0
    chosen = NaiveBayes().predict(Texts(texts), np.array([0, 1]), np.array([0, 0]), np.array([2]))
    assert chosen.tolist() == [1]


def test_every_predictor_takes_the_first_among_equals() -> None:
    texts = [TextQuestion("q", ("same", "same"), "t") for _ in range(20)]
    for predictor in PREDICTORS.values():
        chosen = predictor.predict(Texts(texts), np.arange(15), np.zeros(15, int), np.arange(15, 20))
        assert chosen.tolist() == [0] * 5


def test_every_distance_is_near_one_that_may_be_answered() -> None:
    for metres in np.linspace(0.3, 40, 400):
        assert any(0.9 * metres <= float(text) <= 1.1 * metres for text in DISTANCES)


def test_what_may_be_answered_is_known_without_the_answer() -> None:
    for sample in questions(0):
        other = sample.replace(answer=None)
        assert possible_answers(other) == possible_answers(sample)
        if sample.answer_type in (AnswerType.REGION, AnswerType.SIDE, AnswerType.COUNT):
            assert sample.answer in possible_answers(sample)


def test_the_real_omni_spatial_gives_away_nearly_half_of_its_answers(shared_data: Path) -> None:
    samples = list(read_rows(shared_data / "omni_spatial"))
    rungs = {rung.name: rung for rung in ladder(samples, OmniSpatialMetric().judge)}
    assert rungs["always A"].accuracy == pytest.approx(28.51, abs=0.005)
    apart, together = (rungs[f"words alone, folds of {what}"] for what in ("questions", "pictures"))
    assert 44 < together.accuracy < apart.accuracy < 48
    assert together.interval is not None and together.interval[0] > 42


def test_a_benchmark_with_free_answers_has_no_such_baseline() -> None:
    sample = questions(0)[0].replace(answer_type=AnswerType.TEXT, choices=(), answer="anything")
    words = WordsAlone([sample], OmniSpatialMetric().judge)
    assert (words.samples, words.left_out) == ([], 1)


def write_omni_spatial(folder: Path, answers: Sequence[int]) -> Path:
    """Questions whose right choice is at a given place, each about a picture of its own."""
    folder.mkdir()
    rows = [
        {
            "id": f"{number}_0",
            "question": f"Which is nearer, thing {number}?",
            "options": [f"{word} {number}" for word in ("one", "two", "three", "four")],
            "answer": answer,
            "task_type": "Perspective_Taking",
            "sub_task_type": "Egocentric",
        }
        for number, answer in enumerate(answers)
    ]
    (folder / "data.json").write_text(json.dumps(rows))
    return folder


def test_the_command_shows_a_place_that_is_right_too_often(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_omni_spatial(tmp_path / "omni", [2] * 45 + [0, 1, 3] * 5)
    main(["--benchmark", "omni_spatial", "--truth", str(folder), "--json"])
    rungs = {rung["name"]: rung for rung in json.loads(capsys.readouterr().out)}
    assert rungs["chance"]["accuracy"] == 25
    assert rungs["always C"]["accuracy"] == rungs["the best answer of each task"]["accuracy"] == 75
    assert rungs["always A"]["accuracy"] == pytest.approx(100 * 5 / 60)
    assert 60 <= rungs["words alone, folds of pictures"]["accuracy"] <= 75
    assert len(rungs["words alone, folds of pictures"]["by_seed"]) == 5
    main(["--benchmark", "omni_spatial", "--truth", str(folder)])
    shown = capsys.readouterr().out
    assert "60 questions about 60 pictures; right letters: A 5, B 5, C 45, D 5" in shown
    assert re.search(r"^always C +75\.00 +[\d.]+ to [\d.]+$", shown, re.MULTILINE)
    with pytest.raises(SystemExit):
        few = write_omni_spatial(tmp_path / "few", [0, 1])
        main(["--benchmark", "omni_spatial", "--truth", str(few)])
    assert "2 questions about 2 pictures are too few" in capsys.readouterr().err


def test_track_3_has_no_letters_and_all_its_kinds_of_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Every count is 2, every side is left; distances and regions differ.
    sides = [record(f"{n}.png", 0, normalized_answer="left", id=f"s{n}") for n in range(20)]
    counts = [record(f"{n}.png", 3, normalized_answer=2, id=f"c{n}") for n in range(20)]
    metres = [record(f"{n}.png", 2, normalized_answer=1.5 + n, id=f"d{n}") for n in range(20)]
    (tmp_path / "val.json").write_text(json.dumps([*sides, *counts, *metres]))
    main(["--benchmark", "ai_city_track3", "--truth", str(tmp_path)])
    shown = capsys.readouterr().out
    assert shown.startswith("60 questions about 20 pictures\n")
    # Half of a guess among sides, a tenth among counts, and one length in 28 or two of them.
    chance = float(re.search(r"^chance +([\d.]+)$", shown, re.MULTILINE)[1])  # type: ignore[index]
    assert 100 * (1 / 2 + 1 / 10 + 1 / 28) / 3 <= chance <= 100 * (1 / 2 + 1 / 10 + 2 / 28) / 3
    best = float(re.search(r"^the best answer of each task +([\d.]+)", shown, re.MULTILINE)[1])  # type: ignore[index]
    assert best >= 100 * 2 / 3
    assert "always" not in shown
