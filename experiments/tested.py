"""A run's model and data as its test had them, so that it can be asked again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from lightning import seed_everything

from datamodules.base import SpatialDataModule
from datamodules.mixture import Mixture
from experiments.experiment_files.registry import read_yaml
from experiments.report.page import facts
from experiments.report.results import kind_of, percent, read_results
from experiments.run_folders.asked_checkpoint import checkpoint_of, digest
from experiments.run_folders.provenance import parameter_counts
from experiments.run_folders.run_folder import TRAINING_COMMANDS, RunError, RunFolder
from experiments.trained import make_data, make_module, module_from
from lightning_modules.base import SpatialModule
from lightning_modules.placement import Placement, device_of, placed


@dataclass(frozen=True)
class AsTested:
    """What a run was tested with.

    Attributes:
        module: the model with its weights, in evaluation mode.
        data: the data it was tested on, with the run's own views; of a mixture the benchmark that is scored.
        placement: what is computed on here.
        identity: what tells this model from any other: a digest of weights and settings.
    """

    module: SpatialModule
    data: SpatialDataModule
    placement: Placement
    identity: str

    @property
    def trainer(self) -> dict[str, Any]:
        """The arguments of a Trainer that asks as the run's test did, on one device."""
        # A run that was told to leave a GPU alone still does.
        accelerator = "cpu" if self.placement.device == "cpu" else "auto"
        return {"accelerator": accelerator, "devices": 1, "precision": self.placement.precision}


def tested(run: RunFolder) -> AsTested:
    """The model and the data of a run's test.

    Raises:
        RunError: model or data are not the suite's own, or nothing was trained of what was to be.
        SmallSpatialError: they cannot be made.
    """
    config = read_yaml(run.config)
    placement = placement_of(config["trainer"])
    file = checkpoint_of(run, config)
    seed_everything(config.get("seed_everything") or 0, workers=True, verbose=False)
    with placed(placement):
        module = (
            make_module(config["model"]) if file is None else module_from(file, config["model"], run.config)
        )
    trains = run.read_card().get("subcommand") in TRAINING_COMMANDS
    if file is None and trains and parameter_counts(module)[1]:
        raise RunError(f"{run.path} has no checkpoint: {run.checkpoint} is missing, so nothing was trained.")
    data = make_data(config["data"])
    if not isinstance(module, SpatialModule) or not isinstance(data, SpatialDataModule):
        raise RunError(
            f"The run {run.path} has a module or data of your own that are no SpatialModule and "
            "SpatialDataModule: nobody knows how to ask it question by question."
        )
    # What is scored of a mixture is one benchmark, which has its views.
    asked = data.evaluation if isinstance(data, Mixture) else data
    settings = json.dumps([config["model"], vars(placement)], sort_keys=True, default=str)
    weights = str(module.origins()) if file is None else digest(file)
    identity = hashlib.sha256(f"{weights}\n{settings}".encode()).hexdigest()
    return AsTested(module.eval(), asked, placement, identity)


def placement_of(trainer: dict[str, Any]) -> Placement:
    """What is computed on here, in the run's own precision as far as this machine computes in it."""
    accelerator = trainer.get("accelerator", "auto")
    whole = str(trainer.get("precision")) in ("32-true", "64-true")
    return Placement.of(
        accelerator, trainer["precision"] if whole or device_of(accelerator) != "cpu" else None
    )


def card_of(run: RunFolder) -> dict[str, Any]:
    """What a page says of a run."""
    config, card, results = read_yaml(run.config), run.read_card(), read_results(run)
    return {
        "name": config["name"],
        "facts": facts(config),
        "score": f"{percent(results)}{kind_of(results)}" if results else "",
        "card": {
            "run": str(run.path),
            **{name: card[name] for name in ("command", "commit", "started", "seed") if name in card},
        },
    }
