"""Comparing runs: what the table says, which runs are refused, and that the files of real runs fit."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules.samples import SmallSpatialError
from datamodules.statistics.paired import PairedDifference, paired_bootstrap
from datamodules.statistics.power import detectable_difference
from experiments.commands.compare import main
from experiments.report.comparison import (
    NOTE,
    ComparedScore,
    as_text,
    compare,
    conclusion,
    paired_answers,
    said_of_truths,
    views_that_move_truth,
)
from experiments.run_folders.run_folder import RunFolder
from tests.helpers.plain_statistics import sign_flips


def line(number: int, correct: bool | None, **changes: Any) -> dict[str, Any]:
    """A line as a run writes it."""
    return {
        "id": str(number),
        "group": f"image {number // 2}",
        "task": ("Count", "Depth")[number % 2],
        "question": "?",
        "answer": "A",
        "prediction": "A" if correct else "B",
        "correct": correct,
        "raw": "A" if correct else "B",
    } | changes


def write(folder: Path, lines: Iterable[dict[str, Any]]) -> RunFolder:
    folder.mkdir(parents=True)
    run = RunFolder(folder)
    run.predictions.write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    run.config.write_text("name: x\n")
    run.results.write_text(json.dumps({"score": 50.0, "n": 2, "interval": [0, 100], "tasks": {}}))
    return run


def verdicts(seed: int, share: float, n: int = 400) -> list[bool]:
    return [bool(right) for right in np.random.default_rng(seed).random(n) < share]


def test_the_table_says_who_is_better(tmp_path: Path) -> None:
    worse = verdicts(0, 0.5)
    better = [right or repaired for right, repaired in zip(worse, verdicts(1, 0.2), strict=True)]
    a = write(tmp_path / "a", (line(number, right) for number, right in enumerate(worse)))
    # Another order of the same questions, as of a run with other batches.
    b = write(tmp_path / "b", reversed([line(number, right) for number, right in enumerate(better)]))
    part = {"score": 61.23, "n": 400, "interval": [55.0, 65.0]}
    a.results.write_text(json.dumps({**part, "tasks": {}, "official": {**part, "score": 77.77}}))
    scores = compare(paired_answers(a.predictions, b.predictions))
    assert [(score.name, score.n) for score in scores] == [
        ("all questions", 400),
        ("Count", 200),
        ("Depth", 200),
    ]
    assert scores[0].score_a == pytest.approx(100 * np.mean(worse))
    assert scores[0].score_b == pytest.approx(100 * np.mean(better))
    assert scores[0].difference.difference == pytest.approx(100 * (np.mean(better) - np.mean(worse)))
    assert scores[0].difference.interval[0] > 0
    text = as_text(a, b, scores)
    assert "score 61.23 (55.0 to 65.0)" in text
    assert "official 77.77" in text
    why = {"official": None, "official_reason": "Asked otherwise.", "ours": part}
    b.results.write_text(json.dumps({**part, "tasks": {}, **why}))
    text = as_text(a, b, scores)
    assert "score (ours) 61.23" in text
    assert "no official score: Asked otherwise." in text
    assert text.splitlines()[-1].startswith("B is better, by ")
    assert (
        as_text(b, a, compare(paired_answers(b.predictions, a.predictions)))
        .splitlines()[-1]
        .startswith("A is")
    )


def detectable(chosen: list[int], right: list[list[bool]], images: list[str]) -> float:
    """The smallest difference that is found in 80 of 100 cases, with variances written out."""
    gains = [right[1][n] - right[0][n] for n in chosen]
    mean, of_image = sum(gains) / len(gains), defaultdict[str, float](float)
    for gain, n in zip(gains, chosen, strict=True):
        of_image[images[n]] += gain - mean
    alone = sum((gain - mean) ** 2 for gain in gains)
    effect = sum(v**2 for v in of_image.values()) * len(of_image) / (len(of_image) - 1) / alone
    discordance = sum(gain != 0 for gain in gains) / len(gains)
    return detectable_difference(len(gains), discordance) * math.sqrt(max(effect, 1))


def test_every_figure_of_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tasks of other sizes, images of other sizes, and questions without an image's name, one image each."""
    random = np.random.default_rng(7)
    asked = [
        (("Depth", "Count", "Count", "Relation")[number % 4], "" if number % 5 == 0 else f"i{number // 6}")
        for number in range(1230)
    ]
    shares = {"Depth": (0.5, 0.6), "Count": (0.7, 0.5), "Relation": (0.5, 0.5)}
    right = [[bool(random.random() < shares[task][run]) for task, _ in asked] for run in (0, 1)]
    lines = [
        [
            line(number, right[run][number], task=task, group=group, prediction="same", raw="same")
            for number, (task, group) in enumerate(asked)
        ]
        for run in (0, 1)
    ]
    a = write(tmp_path / "a", lines[0])
    b = write(tmp_path / "b", (lines[1][number] for number in random.permutation(1230)))
    part = {"score": 12.345, "n": 7, "interval": [1.25, 99.0]}
    a.results.write_text(json.dumps({**part, "tasks": {"Count": part}}))
    b.results.write_text(json.dumps({**part, "n": 0, "tasks": {}, "micro": {**part, "score": 3.0}}))

    images = [group or f"alone {number}" for number, (_, group) in enumerate(asked)]
    expected = []
    for name in ("all questions", "Depth", "Count", "Relation"):
        chosen = [number for number, (task, _) in enumerate(asked) if name in (task, "all questions")]
        of_a, of_b = ([right[run][number] for number in chosen] for run in (0, 1))
        low, high = paired_bootstrap(
            np.array(of_a), np.array(of_b), np.unique([images[n] for n in chosen], return_inverse=True)[1]
        ).interval
        accuracies = [100 * sum(each) / len(chosen) for each in (of_a, of_b)]
        gained = accuracies[1] - accuracies[0]
        between, p = f"{low:+.2f} to {high:+.2f}", sign_flips(of_a, of_b, [images[n] for n in chosen])
        expected.append(
            (name, *accuracies, gained, between, p, detectable(chosen, right, images), len(chosen))
        )
        assert low < gained < high
    of_tasks = sorted(row[5] for row in expected[1:])
    holms = {p: max(of_tasks[i] * (3 - i) for i in range(rank + 1)) for rank, p in enumerate(of_tasks)}
    rows = [
        f"{name:13}  {of_a:6.2f}  {of_b:6.2f}  {gained:+7.2f}  {between:>16}  {p:7.2g}"
        f"  {'-' if name == 'all questions' else f'{min(1.0, holms[p]):.2g}':>7}  {can_show:8.2f}  {n:6,}"
        for name, of_a, of_b, gained, between, p, can_show, n in expected
    ]
    main([str(a.path), str(b.path)])
    shown = capsys.readouterr().out.split("\n")
    assert shown[:10] == [
        f"A: {a.path}",
        "   score 12.35 (1.2 to 99.0)",
        f"B: {b.path}",
        "   micro 3.00 (1.2 to 99.0)",
        "",
        "accuracy            A       B    B - A     95 % interval        p   Holm p  can show       n",
        *rows,
    ]
    assert shown[10:] == ["", *NOTE.split("\n"), "", shown[-2], ""]
    first = rows[0].split()
    points, low, high = (float(first[place]) for place in (4, 5, 7))
    assert shown[-2] == (
        f"A is better, by {-points:.2f} points, 95 % interval of B - A {low:.2f} to {high:.2f}."
    )


