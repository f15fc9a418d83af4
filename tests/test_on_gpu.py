"""The figures of a GPU, on the CPU with stand-ins: what is measured and counted, and what may go wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.requirements import Requirement
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import on_gpu
from benchmarks.gpu import adaptation, check, needs, qwen, straightforward, tinygiant
from benchmarks.gpu.figures import FIGURES, Figures
from benchmarks.gpu.limits import limit_of, run_within
from benchmarks.gpu.machine import Machine, does_not_fit
from benchmarks.logit_distillation import SUPERVISED
from benchmarks.matrix_units import work_of, work_of_tower
from datamodules.samples import SmallSpatialError
from experiments.experiment_files.registry import experiment_names
from lightning_modules.placement import placed
from lightning_modules.vlm.adapters import AdapterConfig
from lightning_modules.vlm.sft import PeftSft

ROOT = Path(__file__).parents[1]
CPU = Machine("cpu")

EVERY_PART = """
from benchmarks import on_gpu
from benchmarks.gpu.figures import Figures
parts = list(on_gpu.PARTS)
for name in parts:
    assert on_gpu.measure_here(name, Figures("test", name, 1000), on_gpu.Asked(parts, stand_ins=True)), name
"""


def brought_by(names: Iterable[str]) -> Iterable[metadata.Distribution]:
    """Some distributions that are installed, and all that they need."""
    found, asked = {}, list(names)
    while asked:
        name = re.sub(r"[-_.]+", "-", asked.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        for line in found[name].requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                asked.append(requirement.name)
    return found.values()


def environment_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """An environment in which nothing is installed but some packages and what they bring."""
    folder.mkdir()
    for distribution in brought_by(names):
        for top in {file.parts[0] for file in distribution.files or []} - {".."}:
            place = folder / top
            if not place.exists():
                place.symlink_to(Path(str(distribution.locate_file(top))).resolve())
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}


def python(*arguments: str, environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python without the packages that are usually there."""
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where every part was measured, with nothing installed but what is said to be needed."""
    folder = tmp_path_factory.mktemp("on_gpu")
    environment = environment_of(folder / "installed", needs.INSTALLED)
    done = python("-c", EVERY_PART, environment=environment, folder=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / FIGURES).read_text() == done.stdout
    return folder


@pytest.fixture(autouse=True)
def on_the_cpu() -> Iterator[None]:
    """Models are loaded for the CPU, even where there is a GPU."""
    with placed(CPU.placement):
        yield


@pytest.fixture
def nothing_to_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for what nobody holds any more takes a second, and on a CPU serves nothing."""
    monkeypatch.setattr(Machine, "free", lambda machine: None)


def written(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FIGURES).read_text().splitlines()]


@pytest.mark.slow
def test_every_part_is_measured_with_what_it_says_it_needs(measured: Path) -> None:
    figures = written(measured)
    assert {figure["part"] for figure in figures} == set(on_gpu.PARTS)
    for figure in figures:
        assert "failed" not in figure and "left_out" not in figure
        # Nobody takes them for figures of a GPU.
        assert figure["stand_in"] and figure["what"].startswith("stand-in of ")
        assert "say nothing of a GPU" in figure["device"]
        assert figure["peak_teraflops"] > 0


@pytest.mark.slow
def test_figures_belong_together(measured: Path) -> None:
    for figure in written(measured):
        if "share_of_peak" in figure:
            assert 0 < figure["share_of_peak"] < 1
        if "teraflops" in figure:
            share = figure["teraflops"] / figure["seconds"] / figure["peak_teraflops"]
            assert figure["share_of_peak"] == pytest.approx(share)
        if "tokens" in figure:
            assert figure["fits"]
            assert figure["tokens_per_second"] == pytest.approx(figure["tokens"] / figure["seconds"])
            assert figure["learnt"] / figure["tokens"] == pytest.approx(SUPERVISED, abs=0.05)
        if "data_wait_share" in figure:
            assert 0 < figure["data_wait_share"] < 1
        assert 0 < figure["peak_gigabytes"] < 16


