"""Adapters in folders: writing what was trained, giving it to a base model again, merging the two.

`lightning_modules/vlm/bottleneck.py` writes its own folders; all others are peft's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from datamodules.samples import why_not_readable
from lightning_modules.checkpoints import read_checkpoint
from lightning_modules.vlm.adapters import ADAPTER, AdapterError, method_of
from lightning_modules.vlm.bottleneck import SETTINGS, bottleneck_names, load_bottlenecks, save_bottlenecks
from lightning_modules.vlm.families import family_of
from lightning_modules.vlm.four_bit import make_plain, quantized_part
from lightning_modules.vlm.model_card import Base, write_card
from lightning_modules.vlm.prompt_template import BARE, Prompt
from lightning_modules.vlm.prompt_tuning import make_room, suppress, tied_tables_are_fine, virtual_names
from lightning_modules.vlm.target_modules import belongs_to
from lightning_modules.vlm.whole_weights import adapter_lacks, adapter_tensors

PEFT_WEIGHTS = "adapter_model.safetensors"
"""Where peft keeps an adapter's tensors."""


def has_adapter(network: nn.Module) -> bool:
    """Whether something was added to a model; one that is trained whole, or not at all, has no adapter."""
    from peft import PeftModel

    return isinstance(network, PeftModel) or bool(bottleneck_names(network))


def save_adapter(
    network: nn.Module,
    folder: Path,
    processor: Any = None,
    base: str | None = None,
    made_here: str = "",
    answering: Any = None,
    prompt: Prompt = BARE,
) -> Base | None:
    """Write the adapter of a model into a folder, for `PeftModel.from_pretrained` or `load_adapter`.

    Args:
        network: what `add_adapter` returned.
        folder: the folder to write into.
        processor: the processor or tokenizer, which is written beside the adapter.
        base: where the base model is found; by default where it was loaded from.
        made_here: what the base model is, where nobody else has it: a tiny random model, or put together of
            two models.
        answering: a `GenerationConfig`, which is written beside the adapter; needs a whole processor.
        prompt: the words that it was asked in, for its README.

    Returns:
        The base model; None for a model that is trained whole, or not at all, and so has no adapter.
    """
    from peft import PeftModel

    if not has_adapter(network):
        return None
    model: Any = network.get_base_model() if isinstance(network, PeftModel) else network
    settings: Any = network.active_peft_config if isinstance(network, PeftModel) else None
    place = base or _findable(settings.base_model_name_or_path if settings else model.name_or_path)
    revision = (
        getattr(model.config, "_commit_hash", None) if place and not Path(place).is_absolute() else None
    )
    folder.mkdir(parents=True, exist_ok=True)
    token_ids: dict[str, int] = {}
    if isinstance(network, PeftModel):
        settings.base_model_name_or_path = place
        settings.revision = revision
        # "auto" would ask the hub whether the vocabulary has grown.
        network.save_pretrained(str(folder), save_embedding_layers=False)
        ids = getattr(settings, "token_indices", None) or []
        token_ids = dict(zip(virtual_names(len(ids)), ids, strict=True))
    else:
        save_bottlenecks(network, folder, place)
    if processor is not None:
        save_processor(processor, folder)
    if answering is not None:
        answering.save_pretrained(folder)
    found = Base(place, made_here or ("" if place else "a model that was made in memory"), revision)
    write_card(
        folder,
        "peft" if settings else "bottleneck",
        f"An adapter ({method_of(network)}) for {found}.",
        model,
        family_of(model.config.model_type, place),
        found,
        processor if answering is not None else None,
        token_ids,
        prompt,
    )
    return found