@pytest.mark.parametrize(
    ("difference", "interval", "p", "said"),
    [
        (2.5, (0.01, 5.0), 0.049, "B is better, by 2.50 points, 95 % interval of B - A 0.01 to 5.00."),
        (-2.5, (-5.0, -0.01), 0.01, "A is better, by 2.50 points, 95 % interval of B - A -5.00 to -0.01."),
        (
            2.5,
            (0.0, 5.0),
            0.049,
            "Not clear: B leads by 2.50 points, 95 % interval of B - A 0.00 to 5.00, and interval and test "
            "disagree. Take more questions.",
        ),
        (
            -2.5,
            (-5.0, -1.0),
            0.05,
            "Not clear: A leads by 2.50 points, 95 % interval of B - A -5.00 to -1.00, and interval and test "
            "disagree. Take more questions.",
        ),
        (
            -2.5,
            (-5.0, 0.0),
            0.05,
            "No difference shown (2.50 points, 95 % interval of B - A -5.00 to 0.00). That does not show "
            "them equal: see the interval. A difference of 3.21 points would be found four times out of "
            "five.",
        ),
    ],
)
def test_a_difference_is_believed_where_interval_and_test_agree(
    difference: float, interval: tuple[float, float], p: float, said: str
) -> None:
    score = ComparedScore(
        "all questions", 90, 90, 50.0, 50.0, PairedDifference(difference, interval), p, 3.21
    )
    assert conclusion(score) == said


