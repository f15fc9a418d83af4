"""A run that is killed and resumed ends as the undisturbed one, to the last bit."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import torch

from experiments.run_folders.checkpoint_io import AtomicCheckpointIO
from experiments.run_folders.loggers import drop_rows_from, read_rows
from lightning_modules.finite import NotFinite
from tests.helpers.cli_in_process import run
from tests.helpers.commands import LONGEST_S, Command, Start
from tests.helpers.run_ends import results, rows, why_not_the_same

WITHIN_EPOCHS = "experiments.callbacks.within_epochs.CheckpointWithinEpochs"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("die_at_step", "in_validation", "every_n_steps"),
    [
        pytest.param(10, False, 3, id="within the third epoch"),
        pytest.param(14, False, 3, id="within the last epoch", marks=pytest.mark.every_file),
        pytest.param(8, True, 1, id="in the validation after the checkpoint", marks=pytest.mark.every_file),
        pytest.param(12, True, 3, id="in a validation, with a checkpoint due after it"),
    ],
)
def test_a_killed_run_ends_as_the_undisturbed_one(
    tmp_path: Path, stub: Path, command: Command, die_at_step: int, in_validation: bool, every_n_steps: int
) -> None:
    """The checkpoint lies within an epoch (every n-th step) or at its end (every fourth)."""
    every = [
        f"--trainer.callbacks+={WITHIN_EPOCHS}",
        "--trainer.callbacks.filename=last",
        f"--trainer.callbacks.every_n_train_steps={every_n_steps}",
        "--trainer.callbacks.enable_version_counter=false",
    ]
    dies = [
        f"--model.init_args.die_at_step={die_at_step}",
        f"--model.init_args.die_in_validation={in_validation}",
    ]
    arguments = ["experiment", "-c", str(stub), *dies, *every]
    command(*arguments, "--name", "whole", SURVIVE="1")
    command(*arguments, "--name", "killed", code=-signal.SIGKILL)
    whole, killed = tmp_path / "runs/whole/latest", tmp_path / "runs/killed/latest"
    folder = killed.resolve()
    assert not (killed / "results.json").exists()

    resumed = command("experiment", "-c", str(stub), "--name", "killed", "--resume", "latest", SURVIVE="1")

    assert "goes on in epoch" in resumed.stdout
    assert killed.resolve() == folder
    names = {path.name for path in (folder / "checkpoints").iterdir()}
    assert names == {"best.ckpt", "before_last.ckpt", "last.ckpt"}
    assert not why_not_the_same(whole, killed)


KILLED = {
    "quickstart": (),
    "distillation/attention_kd": (
        "--model.init_args.on_policy.share=0.5",
        "--model.init_args.on_policy.maximum_new_tokens=3",
        "--model.init_args.logits.alpha={start: 1.0, end: 0.0}",
        "--data.init_args.evaluation.init_args.scenes={train: 8, val: 1, test: 2}",
        "--model.init_args.maximum_new_tokens=4",
    ),
}
"""Experiments, and what makes them depend on all that a resumed run has to find again."""


def has_gone_beyond(folder: Path, step: int) -> bool:
    """Whether a run has saved this step, and logged it, which Lightning does right after."""
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    return saved >= step and any(int(row["step"]) + 1 >= saved for row in read_rows(folder / "metrics.csv"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("quickstart", marks=pytest.mark.every_file), *[*KILLED][1:]])
def test_an_experiment_killed_at_any_moment_ends_as_undisturbed(
    name: str, tmp_path: Path, command: Command, start: Start
) -> None:
    """The quick start and a student, killed from outside once the second checkpoint is there."""
    arguments = [
        "experiment", "-c", name, "--scale", "tiny", *KILLED[name], "--baselines.majority", "false",
        "--baselines.blind", "false", "--trainer.deterministic", "true",
        f"--trainer.callbacks+={WITHIN_EPOCHS}",
        "--trainer.callbacks.filename=last", "--trainer.callbacks.every_n_train_steps=1",
        "--trainer.callbacks.enable_version_counter=false",
    ]  # fmt: skip
    command(*arguments, "--name", "whole")
    whole, killed = tmp_path / "runs/whole/latest", tmp_path / "runs/killed/latest"

    process = start(*arguments, "--name", "killed")
    deadline = time.monotonic() + LONGEST_S
    while process.running and time.monotonic() < deadline:
        if (killed / "checkpoints/last.ckpt").exists():
            process.send(signal.SIGSTOP)
            if has_gone_beyond(killed, 2):
                break
            process.send(signal.SIGCONT)
        time.sleep(0.02)
    process.send(signal.SIGKILL)
    assert has_gone_beyond(killed, 2), "it wrote no checkpoint in time"
    assert process.finished(LONGEST_S).returncode == -signal.SIGKILL, "it was over before it could be killed"

    command("experiment", "-c", name, "--name", "killed", "--resume", "latest")
    assert not why_not_the_same(whole, killed)


@pytest.mark.parametrize("together", [1, 2])
def test_the_state_before_a_step_without_a_number_is_kept(
    together: int, stub: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It can be gone on from: without what was wrong, the run ends as one in which nothing was."""
    monkeypatch.chdir(stub.parent)
    typed = (
        *("fit", "-c", str(stub), "--model=tests.helpers.faults.NoNumber", "--data.batch_size=4"),
        f"--trainer.accumulate_grad_batches={together}",
    )
    with pytest.raises(NotFinite, match=r"not finite at step 6 \(answer nan\).*this batch: train-\d+-0, "):
        run(*typed, "--name", "stopped")
    (kept,) = Path("runs/stopped").glob("2*/checkpoints/before_step_6.ckpt")
    assert f"The state before step 6 is kept: {kept}" in capsys.readouterr().out

    monkeypatch.setenv("SURVIVE", "1")
    whole = run(*typed, "--name", "whole")
    again = run(*typed, "--name", "again", "--ckpt_path", str(kept))
    states = [torch.load(each.checkpoint, weights_only=True) for each in (whole, again)]
    assert states[0]["global_step"] == states[1]["global_step"] > 6
    weights = [state["state_dict"] for state in states]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0] | weights[1])


