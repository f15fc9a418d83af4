"""Studies: what their files may say, which runs are started when, which are kept, and what the table says."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.samples import SmallSpatialError
from experiments.command_line import cli
from experiments.commands.study import main
from experiments.experiment_files.config_files import compose
from experiments.experiment_files.registry import opening_comment, read_yaml
from experiments.run_folders.run_folder import RUNS, RunError, RunFolder
from experiments.study.runner import StudyRunner
from experiments.study.study_file import STUDIES, Scale, Study, StudyError, find_study, read_study
from experiments.study.study_run import SeededRun, seeded_runs
from experiments.study.study_summary import summarise
from experiments.study.study_table import as_markdown, write_tables
from tests.helpers.cli_in_process import DryRunCLI
from tests.helpers.commands import ALLOWING, environment
from tests.helpers.forked_make import ForkedPython

SHIPPED = sorted(path.stem for path in STUDIES.glob("*.yaml"))

TEACHING: dict[str, Any] = {
    "name": "teaching",
    "seeds": [0, 1],
    "runs": {
        "teacher": {"experiment": "EXPERIMENT"},
        "plain": {"experiment": "EXPERIMENT"},
        "taught": {
            "experiment": "EXPERIMENT",
            "needs": ["teacher"],
            "settings": {"model": {"teacher": "{folder:teacher}/adapter"}},
        },
    },
    "baseline": "plain",
    "compare": [["teacher", "taught"]],
}


def predictions(correct: list[bool]) -> str:
    """Lines as a run writes them; two questions an image, of two tasks."""
    lines = (
        {"id": str(number), "group": f"image {number // 2}", "task": ("Count", "Depth")[number % 2]}
        | {"answer": "A", "correct": bool(right)}
        for number, right in enumerate(correct)
    )
    return "".join(json.dumps(line) + "\n" for line in lines)


def write_run(folder: RunFolder, correct: list[bool], **results: Any) -> RunFolder:
    """What a tested run leaves behind."""
    folder.write_card({"started": "today", "subcommand": "experiment"})
    folder.predictions.write_text(predictions(correct))
    score = 100 * float(np.mean(correct))
    content = {"score": score, "n": len(correct), "unreadable": 0, "tasks": {}, **results}
    folder.results.write_text(json.dumps(content))
    return folder


def write_study(path: Path, content: dict[str, Any], comment: str = "# Does it work?\n") -> Path:
    """A study's file beside the experiment it runs."""
    experiment = path.with_name("parent.yaml")
    if not experiment.exists():
        experiment.write_text("# Is it so?\nmodel: {width: 5}\ntiny: {model: {width: 1}}\n")
        path.with_name("experiment.yaml").write_text(f"# Is it this?\nstarts_from: {experiment}\n")
    text = yaml.safe_dump(content, sort_keys=False).replace(
        "EXPERIMENT", str(path.with_name("experiment.yaml"))
    )
    path.write_text(comment + text)
    return path


