"""Loading a vision-language model with its processor: from zoo, hub or folder, or as a tiny random model."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from datamodules.samples import did_you_mean, why_not_readable
from lightning_modules.base import ModelError, require_positive
from lightning_modules.model_source import ModelSource, first_line, source_of
from lightning_modules.placement import Placement, present_placement
from lightning_modules.vlm.conversation import Conversation
from lightning_modules.vlm.encoder_swap import Weights, compose, composed_origin
from lightning_modules.vlm.families import FAMILIES, Family, family_of
from lightning_modules.vlm.tied_tables import config_where_tied_is_not_said, say_whether_tied
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from lightning_modules.vlm.whole_weights import load_whole
from lightning_modules.vlm.zoo import ZOO, entry_of

COMPOSED = "composed"
"""The family of models that are put together here."""

Attention = Literal["auto", "sdpa", "flash_attention_2", "eager"]
"""How attention is computed; `auto` takes the fastest that every part of a model supports by itself."""


@dataclass(frozen=True)
class Composed:
    """A model put together from a vision encoder and a language model; its connector has to be trained.

    Args:
        encoder: a timm model name.
        language_model: a causal language model's name on the hub (`owner/name` or `owner/name@revision`), or
            its folder.
        encoder_weights: where the encoder's weights come from: the hub, an installed package, or nowhere.
        language_weights: where the language model's weights come from.
        image_size: edge of the square image, in pixels; by default what the encoder was made for.
        image_tokens: tokens of one image; by default one for each of the encoder's features.
        reduction: how neighbouring features become one token.
    """

    encoder: str
    language_model: str
    encoder_weights: Weights = "hub"
    language_weights: Weights = "hub"
    image_size: int | None = None
    image_tokens: int | None = None
    reduction: Literal["shuffle", "average"] = "shuffle"

    def __post_init__(self) -> None:
        """Raise `ModelError` where a size is none."""
        require_positive(image_size=self.image_size, image_tokens=self.image_tokens)

    def __str__(self) -> str:
        """The two names."""
        return f"{self.encoder} + {self.language_model}"


@dataclass(frozen=True)
class LoadedVlm:
    """A model in evaluation mode with all that belongs to it.

    Attributes:
        model: a transformers model with `forward` and `generate`.
        processor: its processor, with `tokenizer` and `image_processor`.
        family: its family.
        name: what it was asked for as.
        origin: what its weights are: the commit of a name on the hub, a digest of a folder, or how they were
            made.
    """

    model: Any
    processor: Any
    family: Family
    name: str
    origin: str


def load_vlm(
    name: str | Composed,
    random_weights: bool = False,
    *,
    attention: Attention = "auto",
    image_tokens: int | None = None,
    quantization: Any = None,
    dtype: torch.dtype | None = None,
    placement: Placement | None = None,
    device: str | None = None,
    activation_checkpointing: bool = False,
    trust_remote_code: bool = False,
    tiny_size: TinySize | None = None,
    weights_seed: int = 0,
) -> LoadedVlm:
    """Load a model.

    Args:
        name: a name of the zoo, a folder, or a name on the hub (each name also with `@revision`); for a tiny
            random model also a family's name; or the parts to compose a model from.
        random_weights: make the family's tiny random model from a seed instead. Nothing is read or fetched.
        attention: how attention is computed.
        image_tokens: the most tokens that one image may take, if that is less than the model was made for.
            Tiny random models have images of `tiny_size`.
        quantization: a `transformers.BitsAndBytesConfig`, for weights in 4 bits.
        dtype: the weights' precision; when left out, that of the placement.
        placement: what the run will compute on; the present one when left out.
        device: where weights in 4 bits are made; where the run computes when left out.
        activation_checkpointing: compute activations twice instead of keeping them, to save memory.
        trust_remote_code: run Python code that comes with the model.
        tiny_size: how large the tiny random model is.
        weights_seed: the seed of weights that are made: a tiny random model's, and the connector's of a
            composed model.

    Raises:
        ModelError: there is no such model, it cannot be fetched, not all of its weights are there, it has no
            processor, it is of a family that nobody has described, or a package that the chosen attention
            needs is missing.
    """
    # Data-loading workers are forked; the tokenizer's own threads would not survive that.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    placement = placement or present_placement()
    dtype = dtype or placement.weights
    family = family_named(name, trust_remote_code)
    if random_weights:
        origin = f"tiny random model, seed {weights_seed}"
        model, processor = make_tiny_model(family.name, weights_seed, tiny_size)
        model = model.to(dtype)
        if quantization is not None:
            model = _quantized(model, quantization, dtype, device or placement.device)
        if attention != "auto":
            model.set_attn_implementation(attention)
    elif isinstance(name, Composed):
        model, processor = _compose(name, weights_seed, dtype, attention, quantization)
        origin = composed_origin(
            name.encoder, name.language_model, name.encoder_weights, name.language_weights
        )
    else:
        source = model_source(name)
        if family.name == COMPOSED:
            register_composed()
        processor = _load_processor(source, trust_remote_code)
        model = _load_model(
            source,
            dtype=dtype,
            attn_implementation=None if attention == "auto" else attention,
            quantization_config=quantization,
            trust_remote_code=trust_remote_code,
            device=device or placement.device,
        )
        origin = source.origin()
    say_whether_tied(model)
    _keep_trainable(model)
    if image_tokens is not None and not random_weights:
        family.limit_image_tokens(processor, image_tokens)
    _stop_at_end_of_answer(model, Conversation(processor, family))
    if activation_checkpointing:
        model.activation_checkpointing_enable()
        # Only reentrant checkpoints need inputs with gradients; here they would also reach frozen towers.
        model.disable_input_require_grads()
    return LoadedVlm(model.eval(), processor, family, str(name), origin)


def family_named(name: str | Composed, trust_remote_code: bool = False) -> Family:
    """The family of a model of the zoo, of a folder or of a name on the hub; a family's own name is its own.

    Raises:
        ModelError: there is no such model, or its family is not known.
    """
    if isinstance(name, Composed):
        return FAMILIES[COMPOSED]
    if entry := entry_of(name):
        return entry.family
    if name in FAMILIES:
        return FAMILIES[name]
    source = model_source(name)
    if source.is_folder:
        return family_of(_model_type(Path(source.place)), name)
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(
            source.place, revision=source.commit(), trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise source.unavailable(error) from error
    return family_of(config.model_type, name)


def model_source(name: str) -> ModelSource:
    """Where a model of the zoo, of a folder or of a name on the hub is; `@revision` may follow a name.

    Raises:
        ModelError: there is no such model.
    """
    if entry := entry_of(name):
        return source_of(entry.hub if entry.revision is None else f"{entry.hub}@{entry.revision}")
    source = source_of(name)
    if not source.is_folder and ("/" not in source.place or Path(name).is_absolute()):
        raise ModelError(
            f"There is no model {name!r}: it is neither in the zoo ({', '.join(ZOO)}), nor a folder, nor a "
            f"name on the hub (owner/model).{did_you_mean(name, ZOO)}"
        )
    return source


def _model_type(folder: Path) -> str:
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"The folder {folder} holds an adapter and no model: give the model it was trained on as `model`."
        )
    file = folder / "config.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8-sig"))["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"The folder {folder} holds no model that can be read: its config.json is missing or damaged. "
            f"{why_not_readable(file)} Give a folder that save_pretrained has written.".lstrip()
        ) from error


def _load_processor(source: ModelSource, trust_remote_code: bool) -> Any:
    from transformers import AutoProcessor

    commit = source.commit()
    try:
        processor = AutoProcessor.from_pretrained(
            source.place, revision=commit, trust_remote_code=trust_remote_code
        )
        complete = hasattr(processor, "tokenizer") and hasattr(processor, "image_processor")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        if not source.is_folder:
            raise source.unavailable(error) from error
        complete = False
    if not complete:
        raise ModelError(
            f"{source} has a model but no complete processor (tokenizer.json, tokenizer_config.json and "
            "processor_config.json or preprocessor_config.json), so images and texts cannot be prepared "
            "for it. Write the original model's there: AutoProcessor.from_pretrained(ORIGINAL)."
            f"save_pretrained({source.place!r})."
        )
    return processor


def _load_model(source: ModelSource, device: str, **options: Any) -> Any:
    from transformers import AutoModelForImageTextToText

    if options["quantization_config"] is not None:
        # Weights in 4 bits are made where they stay; of several GPUs, on the process's own.
        options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0")) if device == "cuda" else device}
    attention = options["attn_implementation"] or "auto"
    try:
        if config := config_where_tied_is_not_said(source, options.get("trust_remote_code", False)):
            options["config"] = config
        return load_whole(AutoModelForImageTextToText, source, **options)
    except (ImportError, ValueError) as error:
        if attention == "auto" and isinstance(error, ValueError):
            raise source.unavailable(error) from error
        raise ModelError(
            f"{source} cannot be loaded with attention {attention}: {first_line(error)} Install what is "
            "missing, or set attention: auto."
        ) from error
    except OSError as error:
        raise source.unavailable(error) from error


def _keep_trainable(model: Any) -> None:
    """Keep bitsandbytes from packing weights for inference on a CPU, which gives no gradient ever after."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _compose(
    parts: Composed, seed: int, dtype: torch.dtype, attention: Attention, quantization: Any
) -> tuple[Any, Any]:
    options: dict[str, Any] = {} if attention == "auto" else {"attn_implementation": attention}
    # A connector that is not trained is in no checkpoint: it has to come out the same again.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return compose(**dataclasses.asdict(parts), dtype=dtype, quantization_config=quantization, **options)


def register_composed() -> None:
    """Let transformers open folders of composed models."""
    from lightning_modules.vlm.composed_model import register

    register()


def _quantized(model: Any, quantization: Any, dtype: torch.dtype, device: str) -> Any:
    """A tiny random model in 4 bits; transformers quantises while it loads, through a folder."""
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            return _load_model(
                ModelSource(folder),
                device,
                dtype=dtype,
                attn_implementation=None,
                quantization_config=quantization,
            )
    finally:
        if bars:
            logging.enable_progress_bar()


def _stop_at_end_of_answer(model: Any, conversation: Conversation) -> None:
    """Let generation stop where answers end in the chat template, which some configurations forget."""
    known = model.generation_config.eos_token_id
    known = known if isinstance(known, list) else [] if known is None else [known]
    model.generation_config.eos_token_id = sorted({*known, conversation.end_id})
