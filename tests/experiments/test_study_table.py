"""A study's tables, each figure of them counted again from the files of its runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from datamodules.statistics.over_seeds import MeanOverSeeds, SeedsTest, bootstrap_over_seeds
from experiments.run_folders.run_folder import RUNS, RunFolder
from experiments.study.study_file import Study, StudyRun
from experiments.study.study_summary import Difference, Summary, summarise
from experiments.study.study_table import as_markdown, note, write_tables
from tests.helpers.plain_statistics import sign_flips

SEEDS = (3, 5, 8)
SHARES = {"plain": 0.5, "taught": 0.62, "guided": 0.53}
PAIRS = (("plain", "taught"), ("plain", "guided"), ("guided", "taught"))
ASKED = [(("Depth", "Count", "Count")[n % 3], "" if n % 7 == 0 else f"i{n // 4:03d}") for n in range(1200)]
"""Task and image of each question; without an image's name it is one of its own."""

STRICT: dict[str, list[float | None]] = {
    "plain": [10.0, None, 30.0],
    "taught": [20.0, 21.0, 22.0],
    "guided": [1.0, 2.0, 6.0],
}
"""A benchmark's further score; None where nothing was asked."""


def study(seeds: Sequence[int] = SEEDS) -> Study:
    runs = {label: StudyRun(label, f"mine/{label}", (), {}) for label in SHARES}
    return Study("teaching", "Does it work?", "tiny", tuple(seeds), runs, PAIRS)


def accuracy(right: np.ndarray) -> float:
    return float(100 * right.sum() / len(right))


