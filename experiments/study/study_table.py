"""The table of a study, to read and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from datamodules.statistics.over_seeds import MeanOverSeeds, SeedsTest
from experiments.report.results import plain
from experiments.run_folders.run_folder import write_whole
from experiments.study.study_file import Study
from experiments.study.study_latency import LATENCY_HEADER, LatencyRow, latency_cells, latency_note
from experiments.study.study_summary import UNLIKELY, Difference, RunRow, Summary


def write_tables(study: Study, summary: Summary, latencies: Sequence[LatencyRow] = ()) -> None:
    """Write `table.md` and `table.json` into the study's folder.

    Args:
        study: the study.
        summary: what its runs say together.
        latencies: what an answer of each run costs, where that was measured.
    """
    write_whole(study.folder / "table.md", as_markdown(study, summary, latencies))
    content = {
        "study": study.name,
        "question": study.question,
        "scale": study.scale,
        "seeds": list(study.seeds),
        **asdict(summary),
        **({"latencies": list(map(asdict, latencies))} if latencies else {}),
    }
    write_whole(
        study.folder / "table.json", json.dumps(content, indent=2, allow_nan=False, default=plain) + "\n"
    )


def as_markdown(study: Study, summary: Summary, latencies: Sequence[LatencyRow] = ()) -> str:
    """The study as tables, in columns that can be read as they stand; the arguments are `write_tables`'."""
    scale = f" SCALE={study.scale}" if study.scale != "full" else ""
    lines = [
        f"# {study.runs_name}",
        "",
        *textwrap.wrap(study.question, 110),
        "",
        f"    make study NAME={study.name}{scale}",
        "",
        *_runs_table(study, summary.runs),
    ]
    if summary.differences:
        lines += ["", *_differences_table(study, summary.differences)]
    if summary.task_accuracies:
        lines += ["", *_task_accuracies_table(study, summary)]
    if summary.task_differences and summary.differences:
        lines += ["", *_task_differences_table(summary.task_differences)]
    lines += ["", *textwrap.wrap(note(study), 110), ""]
    if latencies:
        lines += [
            *("## What an answer costs", ""),
            *_aligned(LATENCY_HEADER, list(map(latency_cells, latencies)), 2),
            *("", *textwrap.wrap(latency_note(study, latencies), 110), ""),
        ]
    return "\n".join(lines)


def note(study: Study) -> str:
    """What the numbers mean, and what they do not."""
    seeds = len(study.seeds)
    sentences = [
        "Accuracy is the share of right answers; the paired tests need a right or wrong for each question, "
        "which official scores that weigh tasks or sources are not made of; those stand beside it where "
        "they differ.",
        "The 95 % intervals are percentiles of a bootstrap that draws seeds and whole images with "
        "replacement, the same for all runs.",
        "t-test p is of the paired t-test over the seeds' differences, which takes the test's images as the "
        "only ones there are; p of each seed flips the signs of whole images' differences (mid-p; McNemar's "
        "where each image has one question).",
        f"Shown says whether interval and {'t-test' if seeds > 1 else 'p of the seed'} agree: yes (the "
        f"interval leaves out 0 and p is below {UNLIKELY}), not clear (one of both), no (which does not "
        "show that runs are equal).",
        "Nothing is corrected for looking at several pairs and tasks.",
    ]
    if seeds == 1:
        sentences.append("One seed says nothing of how results differ from training to training.")
    elif seeds <= 3:
        sentences.append(
            f"{seeds} seeds are few: none that is drawn lies beyond the worst and the best of them. Where "
            "seeds differ by far more than images do, the interval holds the truth in as few as "
            f"{100 - 200 // 2**seeds} % of cases instead of 95 %: believe the t-test there."
        )
    elif seeds < 10:
        sentences.append(
            f"{seeds} seeds are few: where they differ by far more than images do, the interval is too "
            "narrow. Believe the t-test there."
        )
    return " ".join(sentences)


