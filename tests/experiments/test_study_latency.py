"""The latency of a study's runs: what its file may say, what is measured when, and what the table says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.latency.kept import file_of, what_is_measured
from experiments.report import published
from experiments.report.published import PublishedValue
from experiments.run_folders.run_folder import RunFolder
from experiments.study.study_file import Scale, Study, StudyError, StudyRun, read_study
from experiments.study.study_latency import (
    LATENCY_HEADER,
    LatencyRow,
    latency_cells,
    latency_note,
    measure_latencies,
)
from experiments.study.study_summary import Summary
from experiments.study.study_table import as_markdown, write_tables

NOTHING = Summary([], [], {}, {})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def a_study(questions: int | None = 60, **changes: Any) -> Study:
    runs = {label: StudyRun(label, f"folder/{label}", (), {}) for label in ("base", "tuned")}
    return replace(Study("costs", "What?", "full", (3, 4), runs, (), (), questions), **changes)


def run_in(folder: Path) -> RunFolder:
    """What a run leaves that was asked as it is."""
    run = RunFolder(folder)
    run.write_card({"subcommand": "experiment"})
    run.config.write_text("name: a run\n")
    return run


def figures(run: RunFolder, questions: int, mean: float = 0.25) -> dict[str, Any]:
    row = {"mean": mean, "p50": 0.2, "p50_interval": [0.125, 0.5], "p95": 1.5, "p95_interval": [1.25, 12.0]}
    counts = {"mean": 1234.5, "least": 1, "most": 2000}
    return {
        "of": what_is_measured(run, questions),
        "machine": {"device": "a machine"},
        "over_the_set": {
            **{"n": questions, "rows": {"end_to_end": row}},
            **{"tokens_in": counts, "tokens_out": None, "examples": {"mean": 3, "least": 3, "most": 3}},
        },
    }


class Asking:
    """Measures runs in the place of the command, and notes what it was told."""

    def __init__(self, code: int = 0, leaves: bool = True) -> None:
        self.code, self.leaves = code, leaves
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str], log: Path) -> int:
        self.commands.append(list(command))
        log.write_text("loading\nError: no memory left\n")
        run = RunFolder(Path(command[command.index("--run") + 1]))
        if self.leaves:
            file_of(run).parent.mkdir(exist_ok=True)
            file_of(run).write_text(json.dumps(figures(run, int(command[command.index("--questions") + 1]))))
        return self.code


@pytest.fixture
def folders(here: Path) -> dict[str, list[RunFolder]]:
    made = {
        label: [run_in(a_study().folder / label / f"seed{seed}") for seed in (3, 4)]
        for label in ("base", "tuned")
    }
    return made


def test_a_study_without_it_measures_nothing(folders: dict[str, list[RunFolder]]) -> None:
    asking = Asking()
    assert measure_latencies(a_study(None), folders, asking) == []
    assert asking.commands == []


def test_every_run_is_measured_once_with_the_first_seed(
    folders: dict[str, list[RunFolder]], capsys: pytest.CaptureFixture[str]
) -> None:
    asking = Asking()
    study = a_study(allowed=("mine",))
    rows = measure_latencies(study, folders, asking)
    assert [command[1:] for command in asking.commands] == [
        [
            *("-m", "experiments.run", "latency", "--run", str(folders[label][0].path)),
            *("--questions", "60", "--allow", "mine"),
        ]
        for label in ("base", "tuned")
    ]
    assert [row.label for row in rows] == ["base", "tuned"]
    # What was measured is not measured again, but for other questions or another checkpoint.
    assert measure_latencies(study, folders, asking) == rows
    assert len(asking.commands) == 2
    assert "base: latency kept" in capsys.readouterr().out
    folders["tuned"][0].config.write_text("name: another run\n")
    measure_latencies(study, folders, asking)
    assert len(asking.commands) == 3
    measure_latencies(replace(study, latency_questions=61), folders, asking)
    assert len(asking.commands) == 5


@pytest.mark.parametrize(("code", "leaves"), [(1, False), (1, True), (0, False)])
def test_a_run_that_cannot_be_measured_stops_the_study_with_its_log(
    folders: dict[str, list[RunFolder]], code: int, leaves: bool
) -> None:
    asking = Asking(code, leaves)
    with pytest.raises(StudyError, match=r"run base of the study costs(.|\n)*exit code(.|\n)*no memory left"):
        measure_latencies(a_study(), folders, asking)
    assert len(asking.commands) == 1


def test_the_published_mean_stands_beside_the_measured_one(
    folders: dict[str, list[RunFolder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = (
        PublishedValue("folder/tuned", "score", 41.81, "s", "t", False),
        PublishedValue("folder/tuned", "latency", 9.24, "s", "t", False),
    )
    monkeypatch.setattr(published, "published_values", lambda: values)
    base, tuned = measure_latencies(a_study(), folders, Asking())
    assert (base.published, tuned.published) == (None, 9.24)
    assert len(LATENCY_HEADER) == len(latency_cells(base))
    assert latency_cells(tuned) == [
        *("tuned", "folder/tuned", "9.24", "0.250", "0.200", "0.125 to 0.500", "1.50", "1.25 to 12.00", "60"),
        *("1,234.5", "-", "3"),
    ]
    assert "9.24 s" in str(values[1]) and not values[1].is_score and values[1].is_latency
    assert published.published_scores("folder/tuned") == [values[0]]
    study = a_study()
    text = as_markdown(study, NOTHING, [base, tuned])
    assert "## What an answer costs" in text and "1.25 to 12.00" in text
    assert "Published means are of another machine" in text and "thousand times" not in text
    assert "What an answer costs" not in as_markdown(study, NOTHING)
    tiny = replace(study, scale="tiny")
    assert "thousand times" in latency_note(tiny, [base, tuned])
    assert "Published" not in latency_note(tiny, [base])
    assert "finding them is not in these times" in latency_note(tiny, [base])
    assert "finding them" not in latency_note(tiny, [replace(base, examples=0)])
    write_tables(study, NOTHING, [base, tuned])
    table = json.loads((study.folder / "table.json").read_text())
    assert [LatencyRow(**row).published for row in table["latencies"]] == [None, 9.24]


def test_what_has_no_p95_has_a_dash() -> None:
    row = LatencyRow("a", "b", None, 0.00123456, 2.0, None, None, None, 5, None, None, None, "m", "f")
    assert latency_cells(row)[2:] == ["-", "0.00123", "2.00", "-", "-", "-", "5", "-", "-", "-"]


def read(folder: Path, scale: Scale = "full", **content: Any) -> Study:
    (folder / "experiment.yaml").write_text("# Is it so?\nmodel: {}\n")
    whole = {
        **{"name": "costs", "seeds": [0], "baseline": "a"},
        "runs": {"a": {"experiment": str(folder / "experiment.yaml")}},
        **content,
    }
    file = folder / "costs.yaml"
    file.write_text("# What?\n" + yaml.safe_dump(whole))
    return read_study(file, scale)


def test_a_file_says_how_many_questions_are_asked(here: Path) -> None:
    assert read(here).latency_questions is None
    told: dict[str, Any] = {"latency": {"questions": 200}, "tiny": {"latency": {"questions": 60}}}
    assert read(here, **told).latency_questions == 200
    assert read(here, "tiny", **told).latency_questions == 60
    assert read(here, "tiny", latency={"questions": 7}).latency_questions == 7
    wrong: Any
    for wrong in ({}, None, {"questions": 0}, {"questions": "many"}, {"questions": True}, {"questions": 1.5}):
        with pytest.raises(StudyError, match=r"say how many are asked, at least 1"):
            read(here, latency=wrong)
    for wrong, said in (({"question": 3}, "unknown key 'question'"), ([200], "must be keys with values")):
        with pytest.raises(StudyError, match=said):
            read(here, latency=wrong)
