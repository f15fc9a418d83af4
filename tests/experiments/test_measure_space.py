"""A trained run is measured on rendered warehouses, part by part, and each part measures what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.measure_space import arguments_for, asked_alone, made_data, opened
from datamodules.samples import AnswerType
from datamodules.views import Mirrored, NoDepth, NoisyDepth
from experiments.run_folders.run_folder import RunError
from tests.helpers.commands import Command

SMALL = (
    "--data.scenes={train: 6, val: 3, test: 2}",
    "--data.num_workers=0",
    "--data.cache=rendered_data",
    "--data.views=[{class_path: DroppedDepth, init_args: {share: 1.0}}]",
    "--trainer.limit_val_batches=0",
    "--trainer.num_sanity_val_steps=0",
    "--model.phases=[{objective: chain, epochs: 1}]",
)


def test_a_run_is_measured_in_one_go(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("fit", "-c", "warehouse/real_chain", "--name", "small", *SMALL)
    named = ("--run", "runs/small/latest")
    said = command(*named, "--pair", "runs/small/latest", module="benchmarks.measure_space").stdout
    written = json.loads((tmp_path / "runs/bench/measure_space.json").read_text())
    titles = [
        "Score by category",
        "Steps before the answer, and bare counts",
        "Distances by band",
        "One question an image",
        "Mirrored",
        "Depth",
        "Against the other run",
    ]
    assert list(written["tables"]) == titles
    assert [line[3:] for line in said.splitlines() if line.startswith("## ")] == titles
    questions = json.loads(next((tmp_path / "rendered_data").glob("*real*/val.json")).read_text())
    assert written["split"] == "val"
    assert {rows[0]["n"] for title, rows in written["tables"].items() if "core" in title} == {len(questions)}
    depth = {row["what"]: row for row in written["tables"]["Depth"]}
    plain = written["tables"]["Score by category"][0]
    assert depth["noise of 0 steps"]["score"] == plain["score"]
    assert list(depth)[-1] == "no depth"
    assert written["tables"]["One question an image"][-1]["other answers"] == 0
    assert written["tables"]["Against the other run"][0]["difference"] == 0

    command(*named, "--split", "test", "--views", "mirrored", module="benchmarks.measure_space")
    part = json.loads((tmp_path / "runs/bench/measure_space.json").read_text())
    assert (part["split"], list(part["tables"])) == ("test", ["Mirrored"])
    # The rendered test split of the training knows no crowding of its own; asked for, others are rendered.
    few = ("--views=none", "--crowding=few", "--difficulty=composed")
    command(*named, *few, module="benchmarks.measure_space")
    other = json.loads((tmp_path / "runs/bench/measure_space.json").read_text())
    assert other["asked"] == {"difficulty": "composed", "crowding": "few"}
    steps = {
        row["what"].split(" after ")[-1]
        for row in other["tables"]["Steps before the answer, and bare counts"]
    }
    assert steps <= {"2", "3", "bare counts"}
    refused = command(*named, "--views=x", code=1, module="benchmarks.measure_space")
    assert "knows none, mirrored, depth" in refused.stderr

    monkeypatch.chdir(tmp_path)
    measured = opened("runs/small/latest", "val")
    plain_answers, mirrored = measured.answers(), measured.answers(Mirrored())
    assert set(plain_answers) == set(mirrored) == {str(question["id"]) for question in questions}
    for name, each in plain_answers.items():
        # The training's own view, which takes depth away, is left out.
        assert each.sample.depth is not None
        flips = each.sample.answer_type is AnswerType.SIDE
        assert (mirrored[name].sample.answer != each.sample.answer) == flips
    data = made_data({**measured.data, **asked_alone()})
    data.prepare_split("test")
    data.collator = measured.module.collator("test")
    asked = 0
    for batch in data.test_dataloader():
        assert batch["image_of"].tolist() == list(range(len(batch["samples"]))), "an image has two questions"
        assert len(batch["rgb"]) == len(batch["samples"]) > 1
        asked += len(batch["samples"])
    assert asked == len(questions)
    for view in (NoDepth(), NoisyDepth(8.0)):
        other = measured.answers(view)
        assert any(other[name].prediction != each.prediction for name, each in plain_answers.items())


def test_the_split_to_measure_is_asked_as_the_tested_one() -> None:
    kept = {"difficulty": "real", "scenes": {"train": 5}, "cache": "here"}
    trained = {**kept, "splits": None, "views": [{"class_path": "datamodules.views.NoDepth"}]}
    for split in ("val", "test"):
        made = arguments_for(trained, split)
        assert made["splits"] == {"test": split}
        assert (made["views"], made["kept_images_gb"], made["num_workers"]) == (None, 0.0, 0)
        assert kept.items() <= made.items()
    own = arguments_for({**trained, "splits": {"val": "mine", "train": "yours"}}, "val")
    assert own["splits"] == {"val": "mine", "train": "yours", "test": "mine"}
    assert trained["splits"] is None


def test_another_model_is_refused_in_a_sentence(stub: Path, command: Command) -> None:
    command("fit", "-c", str(stub), "--model.init_args.epochs=1")
    said = command("--run", "runs/stub/latest", code=1, module="benchmarks.measure_space").stderr
    assert "no run of TinyGiant on AiCityTrack3" in said and "Traceback" not in said
    with pytest.raises(RunError, match="There is no run of 'nowhere'"):
        opened("nowhere", "val")
