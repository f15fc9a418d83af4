"""What every recipe has to say itself, and what another method of adapting does not inherit."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.experiment_files.config_files import compose
from experiments.experiment_files.registry import (
    experiment_names,
    find_experiment,
    read_yaml,
    with_ancestors,
)


def arguments(name: str) -> dict[str, Any]:
    """The model's arguments of an experiment, each as the last file says it."""
    found: dict[str, Any] = {}
    for path in with_ancestors(find_experiment(name)):
        found |= (read_yaml(path).get("model") or {}).get("init_args") or {}
    return found


@pytest.mark.parametrize("name", experiment_names())
def test_a_recipe_that_trains_states_its_weight_decay(name: str) -> None:
    """AdamW's own would be on without a word in any file."""
    model = arguments(name)
    if (model.get("adapter") or {}).get("method") != "none":
        assert "weight_decay" in model["optimizer"]["init_args"]


LAYERS = "--model.init_args.adapter.target_modules=null"


@pytest.mark.parametrize(
    ("typed", "forgets"),
    [
        (["--model.init_args.adapter.method=ia3"], True),
        (["--model.init_args.adapter.method", "ia3"], True),
        (["--model.adapter.method=bottleneck"], True),
        (["--model.init_args.adapter.method=lora"], False),
        (
            ["--model.init_args.adapter.method=ia3", "--model.init_args.adapter.target_modules=[key_value]"],
            False,
        ),
        (["--model.init_args.adapter.rank=4"], False),
    ],
)
def test_another_method_on_the_command_line_does_not_keep_the_files_layers(
    typed: list[str], forgets: bool
) -> None:
    """The file has LoRA on queries and values, which is no place for IA3."""
    assert arguments("distillation/qwen_3b_sft")["adapter"]["target_modules"] == ["query_value"]
    composed = compose(["fit", "-c", "distillation/qwen_3b_sft", *typed])
    assert (LAYERS in composed.arguments) == forgets
