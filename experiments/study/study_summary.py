"""What the runs of a study say together: accuracies over seeds and questions, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datamodules.statistics.over_seeds import MeanOverSeeds, SeedsTest, bootstrap_over_seeds, seeds_test
from datamodules.statistics.paired import sign_flip_test
from experiments.report.comparison import paired_answers
from experiments.report.results import Results, other_scores, read_results
from experiments.run_folders.run_folder import RunFolder
from experiments.study.study_file import Study

UNLIKELY = 0.05
"""The p-value below which chance is not believed."""


@dataclass(frozen=True)
class Verdicts:
    """All runs' verdicts on the same questions.

    Attributes:
        correct: for each label, whether the answers are right, `[seeds, questions]`.
        images: any integer that tells images apart, `[questions]`.
        tasks: the task of each question, `[questions]`.
    """

    correct: dict[str, np.ndarray]
    images: np.ndarray
    tasks: np.ndarray


@dataclass(frozen=True)
class RunRow:
    """What one run of the study reached.

    Attributes:
        label: what the study calls it.
        experiment: what was run.
        accuracy: the share of right answers in percent, over seeds and questions.
        by_seed: the accuracy of each seed.
        n: how many questions each seed answered.
        unreadable: answers of each seed that could not be read.
        scores: the benchmark's own scores of each seed, by name; None where nothing was asked.
        folders: the run folder of each seed.
    """

    label: str
    experiment: str
    accuracy: MeanOverSeeds
    by_seed: list[float]
    n: int
    unreadable: list[int]
    scores: dict[str, list[float | None]]
    folders: list[str]


@dataclass(frozen=True)
class Difference:
    """How much B is better than A, in percentage points.

    Attributes:
        a: label of the run that is compared with.
        b: label of the run that is compared.
        points: B - A over seeds and questions.
        by_seed: B - A with each seed.
        test: the paired t-test over seeds, where there are seeds to test.
        p_values: of each seed, whole images' differences with their signs flipped.
        n: how many questions each seed answered.
    """

    a: str
    b: str
    points: MeanOverSeeds
    by_seed: list[float]
    test: SeedsTest | None
    p_values: list[float]
    n: int

    @property
    def shown(self) -> str:
        """Whether the interval and the test over seeds, or of the only seed, agree on a difference."""
        low, high = self.points.interval
        tested = self.p_values[0] if len(self.p_values) == 1 else self.test.p_value if self.test else 1.0
        agreeing = (not low <= 0 <= high) + (tested < UNLIKELY)
        return ("no", "not clear", "yes")[agreeing]


@dataclass(frozen=True)
class Summary:
    """A study's results.

    Attributes:
        runs: one row for each run, in the study's order.
        differences: one for each pair, in the study's order.
        task_accuracies: for each task, the accuracy of each run, by label.
        task_differences: for each task, one for each pair.
    """

    runs: list[RunRow]
    differences: list[Difference]
    task_accuracies: dict[str, dict[str, MeanOverSeeds]]
    task_differences: dict[str, list[Difference]]


def summarise(study: Study, folders: Mapping[str, Sequence[RunFolder]]) -> Summary:
    """What a study's runs say together.

    Args:
        study: the study.
        folders: for each label, the run folder of each seed.

    Raises:
        RunError: runs answered different questions, or were not judged.
    """
    verdicts = read_verdicts(folders)
    accuracies = _accuracies(verdicts)
    rows = []
    for label, run in study.runs.items():
        correct = verdicts.correct[label]
        results = [read_results(folder) or {} for folder in folders[label]]
        rows.append(
            RunRow(
                label,
                run.experiment,
                accuracies[label],
                _percentages(correct),
                correct.shape[1],
                [int(result["unreadable"]) for result in results],
                _own_scores(results),
                [str(folder.path) for folder in folders[label]],
            )
        )
    parts = {str(task): _part(verdicts, task) for task in dict.fromkeys(verdicts.tasks.tolist())}
    parts = parts if len(parts) > 1 else {}
    return Summary(
        rows,
        _differences(verdicts, study.pairs),
        {task: _accuracies(part) for task, part in parts.items()},
        {task: _differences(part, study.pairs) for task, part in parts.items()},
    )


def read_verdicts(folders: Mapping[str, Sequence[RunFolder]]) -> Verdicts:
    """Bring the predictions of all runs together by their questions; raises `RunError` where they differ."""
    first = next(iter(folders.values()))[0].predictions
    pairs = {
        label: [paired_answers(first, folder.predictions) for folder in of_label]
        for label, of_label in folders.items()
    }
    correct = {label: np.stack([pair.correct_b for pair in paired]) for label, paired in pairs.items()}
    same = next(iter(pairs.values()))[0]
    return Verdicts(correct, same.images, same.tasks)


def _part(verdicts: Verdicts, task: Any) -> Verdicts:
    """The questions of one task."""
    chosen = verdicts.tasks == task
    correct = {label: right[:, chosen] for label, right in verdicts.correct.items()}
    return Verdicts(correct, verdicts.images[chosen], verdicts.tasks[chosen])


def _accuracies(verdicts: Verdicts) -> dict[str, MeanOverSeeds]:
    right = np.stack(list(verdicts.correct.values())).astype(float)
    means = bootstrap_over_seeds(right, verdicts.images, lowest=0)
    return dict(zip(verdicts.correct, means, strict=True))


def _differences(verdicts: Verdicts, pairs: Sequence[tuple[str, str]]) -> list[Difference]:
    if not pairs:
        return []
    both = [(verdicts.correct[a], verdicts.correct[b]) for a, b in pairs]
    gained = np.stack([right_b.astype(float) - right_a for right_a, right_b in both])
    means = bootstrap_over_seeds(gained, verdicts.images, lowest=-1)
    return [
        Difference(
            a,
            b,
            mean,
            _percentages(gain),
            seeds_test(100 * gain.mean(1)),
            [
                sign_flip_test(of_a, of_b, verdicts.images)
                for of_a, of_b in zip(right_a, right_b, strict=True)
            ],
            gain.shape[1],
        )
        for (a, b), mean, gain, (right_a, right_b) in zip(pairs, means, gained, both, strict=True)
    ]


def _percentages(values: np.ndarray) -> list[float]:
    return [float(100 * mean) for mean in values.mean(1)]


def _own_scores(results: Sequence[Results]) -> dict[str, list[float | None]]:
    """The scores that the runs have reported themselves, by name."""
    named = [{"score": result, **other_scores(result)} for result in results]
    return {
        name: [scores[name]["score"] if scores.get(name, {"n": 0})["n"] else None for scores in named]
        for name in dict.fromkeys(name for scores in named for name in scores)
    }
