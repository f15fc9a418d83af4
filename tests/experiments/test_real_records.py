"""The real Track 3 records go through the same code as rendered ones: fit, predict, submission, report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.run_folders.find_run import runs_in
from tests.helpers.commands import ROOT, Command


@pytest.mark.slow
def test_fit_and_predict_on_real_records(tmp_path: Path, shared_data: Path, command: Command) -> None:
    folder = shared_data / "ai_city_track3"
    real = [f"--data.init_args.root={folder}", "--data.init_args.num_workers=0"]
    real += [f"--data.init_args.splits.{role}=val" for role in ("train", "val", "test")]
    command("fit", "-c", str(ROOT / "experiments/quickstart.yaml"), "--name", "real", *real)
    run = tmp_path / "runs/real/latest"
    checkpoint = ["--ckpt_path", str(run / "checkpoints/last.ckpt")]
    command("predict", "-c", str(run / "config.yaml"), *checkpoint)
    run = runs_in(run.parent)[-1].path

    records = json.loads((folder / "val.json").read_text())
    submission = json.loads((run / "submission.json").read_text())
    assert {entry["id"] for entry in submission} == {record["id"] for record in records}
    assert all(set(entry) == {"id", "normalized_answer"} for entry in submission)
    report = (run / "report.html").read_text()
    assert report.count("data:image/") >= 2
    for record in records:
        words = record["conversations"][0]["value"].split("<mask>")[0]
        assert words.strip() in report
