"""Files of earlier versions are refused in one sentence that says what is called otherwise now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.experiment_files.config_files import compose
from experiments.experiment_files.older_versions import refuse_older
from experiments.experiment_files.registry import BASE, experiment_file, experiment_names, read_yaml
from experiments.run_folders.run_folder import RunError

OLD: dict[str, tuple[dict[str, Any], str]] = {
    "twin": ({"model": {"init_args": {"twin": True}}}, "`twin` is called `random_weights` now"),
    "of the teacher": (
        {"model": {"init_args": {"teacher": {"twin_size": {"layers": 6}}}}},
        "`twin_size` is called `tiny_size` now",
    ),
    "at the tiny size": (
        {"tiny": {"model": {"init_args": {"before_answer": " "}}}},
        "`before_answer` is called `response_template`",
    ),
    "layers": (
        {"model": {"init_args": {"adapter": {"method": "lora", "layers": ["attention"]}}}},
        "`adapter.layers` is called `adapter.target_modules`",
    ),
    "a class that has moved": (
        {"trainer": {"logger": [{"class_path": "experiments.loggers.wandb_when_asked"}]}},
        "there is no class experiments.loggers.wandb_when_asked now",
    ),
}


@pytest.mark.parametrize("name", OLD)
def test_an_older_file_is_refused_in_one_sentence(name: str) -> None:
    content, said = OLD[name]
    with pytest.raises(RunError, match="earlier version") as raised:
        refuse_older(Path("runs/x/1/config.yaml"), content)
    assert said in str(raised.value)
    assert str(raised.value).startswith("runs/x/1/config.yaml") and "run.json" in str(raised.value)


def test_the_shipped_files_are_of_this_version() -> None:
    for path in [BASE, *map(experiment_file, experiment_names())]:
        refuse_older(path, read_yaml(path))
        refuse_older(path.with_name("config.yaml"), read_yaml(path))


def test_layers_of_the_model_are_no_older_word() -> None:
    size = {"tiny_size": {"layers": 6}, "network": {"fusion_layers": 2}}
    refuse_older(Path("config.yaml"), {"model": {"class_path": "mine.Model", "init_args": size}})


def test_it_is_refused_before_anything_is_parsed_or_resumed(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "x" / "1"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("name: x\nmodel: {class_path: PeftSft, init_args: {twin: true}}\n")
    for typed in (["test", "-c", str(run)], ["fit", "--resume", str(run)]):
        with pytest.raises(RunError, match="`twin` is called `random_weights` now"):
            compose(typed)