def test_half_a_checkpoint_never_carries_the_real_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "checkpoints" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, target)

    def fail(checkpoint: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("power cut")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="power cut"):
        AtomicCheckpointIO().save_checkpoint({"step": 2}, target)
    assert torch.load(target, weights_only=True) == {"step": 1}


def test_rows_after_the_checkpoint_are_dropped_and_half_a_row_as_well(tmp_path: Path) -> None:
    table = tmp_path / "metrics.csv"
    table.write_text('step,loss\n0,2.0\n1,"1,5"\n2,1.0\n3')
    drop_rows_from(table, 2)
    assert read_rows(table) == [{"step": "0", "loss": "2.0"}, {"step": "1", "loss": "1,5"}]


def test_resuming_with_another_model_is_refused(tmp_path: Path, stub: Path, command: Command) -> None:
    command("fit", "-c", str(stub))
    refused = command("fit", "-c", str(stub), "--resume", "latest", "--model.init_args.width", "9", code=1)
    assert "model.init_args.width = 8, but this command says 9" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_resuming_what_never_ran_is_refused(stub: Path, command: Command) -> None:
    refused = command("experiment", "-c", str(stub), "--resume", "latest", code=1)
    assert "There is no run of 'stub'" in refused.stderr


def test_a_finished_fit_is_not_repeated(tmp_path: Path, stub: Path, command: Command) -> None:
    command("experiment", "-c", str(stub))
    folder = tmp_path / "runs/stub/latest"
    before = rows(folder), results(folder)
    command("experiment", "-c", str(stub), "--resume", "latest")
    assert (rows(folder), results(folder)) == before
    assert json.loads((folder / "results.json").read_text())["seconds"]["fit"] > 0
