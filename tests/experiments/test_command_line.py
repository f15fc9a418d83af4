"""How an experiment is put together, and what its run folder holds afterwards."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import yaml

from datamodules.samples import DataError
from experiments.errors.parser_errors import RefusedOption
from experiments.errors.plain_errors import plain_errors
from experiments.experiment_files.config_files import compose
from experiments.experiment_files.registry import UnknownExperiment
from experiments.run_folders.find_run import find_run
from experiments.run_folders.run_folder import RunError, RunFolder
from tests.helpers.cli_in_process import DryRunCLI
from tests.helpers.commands import Command
from tests.helpers.stub import StubData, StubModule


def test_a_whole_experiment_leaves_what_the_design_promises(
    tmp_path: Path, stub: Path, command: Command
) -> None:
    shown = command("experiment", "-c", str(stub), "--baselines.blind", "true").stdout

    folder = tmp_path / "runs/stub/latest"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("config.yaml", "metrics.csv", "predictions.jsonl", "results.json", "results.md", "report.html"),
        *("checkpoints", "gallery", "run.json", ".lock"),
    }
    results = json.loads((folder / "results.json").read_text())
    assert set(results) == {
        *(
            "score",
            "n",
            "interval",
            "unreadable",
            "weakly_read",
            "tasks",
            "baselines",
            "seconds",
            "parameters",
        ),
        *("official", "ours", "images", "provenance", "tested"),
    }
    assert results["official"] == {key: results[key] for key in ("score", "n", "interval")}
    assert results["ours"].keys() == {"score", "n", "interval"}
    assert results["n"] == 22
    assert set(results["seconds"]) == {"data", "fit", "test"}
    assert results["parameters"] == {"total": 42, "trainable": 42}
    assert results["images"] == {"scaled": 0, "padded": 0, "skipped": 0}
    assert {"model", "data"} <= set(results["provenance"])
    assert results["provenance"]["torchvision"] == version("torchvision")
    assert {"score", "n"} <= set(results["baselines"]["majority"]) & set(results["baselines"]["blind"])
    assert results["baselines"]["blind"]["n"] == 22
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert all(
        set(line) == {"id", "group", "task", "question", "answer", "prediction", "correct", "raw", "read_by"}
        for line in lines
    )
    assert len({line["id"] for line in lines}) == 22
    assert results["score"] == pytest.approx(100 * sum(line["correct"] for line in lines) / 22)
    for expected in ("42 parameters", "seed    0", "questions/s", "memory", f"Score {results['score']:.2f}"):
        assert expected in shown
    assert f"--resume runs/stub/{folder.resolve().name}" in shown


def test_the_saved_configuration_repeats_the_run(tmp_path: Path, stub: Path, command: Command) -> None:
    command("experiment", "-c", str(stub), "--seed_everything", "3", "--name", "first")
    first = (tmp_path / "runs/first/latest").resolve()
    command("experiment", "-c", str(first / "config.yaml"), "--name", "second")
    second = tmp_path / "runs/second/latest"
    tested = ["test", "-c", str(first / "config.yaml"), "--ckpt_path", str(first / "checkpoints/last.ckpt")]
    command(*tested, "--name", "tested")
    assert (first / "metrics.csv").read_text() == (second / "metrics.csv").read_text()
    texts = [
        (folder / "predictions.jsonl").read_text()
        for folder in (first, second, find_run("tested", "tested", runs=tmp_path / "runs").path)
    ]
    assert texts[0] == texts[1] == texts[2]


def test_base_experiment_and_command_line_compose(dry_run: type[DryRunCLI], stub: Path) -> None:
    """`${name}` in base.yaml means the name that wins in the end."""
    cli = dry_run(["fit", "-c", str(stub), "--name=other", "--trainer.limit_train_batches", "2"])
    config = cli.config["fit"]
    assert cli.folder.path.parent == Path("runs/other")
    assert config.trainer.logger[0].init_args.group == "other"
    assert config.trainer.limit_train_batches == 2
    assert config.trainer.gradient_clip_val == 1.0
    assert config.trainer.precision == "32-true"
    assert config.data.init_args.seed == config.seed_everything == 0


def test_the_data_have_the_runs_seed_unless_they_have_their_own(dry_run: type[DryRunCLI], stub: Path) -> None:
    content = yaml.safe_load(stub.read_text())
    del content["data"]["init_args"]["seed"]
    stub.write_text(yaml.safe_dump(content))
    for typed, run_seed, seed in (
        (["--seed_everything=7"], 7, 7),
        (["--seed_everything=7", "--data.seed=3"], 7, 3),
        (["--seed_everything=false"], False, 0),
        ([], 0, 0),
    ):
        cli = dry_run(["fit", "-c", str(stub), *typed])
        assert isinstance(cli.datamodule, StubData)
        assert cli.datamodule.seed == cli.config["fit"].data.init_args.seed == seed
        card = cli.folder.read_card()
        assert (card["seed"], card["data_seed"]) == (run_seed, seed)


def test_a_resumed_run_keeps_the_seed_of_its_data(tmp_path: Path, stub: Path, command: Command) -> None:
    content = yaml.safe_load(stub.read_text())
    del content["data"]["init_args"]["seed"]
    stub.write_text(yaml.safe_dump(content))
    command("fit", "-c", str(stub), "--seed_everything=7", "--model.init_args.epochs=2")
    command("fit", "-c", str(stub), "--seed_everything=8", "--resume=latest", "--trainer.max_epochs=3")
    saved = yaml.safe_load((tmp_path / "runs/stub/latest/config.yaml").read_text())
    assert saved["data"]["init_args"]["seed"] == 7
    assert json.loads((tmp_path / "runs/stub/latest/run.json").read_text())["data_seed"] == 7


def test_tiny_lies_between_the_file_and_the_command_line(dry_run: type[DryRunCLI], stub: Path) -> None:
    config = dry_run(["fit", "-c", str(stub), "--scale", "tiny", "--trainer.limit_train_batches=3"]).config
    assert config["fit"].data.init_args.images == 16
    assert config["fit"].trainer.limit_test_batches == 4
    assert config["fit"].trainer.limit_train_batches == 3
    assert config["fit"].tiny is None


@pytest.mark.parametrize(
    ("own", "images", "hidden"),
    [
        ("tiny: null", 32, 8),
        ("tiny: {data: null}", 32, 8),
        ("tiny: {data: {init_args: {images: null}}}", 32, 8),
        ("tiny: {model: {init_args: {width: 3}}, data: null}", 32, 3),
        ("tiny: {data: {init_args: {evaluation_batch_size: null}}}", 16, 8),
        ("tiny: {}", 16, 8),
    ],
)
def test_a_file_takes_back_what_its_tiny_part_inherits(
    dry_run: type[DryRunCLI], stub: Path, own: str, images: int, hidden: int
) -> None:
    child = stub.with_name("child.yaml")
    child.write_text(f"starts_from: {stub}\n{own}\n")
    cli = dry_run(["fit", "-c", str(child), "--scale", "tiny"])
    assert isinstance(cli.datamodule, StubData) and isinstance(cli.model, StubModule)
    assert cli.datamodule.images == images
    assert cli.model.layers[0].out_features == hidden
    limit = cli.config["fit"].trainer.limit_train_batches
    assert limit == (None if own == "tiny: null" else 4)


def test_an_experiment_can_start_from_another(dry_run: type[DryRunCLI], stub: Path) -> None:
    child = stub.with_name("child.yaml")
    child.write_text(f"starts_from: {stub}\nname: child\nmodel: {{init_args: {{width: 5}}}}\n")
    cli = dry_run(["fit", "-c", str(child)])
    assert isinstance(cli.model, StubModule)
    assert (cli.model.layers[0].out_features, cli.config["fit"].model.init_args.epochs) == (5, 4)
    child.write_text(f"starts_from: {child}\n")
    with pytest.raises(RunError, match="starts from itself"):
        dry_run(["fit", "-c", str(child)])


@pytest.mark.parametrize(
    ("where", "scale"),
    [
        ("model: {init_args: {widht: 5}}", "full"),
        ("trainer: {max_epoch: 5}", "full"),
        ("datas: {class_path: x}", "full"),
        ("tiny: {data: {init_args: {imagse: 4}}}", "tiny"),
        ("tiny: {trainr: {max_epochs: 1}}", "tiny"),
    ],
)
def test_a_typo_is_an_error(dry_run: type[DryRunCLI], stub: Path, where: str, scale: str) -> None:
    child = stub.with_name("child.yaml")
    child.write_text(f"starts_from: {stub}\n{where}\n")
    with pytest.raises(RefusedOption, match=r"widht|max_epoch|datas|imagse|trainr"):
        dry_run(["fit", "-c", str(child), "--scale", scale])


def test_an_unknown_name_suggests_the_nearest(command: Command) -> None:
    refused = command("experiment", "-c", "quikstart", code=1, fresh=True)
    assert "There is no experiment 'quikstart'. Did you mean quickstart?" in refused.stderr
    assert "Traceback" not in refused.stderr
    for typed in ("experiments/warehouse/moe_bot.yaml", "moe_both"):
        with pytest.raises(UnknownExperiment, match="warehouse/moe_both"):
            compose(["fit", "-c", typed])


@pytest.mark.parametrize(
    ("experiment", "typed", "said"),
    [
        ("small_vlm/smolvlm_500m_zero_shot", "--model.init_args.model=/no/model", "no model '/no/model'"),
        ("small_vlm/encoder_clip", "--model.init_args.model.encoder=no_such", "'no_such'"),
        ("quickstart", "--model.init_args.network.rgb_backbone=no_such", "'no_such'"),
    ],
)
def test_an_error_of_a_constructor_is_one_sentence(
    experiment: str, typed: str, said: str, command: Command
) -> None:
    refused = command("experiment", "-c", experiment, typed, code=1)
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr and "Union" not in refused.stderr


def test_an_error_of_the_data_is_one_sentence(stub: Path, command: Command) -> None:
    refused = command("experiment", "-c", str(stub), "--data.init_args.root", "missing", code=1)
    assert "Error: The data folder missing does not exist." in refused.stderr
    assert "Traceback (most recent call last)" not in refused.stderr


def test_errors_are_shown_as_the_user_wants_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from_worker = DataError(
        "Caught DataError in DataLoader worker process 0.\nTraceback ...\nx.DataError: Bad."
    )
    with pytest.raises(SystemExit), plain_errors():
        raise from_worker
    assert capsys.readouterr().err.startswith("\nError: Bad.\n")
    monkeypatch.setenv("TRACEBACK", "1")
    with pytest.raises(DataError), plain_errors():
        raise from_worker


def test_a_trial_of_a_sweep_has_a_folder_of_its_own(
    dry_run: type[DryRunCLI], stub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "trial7")
    cli = dry_run(["fit", "-c", str(stub)])
    assert cli.folder.path == Path("runs/stub/trial7")
    cli.folder.config.touch()
    with pytest.raises(RunError, match="already holds a run"):
        dry_run(["fit", "-c", str(stub)])


def test_resume_takes_the_runs_configuration_and_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs/x/1")
    folder.write_card({"subcommand": "fit", "started": "2026", "comment": "Why?"})
    with pytest.raises(RunError, match="no run to continue"):
        compose(["fit", "--resume", str(folder.path)], tmp_path / "runs")
    folder.config.write_text(yaml.safe_dump({"name": "x"}))
    fresh = compose(["fit", "--resume", str(folder.path), "--scale", "tiny"], tmp_path / "runs")
    assert fresh.arguments == ["fit", "-c", str(folder.config)]
    folder.checkpoint.parent.mkdir()
    torch.save({}, folder.checkpoint)
    resumed = compose(["fit", "--name=x", "--resume=latest"], tmp_path / "runs")
    assert resumed.arguments[-2:] == ["--ckpt_path", str(folder.checkpoint)]
    assert (resumed.resumed, resumed.comment) == (folder, "Why?")
