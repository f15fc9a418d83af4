"""Bad starts through the command line: one sentence that names what is wrong, exit status 1, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.helpers.commands import ROOT, Command, Start, environment

MOST_LINES = 6

TINY = ("fit", "-c", "quickstart", "--scale", "tiny")
LORA = ("fit", "-c", "small_vlm/smolvlm_500m_lora", "--scale", "tiny")
NETWORK = "--model.init_args.network."
OPTIMIZER = "--model.init_args.optimizer"
SCHEDULE = "--model.schedule=StepLR"

BAD_STARTS = {
    # What the parser refuses: the key, the value, what is expected, the nearest name.
    "a text for a number": ((*TINY, f"{NETWORK}width", "abc"), ["network.width", "'abc'", "whole number"]),
    "a wrong choice": ((*TINY, f"{NETWORK}geometry", "floor"), ["none, mask, floor_fit", "mean floor_fit?"]),
    "an unknown key of a dataclass": ((*TINY, f"{NETWORK}widht", "96"), ["network.widht", "mean width?"]),
    "an unknown key of a class": ((*TINY, "--data.init_args.bach_size", "3"), ["bach_size", "batch_size?"]),
    "an unknown key of a callable": ((*TINY, f"{OPTIMIZER}.init_args.larning_rate", "1"), ["AdamW", "lr"]),
    "a shortened option": ((*TINY, "--trainer.max_epoch", "3"), ["max_epoch", "mean max_epochs?"]),
    "a list that is too long": (
        (*TINY, "--data.init_args.size", "[1, 2, 3]"),
        ["size", "a list of 2 or null"],
    ),
    "a key in braces": ((*TINY, f"{NETWORK[:-1]}", "{width: 96, hieght: 3}"), ["network.hieght", "width"]),
    "a reference to nothing": ((*TINY, "--name", "${nme}"), ["'nme' not found"]),
    "an unknown option": ((*TINY, "--nmae", "x"), ["nmae", "mean name?"]),
    "an unknown class": ((*TINY, "--model", "lightning_modules.tiny_giant.module.TinyGaint"), ["TinyGiant?"]),
    "an unknown module": ((*TINY, "--data", "datamodules.cv_bensh.CvBench"), ["mean cv_bench?"]),
    "a class without its module": ((*TINY, "--model", "TinyGaint"), ["tiny_giant.module.TinyGiant"]),
    "an unknown view": ((*TINY, "--data.init_args.views", "[datamodules.views.NoDepht]"), ["mean NoDepth?"]),
    "a schedule that lacks a setting": ((*TINY, SCHEDULE), ["schedule", "required: step_size"]),
    "a schedule's setting misspelt": ((*TINY, SCHEDULE, "--model.schedule.stepsize=3"), ["mean step_size?"]),
    "a schedule's setting of another type": (
        (*TINY, SCHEDULE, "--model.schedule.step_size=x"),
        ["step_size is 'x'", "a whole number"],
    ),
    "an unknown optimizer": ((*TINY, OPTIMIZER, "torch.optim.AdamWW"), ["optimizer", "mean AdamW?"]),
    "an unknown callback": (
        (*TINY, "--trainer.callbacks", "[{class_path: lightning.pytorch.callbacks.EarlyStoping}]"),
        ["trainer.callbacks", "mean EarlyStopping?"],
    ),
    "an unknown subcommand": (("comapre", "a", "b"), ["'comapre'", "mean compare?", "experiment, fit, test"]),
    "no subcommand": (("--print_config",), ["Say first what to do", "experiment"]),
    "no experiment": (("fit",), ["-c NAME"]),
    "no value": ((*TINY, f"{NETWORK}width"), [f"{NETWORK}width has no value"]),
    "a seed that is a text": ((*TINY, "--seed_everything", "abc"), ["seed_everything", "'abc'", "number"]),
    # What libraries would refuse late, or in words of their own.
    "a seed out of range": ((*TINY, "--seed_everything", "-3"), ["seed_everything", "-3", "from 0"]),
    "heads that do not divide the width": ((*TINY, f"{NETWORK}heads", "7"), ["7", "96", "6 heads"]),
    "a learning rate below 0": ((*TINY, f"{OPTIMIZER}.init_args.lr", "-1"), ["learning rate: -1"]),
    "no batch": ((*TINY, "--data.init_args.batch_size", "0"), ["`batch_size` is 0"]),
    "a typo in the model": (
        ("fit", "-c", "small_vlm/smolvlm_500m_lora", "--model.init_args.model", "smolvlm_50m"),
        ["'smolvlm_50m'", "mean smolvlm_500m?"],
    ),
    "a typo in the backbone": (
        (*TINY, f"{NETWORK}rgb_backbone", "mobilenetv3_smal_100"),
        ["mean mobilenetv3_small_100?"],
    ),
    "a rank of 0": ((*LORA, "--model.init_args.adapter.rank", "0"), ["rank is 0"]),
    "an accelerator that is none": ((*TINY, "--trainer.accelerator", "gpuu"), ["trainer", "gpuu", "cuda"]),
    "epochs below 0": ((*TINY, "--trainer.max_epochs", "-2"), ["max_epochs", "-2"]),
    "steps of no batch": (
        (*TINY, "--trainer.accumulate_grad_batches", "0"),
        ["accumulate_grad_batches is 0"],
    ),
    "a gradient that would be turned round": (
        (*TINY, "--trainer.gradient_clip_val", "-1"),
        ["gradient_clip_val is -1", "at least 0"],
    ),
    "an image smaller than a stride": ((*TINY, f"{NETWORK}image_size", "[10, 10]"), ["multiples of 32"]),
    "a precision among the plugins": (
        (*TINY, "--trainer.plugins", "lightning.pytorch.plugins.precision.DoublePrecision"),
        ["trainer.precision"],
    ),
    "a callback that lacks something": (
        (*TINY, "--trainer.callbacks", "lightning.pytorch.callbacks.EarlyStopping"),
        ["trainer.callbacks: EarlyStopping needs monitor"],
    ),
    "a tuple of another length": ((*TINY, f"{OPTIMIZER}.init_args.betas", "[0.9]"), ["betas", "a list of 2"]),
    "a checkpoint that is absent": ((*TINY, "--ckpt_path", "no.ckpt"), ["no.ckpt", "does not exist"]),
    "a checkpoint that is another file": (
        (*TINY, "--ckpt_path", "/etc/hosts"),
        ["/etc/hosts", "ends in .ckpt"],
    ),
    "an experiment that is another file": (("fit", "-c", "/etc/hosts"), ["/etc/hosts", "ends in .yaml"]),
    "an option of many parts": (("print", "-c", "quickstart", "--a" + ".b" * 900), ["has 901 parts"]),
    "a name that is none": ((*TINY, "--name=None"), ["name is 'null'"]),
}


def plain(finished: subprocess.CompletedProcess[str]) -> str:
    """What a command that was refused has said, on one line."""
    lines = [line for line in (finished.stdout + finished.stderr).splitlines() if line.strip()]
    said = " ".join(lines)
    assert len(lines) <= MOST_LINES, finished.stderr
    assert lines[0].startswith("Error: "), said
    assert not any(word in said for word in ("Traceback", "usage:", "<class", "Namespace("))
    return said


@pytest.mark.parametrize("name", BAD_STARTS)
def test_a_bad_start_ends_in_one_sentence(name: str, command: Command, tmp_path: Path) -> None:
    typed, words = BAD_STARTS[name]
    said = plain(command(*typed, code=1))
    assert not [word for word in words if word not in said], said
    assert not (tmp_path / "runs").exists()


BAD_FILES: dict[str, tuple[str | bytes | None, list[str]]] = {
    "broken": ("name: x\n  model: [1, 2\n", ["not valid YAML in line 2"]),
    "half": ("# What?\nname: stub\nmod", ["not valid YAML in line 3"]),
    "a text": ("just words", ["holds a text", "`name: value`"]),
    "a list": ("- name\n- model\n", ["holds a list"]),
    "latin-1": ("# F\xe4hrt es?\nname: stub\n".encode("latin-1"), ["no UTF-8", "line 1", "iconv"]),
    "a folder": (None, ["There is no experiment"]),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_experiment_file_ends_in_one_sentence(name: str, command: Command, tmp_path: Path) -> None:
    content, words = BAD_FILES[name]
    file = tmp_path / "own.yaml"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = plain(command("fit", "-c", str(file), code=1))
    assert not [word for word in words if word not in said], said


def changed(stub: Path, change: str) -> Path:
    """The stub's experiment with one part replaced, given as YAML."""
    stub.write_text(yaml.safe_dump({**yaml.safe_load(stub.read_text()), **yaml.safe_load(change)}))
    return stub


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("modle: {class_path: tests.helpers.stub.StubModule}", ["modle", "Did you mean model?"]),
        ("data: [1, 2]", ["data is '[1, 2]'", "class_path"]),
        (
            "model: {class_path: tests.helpers.stub.StubModule, init_args: epochs}",
            ["init_args", "mapping"],
        ),
    ],
)
def test_a_wrong_key_of_a_file_is_named(change: str, words: list[str], command: Command, stub: Path) -> None:
    said = plain(command("fit", "-c", str(changed(stub, change)), code=1))
    assert not [word for word in words if word not in said], said


