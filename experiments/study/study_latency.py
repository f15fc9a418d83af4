"""What an answer costs in each run of a study: measured one run after the other, once all are done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.experiment_files.allowed_classes import allowing
from experiments.latency.kept import file_of, kept
from experiments.report.published import published_latency
from experiments.run_folders.run_folder import RunFolder
from experiments.study.runner import LINES_OF_A_FAILURE
from experiments.study.study_file import Study, StudyError

Interval = tuple[float, float] | None
"""Low and high in seconds; None where there are too few timings."""

Ask = Callable[[Sequence[str], Path], int]
"""Runs a command that prints into a log, to its end; its exit code."""

LATENCY_HEADER = (
    *("run", "experiment", "published mean s", "mean s", "p50 s", "95 % interval", "p95 s", "95 % interval"),
    *("n", "tokens in", "tokens out", "examples"),
)


@dataclass(frozen=True)
class LatencyRow:
    """What an answer of one run costs, over the test set; times in seconds from end to end.

    Attributes:
        label: what the study calls the run.
        experiment: what was run.
        published: the published mean; None where there is none.
        mean: the measured mean.
        p50, p50_interval, p95, p95_interval: percentiles with their 95 % intervals, where there are enough
            timings.
        n: of how many questions.
        tokens_in, tokens_out, examples: a question, on average; None where not known.
        device: where it was measured.
        file: where all of it stands.
    """

    label: str
    experiment: str
    published: float | None
    mean: float
    p50: float
    p50_interval: Interval
    p95: float | None
    p95_interval: Interval
    n: int
    tokens_in: float | None
    tokens_out: float | None
    examples: float | None
    device: str
    file: str


def run_to_its_end(command: Sequence[str], log: Path) -> int:
    """Run a command in a process of its own that prints into a log; its exit code."""
    with log.open("wb") as printed:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT, env=dict(os.environ)
        ).returncode


def measure_latencies(
    study: Study,
    folders: Mapping[str, Sequence[RunFolder]],
    ask: Ask = run_to_its_end,
    said: Callable[[str], object] = print,
) -> list[LatencyRow]:
    """The latency of every run with the study's first seed, measured where it is not known.

    Args:
        study: the study; without `latency_questions` nothing is measured.
        folders: for each label, the run folder of each seed.
        ask: runs a command.
        said: takes a line on each run.

    Raises:
        StudyError: a run could not be measured.
    """
    if study.latency_questions is None:
        return []
    return [
        _row(label, run.experiment, folders[label][0], _measured(study, label, folders[label][0], ask, said))
        for label, run in study.runs.items()
    ]


def latency_cells(row: LatencyRow) -> list[str]:
    """A run as a line of the table."""
    return [
        row.label,
        row.experiment,
        *(_seconds(row.published), _seconds(row.mean)),
        *(_seconds(row.p50), _between(row.p50_interval), _seconds(row.p95), _between(row.p95_interval)),
        f"{row.n:,}",
        *(_count(row.tokens_in), _count(row.tokens_out), _count(row.examples)),
    ]


def latency_note(study: Study, rows: Sequence[LatencyRow]) -> str:
    """What these times are, and what they are not."""
    sentences = [
        "Seconds from taking up a question to its answer, one question at a time, over questions of the "
        f"test; measured with seed {study.seeds[0]} on "
        f"{' and '.join(dict.fromkeys(row.device for row in rows))}, one run after the other. Intervals are "
        "by order statistics; stages and machine stand in each run's folder, latency/latency.html.",
    ]
    if any(row.examples for row in rows):
        sentences.append("Solved examples were found beforehand: finding them is not in these times.")
    if any(row.published is not None for row in rows):
        sentences.append("Published means are of another machine, whose other load nobody knows.")
        if study.scale == "tiny":
            sentences.append("They are of models a thousand times as large: nothing compares with them here.")
    return " ".join(sentences)


def _measured(
    study: Study, label: str, run: RunFolder, ask: Ask, said: Callable[[str], object]
) -> dict[str, Any]:
    questions = study.latency_questions
    assert questions is not None
    if known := kept(run, questions):
        said(f"{label}: latency kept, {file_of(run)}")
        return known
    log = study.folder / label / "latency.log"
    said(f"{label}: latency of {questions} questions, {log}")
    command = [
        *(sys.executable, "-m", "experiments.run", "latency", "--run", str(run.path)),
        *("--questions", str(questions), *allowing(study.allowed)),
    ]
    code = ask(command, log)
    if code == 0 and (known := kept(run, questions)):
        return known
    last = log.read_text(errors="replace").splitlines()[-LINES_OF_A_FAILURE:] if log.exists() else []
    raise StudyError(
        "\n".join(
            [
                f"The latency of the run {label} of the study {study.name} could not be measured (exit code "
                f"{code}). What is done is kept: repair it and start the study again. The end of its log, "
                f"{log}:",
                "",
                *(f"    {line}" for line in last),
            ]
        )
    )


def _row(label: str, experiment: str, run: RunFolder, result: Mapping[str, Any]) -> LatencyRow:
    figure = result["over_the_set"]
    times = figure["rows"]["end_to_end"]
    published = published_latency(experiment)
    return LatencyRow(
        label,
        experiment,
        None if published is None else published.value,
        times["mean"],
        times["p50"],
        times["p50_interval"],
        times["p95"],
        times["p95_interval"],
        figure["n"],
        _mean(figure["tokens_in"]),
        _mean(figure["tokens_out"]),
        _mean(figure["examples"]),
        result["machine"]["device"],
        str(file_of(run)),
    )


def _mean(counts: Mapping[str, float] | None) -> float | None:
    return None if counts is None else counts["mean"]


def _seconds(value: float | None) -> str:
    """Two decimals from a second on, three digits below."""
    if value is None:
        return "-"
    return f"{value:,.2f}" if value >= 1 else f"{value:#.3g}"


def _between(interval: Interval) -> str:
    return "-" if interval is None else " to ".join(map(_seconds, interval))


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}".removesuffix(".0")
