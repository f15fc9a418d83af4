"""What a score has to be compared with: the best fixed answers, and the same model without eyes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import Checkpoint, LearningRateMonitor

from datamodules.base import SpatialDataModule
from datamodules.samples import metric_of
from datamodules.scoring.baselines import majority_baseline
from datamodules.scoring.chance_baseline import chance_baseline
from datamodules.scoring.metrics import SpatialMetric
from datamodules.scoring.words_baseline import words_baseline
from experiments.callbacks.logged_score import LoggedScore
from experiments.callbacks.progress import progress
from experiments.run_folders.provenance import parameter_counts
from experiments.run_folders.run_folder import RunError
from lightning_modules.base import SpatialModule
from lightning_modules.one_number import taking_answers
from lightning_modules.schedule import train_for_an_epoch_unless_told

if TYPE_CHECKING:
    from experiments.command_line.cli import SpatialCLI

OF_A_BASELINE = ("score", "n", "interval", "tasks", "metric")
"""What is kept of the summary of a baseline."""

BLIND = "datamodules.views.Blind"


@dataclass
class Baselines:
    """Which baselines an experiment asks after its test.

    Args:
        chance: a guess among the possible answers.
        majority: the best fixed answer to each kind of question, taken from the training split.
        words: the best of three predictors that see words alone, learnt from other questions of the test.
        blind: the same model trained anew on questions alone.
        blind_fraction: share of the training images, hence of the steps, that the blind model gets.
    """

    chance: bool = False
    majority: bool = True
    words: bool = False
    blind: bool = False
    blind_fraction: float = 1 / 3

    def __post_init__(self) -> None:
        """Raise `RunError` where the share is none."""
        if not 0 < self.blind_fraction <= 1:
            raise RunError(
                f"baselines.blind_fraction is {self.blind_fraction}; it must be above 0 and at most 1."
            )


def run_baselines(cli: SpatialCLI, wanted: Baselines) -> dict[str, Any]:
    """Ask the wanted baselines on the test split of the experiment; in every process of a distributed run."""
    results: dict[str, Any] = {}
    if not isinstance(cli.datamodule, SpatialDataModule):
        return results  # nobody knows its answers, nor how to take away its images
    scored_by_data = isinstance(cli.model, SpatialModule) or cli.logged_score.judged
    if wanted.majority and scored_by_data:
        metric = taking_answers(metric_of(cli.datamodule, "test"), cli.datamodule.read_answer)
        results["majority"] = majority_baseline(cli.datamodule, metric)
    own = metric_of(cli.datamodule, "test")
    for name, asked, baseline in (
        ("chance", wanted.chance, chance_baseline),
        ("words", wanted.words, words_baseline),
    ):
        known = asked and scored_by_data and isinstance(own, SpatialMetric)
        if known and (found := baseline(cli.datamodule, metric_of(cli.datamodule, "test"))):
            results[name] = found
    if wanted.blind and parameter_counts(cli.model)[1]:
        results["blind"] = blind_baseline(cli, wanted.blind_fraction)
    return results


def blind_baseline(cli: SpatialCLI, fraction: float) -> dict[str, Any]:
    """Train and test the experiment's model with its eyes shut, on a fraction of the training images.

    Model, data and trainer are made anew from the configuration, so that nothing of the experiment is
    touched; nothing is logged or saved.
    """
    subcommand = str(cli.subcommand)
    config = blind_config(cli.config, subcommand, fraction)
    seed_everything(config[subcommand].seed_everything, workers=True, verbose=False)
    made = cli.parser.instantiate_classes(config)[subcommand]
    kept = [
        callback
        for callback in made.trainer.callbacks or []
        if not isinstance(callback, Checkpoint | LearningRateMonitor)
    ]
    logged = LoggedScore()
    shown = [] if made.trainer.enable_progress_bar is False else [progress("blind baseline: ")]
    trainer = Trainer(
        **{
            **made.trainer,
            "logger": False,
            "enable_checkpointing": False,
            "callbacks": [*kept, *shown, logged],
        }
    )
    if not isinstance(made.model, SpatialModule):
        train_for_an_epoch_unless_told(trainer)
    trainer.fit(made.model, datamodule=made.data)
    trainer.test(made.model, datamodule=made.data, verbose=False)
    summary = made.model.summary if isinstance(made.model, SpatialModule) else logged.summary
    return {key: value for key, value in (summary or {}).items() if key in OF_A_BASELINE}


def blind_config(config: Namespace, subcommand: str, fraction: float) -> Namespace:
    """The configuration with one more view, which takes the images away, and fewer training images."""
    changed = config.clone()
    data = changed[subcommand].data.init_args
    data.views = [*(data.views or []), Namespace(class_path=BLIND, init_args=Namespace())]
    data.training_fraction *= fraction
    return changed