@pytest.mark.slow
def test_sequences_are_as_long_as_they_are_said_to_be(measured: Path) -> None:
    shrunk = qwen.STAND_INS.shrunk
    windows = {
        "lora": adaptation.LORA_TOKENS // shrunk,
        "distillation": adaptation.DISTILLATION_TOKENS // shrunk,
        "straightforward": straightforward.LENGTHS[0] // shrunk,
    }
    for figure in written(measured):
        if figure["part"] in windows:
            assert 0.97 * windows[figure["part"]] <= figure["tokens"] <= windows[figure["part"]]


@pytest.mark.slow
def test_waiting_for_files_is_told_from_a_batch_that_is_there(measured: Path) -> None:
    there, loaded = (figure for figure in written(measured) if figure["part"] == "data_wait")
    assert there["loading_processes"] is None and loaded["loading_processes"] == 0
    # In one process, images are opened between the steps.
    assert loaded["data_wait_share"] > there["data_wait_share"]


@pytest.mark.slow
def test_the_comparison_has_the_form_of_all_benchmarks(measured: Path) -> None:
    found = json.loads((measured / "runs" / "bench" / "on_gpu.json").read_text())
    ways = {figure["way"]: figure for figure in written(measured) if figure["part"] == "straightforward"}
    assert found["ours"] == ways["ours"]["peak_gigabytes"]
    assert found["other"] == ways["straightforward"]["peak_gigabytes"]
    assert found["ratio"] == found["other"] / found["ours"]
    assert found["spread"][0] <= found["ratio"] <= found["spread"][1]
    assert found["unit"] and f"{ways['ours']['tokens']:,} tokens" in found["what"]
    assert ways["ours"]["loss"] == pytest.approx(ways["straightforward"]["loss"], rel=1e-4)


def work_of_layers(module: nn.Module, run: Callable[[], None]) -> int:
    """Operations of a module's linear and convolutional layers while something runs, by their shapes."""
    operations = []

    def count(layer: nn.Linear | nn.Conv1d | nn.Conv2d, inputs: Any, output: Tensor) -> None:
        weights_of_an_output = layer.weight.numel() // layer.weight.shape[0]
        operations.append(2 * output.numel() * weights_of_an_output)

    hooks = [
        layer.register_forward_hook(count)
        for layer in module.modules()
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d))
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return sum(operations)


@pytest.mark.slow
def test_the_work_of_a_tinygiant_step_is_that_of_its_layers(measured: Path, tmp_path: Path) -> None:
    from benchmarks.gpu.frames import write_frames
    from benchmarks.gpu.training import MadeUpData
    from lightning_modules.tiny_giant.collator import TinyGiantCollator

    module = tinygiant.make_tiny_giant(CPU)
    frames = write_frames(tmp_path, tinygiant.batch_size(CPU), (240, 135))
    data = MadeUpData(frames, batch_size=len(frames), num_workers=0)
    module.vocabulary.build(data.texts())
    collator = module.collator("fit")
    assert isinstance(collator, TinyGiantCollator)
    data.collator = collator
    batch = next(iter(data.train_dataloader()))

    def run() -> None:
        encoded, _ = module.network.encode(batch)
        module.network.decoder(batch["free_form"][:, :-1], batch["free_form_values"][:, :-1], encoded)

    (figure,) = (figure for figure in written(measured) if figure["part"] == "tinygiant")
    assert figure["images"] == len(frames) == batch["rgb"].shape[0]
    assert figure["questions"] == len(batch["question"]) == frames.group_sizes().sum()
    assert figure["parameters"] == sum(parameter.numel() for parameter in module.parameters())
    # Attention, experts and the output table are no such layers, and a small part.
    forward = figure["teraflops"] * 1e12 / (1 + tinygiant.BACKWARD)
    assert work_of_layers(module, run) < forward < 1.5 * work_of_layers(module, run)