def changed(content: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy of a study's content with some keys changed; None takes a key out."""
    return {key: value for key, value in {**content, **changes}.items() if value is not None}


@dataclass
class Process:
    """A stub of a started run: ends after some looks at it, and leaves behind what a run leaves."""

    run: SeededRun
    looks: int
    code: int
    tests: bool = True
    fails_at_its_end: bool = False
    terminated: bool = False

    def poll(self) -> int | None:
        self.looks -= 1
        if self.looks > 0:
            return None
        if self.looks == 0 and self.tests and (self.code == 0 or self.fails_at_its_end):
            folder = RunFolder(RUNS / self.run.name / f"run{len(list((RUNS / self.run.name).glob('run*')))}")
            write_run(folder, [True, False]).become_latest()
        return self.code

    def terminate(self) -> None:
        self.terminated = True


@dataclass
class Workshop:
    """Starts stubs, and remembers what was started, beside what, and with which environment."""

    looks: Callable[[str], int] = lambda label: 1
    failing: dict[str, int] = field(default_factory=dict)
    failing_after_the_test: bool = False
    untested: set[str] = field(default_factory=set)
    processes: list[Process] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0

    def start(self, run: SeededRun, environment: dict[str, str]) -> Process:
        for needed in run.needed():
            assert needed.record.exists(), f"{run} was started before {needed} was done"
        run.log.write_text("loading\nError: no memory left\n")
        process = Process(
            run,
            self.looks(run.run.label),
            self.failing.get(str(run), 0),
            str(run) not in self.untested,
            self.failing_after_the_test,
        )
        self.processes.append(process)
        self.environments.append(environment)
        self.most_at_once = max(self.most_at_once, sum(process.looks > 0 for process in self.processes))
        return process

    @property
    def started(self) -> list[str]:
        return [str(process.run) for process in self.processes]


def carry_out(study: Study, jobs: int = 1, **workshop: Any) -> Workshop:
    """Run a study with stubs."""
    shop = Workshop(**workshop)
    StudyRunner(study, jobs, shop.start, pause_s=0).run()
    return shop


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def teaching(here: Path) -> Study:
    return read_study(write_study(here / "teaching.yaml", TEACHING))


# --- files ---


def test_settings_are_laid_over_each_other_and_the_tiny_ones_last(here: Path) -> None:
    content = changed(
        TEACHING,
        settings={"model": {"a": "all", "b": "all", "c": "all", "d": "all", "list": [1, 2]}},
        tiny={
            "settings": {"model": {"c": "tiny", "d": "tiny", "list": [3]}},
            "runs": {"plain": {"settings": {"model": {"d": "tiny plain"}}}},
        },
    )
    content["runs"] = TEACHING["runs"] | {
        "plain": {"experiment": "EXPERIMENT", "settings": {"model": {"b": "plain", "d": "plain"}}}
    }
    file = write_study(here / "teaching.yaml", content)
    full, tiny = (read_study(file, scale).runs["plain"].settings["model"] for scale in ("full", "tiny"))
    assert full == {"a": "all", "b": "plain", "c": "all", "d": "plain", "list": [1, 2]}
    assert tiny == {"a": "all", "b": "plain", "c": "tiny", "d": "tiny plain", "list": [3]}
    assert read_study(file, "tiny").runs["teacher"].settings["model"]["d"] == "tiny"


def test_every_run_is_compared_with_the_baseline_and_further_pairs_follow(teaching: Study) -> None:
    assert teaching.pairs == (("plain", "teacher"), ("plain", "taught"), ("teacher", "taught"))
    assert teaching.question == "Does it work?"


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"sedes": [1]}, "unknown key 'sedes'. Did you mean seeds?"),
        ({"tiny": {"setings": {}}}, "`tiny` of .* unknown key 'setings'. Did you mean settings?"),
        ({"tiny": {"runs": {"tought": {}}}}, "`tiny.runs` of .* unknown key 'tought'. Did you mean taught?"),
        ({"runs": {"plain": {"experimnt": "EXPERIMENT"}}}, "The run plain of .* Did you mean experiment?"),
        ({"runs": {"plain": {"needs": []}}}, "The run plain of .* has no `experiment`"),
        (
            {"runs": {"plain": {"experiment": "quickstrt"}}},
            "no experiment 'quickstrt'. Did you mean quickstart?",
        ),
        ({"runs": {"a/b": {"experiment": "quickstart"}}}, "the name 'a/b', which cannot be a folder's"),
        ({"runs": None}, "has no `runs`"),
        ({"baseline": "plan"}, "`baseline` of .* names the run 'plan', .* Did you mean plain?"),
        ({"compare": [["plain", "tought"]]}, "`compare` of .* names the run 'tought'"),
        ({"compare": [["plain"]]}, "each entry is a pair of labels"),
        ({"seeds": []}, "list whole numbers"),
        ({"seeds": [0, 0]}, "names a seed twice"),
        ({"seeds": 3}, "`seeds` of .* is 3, but must be a list"),
        ({"settings": {"seed_everything": 3}}, "sets `seed_everything`, which the study decides"),
        ({"settings": {"model": "{folder:teacher}"}}, "does not wait for a run of this name: add it to"),
        (
            {"runs": {"b": {"experiment": "quickstart", "needs": ["a"]}, "a": {"experiment": "quickstart"}}},
            "The run b of .* needs a, which does not stand before it: put a first",
        ),
    ],
)
def test_files_that_say_nothing_that_can_be_run(here: Path, changes: dict[str, Any], pattern: str) -> None:
    with pytest.raises(RunError, match=pattern):
        read_study(write_study(here / "teaching.yaml", changed(TEACHING, **changes)))


