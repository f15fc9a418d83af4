"""What a run has trained, as a module of Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.experiment_files.allowed_classes import enforce, refuse_remote_code
from experiments.experiment_files.registry import read_yaml
from experiments.run_folders.find_run import find_run
from experiments.run_folders.run_folder import RunError, RunFolder

if TYPE_CHECKING:
    from lightning_modules.base import SpatialModule


def load_trained(named: str | Path, allow: Sequence[str] = ()) -> SpatialModule:
    """The module of a run as the checkpoint left it that the run is tested with, ready to answer.

    Args:
        named: a run's folder (`runs/quickstart/latest`), or an experiment's name, whose newest run it is.
        allow: packages of your own that the run's configuration may name classes of.

    Raises:
        SmallSpatialError: there is no such run, or it has trained nothing.
    """
    enforce(allow)
    run = find_run(str(named), "trained")
    return trained_module(run, read_yaml(run.config)["model"])


def trained_module(run: RunFolder, settings: dict[str, Any]) -> SpatialModule:
    """The module of a run as the checkpoint left it that the run is tested with.

    Args:
        run: the run.
        settings: the module's class and arguments.

    Raises:
        SmallSpatialError: the run has no checkpoint, or one of another model.
    """
    if not run.checkpoint.exists():
        raise RunError(f"{run.path} has no checkpoint: {run.checkpoint} is missing, so nothing was trained.")
    return module_from(run.asked, settings, run.config)


def module_from(file: Path, settings: dict[str, Any], config: Path) -> SpatialModule:
    """The module as a checkpoint left it.

    Args:
        file: the checkpoint.
        settings: the module's class and arguments.
        config: where these stand, for messages.

    Raises:
        SmallSpatialError: the checkpoint cannot be read, or is one of another model.
    """
    from lightning_modules.checkpoints import CheckpointError, read_checkpoint

    module = make_module(settings)
    checkpoint = read_checkpoint(file)
    module.on_load_checkpoint(checkpoint)
    try:
        module.load_state_dict(checkpoint["state_dict"], strict=module.strict_loading)
    except RuntimeError as error:
        # A module of ours has looked before; a plain one leaves it to torch, which says all in one text.
        reasons = [line.strip().rstrip(".") for line in str(error).splitlines()[1:]]
        raise CheckpointError(
            f"The checkpoint {file} does not fit {type(module).__name__}: {'; '.join(reasons)}. It was "
            f"written by another model than {config} says: train it anew, or bring back the model's code."
        ) from error
    return module.eval()


def make_module(settings: dict[str, Any]) -> Any:
    """A module from its class and arguments, checked as the command line checks them.

    The class may lie in what was allowed last in this process.
    """
    from lightning import LightningModule

    return _made("model", LightningModule, settings)


def make_data(settings: dict[str, Any]) -> Any:
    """A datamodule from its class and arguments, likewise."""
    from lightning import LightningDataModule

    return _made("data", LightningDataModule, settings)


def _made(key: str, base: type, settings: dict[str, Any]) -> Any:
    from jsonargparse import ArgumentError, ArgumentParser

    from experiments.errors.constructors import made_as_configured
    from experiments.errors.parser_errors import RefusedOption, refusal

    enforce()
    refuse_remote_code({key: settings})
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, key)
    try:
        parsed = parser.parse_object({key: settings})
    except ArgumentError as error:
        raise RefusedOption(refusal(error, files=[("the run's config.yaml", {key: settings})])) from error
    with made_as_configured(f"The {key}"):
        return parser.instantiate_classes(parsed)[key]