def test_a_file_with_a_byte_order_mark_is_read(command: Command, stub: Path) -> None:
    stub.write_bytes(b"\xef\xbb\xbf" + stub.read_bytes())
    command(
        "fit", "-c", str(stub), "--model.init_args.epochs=1", "--data.init_args.evaluation_batch_size=None"
    )


def with_model(stub: Path, name: str) -> Path:
    return changed(stub, f"model: {{class_path: tests.helpers.faults.{name}, init_args: {{epochs: 1}}}}")


def test_what_a_library_refuses_in_a_constructor_is_a_sentence(command: Command, stub: Path) -> None:
    file = str(with_model(stub, "Refusing"))
    said = plain(command("fit", "-c", file, code=1))
    assert (
        "Refusing cannot be made as it is configured: `pad_token_id` must be one of the vocabulary." in said
    )
    assert "Traceback" in command("fit", "-c", file, code=1, TRACEBACK="1").stderr


@pytest.mark.parametrize("name", ["Mistaken", "MistakenInAStep"])
def test_a_mistake_of_the_code_keeps_its_traceback(name: str, command: Command, stub: Path) -> None:
    said = command("fit", "-c", str(with_model(stub, name)), code=1).stderr
    assert "Traceback" in said and "faults.py" in said


def test_a_refused_option_has_its_traceback_when_asked(command: Command, stub: Path) -> None:
    said = command("fit", "-c", str(stub), "--model.init_args.width", "x", code=1, TRACEBACK="1").stderr
    assert "Traceback" in said and "jsonargparse" in said


