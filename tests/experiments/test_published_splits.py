"""What a run says of splits and teachers that are not there, and when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datamodules.hub import fetch
from datamodules.samples import DataError
from experiments.command_line import teacher_outputs
from experiments.commands import cache_teacher
from experiments.run_folders.run_folder import RunFolder
from lightning_modules.base import ModelError
from lightning_modules.distillation.teachers import live as teachers
from lightning_modules.vlm import sft
from tests.helpers.cli_in_process import DryRunCLI, run
from tests.helpers.models_in_place import load_a_tiny_model
from tests.helpers.parquet_files import cv_bench_row, write_cv_bench
from tests.helpers.track3_files import records_of, write_split

OF_TEACHER_7B = ("logit_kd", "attention_kd", "gkd", "logit_kd_cached")
TEACHERS = {
    **{f"distillation/{name}": "distillation/teacher_sft_7b" for name in OF_TEACHER_7B},
    "small_vlm/kd_smolvlm": "small_vlm/smolvlm_2b_lora",
}


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a model is loaded nor anything fetched or written."""

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("too late: a model is loaded or data are fetched")

    for module in (sft, teachers):
        monkeypatch.setattr(module, "load_vlm", fail)
    monkeypatch.setattr(fetch, "fetched", fail)
    monkeypatch.setattr(teacher_outputs, "_write", fail)


def test_a_run_scores_val_and_says_so_and_predicts_test(
    tmp_path: Path, track3: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run("experiment", *track3, "--baselines.blind", "true")
    card = capsys.readouterr().out
    assert "scored on" in card and "the val split" in card and "predict" in card
    results = json.loads(folder.results.read_text())
    assert results["n"] == 7
    assert "val split" in results["scored_on"]
    assert {name: part["n"] for name, part in results["baselines"].items()} == {
        "majority": 7,
        "chance": 7,
        "blind": 7,
    }
    for page in (folder.results_page, folder.report):
        assert "the val split, since the answers of the test split are not known" in page.read_text()

    predicted = run("predict", *track3, "--ckpt_path", str(folder.checkpoint), "--name", "predicted")
    submission = json.loads(predicted.submission.read_text())
    official = json.loads((tmp_path / "published/test.json").read_text())
    assert sorted(row["id"] for row in submission) == sorted(entry["id"] for entry in official)
    assert len(submission) == 10
    assert "scored on" not in capsys.readouterr().out


def test_a_run_says_that_nothing_is_validated(
    tmp_path: Path, track3: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "published"
    (folder / "val.json").unlink()
    write_split(folder, "test_truth", records_of("test-", [4, 4, 2]), images=False)
    results = json.loads(run("experiment", *track3).results.read_text())
    card = capsys.readouterr().out
    assert "validation" in card and "the data have no val split" in card
    assert "scored on" not in card
    assert (results["n"], results.get("scored_on")) == (10, None)


def test_missing_answers_are_noticed_before_the_training(tmp_path: Path, track3: list[str]) -> None:
    some = records_of("test-", [4])
    del some[-1]["normalized_answer"]
    write_split(tmp_path / "published", "test", some)
    with pytest.raises(DataError, match="1 of the 4 questions of the test split have no answer"):
        run("experiment", *track3)
    (folder,) = map(RunFolder, (tmp_path / "runs/stub").glob("2*"))
    assert not folder.checkpoint.exists()
    assert not folder.metrics.exists()
    # Whoever only trains asks nobody for answers to test by.
    assert run("fit", *track3).checkpoint.exists()


@pytest.mark.usefixtures("forbidden")
@pytest.mark.parametrize("name", TEACHERS)
def test_a_missing_teacher_names_the_command_that_makes_it(name: str, dry_run: type[DryRunCLI]) -> None:
    maker = TEACHERS[name]
    said = rf"adapter runs/{maker}/latest/adapter does not exist.*`make experiment NAME={maker}`"
    for subcommand in ("experiment", "fit"):
        with pytest.raises(ModelError, match=said):
            dry_run([subcommand, "-c", name, "--data.init_args.root", "hub"])
    assert not Path("runs").exists()


@pytest.mark.usefixtures("forbidden")
def test_so_it_is_where_teacher_outputs_are_written(dry_run: type[DryRunCLI]) -> None:
    with pytest.raises(ModelError, match="make experiment NAME=distillation/teacher_sft_7b"):
        cache_teacher.cache_teacher(["-c", "distillation/logit_kd_cached", "--data.init_args.root", "hub"])


@pytest.mark.parametrize("subcommand", ["test", "predict"])
def test_no_teacher_is_missed_where_nothing_is_learnt(
    subcommand: str, dry_run: type[DryRunCLI], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sft, "load_vlm", load_a_tiny_model)
    assert dry_run([subcommand, "-c", "distillation/logit_kd", "--ckpt_path=none"]).model is not None


@pytest.mark.usefixtures("forbidden")
@pytest.mark.parametrize("name", ["small_vlm/smolvlm_from_scratch", "small_vlm/qwen_from_scratch"])
def test_cv_bench_has_nothing_to_train_on(name: str, dry_run: type[DryRunCLI], tmp_path: Path) -> None:
    write_cv_bench(tmp_path / "real/test_2d.parquet", [cv_bench_row(number) for number in range(4)])
    for root in ("hub", str(tmp_path / "real")):
        with pytest.raises(
            DataError, match=r"CV-Bench has no train split.*DATA.*rendered scenes.*train files"
        ):
            dry_run(["experiment", "-c", name, "--data.init_args.root", root])
    assert not Path("runs").exists()


def test_what_is_only_asked_needs_nothing_to_train_on(
    dry_run: type[DryRunCLI], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sft, "load_vlm", load_a_tiny_model)
    write_cv_bench(tmp_path / "real/test_2d.parquet", [cv_bench_row(number) for number in range(4)])
    dry_run(["experiment", "-c", "small_vlm/smolvlm_500m_zero_shot", "--data.init_args.root", "hub"])
    with pytest.raises(DataError, match="CV-Bench has no train split"):
        dry_run(
            ["fit", "-c", "small_vlm/smolvlm_from_scratch", "--data.init_args.root", str(tmp_path / "real")]
        )