def save_model(
    model: Any,
    folder: Path,
    processor: Any,
    answering: Any,
    title: str,
    tokens: Sequence[str] = (),
    prompt: Prompt = BARE,
) -> None:
    """Write a model with all that belongs to it, for `AutoModelForImageTextToText` and `AutoProcessor`.

    Args:
        model: a model of transformers, without an adapter.
        folder: the folder to write into.
        processor: its processor.
        answering: the `GenerationConfig` with which it answers.
        title: what it is, a sentence.
        tokens: the added tokens that every prompt begins with.
        prompt: the words that it was asked in, for its README.
    """
    model.generation_config = answering
    model.save_pretrained(folder)
    save_processor(processor, folder)
    ids = processor.tokenizer.convert_tokens_to_ids(list(tokens))
    write_card(
        folder,
        "model",
        title,
        model,
        family_of(model.config.model_type, str(folder)),
        processor=processor,
        token_ids=dict(zip(tokens, ids, strict=True)),
        prompt=prompt,
    )


def save_processor(processor: Any, folder: Path) -> None:
    """Write a processor, or a tokenizer alone, that pads on the left.

    Behind padding on the right, a batch of unequal prompts would be answered otherwise than one by one.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    tokenizer.padding_side = "left"
    # What a tokenizer was made with is what it writes.
    tokenizer.init_kwargs["padding_side"] = "left"
    processor.save_pretrained(folder)


def load_adapter(model: Any, folder: Path | str) -> nn.Module:
    """Give a base model the adapter that a folder holds.

    Raises:
        AdapterError: the folder holds none, or one that was trained in another model.
        ModelError: the adapter is damaged or not whole.
    """
    folder = Path(folder)
    if (folder / SETTINGS).exists():
        return load_bottlenecks(model, folder)
    if not (folder / "adapter_config.json").exists():
        raise AdapterError(
            f"{folder} holds no adapter: adapter_config.json is missing. `make export` writes such a folder."
        )
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict

    there = {name: tensor.shape for name, tensor in adapter_tensors(folder / PEFT_WEIGHTS).items()}
    try:
        settings: Any = PeftConfig.from_pretrained(str(folder))
    except (ValueError, TypeError) as error:
        file = folder / "adapter_config.json"
        why = why_not_readable(file) or "Export it again."
        raise AdapterError(f"The adapter's file {file} cannot be read. {why}") from error
    trained_in = settings.base_model_name_or_path or ""
    here = getattr(model, "name_or_path", "") or ""
    other = AdapterError(
        f"The adapter in {folder} was trained in another model ({trained_in or 'made in memory'}) than this "
        f"one ({here or 'made in memory'}): load that model, or train a new adapter."
    )
    # A folder may be a copy of any model, and elsewhere by now; names of the hub tell models apart.
    on_hub = [
        name for name in (trained_in, here) if name and not (Path(name).is_absolute() or Path(name).exists())
    ]
    if len(on_hub) == 2 and trained_in != here:
        raise other
    if ids := getattr(settings, "token_indices", None):
        make_room(model, max(ids) + 1)
        suppress(model, ids)
    try:
        with tied_tables_are_fine():
            network = PeftModel.from_pretrained(model, str(folder))
    except KeyError as error:  # peft asks for parts that were trained whole, and takes them for granted
        raise adapter_lacks(folder, [str(error.args[0])], len(there) + 1) from error
    except (ValueError, RuntimeError) as error:
        raise other from error
    loaded = get_peft_model_state_dict(network, save_embedding_layers=False)
    wanted = {name: tensor.shape for name, tensor in loaded.items()}
    if there.items() < wanted.items():
        raise adapter_lacks(folder, sorted(wanted.keys() - there.keys()), len(wanted))
    if there != wanted:
        raise other
    return network


def load_trained(model: nn.Module, checkpoint: Path | str, parts: Mapping[str, str]) -> None:
    """Give a model the tensors that a run which trained it whole (`method: full`) has in its checkpoint.

    Args:
        model: the model.
        checkpoint: the run's checkpoint.
        parts: the dotted names of the model's parts; of those that were trained, all tensors have to be
            there.

    Raises:
        CheckpointError: the file is no checkpoint that can be read.
        AdapterError: it is one of another model, or not whole.
    """
    state = read_checkpoint(checkpoint)["state_dict"]
    trained = {name.removeprefix("network."): tensor for name, tensor in state.items()}
    there = model.state_dict()
    for name, tensor in trained.items():
        if name not in there or there[name].shape != tensor.shape:
            raise AdapterError(
                f"The checkpoint {checkpoint} holds {name} of the shape {tuple(tensor.shape)}, which this "
                "model does not have: it was trained as another model, or with an adapter, whose folder is "
                "needed then. Give the model's own settings, or the folder as `adapter`."
            )
    touched = {belongs_to(name, parts) for name in trained}
    wanted = {name: belongs_to(name, parts) for name, _ in model.named_parameters()}
    missing = sorted(name for name, part in wanted.items() if part in touched and name not in trained)
    if missing:
        raise AdapterError(
            f"The checkpoint {checkpoint} lacks {len(missing):,} of {len(trained) + len(missing):,} tensors "
            f"of the {wanted[missing[0]]} that it was trained with, such as {missing[0]}: it is not whole. "
            "Copy it again from its run."
        )
    model.load_state_dict(trained, strict=False)


def require_mergeable(network: nn.Module) -> None:
    """Raise `AdapterError` where a merged model could not be, or would answer otherwise.

    Bottlenecks have no place in the model's own weights. DoRA over 4-bit weights computes something else than
    over the plain weights that they stand for (logits of a small model differed by a sixth of their size).
    """
    from peft import PeftModel

    settings: Any = network.active_peft_config if isinstance(network, PeftModel) else None
    if getattr(settings, "use_dora", False) and quantized_part(network) is not None:
        raise AdapterError(
            "DoRA over 4-bit weights computes otherwise than over plain ones, so a merged model would give "
            "other answers: leave MERGE out, and open the adapter on the model in 4 bits."
        )
    if bottleneck_names(network):
        raise AdapterError(
            "Bottleneck adapters are layers of their own and cannot be merged into the model's weights: "
            "leave MERGE out, and open the adapter folder with lightning_modules.vlm.export.load_adapter."
        )


def merge(network: nn.Module, adapter: Path) -> Any:
    """The base model with the adapter in its weights, in the precision of its token table.

    A 4-bit base model becomes one of plain weights with the same values first: merging into 4 bits would
    round the adapter away.

    Args:
        network: what `add_adapter` returned; it is used up.
        adapter: the folder that `save_adapter` wrote it to.

    Raises:
        AdapterError: it cannot be merged.
    """
    from peft import PeftModel

    require_mergeable(network)
    model: Any = network
    if isinstance(network, PeftModel):
        if quantized_part(network) is not None:
            plain = make_plain(_unwrapped(network))
            with tied_tables_are_fine():
                network = PeftModel.from_pretrained(plain, str(adapter))
        _put_copies_in_place(network)
        model = network.merge_and_unload()
    return model.to(model.get_input_embeddings().weight.dtype)


def _unwrapped(network: Any) -> Any:
    """The base model as it was; peft's own `unload` refuses to take IA3 off 4-bit weights."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import ModulesToSaveWrapper

    model = network.get_base_model()
    for name, module in list(model.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            model.set_submodule(name, module.original_module)
        elif isinstance(module, BaseTunerLayer):
            model.set_submodule(name, module.get_base_layer())
    model.__dict__.pop("peft_config", None)
    return model


def _put_copies_in_place(network: Any) -> None:
    """Replace parts by their trained copies, over which peft's merging of IA3 stumbles."""
    from peft.utils.other import ModulesToSaveWrapper

    model = network.get_base_model()
    for name, module in list(model.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            model.set_submodule(name, module.modules_to_save[ADAPTER])


def _findable(name: str | None) -> str:
    """A folder's whole path or a name on the hub; "" for a tiny random model, or where the folder is gone."""
    if not name:
        return ""
    if Path(name).is_dir():
        return str(Path(name).resolve())
    return "" if Path(name).is_absolute() else name