def test_a_study_is_found_by_its_name_or_its_file(here: Path) -> None:
    file = write_study(here / "teaching.yaml", TEACHING)
    assert find_study(str(file)) == file
    assert (
        find_study("distillation") == find_study("studies/distillation.yaml") == STUDIES / "distillation.yaml"
    )
    with pytest.raises(StudyError, match=r"no study 'destillation'\. Did you mean distillation\?"):
        find_study("destillation")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_study_says_what_it_answers(name: str) -> None:
    study = read_study(find_study(name))
    assert study.name == name
    assert study.question.endswith("?")
    assert f"make study NAME={name}" in opening_comment(find_study(name))


class ParsedCLI(DryRunCLI):
    """Checks every key and type, and makes nothing of them."""

    def instantiate_classes(self) -> None:
        pass


@pytest.mark.usefixtures("dry_run")
@pytest.mark.parametrize("scale", [pytest.param("full", marks=pytest.mark.every_file), "tiny"])
@pytest.mark.parametrize("name", SHIPPED)
def test_the_runs_of_a_shipped_study_parse(name: str, scale: Scale, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "require_teacher", lambda settings: None)  # nothing was trained
    study = read_study(find_study(name), scale)
    for run in seeded_runs(study)[: len(study.runs)]:
        folder = RUNS / run.name / "once"
        run.prepare()
        run.record.write_text(json.dumps({"folder": str(folder), "fingerprint": ""}))
        assert run.command[1:4] == ["-m", "experiments.run", "experiment"]
        config = ParsedCLI(run.command[3:]).config["experiment"]
        assert (config.name, config.seed_everything, config.scale) == (run.name, run.seed, scale)
        # What base.yaml limits at the tiny size would leave nothing to compare.
        assert config.trainer.limit_train_batches in (None, 1.0)
        assert config.trainer.limit_test_batches in (None, 1.0)
        if run.run.needs:
            (needed,) = run.needed()
            teacher = config.model.init_args.teacher
            weights = (teacher.adapter, teacher.checkpoint)
            # Tiny random models are trained whole.
            of_scale = {"full": (f"{needed.folder()}/adapter", None)}
            assert weights == of_scale.get(scale, (None, f"{needed.folder()}/checkpoints/last.ckpt"))


# --- running ---


def test_what_is_run_is_an_experiment_file_of_its_own(here: Path) -> None:
    file = write_study(here / "teaching.yaml", changed(TEACHING, settings={"model": {"width": 7}}))
    scales: tuple[tuple[Scale, str], ...] = (("full", "study/teaching"), ("tiny", "study/teaching-tiny"))
    for scale, names in scales:
        study = read_study(file, scale)
        carry_out(study)
        written = here / f"runs/{names}/taught/seed1.yaml"
        assert opening_comment(written) == "Is it this?"
        expected = {
            "name": f"{names}/taught/seed1",
            "seed_everything": 1,
            "model": {"width": 7, "teacher": f"runs/{names}/teacher/seed1/run0/adapter"},
        }
        content = read_yaml(written)
        assert content.pop("starts_from").endswith("experiment.yaml")
        assert content == ({"tiny": expected} if scale == "tiny" else expected)
        # The last of the files that are merged, after every `tiny:` part, is the study's.
        typed = next(run.command[3:] for run in seeded_runs(study) if str(run) == "taught seed 1")
        files = [argument for argument in compose(typed).arguments if argument != "-c"]
        last = files[-3] if scale == "tiny" else files[-1]
        assert files[-2:] == ["--scale", "tiny"] or scale == "full"
        assert (yaml.safe_load(last) if scale == "tiny" else read_yaml(Path(last)))["model"] == expected[
            "model"
        ]