def test_equal_runs_show_no_difference(tmp_path: Path) -> None:
    lines = [line(number, right) for number, right in enumerate(verdicts(2, 0.4))]
    a, b = write(tmp_path / "a", lines), write(tmp_path / "b", lines)
    first = compare(paired_answers(a.predictions, b.predictions))[0]
    assert (first.difference.difference, first.p_value) == (0, 1)
    assert first.difference.interval[0] < 0 < first.difference.interval[1]
    assert conclusion(first).startswith("No difference shown (0.00 points")


def test_many_questions_about_few_images_prove_little(tmp_path: Path) -> None:
    """100 questions are repaired, but they are about two images."""
    images = [{"group": f"image {number // 50}", "task": "Count"} for number in range(500)]
    a = write(tmp_path / "a", (line(n, False, **image) for n, image in enumerate(images)))
    b = write(tmp_path / "b", (line(n, n < 100, **image) for n, image in enumerate(images)))
    first = compare(paired_answers(a.predictions, b.predictions))[0]
    assert first.p_value == 0.25, "two images in one direction, of four ways; half of the ties count"
    assert "There are 10 images only" in conclusion(first)


@pytest.mark.parametrize(
    ("lines", "pattern"),
    [
        (
            [line(0, True), line(3, True), line(4, True)],
            "1 ids are only in .*a/pred.* and 2 only in .*; 1 are in both",
        ),
        (
            [line(0, True), line(1, True, answer="C")],
            "1 of 2 questions have other true answers .* example '1'",
        ),
        ([line(0, True), line(1, None)], "Question 1 of .* was answered, but not judged"),
        (
            [{"id": "0", "answer": "A"}, line(1, True)],
            "Question 0 of .* has no group and no task and no correct",
        ),
        ([line(0, True), line(0, True)], "The id 0 appears twice"),
        ([], "holds no records"),
    ],
)
def test_runs_that_cannot_be_compared(tmp_path: Path, lines: list[dict[str, Any]], pattern: str) -> None:
    a = write(tmp_path / "a", [line(0, True), line(1, False)])
    b = write(tmp_path / "b", lines)
    with pytest.raises(SmallSpatialError, match=pattern):
        paired_answers(a.predictions, b.predictions)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a", [line(0, True), line(1, False), line(2, True), line(3, True)])
    b = write(tmp_path / "b", [line(0, True), line(1, True), line(2, True), line(3, True)])
    main([str(a.path), str(b.path)])
    said = capsys.readouterr().out.splitlines()[-1]
    assert "No difference shown (25.00 points" in said and "could show no difference at all" in said
    one = write(tmp_path / "one", [line(0, True), line(1, False)])
    with pytest.raises(SystemExit):
        main([str(one.path), str(one.path)])
    assert "All 2 questions are of one image" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(a.path), str(tmp_path / "c")])
    assert "There is no run of" in capsys.readouterr().err


def with_views(run: RunFolder, *views: str) -> RunFolder:
    """The run as if its data had been seen through some views."""
    listed = ", ".join(f"{{class_path: {view}, init_args: {{}}}}" for view in views)
    run.config.write_text(f"name: x\ndata: {{class_path: d.Data, init_args: {{views: [{listed}]}}}}\n")
    return run


