"""The published sizes are what their names say."""

from __future__ import annotations

import pytest

from experiments.experiment_files.registry import find_experiment, read_yaml, with_ancestors
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.module import parameter_count


@pytest.mark.parametrize(("name", "millions"), [("tinygiant_64m", 64.0), ("tinygiant_80m", 80.0)])
def test_parameters_are_within_two_percent_of_the_name(name: str, millions: float) -> None:
    network: dict = {}
    for path in with_ancestors(find_experiment(f"warehouse/{name}")):
        network |= read_yaml(path)["model"]["init_args"]["network"]
    assert parameter_count(TinyGiantConfig(**network)) == pytest.approx(millions * 1e6, rel=0.02)