def test_the_work_of_a_lora_step_is_what_torch_counts() -> None:
    shapes = qwen.STAND_INS
    with qwen.in_place_of_the_tiny_model(shapes.student, shapes, "cpu"):
        module = PeftSft(
            "qwen2_5_vl_3b",
            random_weights=True,
            answering="generate",
            rationale=True,
            maximum_tokens=128,
            adapter=AdapterConfig("lora", rank=16, dropout=0.0),
        )
    question = qwen.long_question(module.vlm_collator(with_labels=True), shapes.edge, 128)
    batch = module.collator("fit")([question.sample])
    module.train()
    with FlopCounterMode(display=False) as counted:
        torch.stack(list(module.loss(batch).values())).sum().backward()
    tokens, learnt = batch["tokens"], int((batch["labels"] != -100).sum())
    patches = len(batch["inputs"]["pixel_values"])
    work = work_of(module.network, None, tokens, learnt)
    tower = work_of_tower(module.vlm.model.model.visual, patches)
    shape = shapes.student
    # What causality leaves out is counted by torch: forward, and twice that backward.
    left_out = 3 * 2 * tokens**2 * shape.width * shape.layers
    assert counted.get_total_flops() == pytest.approx(work.needed + tower + left_out, rel=0.03)


def test_shapes_are_the_published_ones() -> None:
    counts = {"student": 3_754_622_976, "teacher": 8_292_166_656}
    for who, count in counts.items():
        model, _ = qwen.make_qwen(getattr(qwen.PUBLISHED, who), qwen.PUBLISHED, "meta")
        assert sum(parameter.numel() for parameter in model.parameters()) == count
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    full = tinygiant.make_tiny_giant(Machine("cuda"))
    assert sum(parameter.numel() for parameter in full.parameters()) == pytest.approx(64e6, rel=0.02)


def test_what_does_not_fit_is_recorded_and_a_shorter_sequence_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nothing_to_free: None
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = []

    def steps(way: str, tokens: int, shapes: qwen.Shapes, machine: Machine) -> dict[str, Any]:
        asked.append((way, tokens))
        if way == "straightforward" and tokens > 2048 // shapes.shrunk:
            raise RuntimeError("a layer") from torch.OutOfMemoryError("CUDA out of memory.")
        gigabytes = tokens * (3.0 if way == "straightforward" else 1.0)
        return {
            "tokens": tokens,
            "seconds": gigabytes,
            "loss": 1.0,
            "peak_gigabytes": gigabytes,
            "peak_gigabytes_of_steps": [gigabytes - 1, gigabytes],
        }

    monkeypatch.setattr(straightforward, "_steps", steps)
    straightforward.measure(CPU, Figures("test", "straightforward", 1000))
    both = ["straightforward", "ours"]
    assert asked == [
        ("ours", 256),
        ("straightforward", 256),
        ("straightforward", 192),
        *((w, 128) for w in both),
    ]
    assert [figure["fits"] for figure in written(tmp_path)] == [True, False, False, True, True]
    result = json.loads((tmp_path / "runs" / "bench" / "on_gpu.json").read_text())
    assert (result["ours"], result["other"], result["ratio"]) == (128, 384, 3)
    assert result["spread"] == [383 / 128, 384 / 127]


def test_ways_that_compute_another_loss_are_not_compared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nothing_to_free: None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        straightforward, "_steps", lambda way, tokens, *_: {"tokens": tokens, "loss": float(len(way))}
    )
    with pytest.raises(RuntimeError, match="cannot be compared"):
        straightforward.measure(CPU, Figures("test", "straightforward", 1000))
    assert not (tmp_path / "runs" / "bench" / "on_gpu.json").exists()


def test_a_lack_of_memory_is_found_behind_other_errors() -> None:
    try:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        except torch.OutOfMemoryError as error:
            raise SmallSpatialError("The step does not fit.") from error
    except SmallSpatialError as error:
        assert does_not_fit(error)
    assert not does_not_fit(RuntimeError("shapes do not match"))


