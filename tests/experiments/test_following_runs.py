"""Runs that follow runs: what `latest` is, which run a command finds, and how a run is trained longer."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import torch
import yaml

from experiments.experiment_files.config_files import refuse_other_model
from experiments.experiment_files.registry import read_yaml
from experiments.run_folders.find_run import find_run, runs_in
from experiments.run_folders.loggers import read_rows
from experiments.run_folders.run_folder import RunError, RunFolder
from lightning_modules.schedule import WarmupCosine
from tests.helpers.commands import Command, Start


def newest(runs: Path) -> Path:
    """The run that was started last."""
    return runs_in(runs)[-1].path


def test_asking_a_trained_model_leaves_latest_and_finds_its_checkpoint(
    tmp_path: Path, stub: Path, command: Command
) -> None:
    command("experiment", "-c", str(stub))
    runs, latest = tmp_path / "runs/stub", "runs/stub/latest"
    trained = (runs / "latest").resolve()
    answers = (trained / "predictions.jsonl").read_text()
    for _ in range(2):
        command("predict", "-c", f"{latest}/config.yaml", "--ckpt_path", f"{latest}/checkpoints/last.ckpt")
    shown = command("test", "-c", f"{latest}/config.yaml").stdout
    words = " ".join(shown.replace("│", " ").split())
    assert f"weights of runs/stub/{trained.name}/checkpoints/last.ckpt" in words
    assert (newest(runs) / "predictions.jsonl").read_text() == answers
    command("test", "-c", str(stub))
    assert (newest(runs) / "predictions.jsonl").read_text() == answers
    failed = command("fit", "-c", str(stub), "--data.init_args.root=missing", code=1)
    assert "missing does not exist" in failed.stderr
    assert (runs / "latest").resolve() == trained
    resumed = command("experiment", "-c", str(stub), "--resume", "latest").stdout
    assert trained.name in resumed


def test_a_run_is_named_by_its_folder_or_by_a_pointer_to_it(
    tmp_path: Path, stub: Path, command: Command
) -> None:
    command("fit", "-c", str(stub))
    runs = tmp_path / "runs/stub"
    trained = (runs / "latest").resolve()
    for named in ("runs/stub/latest", "runs/stub", f"runs/stub/{trained.name}"):
        shown = command("experiment", "--resume", named).stdout
        assert f"Report: runs/stub/{trained.name}/report.html" in shown
        assert (runs / "latest").resolve() == trained
    for named in ("runs/stub/latest", f"runs/stub/{trained.name}/"):
        assert trained.name in command("predict", "-c", named).stdout
    # Still its own configuration, whatever was rewritten.
    assert read_yaml(trained / "config.yaml")["name"] == "stub"


def test_an_experiment_that_trains_nothing_says_so(stub: Path, command: Command) -> None:
    shown = command("experiment", "-c", str(stub), "--trainer.max_steps=0").stdout
    assert "Nothing was trained" in shown
    assert "Nothing was trained" not in command("experiment", "-c", str(stub)).stdout


def test_an_untrained_model_is_not_scored_in_silence(tmp_path: Path, stub: Path, command: Command) -> None:
    refused = command("test", "-c", str(stub), code=1)
    assert "There is no run of 'stub'" in refused.stderr and "--ckpt_path none" in refused.stderr
    assert not (tmp_path / "runs").exists()
    command("test", "-c", str(stub), "--ckpt_path", "none")
    refused = command("test", "-c", str(newest(tmp_path / "runs/stub") / "config.yaml"), code=1)
    assert "has trained nothing" in refused.stderr


def test_an_experiment_without_a_test_has_no_score(tmp_path: Path, stub: Path, command: Command) -> None:
    shown = command("experiment", "-c", str(stub), "--trainer.limit_test_batches=0").stdout
    assert "Score" not in shown
    assert not (tmp_path / "runs/stub/latest/results.json").exists()


def test_an_experiment_with_callbacks_of_its_own_can_be_resumed(
    tmp_path: Path, stub: Path, command: Command
) -> None:
    content = read_yaml(stub)
    content["trainer"]["callbacks"] = [{"class_path": "lightning.pytorch.callbacks.RichModelSummary"}]
    stub.write_text(f"# Is it kept?\n{yaml.safe_dump(content)}")
    command("fit", "-c", str(stub))
    assert (tmp_path / "runs/stub/latest/checkpoints/last.ckpt").exists()
    assert any(row.get("lr-AdamW/pg1") for row in read_rows(tmp_path / "runs/stub/latest/metrics.csv"))


def test_a_finished_run_is_trained_longer(tmp_path: Path, command: Command) -> None:
    command("fit", "-c", "quickstart", "--scale=tiny", "--data.init_args.scenes={train: 24, val: 1, test: 2}")
    folder = (tmp_path / "runs/quickstart/latest").resolve()
    checkpoint = folder / "checkpoints/last.ckpt"
    steps = torch.load(checkpoint, weights_only=True)["global_step"]
    phases = "[{objective: chain, epochs: 3}, {objective: free_form, epochs: 1}]"
    shown = command("fit", "-c", "quickstart", "--resume", "latest", f"--model.init_args.phases={phases}")
    assert f"stretched from {steps} to {2 * steps} steps" in " ".join(shown.stdout.replace("│", " ").split())
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 2 * steps
    kept = read_yaml(folder / "config.yaml")["model"]["init_args"]["phases"]
    assert [phase["epochs"] for phase in kept] == [3, 1]
    rates = [float(row["lr-AdamW"]) for row in read_rows(folder / "metrics.csv") if row.get("lr-AdamW")]
    course = WarmupCosine(warmup_fraction=0.05, final_fraction=0.02)
    wanted = [3e-3 * course.factor(step, 2 * steps) for step in range(steps, 2 * steps)]
    assert rates[steps:] == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("key", "training", "asking"),
    [
        ("width", False, False),
        ("attention", True, True),
        ("image_tokens", True, True),
        ("activation_checkpointing", True, True),
        ("teacher", False, True),
        ("optimizer", False, True),
        ("rationale", False, False),
        ("prompt", False, True),
    ],
)
def test_what_shapes_no_weight_may_be_another(tmp_path: Path, key: str, training: bool, asking: bool) -> None:
    run = RunFolder(tmp_path)
    run.config.write_text(f"model: {{init_args: {{{key}: {{init_args: {{x: 1}}}}}}}}")
    other = {"model": {"init_args": {key: {"init_args": {"x": 2}}}}}
    for allowed, trains in ((training, True), (asking, False)):
        if allowed:
            refuse_other_model(other, run, trains)
        else:
            with pytest.raises(RunError, match=key):
                refuse_other_model(other, run, trains)


@pytest.mark.parametrize(
    ("now", "allowed"),
    [
        ([("free_form", 2), ("normalized", 5)], True),
        ([("free_form", 2), ("normalized", 3), ("free_form", 1)], True),
        ([("free_form", 3), ("normalized", 3)], False),
        ([("free_form", 2), ("normalized", 2)], False),
        ([("free_form", 2)], False),
        ([("free_form", 2), ("free_form", 4)], False),
    ],
)
def test_phases_may_only_go_on(tmp_path: Path, now: list[tuple[str, int]], allowed: bool) -> None:
    def settings(phases: list[tuple[str, int]]) -> dict:
        named = [{"objective": objective, "epochs": epochs} for objective, epochs in phases]
        return {"model": {"init_args": {"phases": named}}}

    run = RunFolder(tmp_path)
    run.config.write_text(yaml.safe_dump(settings([("free_form", 2), ("normalized", 3)])))
    if allowed:
        refuse_other_model(settings(now), run, True)
    else:
        with pytest.raises(RunError, match="phases"):
            refuse_other_model(settings(now), run, True)


def write_run(
    folder: Path, started: str, subcommand: str = "fit", trained: bool = True, tested: bool = False
) -> None:
    run = RunFolder(folder)
    run.write_card({"subcommand": subcommand, "started": started})
    run.config.write_text("name: x\n")
    files = [run.checkpoint] * trained + [run.results, run.predictions] * tested
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text("")


def test_one_rule_finds_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "x/a", "1", "experiment", tested=True)
    write_run(tmp_path / "x/b", "2")
    write_run(tmp_path / "x/c", "3", "test", trained=False, tested=True)
    write_run(tmp_path / "x/d", "4", trained=False)
    write_run(tmp_path / "x/e", "5", "predict", trained=False)
    RunFolder(tmp_path / "x/d").become_latest()
    assert find_run("x", "trained", runs=tmp_path).identifier == "b"
    assert find_run("x", "tested", runs=tmp_path).identifier == "c"
    assert find_run("x", "trained", "a", tmp_path).identifier == "a"
    assert find_run(str(tmp_path / "x"), "tested", runs=tmp_path).identifier == "c"
    assert find_run(str(tmp_path / "x/a"), "tested", runs=tmp_path).identifier == "a"
    with pytest.raises(RunError, match=r"has trained nothing: .*x/d/.*last.ckpt is missing"):
        find_run(str(tmp_path / "x/latest"), "trained", runs=tmp_path)
    with pytest.raises(RunError, match="no run 'f' of 'x'; there is a, b, c, d, e"):
        find_run("x", "trained", "f", tmp_path)
    with pytest.raises(RunError, match="no run of 'y'"):
        find_run("y", "trained", runs=tmp_path)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_told_to_end_says_how_to_go_on(
    workers: int, tmp_path: Path, stub: Path, start: Start
) -> None:
    """Whoever ends a whole group of processes (timeout, a scheduler) ends the loading workers first."""
    settings = ("--model.init_args.epochs=100000", f"--data.init_args.num_workers={workers}")
    process = start("fit", "-c", str(stub), *settings)
    checkpoint = tmp_path / "runs/stub/latest/checkpoints/last.ckpt"
    deadline = time.monotonic() + 100
    while process.running and not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send(signal.SIGTERM)
    finished = process.finished(60)
    assert finished.returncode == 128 + signal.SIGTERM
    run = checkpoint.resolve().parent.parent
    assert f"--resume runs/stub/{run.name}" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_resumed_run_stays_one_run_of_wandb(tmp_path: Path, stub: Path, command: Command) -> None:
    command("fit", "-c", str(stub), "--model.init_args.epochs=2", WANDB_MODE="offline")
    folder = (tmp_path / "runs/stub/latest").resolve()
    command("fit", "-c", str(stub), "--resume=latest", WANDB_MODE="offline")
    names = [path.name for path in (tmp_path / "wandb").glob("offline-run-*")]
    assert names and all(name.endswith(f"-{folder.name}") for name in names)
