"""What every recipe is, what it has to say itself, and what another method of adapting does not inherit."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from experiments.experiment_files.config_files import compose
from experiments.experiment_files.registry import (
    experiment_names,
    find_experiment,
    read_yaml,
    with_ancestors,
)
from experiments.study.study_file import find_study, read_study
from lightning_modules.vlm.zoo import ZOO
from tests.experiments.pinned_recipes import as_text, merged, pinned_recipes, written_recipes

WRITTEN, PINNED = written_recipes(), pinned_recipes()


@pytest.mark.parametrize("name", sorted(WRITTEN.keys() | PINNED.keys()))
def test_a_recipe_is_what_it_was_last_said_to_be(name: str) -> None:
    """With all that it starts from; base.yaml, studies and sweeps as well."""
    now, then = (merged(recipes, name) if name in recipes else {} for recipes in (WRITTEN, PINNED))
    moved = [key for key in sorted(now.keys() | then.keys()) if now.get(key, "-") != then.get(key, "-")]
    assert not moved, (
        "Settings have changed: "
        + "; ".join(f"{key} was {then.get(key, '-')}, is {now.get(key, '-')}" for key in moved)
        + ". If that is meant, write them down with `python -m tests.experiments.pinned_recipes`."
    )
    assert list(now) == list(then) or not name.startswith("studies/"), "the order of the table's rows"


def test_what_is_written_down_reads_as_the_files_do() -> None:
    assert yaml.safe_load(as_text(WRITTEN)) == WRITTEN


def test_a_file_named_after_a_model_and_a_method_has_both() -> None:
    named = {"lora": "lora", "zero_shot": "none", "dora": "dora", "ia3": "ia3", "bottleneck": "bottleneck"}
    found = 0
    for name in experiment_names():
        of_zoo = re.fullmatch(rf"(?:small_vlm|warehouse)/({'|'.join(ZOO)})_(.+)", name)
        if of_zoo and (method := next((named[one] for one in named if of_zoo[2].startswith(one)), "")):
            model, found = merged(WRITTEN, name), found + 1
            assert model["model.init_args.model"] == of_zoo[1], name
            assert model["model.init_args.adapter.method"] == method, name
    assert found >= 18


@pytest.mark.parametrize(
    ("row", "other", "differ"),
    [
        ("warehouse/moe_phase2", "warehouse/moe_both", "phases"),
        ("warehouse/dense_phase1", "warehouse/dense_both", "phases"),
        ("warehouse/dense_phase2", "warehouse/dense_both", "phases"),
        ("warehouse/dense_both", "warehouse/moe_both", "network.experts network.expert_hidden"),
        ("small_vlm/smolvlm_500m_dora", "small_vlm/smolvlm_500m_lora_choices", "adapter.method"),
        ("distillation/attention_kd_mean", "distillation/attention_kd", "attention.similarity"),
    ],
)
def test_a_row_of_a_comparison_differs_in_what_it_is_about_alone(row: str, other: str, differ: str) -> None:
    one, two = (
        {k: v for k, v in merged(WRITTEN, name).items() if not k.startswith("tiny")} for name in (row, other)
    )
    moved = {key for key in one.keys() | two.keys() if one.get(key) != two.get(key)}
    assert moved - {"name", "starts_from"} == {f"model.init_args.{key}" for key in differ.split()}


def test_a_study_compares_what_its_labels_say() -> None:
    study = read_study(find_study("distillation"))
    names = {"base": "qwen_3b_base", "teacher": "teacher_sft_7b", "sft": "qwen_3b_sft"}
    names |= {
        "attention_mean": "attention_kd_mean",
        "attention_alone": "attention_kd",
        "untuned_teacher": "attention_kd",
    }
    for label, run in study.runs.items():
        assert run.experiment == f"distillation/{names.get(label, label)}"
        settings = run.settings.get("model", {}).get("init_args", {})
        alone = label in ("attention_alone", "attention_mean", "untuned_teacher")
        assert (settings.get("logits") == {"alpha": 1.0}) == alone, "without logits, the answers weigh all"
        assert ("needs" if run.needs else None) == ("needs" if "{folder:teacher}" in str(settings) else None)
    assert study.runs["untuned_teacher"].settings["model"]["init_args"]["teacher"] == {"adapter": None}
    assert {a for a, _ in study.pairs[: len(study.runs) - 1]} == {"sft"}


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
