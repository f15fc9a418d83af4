"""`python -m experiments.export --name NAME`: take what a run has trained along, to use without this project.

Into the run's folder, or one of your choice, it writes `adapter/`, which `PeftModel.from_pretrained` opens on
the base model; with `--merge` also `merged/`, a model like any other of transformers; and `base/` where
nobody else has the base model: a tiny random model, or one that was put together here. Each has a README with
the code.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.errors.libraries import quiet_libraries
from experiments.errors.plain_errors import OptionParser, plain_errors
from experiments.experiment_files.allowed_classes import ALLOW, enforce
from experiments.experiment_files.registry import read_yaml
from experiments.program import program
from experiments.run_folders.find_run import find_run
from experiments.run_folders.run_folder import RunError, RunFolder
from experiments.trained import make_module, trained_module

if TYPE_CHECKING:
    from lightning import LightningModule


ADAPTER = "adapter"
MERGED = "merged"
BASE = "base"

WRITTEN_BY_EXPORT = {"adapter_config.json", "bottleneck.json", "config.json"}
"""A folder that an export has written holds one of these."""


def export(run: RunFolder, to: Path, merge: bool = False) -> list[str]:
    """Write what a run has trained into a folder, in place of what an earlier export has left there.

    Args:
        run: the run.
        to: the folder; `adapter/`, `merged/` and `base/` lie in it.
        merge: also write the model with the adapter in its weights.

    Returns:
        Sentences that say what was written and how to open it.

    Raises:
        SmallSpatialError: the run has trained nothing that can be exported like this, or the folder holds
            what no export has written.
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
    from lightning_modules.vlm.export import has_adapter, require_mergeable

    if merge:
        require_mergeable(module.network)
    elif not has_adapter(module.network):
        raise RunError(f"{run.path} trained parts of the model whole, without an adapter: add MERGE=1.")
    _clear([to / name for name in (ADAPTER, BASE, MERGED)], module.vlm.name)
    said = write_adapter(module, settings, to)
    if tokens := _added_tokens(module):
        said.append(f"Begin every prompt with {tokens[0]} ... {tokens[-1]}, which the run was trained with.")
    if merge:
        said.append(_write_merged(module, settings, to / ADAPTER, to / MERGED))
    return said


def write_adapter(module: LightningModule, settings: dict[str, Any], to: Path) -> list[str]:
    """Write the adapter of a module that has one into a folder, and its base model where nobody else has it.

    Args:
        module: any module.
        settings: its class and arguments.
        to: the folder; `adapter/` and `base/` lie in it.

    Returns:
        Sentences that say what was written and how to open it; none where there is no adapter.
    """
    if not hasattr(module, "vlm"):
        return []
    from lightning_modules.vlm.export import save_adapter

    trained: Any = module
    made_here = _made_here(settings, trained.vlm.name)
    adapter, folder = to / ADAPTER, (to / BASE).absolute()
    answering = _answering(trained)
    base = save_adapter(
        trained.network,
        adapter,
        trained.vlm.processor,
        str(folder) if made_here else None,
        made_here,
        answering,
        trained.prompt,
    )
    if base is None:
        return []
    if made_here:
        _write_base(trained, settings, folder, made_here, answering)
    return [
        f"Adapter: {adapter}, {_opened_by(adapter)}.",
        f"Its base model{f', {made_here}' if made_here else ''}: {base.place}, "
        f"opened by {_opening(trained, base.place)}.",
        f"{adapter / 'README.md'} has all of the code, down to asking a question.",
    ]


def main(typed: list[str] | None = None) -> None:
    """Read the command line and export."""
    parser = OptionParser(prog=program("export"), description=__doc__)
    parser.add_argument("--name", required=True, help="the experiment")
    parser.add_argument("--run", help="the run's id; the newest one when left out")
    parser.add_argument("--merge", action="store_true", help="also write the merged model")
    parser.add_argument(ALLOW, action="append", default=[], help="a package of yours that the run is made of")
    parser.add_argument("--to", type=Path, help="the folder to write into; the run's own when left out")
    with plain_errors():
        arguments = parser.parse_args(typed)
        enforce(arguments.allow)
        run = find_run(arguments.name, "trained", arguments.run)
        quiet_libraries()
        print("\n".join(export(run, arguments.to or run.path, arguments.merge)))


def _clear(folders: Sequence[Path], base_model: str) -> None:
    """Remove what an earlier export has left, so that nothing of another method lies beside the new files."""
    source = Path(base_model).resolve()
    for folder in folders:
        if source.is_dir() and folder.resolve() in (source, *source.parents):
            raise RunError(
                f"{folder} holds the model that the run started from: export to another folder, TO=."
            )
        names = {path.name for path in folder.glob("*")}
        if names and not names & WRITTEN_BY_EXPORT:
            raise RunError(
                f"{folder} holds files that no export has written, such as {min(names)}: export to another "
                "folder, TO=, or move them."
            )
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _made_here(settings: dict[str, Any], name: str) -> str:
    """What a base model is that nobody else has; "" for one of the hub or of a folder."""
    arguments = settings["init_args"]
    if arguments.get("random_weights"):
        return f"a tiny random model of {name} with random weights"
    return "" if isinstance(arguments["model"], str) else f"{name}, put together by SmallSpatial"


def _answering(module: Any) -> Any:
    from lightning_modules.vlm.generation import answering_config

    return answering_config(module.network, module.tokenizer, module.maximum_new_tokens)


def _write_base(module: Any, settings: dict[str, Any], folder: Path, what: str, answering: Any) -> None:
    """A model as it was before it was trained, with room for tokens that were added since."""
    from lightning_modules.vlm.export import save_model
    from lightning_modules.vlm.prompt_tuning import make_room

    untrained = {**settings["init_args"], "adapter": {"method": "none"}}
    model = make_module({**settings, "init_args": untrained}).vlm.model
    if _added_tokens(module):
        make_room(model, len(module.tokenizer))
    title = f"{what[0].upper()}{what[1:]}, as it was before training."
    save_model(model, folder, module.vlm.processor, answering, title, prompt=module.prompt)


def _write_merged(module: Any, settings: dict[str, Any], adapter: Path, folder: Path) -> str:
    from lightning_modules.vlm.export import merge, save_model

    answering, tokens = _answering(module), _added_tokens(module)
    model = merge(module.network, adapter)
    what = _made_here(settings, module.vlm.name) or module.vlm.name
    title = f"{what}, with what was trained in its weights."
    if module.adapter.four_bit:
        title += " It was trained in 4 bits; the weights here are plain, and answers differ a little."
    save_model(model, folder, module.vlm.processor, answering, title, tokens, module.prompt)
    return f"Merged model: {folder}, opened by {_opening(module, str(folder))}."


def _opening(module: Any, place: str) -> str:
    from lightning_modules.vlm.loading import COMPOSED

    call = f"AutoModelForImageTextToText.from_pretrained({place!r})"
    if module.vlm.family.name != COMPOSED:
        return call
    return f"{call} after `from lightning_modules.vlm.composed_model import register; register()`"


def _opened_by(adapter: Path) -> str:
    if (adapter / "adapter_config.json").exists():
        return f"opened by PeftModel.from_pretrained(base_model, {str(adapter)!r})"
    return f"opened by lightning_modules.vlm.export.load_adapter(base_model, {str(adapter)!r})"


def _added_tokens(module: Any) -> list[str]:
    from lightning_modules.vlm.adapters import prompt_tokens

    return prompt_tokens(module.adapter)


if __name__ == "__main__":
    main()