def close(tree: Any) -> Any:
    """The same with numbers that need not be equal to the last bit."""
    if isinstance(tree, dict):
        return {key: close(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [close(value) for value in tree]
    return pytest.approx(tree) if isinstance(tree, float) else tree


class Counted:
    """What the tables have to hold of some questions.

    Args:
        right: of each run, whether its answers are right, `[seeds, questions]`.
        chosen: which of the questions.
    """

    def __init__(self, right: dict[str, np.ndarray], chosen: np.ndarray) -> None:
        self.right = {label: of_run[:, chosen] for label, of_run in right.items()}
        names = [group or str(number) for number, (_, group) in enumerate(ASKED) if chosen[number]]
        places = {name: place for place, name in enumerate(sorted(set(names)))}
        self.images = np.array([places[name] for name in names])
        self.n = int(chosen.sum())

    def means(self) -> dict[str, dict[str, Any]]:
        values = np.array([of_run.astype(float) for of_run in self.right.values()])
        drawn = bootstrap_over_seeds(values, self.images, lowest=0)
        return {
            label: {
                "mean": float(np.mean([accuracy(seed) for seed in of_run])),
                "interval": list(mean.interval),
            }
            for (label, of_run), mean in zip(self.right.items(), drawn, strict=True)
        }

    def differences(self) -> list[dict[str, Any]]:
        gained = np.array([self.right[b].astype(float) - self.right[a].astype(float) for a, b in PAIRS])
        drawn = bootstrap_over_seeds(gained, self.images, lowest=-1)
        found = []
        for (a, b), mean in zip(PAIRS, drawn, strict=True):
            of_a, of_b = ([accuracy(seed) for seed in self.right[label]] for label in (a, b))
            test = ttest_rel(of_b, of_a)
            found.append(
                {
                    "a": a,
                    "b": b,
                    "points": {"mean": float(np.mean(of_b) - np.mean(of_a)), "interval": list(mean.interval)},
                    "by_seed": [two - one for one, two in zip(of_a, of_b, strict=True)],
                    "test": {
                        "p_value": float(test.pvalue),
                        "interval": list(map(float, test.confidence_interval(0.95))),
                    },
                    "p_values": [
                        sign_flips(*both, self.images)
                        for both in zip(self.right[a], self.right[b], strict=True)
                    ],
                    "n": self.n,
                }
            )
        return found


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Runs whose answers are written down in orders of their own."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(11)
    hard = random.random(len(ASKED))
    right = {}
    for label, share in SHARES.items():
        right[label] = np.array([hard + random.normal(0, 0.4, len(ASKED)) < share for _ in SEEDS])
        for place, seed in enumerate(SEEDS):
            folder = folder_of(label, seed)
            folder.path.mkdir(parents=True)
            lines: list[dict[str, Any]] = [
                {"id": str(n), "group": group, "task": task, "answer": "A"}
                | {"correct": bool(right[label][place, n])}
                for n, (task, group) in enumerate(ASKED)
            ]
            shuffled = [lines[n] for n in random.permutation(len(lines))]
            written = lines if (label, seed) == ("plain", SEEDS[0]) else shuffled
            folder.predictions.write_text("".join(json.dumps(line) + "\n" for line in written))
            strict = STRICT[label][place]
            own: dict[str, Any] = {"score": 40.0 + place, "n": len(ASKED)}
            results = {
                **own,
                "unreadable": 7 * place,
                "tasks": {"Count": own},
                "official": own,
                "strict": {"score": strict or 0.0, "n": 0 if strict is None else 9},
                "sources": {"there": own},
            }
            folder.results.write_text(json.dumps(results))
    return right


def folder_of(label: str, seed: int) -> RunFolder:
    return RunFolder(RUNS / label / str(seed))


def tables_of(right: dict[str, np.ndarray]) -> tuple[Counted, dict[str, Counted]]:
    tasks = np.array([task for task, _ in ASKED])
    everything = Counted(right, np.ones(len(ASKED), bool))
    return everything, {task: Counted(right, tasks == task) for task in ("Depth", "Count")}


def write() -> Path:
    folders = {label: [folder_of(label, seed) for seed in SEEDS] for label in SHARES}
    write_tables(study(), summarise(study(), folders))
    return study().folder


def test_every_figure_of_the_table_as_json(measured: dict[str, np.ndarray]) -> None:
    everything, by_task = tables_of(measured)
    means = everything.means()
    assert json.loads((write() / "table.json").read_text()) == close(
        {
            "study": "teaching",
            "question": "Does it work?",
            "scale": "tiny",
            "seeds": list(SEEDS),
            "runs": [
                {
                    "label": label,
                    "experiment": f"mine/{label}",
                    "accuracy": means[label],
                    "by_seed": [accuracy(seed) for seed in measured[label]],
                    "n": 1200,
                    "unreadable": [0, 7, 14],
                    "scores": {
                        "score": [40.0, 41.0, 42.0],
                        "official": [40.0, 41.0, 42.0],
                        "strict": STRICT[label],
                    },
                    "folders": [str(folder_of(label, seed).path) for seed in SEEDS],
                }
                for label in SHARES
            ],
            "differences": everything.differences(),
            "task_accuracies": {task: counted.means() for task, counted in by_task.items()},
            "task_differences": {task: counted.differences() for task, counted in by_task.items()},
        }
    )


def believed(difference: dict[str, Any]) -> str:
    low, high = difference["points"]["interval"]
    signs = (low > 0 or high < 0, difference["test"]["p_value"] < 0.05)
    return "yes" if all(signs) else "not clear" if any(signs) else "no"


def row_of(difference: dict[str, Any]) -> list[str]:
    points, (low, high) = difference["points"]["mean"], difference["points"]["interval"]
    return [f"{difference['b']} - {difference['a']}", f"{points:+.2f}", f"{low:+.1f} to {high:+.1f}"]


def test_every_cell_of_the_table_to_read(measured: dict[str, np.ndarray]) -> None:
    everything, by_task = tables_of(measured)
    means, differences = everything.means(), everything.differences()
    strict = {"plain": "-", "taught": "21.00", "guided": "3.00"}
    seeds = ["seed 3", "seed 5", "seed 8"]
    runs = [
        ["run", "experiment", "accuracy", "95 % interval", *seeds, "n", "unreadable", "score", "strict"],
        *(
            [
                label,
                f"mine/{label}",
                f"{means[label]['mean']:.2f}",
                "{:.1f} to {:.1f}".format(*means[label]["interval"]),
                *(f"{accuracy(seed):.2f}" for seed in measured[label]),
                *("1,200", "0 / 7 / 14", "41.00", strict[label]),
            ]
            for label in SHARES
        ),
    ]
    pairs = [
        ["difference", "points", "95 % interval", *seeds, "t-test p", "p of each seed", "shown"],
        *(
            [
                *row_of(each),
                *(f"{gained:+.2f}" for gained in each["by_seed"]),
                f"{each['test']['p_value']:.2g}",
                " / ".join(f"{p:.2g}" for p in each["p_values"]),
                believed(each),
            ]
            for each in differences
        ),
    ]
    assert {believed(each) for each in differences} >= {"yes", "no"}
    of_tasks = [
        ["accuracy by task", "Depth", "Count"],
        *([label, *(f"{by_task[t].means()[label]['mean']:.2f}" for t in by_task)] for label in SHARES),
    ]
    pairs_of_tasks = [
        ["task", "difference", "points", "95 % interval", "t-test p", "shown", "n"],
        *(
            [task, *row_of(each), f"{each['test']['p_value']:.2g}", believed(each), str(each["n"])]
            for task in by_task
            for each in by_task[task].differences()
        ),
    ]
    page = (write() / "table.md").read_text()
    head, *tables = page.split("\n\n|")
    assert head.splitlines() == [
        "# study/teaching-tiny",
        "",
        "Does it work?",
        "",
        "    make study NAME=teaching SCALE=tiny",
    ]
    assert len(tables) == 4
    for table, expected, words in zip(
        tables, (runs, pairs, of_tasks, pairs_of_tasks), (2, 1, 1, 2), strict=True
    ):
        lines = f"|{table}".partition("\n\n")[0].splitlines()
        assert len({len(line) for line in lines}) == 1, "columns do not stand below each other"
        cells = [line.strip("|").split("|") for line in lines]
        assert [[cell.strip() for cell in line] for line in (cells[0], *cells[2:])] == expected
        assert [rule.strip().strip("-") for rule in cells[1]] == [""] * words + [":"] * (
            len(cells[0]) - words
        )
        for line in cells:
            assert all(cell.startswith(" ") and cell[1] != " " for cell in line[:words])
            assert all(cell.endswith(" ") and cell[-2] != " " for cell in line[words:])


@pytest.mark.parametrize(
    ("seeds", "said", "unsaid"),
    [
        (1, "interval and p of the seed agree", "seeds are few"),
        (1, "One seed says nothing", "t-test agree"),
        (2, "2 seeds are few: none that is drawn lies beyond", "too narrow"),
        (2, "the truth in as few as 50 % of cases", "One seed"),
        (3, "the truth in as few as 75 % of cases", "too narrow"),
        (
            4,
            "4 seeds are few: where they differ by far more than images do, the interval is too narrow",
            "75",
        ),
        (9, "9 seeds are few", "p of the seed agree"),
        (10, "interval and t-test agree", "few"),
    ],
)
def test_the_note_says_what_so_many_seeds_prove(seeds: int, said: str, unsaid: str) -> None:
    text = note(study(range(seeds)))
    assert said in text and unsaid not in text
    assert "p is below 0.05" in text


@pytest.mark.parametrize(
    ("interval", "p_over_seeds", "p_values", "shown"),
    [
        ((0.01, 3.0), 0.049, [0.9, 0.9], "yes"),
        ((-3.0, -0.01), 0.049, [0.9, 0.9], "yes"),
        ((0.01, 3.0), 0.05, [0.0, 0.0], "not clear"),
        ((0.0, 3.0), 0.049, [0.9, 0.9], "not clear"),
        ((-3.0, 0.0), 0.05, [0.0, 0.0], "no"),
        ((-1.0, 1.0), None, [0.0, 0.0], "no"),  # all seeds show the same: there is no test
        ((0.5, 1.0), None, [0.0, 0.0], "not clear"),
        ((0.5, 1.0), None, [0.049], "yes"),
        ((0.5, 1.0), None, [0.05], "not clear"),
        ((-0.5, 1.0), None, [0.05], "no"),
    ],
)
def test_a_difference_is_shown_where_interval_and_test_agree(
    interval: tuple[float, float], p_over_seeds: float | None, p_values: list[float], shown: str
) -> None:
    test = None if p_over_seeds is None else SeedsTest(p_over_seeds, (-9.0, 9.0))
    points = MeanOverSeeds(sum(interval) / 2, interval)
    difference = Difference("a", "b", points, [0.0] * len(p_values), test, p_values, 9)
    assert difference.shown == shown


def test_without_a_test_there_is_a_dash_and_without_tasks_no_table_of_them() -> None:
    one_seed = study([4])
    points = MeanOverSeeds(1.25, (-0.55, 3.05))
    difference = Difference("plain", "taught", points, [1.25], None, [0.0123], 9)
    page = as_markdown(one_seed, Summary([], [difference], {}, {}))
    assert [cell.strip() for cell in page.splitlines()[11].strip("|").split("|")] == [
        *("taught - plain", "+1.25", "-0.6 to +3.0", "+1.25", "-", "0.012", "not clear"),
    ]
    assert "task" not in page.partition("Accuracy is")[0]
    assert "difference" not in as_markdown(one_seed, Summary([], [], {}, {})).partition("Accuracy is")[0]


def test_runs_that_are_alike_may_differ_either_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On ten images; of all there are, at most the share that ten would miss shows something else."""
    monkeypatch.chdir(tmp_path)
    for label in SHARES:
        for seed in SEEDS:
            folder = folder_of(label, seed)
            folder.path.mkdir(parents=True)
            lines = [
                {"id": str(n), "group": "", "task": "Count", "answer": "A", "correct": True}
                for n in range(10)
            ]
            folder.predictions.write_text("".join(json.dumps(line) + "\n" for line in lines))
            folder.results.write_text(json.dumps({"score": 100.0, "n": 10, "unreadable": 0, "tasks": {}}))
    summary = summarise(study(), {label: [folder_of(label, seed) for seed in SEEDS] for label in SHARES})
    missed = 100 * (1 - 0.025 ** (1 / 10))
    for difference in summary.differences:
        assert difference.points.interval == pytest.approx((-missed, missed))
        assert (difference.test, difference.p_values, difference.shown) == (None, [1.0] * 3, "no")
    for row in summary.runs:
        assert row.accuracy.interval == pytest.approx((100 - missed, 100.0))
    assert summary.task_accuracies == summary.task_differences == {}, "one task is all questions"