def test_runs_follow_each_other_seed_by_seed(teaching: Study) -> None:
    shop = carry_out(teaching)
    assert shop.started == [
        *("teacher seed 0", "plain seed 0", "taught seed 0"),
        *("teacher seed 1", "plain seed 1", "taught seed 1"),
    ]
    assert shop.most_at_once == 1
    assert shop.environments[0] == dict(os.environ)


def test_with_two_jobs_nothing_waits_but_for_what_it_needs(
    teaching: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teacher takes long: what does not need it overtakes."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(7)))
    shop = carry_out(teaching, jobs=2, looks=lambda label: 5 if label == "teacher" else 2)
    assert shop.started[:4] == ["teacher seed 0", "plain seed 0", "teacher seed 1", "taught seed 0"]
    assert shop.most_at_once == 2
    assert {environment["OMP_NUM_THREADS"] for environment in shop.environments} == {"3"}


def test_the_user_may_deal_out_the_cores(teaching: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    shop = carry_out(teaching, jobs=2)
    assert {environment["OMP_NUM_THREADS"] for environment in shop.environments} == {"5"}


@st.composite
def studies(draw: st.DrawFn) -> dict[str, Any]:
    """Any order of runs, each of which needs any of those before it."""
    labels = [f"run{number}" for number in range(draw(st.integers(1, 5)))]
    runs = {
        label: {
            "experiment": "EXPERIMENT",
            "needs": draw(st.lists(st.sampled_from(labels[:number]), unique=True)),
        }
        if number
        else {"experiment": "EXPERIMENT"}
        for number, label in enumerate(labels)
    }
    seeds = list(range(draw(st.integers(1, 2))))
    return {"name": "any", "seeds": seeds, "runs": runs, "baseline": labels[0]}


@settings(max_examples=25, deadline=None)
@given(content=studies(), jobs=st.integers(1, 4), looks=st.lists(st.integers(1, 6), min_size=5, max_size=5))
def test_every_run_is_started_once_whatever_needs_what(
    content: dict[str, Any], jobs: int, looks: list[int]
) -> None:
    """That needed runs are done is checked where a stub is started."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        study = read_study(write_study(Path(folder) / "any.yaml", content))
        shop = carry_out(study, jobs, looks=lambda label: looks[int(label[-1])])
        assert Counter(shop.started) == Counter(map(str, seeded_runs(study)))
        assert shop.most_at_once <= jobs
        assert carry_out(study, jobs).started == []


def test_after_an_interruption_what_is_done_is_kept(
    teaching: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(label: str) -> int:
        if label == "taught":
            raise KeyboardInterrupt
        return 1 if label == "teacher" else 99

    shop = Workshop(looks=interrupted)
    with pytest.raises(KeyboardInterrupt):
        StudyRunner(teaching, 2, shop.start, pause_s=0).run()
    assert [process.run.run.label for process in shop.processes if process.terminated] == ["plain"]
    again = carry_out(teaching)
    assert "teacher seed 0" not in again.started
    assert len(again.started) == 5
    assert "teacher seed 0: kept, runs/study/teaching/teacher/seed0/run0" in capsys.readouterr().out


def test_a_run_without_results_is_not_kept(teaching: Study, here: Path) -> None:
    carry_out(teaching)
    (here / "runs/study/teaching/plain/seed1/run0/results.json").unlink()
    assert carry_out(teaching).started == ["plain seed 1"]


def test_changed_settings_repeat_a_run_and_what_needs_it(here: Path) -> None:
    file = here / "teaching.yaml"

    def started(content: dict[str, Any], scale: Scale = "full") -> list[str]:
        return carry_out(read_study(write_study(file, content), scale)).started

    one_seed = changed(TEACHING, seeds=[4])
    assert started(one_seed) == ["teacher seed 4", "plain seed 4", "taught seed 4"]
    assert started(one_seed) == []
    # What holds for the other scale only, and what is no setting, changes nothing.
    assert started(changed(one_seed, tiny={"settings": {"model": {"x": 1}}}, compare=[])) == []
    teacher = {"experiment": "EXPERIMENT", "settings": {"model": {"depth": 3}}}
    other_teacher = changed(one_seed, runs={**TEACHING["runs"], "teacher": teacher})
    assert started(other_teacher) == ["teacher seed 4", "taught seed 4"]
    taught = read_yaml(here / "runs/study/teaching/taught/seed4.yaml")
    assert taught["model"]["teacher"] == "runs/study/teaching/teacher/seed4/run1/adapter"
    # Another size, and another seed, are other runs.
    assert len(started(other_teacher, "tiny")) == 3
    assert started(changed(other_teacher, seeds=[4, 5])) == [
        "teacher seed 5",
        "plain seed 5",
        "taught seed 5",
    ]
    # The experiment's ancestors count, but not their comments, nor their tiny part at full size.
    parent = here / "parent.yaml"
    parent.write_text("# Other words\nmodel: {width: 5}\ntiny: {model: {width: 2}}\n")
    assert started(other_teacher) == []
    assert len(started(other_teacher, "tiny")) == 3
    parent.write_text("model: {width: 6}\n")
    assert len(started(other_teacher)) == 3


def test_a_failing_run_stops_the_study_with_the_end_of_its_log(teaching: Study) -> None:
    shop = Workshop(failing={"plain seed 0": 3}, looks=lambda label: 4 if label == "teacher" else 2)
    with pytest.raises(StudyError) as failure:
        StudyRunner(teaching, 2, shop.start, pause_s=0).run()
    assert "The run plain seed 0 of the study teaching failed with exit code 3." in str(failure.value)
    assert "runs/study/teaching/plain/seed0.log" in str(failure.value)
    assert str(failure.value).endswith("    loading\n    Error: no memory left")
    # The teacher was waited for, and nothing was started after the failure.
    assert shop.started == ["teacher seed 0", "plain seed 0"]
    assert not any(process.terminated for process in shop.processes)
    again = carry_out(teaching)
    assert again.started[0] == "plain seed 0"
    assert len(again.started) == 5


def test_a_run_that_fails_after_its_test_is_not_kept(teaching: Study) -> None:
    """Its results and predictions are there, but not its baselines, or not its report."""
    with pytest.raises(StudyError, match="plain seed 0 of the study teaching failed with exit code 1"):
        carry_out(teaching, failing={"plain seed 0": 1}, failing_after_the_test=True)
    assert carry_out(teaching).started[0] == "plain seed 0"


def test_a_run_that_was_not_tested_is_a_failure(teaching: Study) -> None:
    with pytest.raises(StudyError, match=r"teacher seed 0 .* ended without results.json"):
        carry_out(teaching, untested={"teacher seed 0"})


def test_the_line_of_progress(teaching: Study) -> None:
    lines = []

    def start(run: SeededRun, environment: dict[str, str]) -> Process:
        lines.append(re.sub(r"\d+\.\d min", "? min", runner.progress()))
        return shop.start(run, environment)

    shop = Workshop(looks=lambda label: 4 if label == "teacher" else 2)
    runner = StudyRunner(teaching, 2, start, pause_s=0)
    runner.run()
    assert lines[1] == "0 of 6 runs done; running: teacher seed 0 (? min)"
    assert lines[2] == "1 of 6 runs done; running: teacher seed 0 (? min)"


# --- the table ---


def verdicts(random: np.random.Generator, share: float, questions: int = 400) -> list[bool]:
    return [bool(right) for right in random.random(questions) < share]


@pytest.fixture
def measured(teaching: Study) -> dict[str, list[RunFolder]]:
    """Taught is much better than plain, the teacher as good as plain."""
    random = np.random.default_rng(0)
    shares = {"teacher": 0.5, "plain": 0.5, "taught": 0.7}
    return {
        label: [
            write_run(
                RunFolder(RUNS / label / str(seed)),
                verdicts(random, share),
                unreadable=seed,
                official={"score": 12.0 + 3 * seed, "n": 400},
            )
            for seed in teaching.seeds
        ]
        for label, share in shares.items()
    }


def accuracy(folder: RunFolder, task: str | None = None) -> float:
    """Read again, without the project's functions."""
    lines = [json.loads(line) for line in folder.predictions.read_text().splitlines()]
    right = [line["correct"] for line in lines if task in (None, line["task"])]
    return 100 * sum(right) / len(right)


def test_the_table_holds_what_the_runs_reached(teaching: Study, measured: dict[str, list[RunFolder]]) -> None:
    summary = summarise(teaching, measured)
    write_tables(teaching, summary)
    table = json.loads((teaching.folder / "table.json").read_text())
    assert [row["label"] for row in table["runs"]] == ["teacher", "plain", "taught"]
    for row in table["runs"]:
        by_seed = [accuracy(folder) for folder in measured[row["label"]]]
        assert row["by_seed"] == pytest.approx(by_seed)
        assert row["accuracy"]["mean"] == pytest.approx(np.mean(by_seed))
        low, high = row["accuracy"]["interval"]
        assert low < row["accuracy"]["mean"] < high
        assert (row["n"], row["unreadable"]) == (400, [0, 1])
        assert row["scores"]["official"] == [12.0, 15.0]
        assert row["folders"] == [str(folder.path) for folder in measured[row["label"]]]
    for difference in table["differences"]:
        folders = zip(measured[difference["a"]], measured[difference["b"]], strict=True)
        by_seed = [accuracy(b) - accuracy(a) for a, b in folders]
        assert difference["by_seed"] == pytest.approx(by_seed)
        assert difference["points"]["mean"] == pytest.approx(np.mean(by_seed))
    assert set(table["task_differences"]) == {"Count", "Depth"}
    for task, differences in table["task_differences"].items():
        assert [difference["n"] for difference in differences] == [200] * 3
        counted = [accuracy(folder, task) for folder in measured["taught"]]
        assert table["task_accuracies"][task]["taught"]["mean"] == pytest.approx(np.mean(counted))

    page = (teaching.folder / "table.md").read_text()
    assert page == as_markdown(teaching, summary)
    assert "Does it work?" in page
    assert "make study NAME=teaching\n" in page
    # The benchmark's own score stands there where it is another one; here `score` is the accuracy.
    header, _, first, *_ = [line for line in page.splitlines() if line.startswith("|")]
    cells = [cell.strip() for cell in header.strip("|").split("|")]
    assert cells[-4:] == ["seed 1", "n", "unreadable", "official"]
    assert [cell.strip() for cell in first.strip("|").split("|")][-3:] == ["400", "0 / 1", "13.50"]
    widths = Counter(
        len(line) for line in page.splitlines() if line.startswith(("| taught -", "| difference"))
    )
    assert len(widths) == 1, "columns do not stand below each other"
    note = " ".join(page.split())
    assert "2 seeds are few" in note
    assert "as few as 50 % of cases" in note


def test_a_known_difference_is_found_and_none_is_made_up(here: Path) -> None:
    study = read_study(write_study(here / "teaching.yaml", changed(TEACHING, seeds=[0, 1, 2])))
    random = np.random.default_rng(3)
    hard = random.random(800)
    folders = {
        label: [
            write_run(RunFolder(RUNS / label / str(seed)), list(hard + random.normal(0, 0.2, 800) < share))
            for seed in study.seeds
        ]
        for label, share in {"teacher": 0.5, "plain": 0.5, "taught": 0.62}.items()
    }
    teacher, taught, further = summarise(study, folders).differences
    assert (teacher.shown, taught.shown, further.shown) == ("no", "yes", "yes")
    assert taught.points.interval[0] > 0
    assert taught.test is not None
    assert taught.test.p_value < 0.05
    assert max(taught.p_values) < 1e-4


def test_one_lucky_seed_shows_nothing(here: Path) -> None:
    study = read_study(write_study(here / "teaching.yaml", changed(TEACHING, seeds=[0, 1, 2])))
    random = np.random.default_rng(4)
    plain = verdicts(random, 0.5)
    lucky = [right or repaired for right, repaired in zip(plain, verdicts(random, 0.4), strict=True)]
    folders = {
        label: [
            write_run(RunFolder(RUNS / label / str(seed)), answers) for seed, answers in enumerate(of_label)
        ]
        for label, of_label in {
            "teacher": [plain] * 3,
            "plain": [plain] * 3,
            "taught": [plain, plain, lucky],
        }.items()
    }
    _, taught, _ = summarise(study, folders).differences
    assert taught.points.mean > 5
    assert taught.p_values[2] < 1e-6
    assert taught.shown == "no"


def test_a_single_seed_is_tested_on_its_questions(here: Path) -> None:
    study = read_study(write_study(here / "teaching.yaml", changed(TEACHING, seeds=[0])))
    random = np.random.default_rng(5)
    folders = {
        label: [write_run(RunFolder(RUNS / label), verdicts(random, share))]
        for label, share in {"teacher": 0.5, "plain": 0.5, "taught": 0.7}.items()
    }
    summary = summarise(study, folders)
    assert [difference.test for difference in summary.differences] == [None] * 3
    assert [difference.shown for difference in summary.differences] == ["no", "yes", "yes"]
    assert "One seed says nothing" in " ".join(as_markdown(study, summary).split())


def test_runs_that_answered_other_questions_are_refused(
    teaching: Study, measured: dict[str, list[RunFolder]]
) -> None:
    measured["taught"][1].predictions.write_text(predictions([True] * 398))
    with pytest.raises(SmallSpatialError, match=r"different questions: 2 ids are only in .*teacher/0/"):
        summarise(teaching, measured)


# --- the whole ---


@pytest.fixture
def shared_imports(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The runs of a study are forked from a process that has its imports."""
    with ForkedPython(here):
        monkeypatch.setattr(sys, "executable", str(here / ".venv/bin/python"))
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("shared_imports")
def test_a_study_of_two_small_runs(
    here: Path, stub: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two real runs and their latency, the second with the first's folder in its settings; then a mistake."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    content: dict[str, Any] = {
        "name": "stubs",
        "seeds": [3],
        "runs": {
            "first": {"experiment": str(stub)},
            "second": {
                "experiment": str(stub),
                "needs": ["first"],
                "settings": {"model": {"init_args": {"geometry": "{folder:first}"}}},
            },
        },
        "baseline": "first",
        "latency": {"questions": 2},
        "tiny": {"settings": {"trainer": {"limit_test_batches": None}}},
    }
    file = write_study(here / "stubs.yaml", content)
    main([str(file), "--scale", "tiny", *ALLOWING])
    shown = capsys.readouterr().out
    folder = here / "runs/study/stubs-tiny"
    assert (folder / "table.md").read_text() in shown
    table = json.loads((folder / "table.json").read_text())
    assert [row["n"] for row in table["runs"]] == [22, 22]
    config = read_yaml(Path(table["runs"][1]["folders"][0]) / "config.yaml")
    assert config["model"]["init_args"]["geometry"] == table["runs"][0]["folders"][0]
    assert (config["seed_everything"], config["name"]) == (3, "study/stubs-tiny/second/seed3")
    assert config["data"]["init_args"]["images"] == 16  # the experiment's own tiny part
    assert config["trainer"]["limit_test_batches"] is None
    assert [row["n"] for row in table["latencies"]] == [2, 2]
    assert all(Path(row["file"]).with_suffix(".html").is_file() for row in table["latencies"])

    content["runs"]["second"]["settings"] = {"model": {"init_args": {"geometri": "x"}}}
    write_study(file, content)
    with pytest.raises(SystemExit):
        main([str(file), "--scale", "tiny", *ALLOWING])
    output = capsys.readouterr()
    assert "first seed 3: kept" in output.out
    assert "The run second seed 3 of the study stubs failed with exit code" in output.err
    assert "geometri" in output.err
