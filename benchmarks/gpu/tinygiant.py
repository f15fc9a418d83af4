"""TinyGiant-64M: images a second, share of the matrix peak, and how long it waits for its images."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.gpu.figures import Figures
from benchmarks.gpu.frames import FULL_SIZE, Frames, write_frames
from benchmarks.gpu.machine import Machine
from benchmarks.gpu.needs import ROOT
from benchmarks.gpu.training import MadeUpData, Steps, train
from datamodules.loading.cores import available_cores
from lightning_modules.phases import Phase
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.module import TinyGiant

EXPERIMENT = ROOT / "experiments" / "warehouse" / "tinygiant_64m.yaml"

BACKWARD = 2
"""How many times the work of a forward pass; torch miscounts it for depthwise convolutions."""


def measure(machine: Machine, figures: Figures) -> None:
    """One batch again and again, with deterministic kernels where there are some, and without."""
    images = batch_size(machine)
    with tempfile.TemporaryDirectory() as folder:
        frames = _frames(Path(folder), machine, images)
        questions = int(frames.group_sizes().sum())
        for deterministic in (True, False) if machine.is_gpu else (True,):
            module = make_tiny_giant(machine)
            data = MadeUpData(frames, repeated=True, batch_size=images, num_workers=0)
            steps = _train(module, data, machine, 10 if machine.is_gpu else 2, deterministic, count=True)
            operations = (1 + BACKWARD) * steps.forward_operations
            figures.add(
                what=f"{_name(machine)}: a step on one batch, deterministic kernels: "
                f"{'where there are some' if deterministic else 'no'}",
                images=images,
                questions=questions,
                parameters=sum(parameter.numel() for parameter in module.parameters()),
                images_per_second=images / steps.median,
                teraflops=operations / 1e12,
                share_of_peak=operations / steps.median / machine.peak,
                **steps.figures(),
            )


def measure_data_wait(machine: Machine, figures: Figures) -> None:
    """Frames of the real size from files, through the project's loader, against a batch that is there."""
    images, steps = batch_size(machine), 30 if machine.is_gpu else 3
    experiment = yaml.safe_load(EXPERIMENT.read_text())["data"]["init_args"]
    workers = sorted({experiment["num_workers"], max(1, available_cores() - 2)}) if machine.is_gpu else [0]
    with tempfile.TemporaryDirectory() as folder:
        frames = _frames(Path(folder), machine, images * (steps + 10))
        for count in (None, *workers):
            how = (
                "a batch that is there already" if count is None else f"frames from {count} loading processes"
            )
            if not figures.allow(how, 20 if machine.is_gpu else 0):
                continue
            data = MadeUpData(frames, repeated=count is None, batch_size=images, num_workers=count or 0)
            taken = _train(make_tiny_giant(machine), data, machine, steps, deterministic=True)
            seconds = sum(taken.seconds) + sum(taken.waits)
            figures.add(
                what=f"{_name(machine)} in Lightning's loop, {how}",
                frame=_size(machine),
                loading_processes=count,
                images=images * len(taken.seconds),
                images_per_second=images * len(taken.seconds) / seconds,
                data_wait_share=taken.waiting_share,
                **taken.figures(),
            )


def batch_size(machine: Machine) -> int:
    """Images of a batch: the experiment's, or few where stand-ins are measured."""
    return int(_experiment(machine)["data"]["init_args"]["batch_size"])


def make_tiny_giant(machine: Machine) -> TinyGiant:
    """The experiment's model with random weights; on a CPU that of its `tiny:` part."""
    settings = _experiment(machine)["model"]["init_args"]
    network = {**settings["network"], "pretrained": "none", "pretrained_depth": "none"}
    shape: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in network.items()}
    learning_rate = settings["optimizer"]["init_args"]["lr"]
    module = TinyGiant(
        TinyGiantConfig(**shape),
        [Phase("free_form", 1)],
        settings["numbers"],
        optimizer=partial(torch.optim.AdamW, lr=learning_rate),
    )
    for backbone in (module.network.rgb, module.network.depth):
        assert backbone is not None
        # As the experiment's pretrained ones have it.
        backbone.freeze_statistics = True
        backbone.train()
    return module


def _experiment(machine: Machine) -> dict[str, Any]:
    """What the experiment's file says of model and data, of full size or tiny."""
    settings: dict[str, Any] = yaml.safe_load(EXPERIMENT.read_text())
    return settings if machine.is_gpu else _laid_over(settings, settings["tiny"])


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(name), dict)
        merged[name] = _laid_over(below[name], value) if both else value
    return merged


def _train(
    module: TinyGiant,
    data: MadeUpData,
    machine: Machine,
    steps: int,
    deterministic: bool,
    count: bool = False,
) -> Steps:
    warm_up = 4 if machine.is_gpu else 1
    return train(
        module, data, machine, steps=steps, warm_up=warm_up, deterministic=deterministic, count=count
    )


def _frames(folder: Path, machine: Machine, images: int) -> Frames:
    return write_frames(folder, images, _size(machine))


def _size(machine: Machine) -> tuple[int, int]:
    return FULL_SIZE if machine.is_gpu else (240, 135)


def _name(machine: Machine) -> str:
    return "TinyGiant-64M" if machine.is_gpu else "stand-in of TinyGiant-64M"
