"""The matrix: every experiment on small copies of the published benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.base import Role
from datamodules.cv_bench import CvBench
from datamodules.omni_spatial import OmniSpatial
from datamodules.space_thinker import SpaceThinker
from experiments.commands import matrix
from experiments.commands.fetch import DATASETS
from experiments.commands.matrix_run import SENTENCE, Outcome, outcome_of
from experiments.commands.matrix_trials import OF_EACH_FAMILY, Trial, chosen_trials, tiny_models, whole
from experiments.commands.published_copies import published_copies
from experiments.experiment_files.registry import UnknownExperiment, experiment_names
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.zoo import ZOO

ROLES: tuple[Role, ...] = ("train", "val", "test")


def test_every_experiment_runs_after_the_one_that_makes_its_teacher() -> None:
    trials = chosen_trials()
    assert {trial.experiment for trial in trials} == set(experiment_names())
    assert len({trial.name for trial in trials}) == len(trials)
    students = [trial for trial in trials if trial.needs]
    assert len(students) == 7
    for student in students:
        assert student.needs in trials[: trials.index(student)]
    alone = [trial.experiment for trial in chosen_trials("distillation/gkd")]
    assert alone == ["distillation/teacher_sft_7b", "distillation/gkd"]
    assert all(trial.experiment.startswith("debug/") for trial in chosen_trials("debug"))
    with pytest.raises(UnknownExperiment, match="distillation/gkd"):
        chosen_trials("distillation/gdk")


def test_every_family_is_tried_in_three_precisions() -> None:
    names = [whole(name)["model"]["init_args"].get("model") for name in OF_EACH_FAMILY]
    families = {ZOO[name].family_name for name in names if isinstance(name, str)}
    assert families | {"composed"} == set(FAMILIES)
    assert None in names, "TinyGiant is no vision-language model"
    for name in OF_EACH_FAMILY:
        tried = {trial.precision for trial in chosen_trials(name) if trial.experiment == name}
        assert tried == {None, "bf16-mixed", "bf16-true"}


@pytest.mark.parametrize("name", experiment_names())
def test_no_model_is_asked_of_a_hub_or_package(name: str, tmp_path: Path) -> None:
    """Whatever can name weights is replaced."""
    model = whole(name)["model"]["init_args"]
    tiny = tiny_models(model, tmp_path / "weights.pth")
    if "network" in model:
        assert ("pretrained" in tiny.get("network", {})) == ("pretrained" in model["network"])
    else:
        assert tiny["random_weights"] is True
        assert ("teacher" in model) == ("teacher" in tiny)
        assert all(part["random_weights"] for part in (tiny.get("teacher"),) if part)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published_copies(tmp_path_factory.mktemp("published"), size=(112, 80))


def test_copies_hold_the_official_splits_and_no_others(copies: Path) -> None:
    for made in (AiCityTrack3, CvBench, OmniSpatial, SpaceThinker):
        folder = copies / made.benchmark
        data = made(root=str(folder), cache=str(copies.parent / "indexes"), num_workers=0)
        official = set(DATASETS[made.benchmark].splits)
        there = [role for role in ROLES if data.has_split(role)]
        assert set(there) == official
        counts = json.loads((folder / "smallspatial_copy.json").read_text())["splits"]
        assert set(counts) == official
        for role in there:
            labels = list(data.split(role).labels())
            assert counts[role]["questions"] == len(labels)
            known = [answer for _, answer in labels if answer]
            assert len(known) == (0 if (made, role) == (AiCityTrack3, "test") else len(labels))
        # As `DATA=hub` checks what it has fetched.
        assert not list(DATASETS[made.benchmark].missing_parts(folder))
    assert (copies / "omni_spatial/OmniSpatial-test/data.json").is_file()
    assert not (copies / "ai_city_track3/test_truth.json").exists()


def written(folder: Path, trial: Trial, log: str, n: int | None = None) -> None:
    trial.log(folder).parent.mkdir(parents=True, exist_ok=True)
    trial.log(folder).write_text(log)
    if n is not None:
        run = trial.run(folder)
        run.path.mkdir(parents=True)
        run.results.write_text(json.dumps({"n": n, "score": 50.0}))


def test_what_has_become_of_a_trial(tmp_path: Path) -> None:
    run, scratch = Trial("quickstart"), Trial("small_vlm/qwen_from_scratch")
    mixed = Trial("quickstart", "bf16-mixed")

    def status(trial: Trial, code: int | None) -> tuple[str, str]:
        outcome = outcome_of(trial, tmp_path, code, 1.0)
        return outcome.status, outcome.said

    written(tmp_path, run, "Traceback ...\n  File ...\nValueError: deep inside\n\n")
    assert status(run, 1) == ("failed", "ValueError: deep inside")
    assert status(run, None)[0] == "failed"
    assert status(run, 0) == ("failed", "it has left no results.json and no report.html")
    for trial, expected in ((run, "failed"), (scratch, "sentence"), (mixed, "sentence")):
        written(tmp_path, trial, "Something\n\nError: It cannot be.\n")
        assert status(trial, SENTENCE) == (expected, "It cannot be.")
    written(tmp_path, run, "", n=0)
    run.run(tmp_path).report.write_text("")
    assert status(run, 0) == ("failed", "no question was scored")
    run.run(tmp_path).results.write_text(json.dumps({"n": 7, "score": 50.0}))
    assert status(run, 0) == ("ok", "")
    assert status(scratch, 0)[0] == "failed"


@pytest.mark.parametrize("bad", [False, True])
def test_a_failure_stands_in_the_table_and_in_the_exit_code(
    bad: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("WANDB_MODE", "OMP_NUM_THREADS", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(variable, "1")
    good = [
        Outcome("quickstart", "32-true", "ok", 3.0, 28, 12.5),
        Outcome("small_vlm/qwen_from_scratch", "32-true", "sentence", 1.0, said="CV-Bench has none."),
    ]
    failed = [Outcome("debug/overfit", "32-true", "failed", 2.0, said="ValueError: a|b")] if bad else []
    monkeypatch.setattr(matrix.Matrix, "run", lambda self: [*good, *failed])
    assert matrix.main(["quickstart"], tmp_path) == int(bad)
    table = (tmp_path / "matrix.md").read_text()
    assert table.strip() in capsys.readouterr().out
    assert f"1 of {3 if bad else 2} experiment files have run, 1 say in a sentence why not" in table
    assert ("ValueError: a\\|b" in table) == bad
    statuses = [trial["status"] for trial in json.loads((tmp_path / "matrix.json").read_text())["trials"]]
    assert statuses == ["ok", "sentence", *(["failed"] if bad else [])]


def test_a_student_waits_for_its_teacher_where_that_is_made(tmp_path: Path) -> None:
    teacher, student = chosen_trials("distillation/logit_kd")
    both = matrix.Matrix([student, teacher], tmp_path, jobs=2)
    assert both._next() == teacher
    both.waiting = [student]
    assert both._next() == student
    assert matrix.Matrix([student], tmp_path, jobs=2)._next() == student


@pytest.mark.slow
def test_a_slice_of_the_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A student with its teacher, and what has nothing to train on."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    trials = [
        *chosen_trials("distillation/logit_kd"),
        Trial("small_vlm/smolvlm_from_scratch"),
    ]
    outcomes = matrix.Matrix(trials, tmp_path, jobs=2).run()
    found = {outcome.experiment: (outcome.status, outcome.n > 0, outcome.said) for outcome in outcomes}
    sentence = found.pop("small_vlm/smolvlm_from_scratch")
    assert sentence[:2] == ("sentence", False) and "CV-Bench has no train split" in sentence[2]
    assert found == {trial.experiment: ("ok", True, "") for trial in trials[:-1]}
