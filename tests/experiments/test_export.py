"""`make export`: what a run has trained opens elsewhere and answers the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from datamodules.samples import SmallSpatialError
from experiments.export import export, find_run, make_module, trained_module, write_adapter
from experiments.run_folder import RunError, RunFolder
from lightning_modules.checkpoints import CheckpointError, keep_trainable
from lightning_modules.vlm.adapters import four_bit_config
from tests.experiments.conftest import environment
from tests.lightning_modules.vlm.small import as_if_trained, logits, question

PEFT_SFT = "lightning_modules.vlm.sft.PeftSft"
SIZE = {"width": 64, "layers": 2, "vision_layers": 2}


def settings(model: str, **adapter: Any) -> dict[str, Any]:
    """The model's part of a run's configuration."""
    return {
        "class_path": PEFT_SFT,
        "init_args": {
            "model": model,
            "twin": True,
            "twin_size": dict(SIZE),
            "adapter": adapter,
            "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01}},
        },
    }


def run_with(folder: Path, model: dict[str, Any]) -> tuple[RunFolder, Any]:
    """A run that ends with a checkpoint of a model, and the model."""
    run = RunFolder(folder)
    run.checkpoint.parent.mkdir(parents=True)
    run.config.write_text(yaml.safe_dump({"name": "stub", "model": model}))
    torch.manual_seed(0)
    module = make_module(model)
    as_if_trained(module)
    torch.save({"state_dict": keep_trainable(module, module.state_dict())}, run.checkpoint)
    return run, module.eval()


@pytest.mark.parametrize(
    ("model", "adapter"),
    [
        ("smolvlm_500m", {"method": "lora", "also_train": ["connector"]}),
        ("qwen2_5_vl_3b", {"method": "lora", "four_bit": True, "layers": ["query_value"]}),
        ("internvl3_1b", {"method": "prompt_tuning", "virtual_tokens": 3}),
        ("paligemma2_3b", {"method": "dora", "parts": ["language_model", "vision_tower"]}),
    ],
)
def test_adapter_base_and_merged_model_answer_like_the_run(
    model: str, adapter: dict[str, Any], tmp_path: Path
) -> None:
    """Opened as anybody would open them, without this project."""
    if adapter.get("four_bit"):
        pytest.importorskip("bitsandbytes")
    from peft import PeftConfig, PeftModel
    from transformers import AutoModelForImageTextToText, AutoProcessor

    run, module = run_with(tmp_path / "run", settings(model, **adapter))
    to = tmp_path / "elsewhere"
    said = export(run, to, merge=True)
    assert said[0].startswith(f"Adapter: {to / 'adapter'}") and str(to / "merged") in said[-1]

    processor = AutoProcessor.from_pretrained(to / "base")
    inputs = question(processor, module.adapter)
    expected = logits(module.network, inputs)
    base = AutoModelForImageTextToText.from_pretrained(
        PeftConfig.from_pretrained(to / "adapter").base_model_name_or_path,
        quantization_config=four_bit_config(module.adapter, module.vlm.family.parts),
    )
    for layer in base.modules():
        # On some CPUs bitsandbytes would take a kernel for inference, which rounds otherwise.
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    opened = PeftModel.from_pretrained(base, to / "adapter").eval()
    torch.testing.assert_close(logits(opened, inputs), expected, atol=1e-5, rtol=0)
    merged = AutoModelForImageTextToText.from_pretrained(to / "merged").eval()
    # In 4 bits products are computed in bfloat16, merged in float32.
    tolerance = 0.1 * float(expected.std()) if module.adapter.four_bit else 1e-5
    torch.testing.assert_close(logits(merged, inputs), expected, atol=tolerance, rtol=0)


def test_the_module_of_a_run_is_as_its_checkpoint_left_it(tmp_path: Path) -> None:
    run, module = run_with(tmp_path, settings("smolvlm_500m", method="bottleneck"))
    again = trained_module(run, settings("smolvlm_500m", method="bottleneck"))
    inputs = question(module.vlm.processor)
    assert torch.equal(logits(again.network, inputs), logits(module.network, inputs))
    with pytest.raises(CheckpointError):
        trained_module(run, settings("smolvlm_500m", method="lora"))


def test_bottlenecks_are_exported_and_not_merged(tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText

    from lightning_modules.vlm.export import load_adapter

    run, module = run_with(tmp_path, settings("smolvlm_500m", method="bottleneck"))
    with pytest.raises(SmallSpatialError, match="cannot be merged"):
        export(run, tmp_path, merge=True)
    assert not run.adapter.exists()
    assert "load_adapter" in export(run, tmp_path)[0]
    opened = load_adapter(AutoModelForImageTextToText.from_pretrained(tmp_path / "base"), run.adapter)
    inputs = question(module.vlm.processor)
    torch.testing.assert_close(
        logits(opened.eval(), inputs), logits(module.network, inputs), atol=1e-5, rtol=0
    )


def test_a_model_trained_whole_is_exported_merged_only(tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText

    run, module = run_with(tmp_path, settings("smolvlm_500m", method="full"))
    with pytest.raises(RunError, match="without an adapter: add MERGE=1"):
        export(run, tmp_path)
    export(run, tmp_path, merge=True)
    opened = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged").eval()
    inputs = question(module.vlm.processor)
    torch.testing.assert_close(logits(opened, inputs), logits(module.network, inputs), atol=1e-5, rtol=0)


def test_what_cannot_be_exported_is_a_sentence(tmp_path: Path) -> None:
    run, _ = run_with(tmp_path / "untrained", settings("smolvlm_500m", method="none"))
    with pytest.raises(RunError, match="trained nothing"):
        export(run, tmp_path)
    run.checkpoint.unlink()
    with pytest.raises(RunError, match="has no checkpoint"):
        export(run, tmp_path)
    stub = {"class_path": "tests.experiments.stub.StubModule", "init_args": {}}
    run, module = run_with(tmp_path / "stub", stub)
    with pytest.raises(RunError, match="StubModule is not a model of transformers"):
        export(run, tmp_path)
    assert write_adapter(module, stub, tmp_path) == []


def test_runs_are_found_by_id_or_folder_and_the_newest_without(tmp_path: Path) -> None:
    for number in range(2):
        run = RunFolder(tmp_path / "stub" / f"run{number}")
        run.write_card({"subcommand": "fit", "started": f"2026-01-0{number + 1}"})
        run.config.write_text("name: stub\n")
    assert find_run("stub", None, tmp_path).identifier == "run1"
    assert find_run("stub", "run0", tmp_path).identifier == "run0"
    assert find_run("stub", str(tmp_path / "stub" / "run0"), tmp_path).identifier == "run0"
    with pytest.raises(RunError, match="no run 'run7' of 'stub'; there is run0, run1"):
        find_run("stub", "run7", tmp_path)
    with pytest.raises(RunError, match="no run of 'other'"):
        find_run("other", None, tmp_path)


@pytest.mark.slow
def test_a_fit_leaves_its_adapter_and_the_command_exports_it(tmp_path: Path) -> None:
    experiment = {
        "name": "stub",
        "model": settings("smolvlm_500m", method="lora"),
        "data": {
            "class_path": "datamodules.cv_bench.CvBench",
            "init_args": {"scenes": {"train": 4, "val": 2, "test": 2}, "num_workers": 0, "batch_size": 2},
        },
        "trainer": {"accelerator": "cpu", "max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 0},
    }
    (tmp_path / "stub.yaml").write_text(yaml.safe_dump(experiment))

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=170,
        )

    finished = command("experiments.run", "fit", "-c", "stub.yaml")
    assert finished.returncode == 0, finished.stderr
    adapter = tmp_path / "runs" / "stub" / "latest" / "adapter" / "adapter_model.safetensors"
    after_fit = adapter.read_bytes()

    finished = command("experiments.export", "--name", "stub", "--to", "elsewhere")
    assert finished.returncode == 0, finished.stderr
    assert "opened by PeftModel.from_pretrained" in finished.stdout
    assert (tmp_path / "elsewhere" / "adapter" / "adapter_model.safetensors").read_bytes() == after_fit

    finished = command("experiments.export", "--name", "nothing")
    assert finished.returncode == 1 and "There is no run of 'nothing'" in finished.stderr
    assert "Traceback" not in finished.stderr
