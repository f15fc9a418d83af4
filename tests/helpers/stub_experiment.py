"""An experiment file whose model and data are stubs."""

from __future__ import annotations

from pathlib import Path

import yaml


def stub_experiment(folder: Path) -> Path:
    """Write it into a folder."""
    file = folder / "stub.yaml"
    content = {
        "name": "stub",
        "model": {
            "class_path": "tests.helpers.stub.StubModule",
            "init_args": {
                "epochs": 4,
                "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.05}},
            },
        },
        "data": {
            "class_path": "tests.helpers.stub.StubData",
            "init_args": {"num_workers": 0, "seed": "${seed_everything}"},
        },
        "trainer": {"log_every_n_steps": 1},
        "tiny": {"data": {"init_args": {"images": 16}}},
    }
    file.write_text("# Is left told from right?\n" + yaml.safe_dump(content))
    return file