def test_a_model_that_does_not_fit_is_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nothing_to_free: None
) -> None:
    monkeypatch.chdir(tmp_path)

    def train(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(adaptation, "train", train)
    adaptation.measure_lora(CPU, Figures("test", "lora", 1000))
    assert [(figure["fits"], figure["tokens"]) for figure in written(tmp_path)] == [(False, 127)] * 2


def test_missing_packages_are_named_before_anything_starts(tmp_path: Path) -> None:
    environment = environment_of(tmp_path / "installed", [])
    done = python("-m", "benchmarks.on_gpu", environment=environment, folder=tmp_path)
    assert done.returncode == 1 and not done.stdout
    (sentence,) = done.stderr.splitlines()
    for name in (*needs.INSTALLED, *needs.BROUGHT):
        assert f"{name} >= {needs.bounds()[name]}, which is absent" in sentence
    assert not (tmp_path / "runs").exists()


def test_old_packages_are_refused_or_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    there = {"transformers": "5.22.9", "torchvision": "0.23.0+cu128", "torch": "2.9.0a0+50eac811"}
    monkeypatch.setattr(needs, "installed", lambda name: there.get(name, "99"))
    assert [str(package) for package in needs.missing()] == ["transformers >= 5.23, but 5.22.9 is installed"]
    assert on_gpu.main(["lora"]) == 1
    assert "transformers >= 5.23, but 5.22.9 is installed" in capsys.readouterr().err

    there["transformers"] = "5.23"
    monkeypatch.setattr(on_gpu, "measure_each", lambda *_: {"lora": "measured"})
    assert on_gpu.main([]) == 0
    (versions,) = written(tmp_path)
    assert versions["below_bound"] == ["torchvision 0.23.0+cu128 < 0.27"]
    assert versions["versions"]["transformers"] == "5.23"


def test_a_part_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    def fail(machine: Machine, figures: Figures) -> None:
        figures.add(what="before")
        raise ValueError("something broke\nin detail")

    monkeypatch.setattr(tinygiant, "measure", fail)
    assert on_gpu.main(["tinygiant", "--stand-ins"]) == 1
    _, before, failed = written(tmp_path)
    assert before["what"] == "before"
    assert failed["part"] == "tinygiant" and failed["failed"] == "ValueError: something broke"


def test_what_a_loading_process_has_raised_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    text = "Caught OSError in DataLoader worker process 0.\nOriginal Traceback ...\nOSError: the disk is full"

    def fail(machine: Machine, figures: Figures) -> None:
        raise OSError(text)

    monkeypatch.setattr(tinygiant, "measure_data_wait", fail)
    figures = Figures("test", "data_wait", 1000)
    assert not on_gpu.measure_here("data_wait", figures, on_gpu.Asked(["data_wait"], stand_ins=True))
    assert written(tmp_path)[0]["failed"] == "OSError: the disk is full"


def test_parts_that_fail_do_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    codes = {
        "tinygiant": "raise SystemExit(1)",
        "lora": "import os; os.abort()",
        "distillation": "import time; time.sleep(60)",
        "straightforward": "pass",
    }
    monkeypatch.setattr(on_gpu, "command_of", lambda name: [sys.executable, "-c", codes[name]])
    shares = {"tinygiant": 30, "lora": 30, "distillation": 1.5, "straightforward": 30, "data_wait": 1000}
    parts = {name: part._replace(share=shares[name]) for name, part in on_gpu.PARTS.items()}
    monkeypatch.setattr(on_gpu, "PARTS", parts)
    assert on_gpu.main(["--seconds", "120"]) == 1
    said: dict[str, Any] = {
        figure["part"]: figure.get("failed", figure.get("left_out")) for figure in written(tmp_path)[1:]
    }
    # The first one has said itself why it failed.
    assert said.keys() == {"lora", "distillation", "data_wait"}
    assert "ended with -6" in said["lora"] and "was ended after" in said["distillation"]
    assert "1000 s" in said["data_wait"]
    assert capsys.readouterr().err.splitlines()[-3:] == [
        "measured: straightforward",
        "left out: data_wait",
        "failed: tinygiant, lora, distillation",
    ]


def test_an_unknown_part_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        on_gpu.main(["tinygaint"])
    assert "there is no part 'tinygaint'; there are tinygiant, lora" in capsys.readouterr().err


def test_time_that_is_not_used_goes_to_those_behind_and_never_from_them() -> None:
    shares = [70.0, 80.0, 130.0]
    assert limit_of(0, shares, 280.0) == 70
    assert limit_of(1, shares, 250.0) == 120
    assert limit_of(2, shares, 150.0) == 150
    assert limit_of(2, shares, 129.0) is None
    assert sum(part.share for part in on_gpu.PARTS.values()) <= on_gpu.SECONDS <= 8 * 60
    assert sum(step.share for step in check.steps("gpu")) <= check.SECONDS <= 15 * 60


def test_what_a_process_has_begun_ends_with_it(tmp_path: Path) -> None:
    child = "import time; time.sleep(2); open('late', 'w')"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert run_within([sys.executable, "-c", parent], 1, cwd=tmp_path) is None
    time.sleep(2)
    assert not (tmp_path / "late").exists()


def test_the_check_goes_on_and_shows_what_became_of_each_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = "print('Score 50.0 on 12 questions.'); print('Report: runs/report.html')"
    refused = "import sys; sys.exit('Error: bitsandbytes is not installed.\\n(TRACEBACK=1 shows where.)')"
    monkeypatch.setattr(
        check,
        "steps",
        lambda accelerator: [
            check.Step("quickstart", (sys.executable, "-c", shown), 60),
            check.Step("four_bits", (sys.executable, "-c", refused), 60),
            check.Step("cached", (sys.executable, "-c", "print('done')"), 60, "not in 4 bits"),
            check.Step("figures", ("absent",), 5000),
        ],
    )
    assert check.main(["--accelerator", "cpu"]) == 1
    found = json.loads((tmp_path / "runs" / "bench" / "gpu_check.json").read_text())["steps"]
    assert [(one["name"], one["result"], one["says"]) for one in found[:3]] == [
        ("quickstart", "done", "Score 50.0 on 12 questions."),
        ("four_bits", "failed", "Error: bitsandbytes is not installed."),
        ("cached", "done", "not in 4 bits; done"),
    ]
    assert found[3]["result"] == "left out" and "5000 s" in found[3]["says"]
    assert "four_bits     failed" in capsys.readouterr().out


def test_the_check_runs_experiments_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    names = set(experiment_names())
    assert set(check.EXPERIMENTS.values()) <= names
    assert [step.name for step in check.steps("gpu")] == ["quickstart", *check.EXPERIMENTS, "figures"]
    for step in check.steps("gpu")[1:-1]:
        assert step.command[step.command.index("--scale") + 1] == "tiny"
        assert step.command[step.command.index("--trainer.accelerator") + 1] == "gpu"


def test_without_bitsandbytes_teachers_are_tried_in_full_precision_and_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = dict.fromkeys(needs.bounds(), "99")
    monkeypatch.setattr(needs, "installed", lambda name: None if name == "bitsandbytes" else there[name])
    assert check.not_installed() == ["bitsandbytes >= 0.48, which is absent (4 bits)"]
    plain = {step.name for step in check.steps("gpu") if check.WITHOUT_FOUR_BITS[0] in step.command}
    assert plain == set(check.TEACHERS)
    assert all("bitsandbytes" in step.remark for step in check.steps("gpu") if step.name in plain)


def test_the_check_says_that_there_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert check.main([]) == 1
    assert "torch finds no GPU here" in capsys.readouterr().err


def test_the_readme_names_every_benchmark_and_what_a_gpu_needs() -> None:
    described = (ROOT / "benchmarks" / "README.md").read_text()
    usual = {file.stem for file in (ROOT / "benchmarks").glob("*.py") if "__main__" in file.read_text()}
    assert len(usual) > 5
    for name in usual:
        assert f"`{name}`" in described or f"benchmarks.{name}" in described, name
    for name in (*needs.INSTALLED, *on_gpu.PARTS, *check.EXPERIMENTS):
        assert name in described, name


def test_make_bench_leaves_the_gpu_to_its_own_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (command,) = re.findall(r"\$\$\((grep -l __main__ [^)]*)\)", makefile)
    files = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert not {"benchmarks/on_gpu.py", "benchmarks/measure_space.py"} & set(files)
    assert "benchmarks/distillation_step.py" in files
    assert "-m benchmarks.on_gpu $(PARTS)" in makefile and "-m benchmarks.gpu.check $(STEPS)" in makefile
