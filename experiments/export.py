"""`python -m experiments.export --name NAME`: take what a run has trained along, to use without this project.

Into the run's folder, or one of your choice, it writes `adapter/`, which `PeftModel.from_pretrained` opens on
the base model; with `--merge` also `merged/`, a model like any other of transformers; and for a twin `base/`,
since nobody else can make that model.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.catalogue import read_yaml
from experiments.errors import plain_errors, quiet_libraries
from experiments.run_folder import LATEST, RUNS, RunError, RunFolder

if TYPE_CHECKING:
    from lightning_modules.base import SpatialModule

MERGED = "merged"
BASE = "base"


def write_adapter(module: SpatialModule, folder: Path, base: str | None = None) -> bool:
    """Write the adapter of a module that has one into a folder.

    Args:
        module: any module.
        folder: where the adapter's files go.
        base: where the base model is found; by default where it was loaded from.

    Returns:
        Whether there was an adapter.
    """
    if not hasattr(module, "vlm"):
        return False
    from lightning_modules.vlm.export import save_adapter

    vlm: Any = module.vlm
    network: Any = module.network
    return save_adapter(network, folder, vlm.processor.tokenizer, base)


def export(run: RunFolder, to: Path, merge: bool = False) -> list[str]:
    """Write what a run has trained into a folder.

    Args:
        run: the run.
        to: the folder; `adapter/`, `merged/` and `base/` lie in it.
        merge: also write the model with the adapter in its weights.

    Returns:
        Sentences that say what was written and how to open it.

    Raises:
        SmallSpatialError: the run has trained nothing that can be exported like this.
    """
    settings = read_yaml(run.config)["model"]
    module: Any = trained_module(run, settings)
    if not hasattr(module, "vlm"):
        raise RunError(
            f"{type(module).__name__} is not a model of transformers, and has no other form: its checkpoint "
            f"{run.checkpoint} is all there is. Export is for experiments with vision-language models."
        )
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise RunError(f"{run.path} trained nothing: the model is still the one it was given.")
    if merge:
        from lightning_modules.vlm.export import require_mergeable

        require_mergeable(module.network)
    said = []
    twin = settings["init_args"].get("twin", False)
    base = (to / BASE).absolute()
    adapter = to / run.adapter.name
    if write_adapter(module, adapter, str(base) if twin else None):
        said.append(f"Adapter: {adapter}, {_opened_by(adapter)}.")
    elif not merge:
        raise RunError(f"{run.path} trained parts of the model whole, without an adapter: add MERGE=1.")
    if twin and said:
        _write_base(settings, base, module.vlm.processor)
        said.append(f"Its base model, a twin: {base}")
    if tokens := _added_tokens(module):
        said.append(f"Begin every prompt with {tokens[0]} ... {tokens[-1]}, which the run was trained with.")
    if merge:
        said.append(_write_merged(module, adapter, to / MERGED))
    return said


def trained_module(run: RunFolder, settings: dict[str, Any]) -> SpatialModule:
    """The module of a run as its last checkpoint left it.

    Args:
        run: the run.
        settings: the module's class and arguments.

    Raises:
        SmallSpatialError: the run has no checkpoint, or one of another model.
    """
    import torch

    from lightning_modules.checkpoints import require_trainable

    if not run.checkpoint.exists():
        raise RunError(f"{run.path} has no checkpoint: {run.checkpoint} is missing, so nothing was trained.")
    module = make_module(settings)
    state = torch.load(run.checkpoint, weights_only=True, map_location="cpu")["state_dict"]
    require_trainable(module, state)
    module.load_state_dict(state, strict=False)
    return module.eval()


def find_run(name: str, run: str | None, runs: Path = RUNS) -> RunFolder:
    """A run of an experiment by its id, or as a folder; without one, the newest that trained something.

    Raises:
        RunError: there is no such run.
    """
    if run is None or run == LATEST:
        return RunFolder.latest_training(runs, name)
    for path in (runs / name / run, Path(run)):
        if RunFolder(path).config.exists():
            return RunFolder(path)
    known = sorted(path.name for path in (runs / name).glob("*") if not path.is_symlink())
    raise RunError(f"There is no run {run!r} of {name!r}; there is {', '.join(known) or 'none at all'}.")


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(prog="python -m experiments.export", description=__doc__)
    parser.add_argument("--name", required=True, help="the experiment")
    parser.add_argument("--run", help="the run's id; the newest one when left out")
    parser.add_argument("--merge", action="store_true", help="also write the merged model")
    parser.add_argument("--to", type=Path, help="the folder to write into; the run's own when left out")
    arguments = parser.parse_args()
    with plain_errors():
        run = find_run(arguments.name, arguments.run)
        quiet_libraries()
        print("\n".join(export(run, arguments.to or run.path, arguments.merge)))


def make_module(settings: dict[str, Any]) -> Any:
    """A module from its class and arguments, checked as the command line checks them."""
    from jsonargparse import ArgumentParser

    from lightning_modules.base import SpatialModule

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(SpatialModule, "model")
    return parser.instantiate_classes(parser.parse_object({"model": settings})).model


def _write_base(settings: dict[str, Any], folder: Path, processor: Any) -> None:
    """A twin as it was before it was trained, with room for tokens that were added since."""
    from lightning_modules.vlm.prompt_tuning import make_room

    untrained = {**settings["init_args"], "adapter": {"method": "none"}}
    model = make_module({**settings, "init_args": untrained}).vlm.model
    make_room(model, len(processor.tokenizer))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _write_merged(module: Any, adapter: Path, folder: Path) -> str:
    from lightning_modules.vlm.export import merge

    merge(module.network, adapter).save_pretrained(folder)
    module.vlm.processor.save_pretrained(folder)
    return f"Merged model: {folder}, opened by AutoModelForImageTextToText.from_pretrained({str(folder)!r})."


def _opened_by(adapter: Path) -> str:
    if (adapter / "adapter_config.json").exists():
        return f"opened by PeftModel.from_pretrained(base_model, {str(adapter)!r})"
    return f"opened by lightning_modules.vlm.export.load_adapter(base_model, {str(adapter)!r})"


def _added_tokens(module: Any) -> list[str]:
    from lightning_modules.vlm.adapters import prompt_tokens

    return prompt_tokens(module.adapter)


if __name__ == "__main__":
    main()
