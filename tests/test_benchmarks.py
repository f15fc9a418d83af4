"""The benchmark of a distillation step compares what it says it compares; and what all benchmarks share."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import distillation_step, measuring
from benchmarks.language_models import Shape, make_models, make_sequences
from benchmarks.matrix_units import work_of

SMALL = {
    "student": Shape(3, 4, 2, 64, 128, 512, spread=0.1),
    "teacher": Shape(4, 6, 3, 96, 160, 544, tied=False, spread=0.1),
}
TOKENS = 40


def step(way: str, kind: str, attention: str) -> tuple[Tensor, dict[str, Tensor | None]]:
    """The loss of a way, and the gradients of the adapter."""
    models = make_models(SMALL, "cpu", attention)
    loss = distillation_step.compute_loss(way, kind, models, make_sequences(TOKENS, 512, "cpu"))
    loss.backward()
    return loss, {name: part.grad for name, part in models.student.named_parameters() if part.requires_grad}


@pytest.mark.parametrize("kind", distillation_step.KINDS)
def test_both_ways_compute_the_same_loss_and_gradient(kind: str) -> None:
    ours, gradients = step("ours", kind, "sdpa")
    straightforward, wanted = step("straightforward", kind, "sdpa" if kind == "logit" else "eager")
    torch.testing.assert_close(ours, straightforward)
    assert gradients.keys() == wanted.keys()
    learning = 0
    for name, gradient in gradients.items():
        # The last layer's values do not go into any map.
        assert (gradient is None) == (wanted[name] is None)
        if gradient is not None:
            torch.testing.assert_close(gradient, wanted[name], rtol=1e-3, atol=1e-5)
            learning += bool(gradient.abs().sum() > 0)
    assert learning >= len(gradients) - 2


def test_the_plain_step_goes_through_the_whole_student() -> None:
    _, gradients = step("plain", "both", "sdpa")
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients.values())


def test_operations_are_those_that_torch_counts() -> None:
    models, batch = make_models(SMALL, "cpu", "eager"), make_sequences(TOKENS, 512, "cpu")
    with FlopCounterMode(display=False) as counted:
        distillation_step.plain_loss(models, batch).backward()
    # Eager attention computes what causality would leave out; the student does so four times over.
    left_out = sum(
        times * 2 * TOKENS**2 * shape.width * shape.layers
        for times, shape in ((4, SMALL["student"]), (1, SMALL["teacher"]))
    )
    work = work_of(*models, TOKENS, positions=1)
    # The first layer's input needs no gradient, which is much in a model of three layers.
    assert counted.get_total_flops() == pytest.approx(sum(work) + left_out, rel=0.05)


def test_operations_of_the_heads_grow_with_the_positions() -> None:
    models = make_models(SMALL, "cpu", "sdpa")
    some, more = (work_of(*models, TOKENS, positions) for positions in (0, 10))
    # Forward for both, and backward for the student.
    assert more.needed - some.needed == 2 * 10 * (2 * 64 * 512 + 96 * 544)
    assert more.recomputed == some.recomputed


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."),
        MemoryError(),
    ],
)
def test_what_does_not_fit_is_recorded(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(distillation_step, "_measured", refuse)
    assert distillation_step.measure("ours", "both", 512, 1) == {"out_of_memory": True}


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(distillation_step, "_measured", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        distillation_step.measure("ours", "both", 512, 1)


def answers(straightforward: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """What a measuring process prints, when asked; the straightforward way may be told to say otherwise."""
    plain = {"megabytes": 100.0, "seconds": 2.0, "loss": 0.0, "gradient": 1.0}
    ours = {"megabytes": 110.0, "seconds": 3.0, "loss": 5.0, "gradient": 7.0}
    found = {"plain": plain, "ours": ours, "straightforward": straightforward}

    def ask(benchmark: str, *arguments: str, own_pages: bool) -> dict[str, Any]:
        assert benchmark == "distillation_step" and own_pages
        result = dict(found[arguments[arguments.index("--way") + 1]])
        if "megabytes" in result:
            result["megabytes_of_steps"] = [result["megabytes"] - 2, result["megabytes"]]
        return result

    return ask


def test_memory_is_compared_beyond_the_plain_step_and_speed_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = {"megabytes": 150.0, "seconds": 6.0, "loss": 5.0, "gradient": 7.0}
    monkeypatch.setattr(distillation_step, "in_fresh_process", answers(other))
    row = distillation_step.compare(512, 1)
    for kind in distillation_step.KINDS:
        assert row[kind]["ratio"] == 5 and row[kind]["speed_ratio"] == 2
        assert row[kind]["ours"]["extra_seconds"] == 1
        assert row[kind]["spread"] == [48 / 10, 50 / 8]


@pytest.mark.parametrize("name", ["loss", "gradient"])
def test_ways_that_disagree_are_not_compared(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    other = {"megabytes": 150.0, "seconds": 6.0, "loss": 5.0, "gradient": 7.0}
    monkeypatch.setattr(distillation_step, "in_fresh_process", answers({**other, name: 6.0}))
    with pytest.raises(AssertionError, match=name):
        distillation_step.compare(512, 1)


def test_the_headline_is_the_largest_size_at_which_both_ways_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for tokens, other in (
        (512, {"megabytes": 120.0, "seconds": 4.0, "loss": 5.0, "gradient": 7.0}),
        (1024, {"megabytes": 150.0, "seconds": 6.0, "loss": 5.0, "gradient": 7.0}),
        (2048, {"out_of_memory": True}),
    ):
        monkeypatch.setattr(distillation_step, "in_fresh_process", answers(other))
        rows.append(distillation_step.compare(tokens, 1))
    found = distillation_step.summary(rows)
    assert (found["ours"], found["other"], found["ratio"], found["speed_ratio"]) == (10, 50, 5, 2)
    assert "1,024 tokens" in found["what"]
    assert len(found["details"]) == 3
    assert distillation_step.summary(rows[2:])["ratio"] is None


def test_a_measurement_that_fails_says_why() -> None:
    with pytest.raises(SystemExit, match="No module named"):
        measuring.in_fresh_process("of_nothing")


def test_results_are_written_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    measuring.write_result("speed", {"ours": 2.0})
    written = (tmp_path / "runs" / "bench" / "speed.json").read_text()
    assert json.loads(written) == json.loads(capsys.readouterr().out) == {"ours": 2.0}


def test_a_forgotten_peak_begins_anew() -> None:
    np.ones(12_500_000)
    before = measuring.peak_resident_bytes()
    measuring.forget_peak()
    if measuring.peak_resident_bytes() == before:
        pytest.skip("this system does not let a process forget its peak")
    assert before - measuring.peak_resident_bytes() > 50e6


def test_a_limited_process_is_refused_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: asked.append((kind, limits)))
    measuring.limit_to_free_memory()
    ((kind, (soft, _)),) = asked
    assert kind == resource.RLIMIT_DATA and soft > 0
