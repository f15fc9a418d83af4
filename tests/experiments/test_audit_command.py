"""`make audit`: from a run's folder to its page, whatever the run has left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datamodules.mixture import Mixture
from datamodules.views import Marked
from experiments import tested
from experiments.audits.of_run import questioner_of
from experiments.commands.audit import main
from experiments.experiment_files.allowed_classes import enforce
from experiments.run_folders.alone import alone_in
from experiments.run_folders.asked_checkpoint import checkpoint_of
from experiments.run_folders.run_folder import RunFolder
from experiments.tested import placement_of
from lightning_modules import placement
from tests.helpers.stub import StubData

ALLOWED = ["--allow", "tests.helpers"]


def audited(*typed: str) -> dict[str, Any]:
    main([*typed, *ALLOWED])
    result: dict[str, Any] = json.loads(Path("runs/stub/latest/audit/audit.json").read_text())
    return result


def test_a_run_is_audited_by_its_name_and_keeps_its_place(
    trained: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.path.rglob("*") if path.is_file()}
    result = audited("--run", "stub", "--audits", "identity mirrored,no_depth")
    said = capsys.readouterr().out
    assert list(result["audits"]) == ["identity", "mirrored", "no_depth"]
    assert result["audits"]["identity"]["passes"]["in_the_run"]["answers_changed"] == 0
    assert "Asked again, none of 22 answers differs." in said
    # It looks where the region lies, and the region lies on the other side in a mirror.
    assert result["audits"]["mirrored"]["passes"]["mirrored"]["n"] == 22
    assert "nothing is changed (no depth)" in result["audits"]["no_depth"]["error"]
    assert "audit/index.html" in said
    page = (trained.path / "audit/index.html").read_text()
    assert "Does it understand, or guess?" in page and "everything in a mirror" in page
    # The run itself is as it was, and still the latest one.
    after = {path: path.stat().st_mtime_ns for path in before}
    assert before == after
    assert Path("runs/stub/latest").resolve() == trained.path.resolve()
    assert list(Path("runs/stub").glob("2*")) == [Path("runs/stub") / trained.identifier]


def test_a_run_without_predictions_is_audited_all_the_same(trained: RunFolder) -> None:
    trained.predictions.unlink()
    result = audited("--run", str(trained.path), "--audits", "identity")
    assert "no answers of its own" in result["audits"]["identity"]["error"]
    assert result["audits"]["identity"]["passes"]["one_image_a_batch"]["n"] == 22
    assert result["base"]["n"] == 22


def test_answers_to_other_questions_are_told_from_those_of_now(trained: RunFolder) -> None:
    lines = [json.loads(line) for line in trained.predictions.read_text().splitlines()]
    for number, line in enumerate(lines[:5]):
        line["id"] = f"gone {number}"
    trained.predictions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    identity = audited("--run", "stub", "--audits", "identity")["audits"]["identity"]
    assert "the questions that its data hold now: 22 then, 22 now, 17 of them the same" in identity["error"]
    assert identity["passes"]["in_the_run"]["n"] == 17


def test_what_cannot_be_audited_is_said(
    trained: RunFolder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for typed, said in (
        (["--run", "stub", "--audits", "mirored"], "There is no audit 'mirored'"),
        (["--run", "nothing"], "There is no run of 'nothing'"),
    ):
        with pytest.raises(SystemExit):
            main([*typed, *ALLOWED])
        assert said in capsys.readouterr().err
    trained.checkpoint.unlink()
    with pytest.raises(SystemExit):
        main(["--run", str(trained.path), *ALLOWED])
    assert "nothing was trained" in capsys.readouterr().err


def test_two_audits_at_once_keep_out_of_each_other(
    trained: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with alone_in(RunFolder(trained.path / "audit")), pytest.raises(SystemExit):
        main(["--run", "stub", "--audits", "identity", *ALLOWED])
    assert "another run is at work" in capsys.readouterr().err
    assert audited("--run", "stub", "--audits", "identity")["base"]["n"] == 22


def test_it_is_the_checkpoint_that_was_tested(tmp_path: Path) -> None:
    run_a = RunFolder(tmp_path / "a")
    run_a.write_card({"subcommand": "fit"})
    run_a.config.write_text("name: a\ntested: best\n")
    run_a.checkpoint.parent.mkdir()
    run_a.checkpoint.touch()
    run_a.best.touch()
    elsewhere = str(tmp_path / "moved.ckpt")
    # What it has trained itself, whatever it began with.
    assert checkpoint_of(run_a, {"ckpt_path": elsewhere}) == run_a.best
    run_a.best.unlink()
    assert checkpoint_of(run_a, {"ckpt_path": elsewhere}) == run_a.checkpoint
    # What it has asked, to the letter; or the model as it begins.
    run_b = RunFolder(tmp_path / "b")
    run_b.write_card({"subcommand": "test"})
    for file in (elsewhere, str(run_a.checkpoint_before)):
        assert checkpoint_of(run_b, {"ckpt_path": file}) == Path(file)
    assert checkpoint_of(run_b, {"ckpt_path": None}) is None


def test_a_run_keeps_its_precision_where_the_machine_computes_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for device, told, expected in (
        ("cpu", "32-true", "32-true"),
        ("cpu", "16-mixed", "32-true"),
        ("cuda", "16-mixed", "16-mixed"),
        ("cuda", "32-true", "32-true"),
    ):
        monkeypatch.setattr(tested, "device_of", lambda name, device=device: device)
        monkeypatch.setattr(placement, "device_of", lambda name, device=device: device)
        found = placement_of({"accelerator": "auto", "precision": told})
        assert found.precision == expected
        trainer = tested.AsTested(None, None, found, "").trainer  # type: ignore[arg-type]
        on = "cpu" if device == "cpu" else "auto"
        assert trainer == {"accelerator": on, "devices": 1, "precision": expected}


def test_of_a_mixture_the_benchmark_is_asked_that_is_scored(
    trained: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = StubData(num_workers=0)
    mixture = Mixture(train=[StubData(num_workers=0)], evaluation=scored, views=[Marked()])
    monkeypatch.setattr(tested, "make_data", lambda settings: mixture)
    enforce(["tests.helpers"])
    questioner = questioner_of(trained)
    assert questioner.data is scored
    assert questioner.own_views == (Marked(),)