def _differing_scores(runs: Sequence[RunRow]) -> list[str]:
    """The benchmark's own scores that say something else than the columns before them, for some run."""
    names = []
    shown: list[list[Sequence[float | None]]] = [[row.by_seed for row in runs]]
    for name in dict.fromkeys(name for row in runs for name in row.scores):
        column: list[Sequence[float | None]] = [row.scores.get(name, []) for row in runs]
        if all(_differ(column, other) for other in shown):
            names.append(name)
            shown.append(column)
    return names


def _differ(column: Sequence[Sequence[float | None]], other: Sequence[Sequence[float | None]]) -> bool:
    """Whether scores that are known in both columns differ for some run and seed."""
    return any(
        score is not None and shown is not None and abs(score - shown) >= 0.005
        for scores, others in zip(column, other, strict=True)
        for score, shown in zip(scores, others, strict=False)
    )


def _runs_table(study: Study, runs: Sequence[RunRow]) -> list[str]:
    own = _differing_scores(runs)
    header = [
        "run",
        "experiment",
        "accuracy",
        "95 % interval",
        *_seed_columns(study),
        "n",
        "unreadable",
        *own,
    ]
    rows = [
        [
            row.label,
            row.experiment,
            f"{row.accuracy.mean:.2f}",
            _interval(row.accuracy, ".1f"),
            *(f"{score:.2f}" for score in row.by_seed),
            f"{row.n:,}",
            " / ".join(map(str, row.unreadable)),
            *(_mean_score(row.scores.get(name, [])) for name in own),
        ]
        for row in runs
    ]
    return _aligned(header, rows, 2)


def _differences_table(study: Study, differences: Sequence[Difference]) -> list[str]:
    header = [
        *("difference", "points", "95 % interval", *_seed_columns(study)),
        *("t-test p", "p of each seed", "shown"),
    ]
    rows = [
        [
            f"{difference.b} - {difference.a}",
            f"{difference.points.mean:+.2f}",
            _interval(difference.points, "+.1f"),
            *(f"{points:+.2f}" for points in difference.by_seed),
            _p_value(difference.test),
            " / ".join(f"{p:.2g}" for p in difference.p_values),
            difference.shown,
        ]
        for difference in differences
    ]
    return _aligned(header, rows, 1)


def _task_accuracies_table(study: Study, summary: Summary) -> list[str]:
    rows = [
        [label, *(f"{of_task[label].mean:.2f}" for of_task in summary.task_accuracies.values())]
        for label in study.runs
    ]
    return _aligned(["accuracy by task", *summary.task_accuracies], rows, 1)


def _task_differences_table(by_task: Mapping[str, Sequence[Difference]]) -> list[str]:
    rows = [
        [
            task,
            f"{difference.b} - {difference.a}",
            f"{difference.points.mean:+.2f}",
            _interval(difference.points, "+.1f"),
            _p_value(difference.test),
            difference.shown,
            f"{difference.n:,}",
        ]
        for task, differences in by_task.items()
        for difference in differences
    ]
    header = ["task", "difference", "points", "95 % interval", "t-test p", "shown", "n"]
    return _aligned(header, rows, 2)


def _seed_columns(study: Study) -> list[str]:
    return [f"seed {seed}" for seed in study.seeds]


def _interval(mean: MeanOverSeeds, form: str) -> str:
    low, high = mean.interval
    return f"{low:{form}} to {high:{form}}"


def _p_value(test: SeedsTest | None) -> str:
    return f"{test.p_value:.2g}" if test else "-"


def _mean_score(scores: Sequence[float | None]) -> str:
    known = [score for score in scores if score is not None]
    return f"{np.mean(known):.2f}" if known and len(known) == len(scores) else "-"


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> list[str]:
    """A markdown table in columns of equal width, the first `words` of them left-aligned, numbers right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * width if number < words else "-" * (width - 1) + ":" for number, width in enumerate(widths)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if number < words else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    return [line(header), line(rule), *map(line, rows)]
