"""What a run has come to, to be compared with another run's, to the last bit."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import torch


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Those of the last checkpoint, and those of the best."""
    states = {
        name: torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
        for name in ("last", "best")
    }
    return {f"{name} {key}": value for name, state in states.items() for key, value in state.items()}


def rows(folder: Path) -> list[dict[str, str]]:
    """Everything that was logged but speed, which no run repeats."""
    with (folder / "metrics.csv").open() as file:
        return [
            {name: value for name, value in row.items() if not name.endswith("_per_second")}
            for row in csv.DictReader(file)
        ]


def results(folder: Path) -> dict[str, Any]:
    """The results but the seconds, which no run repeats."""
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    del found["seconds"]
    return found


def why_not_the_same(one: Path, other: Path) -> str:
    """What differs between the ends of two runs, to the last bit; "" where nothing does."""
    expected, found = weights(one), weights(other)
    if wrong := [name for name in expected | found if not torch.equal(expected[name], found[name])]:
        return f"{len(wrong)} tensors differ, the first is {wrong[0]}"
    if rows(one) != rows(other):
        return f"metrics.csv differs: {len(rows(one))} rows and {len(rows(other))}"
    if results(one) != results(other):
        return "results.json differs"
    if (one / "predictions.jsonl").read_bytes() != (other / "predictions.jsonl").read_bytes():
        return "predictions.jsonl differs"
    return ""
