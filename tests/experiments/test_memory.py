"""A device without memory left ends in a sentence that names what needs less, in order."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from experiments.errors.memory import (
    ANSWERING_KNOBS,
    TRAINING_KNOBS,
    OutOfMemory,
    is_out_of_memory,
    out_of_memory,
)
from tests.helpers.cli_in_process import DryRunCLI, run
from tests.helpers.stub import StubModule

CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of 79 GiB")


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (CUDA, True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("mat1 and mat2 must have the same dtype"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_no_memory(error: Exception, is_one: bool) -> None:
    assert is_out_of_memory(error) == is_one


@pytest.mark.parametrize("name", ["distillation/attention_kd", "small_vlm/smolvlm_500m_lora", "quickstart"])
def test_the_knobs_are_real_ones_and_stand_in_their_order(
    name: str, dry_run: type[DryRunCLI], tmp_path: Path
) -> None:
    config = dry_run(["experiment", "-c", name, "--scale", "tiny"]).config["experiment"]
    for trains, knobs in ((True, TRAINING_KNOBS), (False, ANSWERING_KNOBS)):
        said = str(out_of_memory(config, trains, CUDA))
        assert "CUDA out of memory" in said and knobs[0][0] in said
        named = [said.index(f"{knob}: ") for knob, _ in knobs if f"{knob}: " in said]
        assert named == sorted(named) and len(named) >= 2
    is_vlm = name != "quickstart"
    assert ("image_tokens" in said) == is_vlm
    assert ("network.image_size" in said) != is_vlm


@pytest.mark.parametrize("verb", ["fit", "experiment"])
def test_a_step_without_memory_ends_in_the_sentence(
    verb: str, dry_run: type[DryRunCLI], stub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dry_run` goes to an empty folder; the run is a whole one."""

    def loss(self: StubModule, batch: object) -> None:
        raise CUDA

    monkeypatch.setattr(StubModule, "loss", loss)
    with pytest.raises(OutOfMemory, match=r"data\.init_args\.batch_size: lower .*accumulate_grad_batches"):
        run(verb, "-c", str(stub), "--trainer.accelerator=cpu")


def test_answering_without_memory_names_the_batch_of_the_evaluation(
    dry_run: type[DryRunCLI], stub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(self: StubModule, batch: object) -> None:
        raise CUDA

    monkeypatch.setattr(StubModule, "answer", answer)
    with pytest.raises(OutOfMemory, match="evaluation_batch_size: lower") as told:
        run("test", "-c", str(stub), "--ckpt_path=none", "--trainer.accelerator=cpu")
    assert "accumulate_grad_batches" not in str(told.value)
