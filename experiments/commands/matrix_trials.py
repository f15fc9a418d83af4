"""What the matrix runs: every experiment file on a small copy of its benchmark, with tiny random models."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from datamodules.mixture import Mixture
from experiments.experiment_files.registry import (
    BASE,
    experiment_names,
    find_experiment,
    opening_comment,
    read_yaml,
    with_ancestors,
)
from experiments.run_folders.run_folder import RunFolder, write_whole

PRECISIONS = ("32-true", "bf16-mixed", "bf16-true")
"""Tried for one experiment of each family; the first is what a CPU takes by itself."""

OF_EACH_FAMILY = {
    "quickstart": "TinyGiant",
    "small_vlm/smolvlm_500m_lora": "Idefics3",
    "small_vlm/smolvlm_2b_lora": "SmolVLM",
    "small_vlm/qwen2_5_vl_3b_lora": "Qwen2.5-VL",
    "small_vlm/internvl3_1b_lora": "InternVL",
    "small_vlm/paligemma2_3b_lora": "PaliGemma",
    "small_vlm/encoder_siglip": "composed",
}
"""One experiment of each family of models."""

NOTHING_TO_TRAIN_ON = (
    "small_vlm/qwen_from_scratch",
    "small_vlm/smolvlm_from_scratch",
    "small_vlm/smolvlm_from_scratch_in_context",
)
"""These train on CV-Bench, which has no train split: their answer on the real data is a sentence."""

FEW_STEPS = {"limit_train_batches": 2, "limit_val_batches": 1, "limit_test_batches": 2}
SMALL_RENDERED = {"scenes": {"train": 6, "val": 2, "test": 2}, "size": [112, 80]}
"""For the parts of a mixture that are rendered whatever the data are."""


@dataclass(frozen=True)
class Trial:
    """One experiment with one precision.

    Attributes:
        experiment: its name.
        precision: of the trainer; None for what a CPU takes by itself.
    """

    experiment: str
    precision: str | None = None

    @property
    def name(self) -> str:
        """The name under which it runs: without a precision the experiment's, as its students expect."""
        return self.experiment if self.precision is None else f"{self.experiment}-{self.precision}"

    @property
    def expects_sentence(self) -> bool:
        """Whether it is right that it does not run, but says why."""
        return self.experiment in NOTHING_TO_TRAIN_ON

    @property
    def may_refuse(self) -> bool:
        """Whether a sentence is an answer, too: not every model computes in every precision."""
        return self.expects_sentence or self.precision is not None

    @property
    def needs(self) -> Trial | None:
        """The trial that makes its teacher."""
        teacher = whole(self.experiment)["model"]["init_args"].get("teacher") or {}
        return Trial(teacher["made_by"]) if teacher.get("made_by") else None

    def file(self, folder: Path) -> Path:
        """The experiment file that the matrix writes for it into its folder."""
        return folder / "settings" / f"{self.name}.yaml"

    def log(self, folder: Path) -> Path:
        """What it has printed."""
        return folder / "logs" / f"{self.name}.log"

    def run(self, folder: Path) -> RunFolder:
        """The run's own folder, once it has started."""
        return RunFolder(folder / "runs" / self.name / "latest")


def chosen_trials(wanted: str | None = None) -> list[Trial]:
    """The trials of all experiments, or of one, or of a folder of them; those that others need come first.

    Raises:
        UnknownExperiment: there is no such experiment and no such folder.
    """
    names = experiment_names()
    if wanted:
        inside = [name for name in names if name.startswith(f"{wanted.rstrip('/')}/")]
        names = inside or [str(read_yaml(find_experiment(wanted))["name"])]
    trials: list[Trial] = []
    for name in names:
        precisions = PRECISIONS[1:] if name in OF_EACH_FAMILY else ()
        trials += [Trial(name), *(Trial(name, precision) for precision in precisions)]
    needed = [need for trial in trials if (need := trial.needs)]
    return list(dict.fromkeys([*needed, *trials]))


@cache
def whole(name: str) -> dict[str, Any]:
    """An experiment's settings at the full size, with those of the files that it starts from."""
    files = [read_yaml(path) for path in (BASE, *with_ancestors(find_experiment(name)))]
    merged = OmegaConf.to_container(OmegaConf.merge(*files))
    assert isinstance(merged, dict)
    return {str(key): value for key, value in merged.items()}


def write_settings(trial: Trial, folder: Path, copies: Path, weights: Path) -> None:
    """Write the experiment file of a trial, which starts from the one that is tried.

    Args:
        trial: the trial.
        folder: the matrix's folder.
        copies: the folder with a copy of each benchmark.
        weights: a file that stands in for pretrained weights of TinyGiant's backbones.
    """
    settings = whole(trial.experiment)
    trainer: dict[str, Any] = {"accelerator": "cpu", **FEW_STEPS}
    if settings["trainer"]["max_epochs"] > 0:
        trainer["max_epochs"] = 1
    if trial.precision is not None:
        trainer["precision"] = trial.precision
    content = {
        "starts_from": trial.experiment,
        "name": trial.name,
        "model": {"init_args": tiny_models(settings["model"]["init_args"], weights)},
        "data": {"init_args": {"root": str(copy_of(settings["data"], copies)), **SMALL_RENDERED}},
        "trainer": trainer,
    }
    comment = "".join(
        f"# {line}".rstrip() + "\n"
        for line in opening_comment(find_experiment(trial.experiment)).splitlines()
    )
    write_whole(trial.file(folder), f"{comment}\n{yaml.safe_dump(content, sort_keys=False)}")


def tiny_models(model: dict[str, Any], weights: Path) -> dict[str, Any]:
    """What puts tiny random models in the place of those that an experiment names."""
    if "network" not in model:
        teacher = {"teacher": {"random_weights": True, "weights_seed": 0}} if "teacher" in model else {}
        return {"random_weights": True, "maximum_new_tokens": 16, **teacher}
    phases = [{**phase, "epochs": 1} for phase in model["phases"]]
    if "pretrained" not in model["network"]:
        return {"phases": phases}
    network = {
        "pretrained": str(weights),
        "pretrained_depth": str(weights),
        "image_size": [96, 64],
        "visual_width": 32,
        "global_grid": [2, 3],
        "width": 48,
        "heads": 4,
        "fusion_layers": 2,
        "expert_hidden": 64,
        "decoder_layers": 1,
        "decoder_hidden": 64,
    }
    return {"network": network, "phases": phases}


def copy_of(data: dict[str, Any], copies: Path) -> Path:
    """The folder to read instead of the real data: one copy, or for a mixture the folder of all."""
    module, _, name = data["class_path"].rpartition(".")
    made = getattr(importlib.import_module(module), name)
    return copies if issubclass(made, Mixture) else copies / made.benchmark


def write_backbone(name: str, file: Path) -> None:
    """Write random weights of a backbone, which stand in for pretrained ones."""
    import timm
    import torch

    torch.manual_seed(0)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(timm.create_model(name).state_dict(), file)
