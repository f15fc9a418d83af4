"""Strategies that work are taken, all others are refused at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, ModelParallelStrategy, StrategyRegistry

from experiments.command_line.strategies import SEVERAL_DEVICES, WORKING, settled_strategy
from experiments.run_folders.run_folder import RunError
from tests.helpers.cli_in_process import DryRunCLI


def test_parts_without_work_are_looked_for_unless_told_otherwise() -> None:
    assert settled_strategy("auto", several=False) == "auto"
    assert settled_strategy("auto", several=True) == SEVERAL_DEVICES
    assert settled_strategy("ddp", several=True) == SEVERAL_DEVICES
    for name in WORKING:
        assert settled_strategy(name, several=True) == name
    for name in ("auto", "ddp"):
        made = StrategyRegistry.get(settled_strategy(name, several=True))
        assert isinstance(made, DDPStrategy) and made._ddp_kwargs["find_unused_parameters"] is True
    written = {
        "class_path": "lightning.pytorch.strategies.DDPStrategy",
        "init_args": {"start_method": "popen"},
    }
    assert settled_strategy(written, several=True) == written
    made = DDPStrategy(find_unused_parameters=True)
    assert settled_strategy(made, several=True) is made


@pytest.mark.parametrize("name", StrategyRegistry.available_strategies())
def test_every_strategy_of_lightning_is_taken_or_refused_in_a_sentence(name: str) -> None:
    if name in ("ddp", *WORKING):
        assert settled_strategy(name, several=True) in WORKING
        return
    with pytest.raises(RunError, match=f"trainer.strategy {name} take ddp") as refused:
        settled_strategy(name, several=True)
    divided = any(kind in name for kind in ("fsdp", "deepspeed"))
    assert ("divided between devices" in str(refused.value)) == divided
    assert ("copied from this one" in str(refused.value)) == name.startswith(
        ("ddp_spawn", "ddp_fork", "ddp_notebook")
    )


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ({"class_path": "lightning.pytorch.strategies.ModelParallelStrategy"}, "divided between devices"),
        ({"class_path": "FSDPStrategy", "init_args": {}}, "divided between devices"),
        (
            {
                "class_path": "lightning.pytorch.strategies.DDPStrategy",
                "init_args": {"start_method": "spawn"},
            },
            "copied from this one",
        ),
        (DDPStrategy(start_method="fork"), "copied from this one"),
        (ModelParallelStrategy(), "divided between devices"),
        (FSDPStrategy(), "divided between devices"),
    ],
)
def test_classes_of_strategies_as_well(strategy: Any, said: str) -> None:
    with pytest.raises(RunError, match=said):
        settled_strategy(strategy, several=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "--trainer.strategy", "fsdp"], "divided between devices"),
        (["experiment", "--trainer.strategy", "ddp_spawn", "--trainer.devices=2"], "copied from this one"),
        (["experiment", "--trainer.strategy", "ModelParallelStrategy"], "divided between devices"),
        (["fit", "--trainer.precision", "bf16-true"], "holds trained weights in half precision"),
        (["experiment", "--trainer.precision", "16-mixed"], "is for GPUs"),
    ],
)
def test_the_command_line_refuses_before_a_model_is_made(
    arguments: list[str],
    said: str,
    dry_run: type[DryRunCLI],
    stub: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dry_run, "instantiate_classes", lambda self: pytest.fail("a model was made"))
    verb, *options = arguments
    with pytest.raises(Exception, match=said):
        dry_run([verb, "-c", str(stub), "--trainer.accelerator=cpu", *options])


def test_what_is_settled_stands_in_the_configuration(dry_run: type[DryRunCLI], stub: Path) -> None:
    config = dry_run(
        ["fit", "-c", str(stub), "--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp"]
    ).config["fit"]
    assert (config.trainer.strategy, config.trainer.precision) == (SEVERAL_DEVICES, "32-true")
