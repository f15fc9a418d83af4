"""Two processes (gloo) do the work of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.commands import Command


@pytest.mark.slow
def test_two_processes_learn_as_one_does_and_ask_every_question_once(
    tmp_path: Path, stub: Path, command: Command
) -> None:
    command("experiment", "-c", str(stub), "--model.init_args.epochs=12", "--name=one")
    # Lightning starts the second process as the first one was started: `fresh`.
    two = ("--trainer.devices=2", "--trainer.accelerator=cpu", "--baselines.blind=true")
    changes = ("--model.init_args.epochs=24", "--model.init_args.padded=true")
    command("experiment", "-c", str(stub), *changes, *two, fresh=True)
    folder = tmp_path / "runs/stub/latest"
    assert [path.name for path in (tmp_path / "runs/stub").iterdir() if not path.is_symlink()] == [
        folder.resolve().name
    ]
    one, results = (
        json.loads((path / "results.json").read_text()) for path in (tmp_path / "runs/one/latest", folder)
    )
    assert one["score"] > 90
    assert results["score"] > 90

    identifiers = [json.loads(line)["id"] for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert len(identifiers) == len(set(identifiers)) == 22
    assert not list(folder.glob(".predictions*"))
    assert results["n"] == results["baselines"]["blind"]["n"] == results["baselines"]["majority"]["n"] == 22
    # Each image once, whichever process saw it: 32 to train on, 11 to validate, 11 to test.
    assert results["images"] == {"scaled": 0, "padded": 54, "skipped": 0}