MIRRORED, GREY, MARKED = (f"datamodules.views.{name}" for name in ("Mirrored", "Grayscale", "Marked"))


def test_runs_whose_truths_a_view_has_moved_are_paired_by_right_and_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = verdicts(0, 0.6)
    a = write(tmp_path / "a", (line(number, each) for number, each in enumerate(right)))
    # In the mirror the true answer is another letter, of which as many are found.
    moved = [line(number, each, answer="C" if number < 100 else "A") for number, each in enumerate(right)]
    b = with_views(write(tmp_path / "b", moved), MARKED, MIRRORED)
    with_views(a, MARKED)
    main([str(a.path), str(b.path)])
    shown = capsys.readouterr().out
    assert "100 questions have other true answers in B than in A" in shown
    assert "asked through Mirrored" in shown
    assert views_that_move_truth(a, b) == views_that_move_truth(b, a) == ["Mirrored"]
    answers = paired_answers(a.predictions, b.predictions, ["Mirrored"])
    assert answers.other_truths == 100
    assert (answers.correct_a == answers.correct_b).all()


@pytest.mark.parametrize("views", [(), (GREY,), (MARKED,), ("mypackage.views.Mirrored",)])
def test_runs_with_other_truths_and_no_view_that_moves_them_are_refused(
    views: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = with_views(write(tmp_path / "a", (line(number, True) for number in range(8))))
    b = with_views(write(tmp_path / "b", (line(n, True, answer="C") for n in range(8))), *views)
    assert views_that_move_truth(a, b) == []
    with pytest.raises(SystemExit):
        main([str(a.path), str(b.path)])
    assert "8 of 8 questions have other true answers" in capsys.readouterr().err


def test_both_runs_in_a_mirror_need_the_same_truths(tmp_path: Path) -> None:
    a = with_views(write(tmp_path / "a", (line(n, True) for n in range(8))), MIRRORED)
    b = with_views(write(tmp_path / "b", (line(n, True, answer="C") for n in range(8))), MIRRORED)
    assert views_that_move_truth(a, b) == []
    assert said_of_truths(paired_answers(a.predictions, a.predictions), []) == ""


def test_a_mirror_excuses_no_other_scenes(tmp_path: Path) -> None:
    a = with_views(write(tmp_path / "a", (line(n, True) for n in range(8))))
    b = with_views(write(tmp_path / "b", (line(n, True, answer="C") for n in range(8))), MIRRORED)
    assert views_that_move_truth(a, b) == ["Mirrored"]
    config = b.config.read_text()
    for same in ("num_workers: 3", "training_fraction: 0.5", "scenes: {train: 9}"):
        b.config.write_text(config.replace("init_args: {views", f"init_args: {{{same}, views"))
        assert views_that_move_truth(a, b) == (["Mirrored"] if "scenes" not in same else []), same
    for other in ("scenes_seed: 3", "difficulty: real", "root: /other", "scenes: {test: 9}"):
        b.config.write_text(config.replace("init_args: {views", f"init_args: {{{other}, views"))
        assert views_that_move_truth(a, b) == [], other


def test_the_views_of_what_is_scored_of_a_mixture_count(tmp_path: Path) -> None:
    def mixture(run: RunFolder, own: str, views: str) -> RunFolder:
        scored = f"{{class_path: d.Data, init_args: {{views: [{own}]}}}}"
        run.config.write_text(
            f"data: {{class_path: d.Mixture, init_args: {{evaluation: {scored}, views: [{views}]}}}}\n"
        )
        return run

    lines = [line(n, True) for n in range(4)]
    mirrored = f"{{class_path: {MIRRORED}, init_args: {{}}}}"
    a = mixture(write(tmp_path / "a", lines), "", "")
    assert views_that_move_truth(a, mixture(write(tmp_path / "b", lines), mirrored, "")) == ["Mirrored"]
    assert views_that_move_truth(a, mixture(write(tmp_path / "c", lines), "", mirrored)) == ["Mirrored"]
