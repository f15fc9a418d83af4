"""Teachers: what a larger model says of the batch that its student learns from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.base import ModelError
from lightning_modules.distillation.attention_tap import AttentionTap, TappedLayer
from lightning_modules.vlm.adapters import AdapterConfig, four_bit_config
from lightning_modules.vlm.export import load_adapter
from lightning_modules.vlm.loading import family_named, load_vlm
from lightning_modules.vlm.twins import TwinSize


@dataclass(frozen=True)
class Teacher:
    """Which model teaches.

    Args:
        model: a name of the zoo, a folder, or a name on the hub; of the student's family.
        twin: take the model's tiny twin, made in memory from a seed, instead of the model.
        adapter: the folder `adapter/` of the run that trained the teacher; the bare model when left out.
        made_by: the experiment that makes this folder, for the message where it is missing.
        four_bit: hold its linear layers in NF4.
        twin_size: how large the twin is.
        twin_seed: the seed of the twin's weights.
    """

    model: str
    twin: bool = False
    adapter: str | None = None
    made_by: str = ""
    four_bit: bool = False
    twin_size: TwinSize | None = None
    twin_seed: int = 1


@dataclass(frozen=True)
class Lesson:
    """What a model has computed of a batch.

    Attributes:
        hidden: the last hidden states, before the head, `[batch, tokens, width]`.
        layers: the tapped layers of its attention, by their numbers; none where none were asked for.
    """

    hidden: Tensor
    layers: list[TappedLayer]


class LiveTeacher:
    """A frozen model in memory; no module, so that it is in no checkpoint, no optimizer and no DDP.

    Args:
        settings: which model.
        student_tokenizer: the student's, which must give every token the same number.

    Raises:
        ModelError: it cannot be loaded, its adapter is missing, or its tokenizer is another one.
    """

    def __init__(self, settings: Teacher, student_tokenizer: Any) -> None:
        if settings.adapter is not None and not Path(settings.adapter).is_dir():
            by = f" `make experiment NAME={settings.made_by}` makes it." if settings.made_by else ""
            raise ModelError(f"The teacher's adapter {settings.adapter} does not exist.{by}")
        parts = family_named(settings.model).parts
        vlm = load_vlm(
            settings.model,
            settings.twin,
            quantization=four_bit_config(AdapterConfig(four_bit=settings.four_bit), parts),
            twin_size=settings.twin_size,
            twin_seed=settings.twin_seed,
        )
        require_same_tokens(student_tokenizer, vlm.processor.tokenizer)
        network = vlm.model if settings.adapter is None else load_adapter(vlm.model, settings.adapter)
        self.family = vlm.family
        self.network: nn.Module = network.eval().requires_grad_(False)

    def to(self, device: torch.device) -> None:
        """Move to a device; weights in 4 bits stay where they were loaded."""
        if not getattr(_base(self.network), "is_quantized", False):
            self.network.to(device)

    @property
    def head(self) -> nn.Module:
        """From hidden states to logits."""
        return head_of(self.network)

    @property
    def layer_count(self) -> int:
        """Layers of its language model."""
        return layer_count(self.network)

    @torch.no_grad()
    def lesson(self, inputs: dict[str, Tensor], layers: Collection[int] = ()) -> Lesson:
        """What the teacher computes of a batch, without gradient.

        Args:
            inputs: the model's inputs.
            layers: numbers of the layers whose attention is wanted.
        """
        self.network.eval()
        return run(self.network, self.family.parts["language_model"], inputs, layers)


def run(
    network: nn.Module, language_model: str, inputs: dict[str, Tensor], layers: Collection[int]
) -> Lesson:
    """Run a model up to its last hidden states; its head sees a single position, so logits cost nothing.

    Args:
        network: the model, perhaps wrapped by peft.
        language_model: where its language model lies.
        inputs: the model's inputs.
        layers: numbers of the layers to tap.
    """
    seen: list[Tensor] = []
    decoder = _base(network).get_submodule(language_model).get_decoder()

    def keep(module: nn.Module, arguments: Any, output: Any) -> None:
        seen.append(output.last_hidden_state)

    hook = decoder.register_forward_hook(keep)
    try:
        if not layers:
            network(**inputs, logits_to_keep=1, use_cache=False)
            return Lesson(seen[-1], [])
        with AttentionTap(network, language_model, layers) as tap:
            network(**inputs, logits_to_keep=1, use_cache=False)
            return Lesson(seen[-1], tap.take())
    finally:
        hook.remove()


def head_of(network: nn.Module) -> nn.Module:
    """A model's output head."""
    head: nn.Module = _base(network).get_output_embeddings()
    return head


def softcap_of(network: nn.Module) -> float | None:
    """What a model's logits are squashed into, if they are."""
    return getattr(_base(network).config.get_text_config(), "final_logit_softcapping", None)


def layer_count(network: nn.Module) -> int:
    """Layers of a model's language model."""
    return int(_base(network).config.get_text_config().num_hidden_layers)


def require_same_tokens(student: Any, teacher: Any) -> None:
    """Raise `ModelError` where a number means another token; padding behind the last token may differ."""
    ours, theirs = ({number: token for token, number in t.get_vocab().items()} for t in (student, teacher))
    for number in sorted(ours.keys() & theirs.keys()):
        if ours[number] != theirs[number]:
            raise ModelError(
                f"Student and teacher have different tokenizers: token {number} is {ours[number]!r} for the "
                f"student and {theirs[number]!r} for the teacher, so their logits cannot be compared. Take a "
                "teacher of the student's family."
            )


def _base(network: Any) -> Any:
    return network.get_base_model() if hasattr(network, "get_base_model") else network