def test_a_full_disk_leaves_no_half_checkpoint(command: Command, stub: Path, tmp_path: Path) -> None:
    finished = command("fit", "-c", str(with_model(stub, "FullDisk")), code=1)
    assert "Error: There is no space left on the disk (" in finished.stderr and ".ckpt" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not [*tmp_path.rglob("*.part"), *tmp_path.rglob("*.ckpt")]


def test_a_full_disk_leaves_no_half_of_the_predictions(command: Command, stub: Path, tmp_path: Path) -> None:
    typed = ("experiment", "-c", str(with_model(stub, "FullOfPredictions")))
    for place in ("within a batch", "at the end"):
        said = command(*typed, code=1, FULL=place).stderr
        assert "There is no space left on the disk" in said and "Traceback" not in said
        assert [file.name for file in tmp_path.rglob("*predictions*")] == []


def test_of_several_processes_the_first_says_what_is_wrong(tmp_path: Path) -> None:
    """A further one does so where it alone has failed, and the first one waits for it."""
    failing = tmp_path / "failing.py"
    failing.write_text(
        "from experiments.errors import plain_errors\n"
        "plain_errors.SECONDS_FOR_THE_FIRST = 2\n"
        "with plain_errors.plain_errors():\n"
        "    raise plain_errors.CommandError('It is wrong.')\n"
    )
    first = (
        "import os, subprocess, sys, time\n"
        "further = subprocess.Popen([sys.executable, sys.argv[1]], env={**os.environ, 'LOCAL_RANK': '1'})\n"
        "sys.exit(further.wait() if sys.argv[2] == 'waits' else time.sleep(1))\n"
    )
    for kind, times in (("waits", 1), ("ends", 0)):
        ended = subprocess.run(
            [sys.executable, "-c", first, str(failing), kind],
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert ended.stderr.count("It is wrong.") == times, kind


@pytest.mark.slow
def test_an_optimizer_of_8_bits_is_named_like_any_other(command: Command, stub: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    typed = ("fit", "-c", str(stub), "--trainer.max_epochs=1", "--allow=bitsandbytes")
    command(*typed, "--model.optimizer=bitsandbytes.optim.PagedAdamW8bit", "--model.optimizer.lr=1e-3")
    command("fit", "-c", str(stub), "--resume=latest", "--trainer.max_epochs=2", "--allow=bitsandbytes")
    kept = yaml.safe_load((tmp_path / "runs/stub/latest/config.yaml").read_text())["model"]["init_args"]
    assert kept["optimizer"]["class_path"] == "bitsandbytes.optim.PagedAdamW8bit"
    assert kept["optimizer"]["init_args"]["lr"] == 1e-3


def test_a_file_in_the_place_of_the_folder_of_runs(command: Command, stub: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    said = plain(command("fit", "-c", str(stub), code=1))
    assert "A file stands where a folder is needed (runs/stub/" in said


def test_ctrl_c_ends_in_one_line_that_says_how_to_go_on(
    command: Command, start: Start, stub: Path, tmp_path: Path
) -> None:
    running = start("fit", "-c", str(stub), "--model.init_args.epochs=100000")
    until = time.monotonic() + 60
    while not list(tmp_path.glob("runs/stub/*/checkpoints/last.ckpt")):
        assert running.running and time.monotonic() < until
        time.sleep(0.05)
    running.send(signal.SIGINT)
    ended = running.finished(60)
    assert ended.returncode == 130
    (line,) = ended.stderr.strip().splitlines()
    advice, _, typed = line.partition("python -m experiments.run ")
    assert advice == "Interrupted. Go on with: "
    assert not list(tmp_path.rglob("*.part"))
    command(*typed.split(), "--print_config")


OTHER_COMMANDS = {
    "export": ("experiments.export", (), "--name"),
    "compare": ("experiments.commands.compare", ("one",), "required: b"),
    "study": ("experiments.commands.study", ("distilation",), "mean distillation?"),
    "matrix": ("experiments.commands.matrix", ("quickstart", "--jobs", "x"), "--jobs"),
    "report": ("experiments.report.page", ("nowhere",), "config.yaml is missing"),
    "score": ("experiments.commands.score", ("--benchmark", "cv_bensh"), "mean cv_bench?"),
    "fetch into a file": (
        "experiments.commands.fetch",
        ("--name", "cv_bench", "--to", "stub.yaml/x"),
        "A file stands",
    ),
}


@pytest.mark.parametrize("name", OTHER_COMMANDS)
def test_other_commands_refuse_in_one_sentence(name: str, command: Command, stub: Path) -> None:
    module, arguments, word = OTHER_COMMANDS[name]
    assert word in plain(command(*arguments, module=module, code=1))


@pytest.mark.parametrize(
    "typed", [("experiments.commands.list",), ("experiments.commands.compare", "--help")]
)
def test_a_reader_who_has_seen_enough_ends_a_listing_well(typed: tuple[str, ...], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    finished = subprocess.run(
        [sys.executable, "-m", *typed],
        cwd=tmp_path,
        env=environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert (finished.returncode, finished.stderr) == (0, "")


def made(tmp_path: Path, python: str, *typed: str) -> subprocess.CompletedProcess[str]:
    """What `make` does with an environment whose Python is a script of the shell."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    script = tmp_path / ".venv/bin/python"
    script.write_text(f"#!/bin/sh\n{python}\n")
    script.chmod(0o755)
    (tmp_path / ".venv/.ready").touch()
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/one.py").write_text('if __name__ == "__main__":\n    pass\n')
    return subprocess.run(["make", *typed], cwd=tmp_path, capture_output=True, text=True)


def test_make_bench_installs_what_it_compares_with(tmp_path: Path) -> None:
    finished = made(tmp_path, 'echo "$@" >> asked', "bench")
    assert finished.returncode == 0, finished.stderr
    installed, measured = (tmp_path / "asked").read_text().splitlines()
    assert "pip install" in installed and "-c constraints.txt" in installed and ".[bench]" in installed
    assert measured == "-m benchmarks.one"
    subprocess.run(["make", "bench"], cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / "asked").read_text().count("pip install") == 1


def test_make_bench_says_where_its_peers_cannot_be_had(tmp_path: Path) -> None:
    finished = made(tmp_path, "exit 1", "bench")
    assert finished.returncode == 2 and "TRL" in finished.stderr
    assert len(finished.stderr.splitlines()) <= MOST_LINES


def test_make_passes_a_status_on(tmp_path: Path) -> None:
    finished = made(tmp_path, "echo 'Error: no' >&2; exit 1", "experiment", "NAME=x")
    assert finished.returncode == 2 and len(finished.stderr.splitlines()) <= MOST_LINES
