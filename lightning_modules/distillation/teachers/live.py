"""Teachers: what a larger model says of the batch that its student learns from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from datamodules.samples import SpatialSample
from lightning_modules.base import Batch, Collator, ModelError, require_positive
from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.attention.pooled import PooledLayer
from lightning_modules.distillation.attention.tap import TappedLayer
from lightning_modules.distillation.decoder_pass import head_of, is_quantized, layer_count, run, softcap_of
from lightning_modules.distillation.logits.common_tokens import common_tokens
from lightning_modules.distillation.logits.loss import supervised_positions
from lightning_modules.distillation.logits.teacher_signal import TeacherLogits, TopKLogits
from lightning_modules.distillation.on_policy import as_taught
from lightning_modules.placement import Placement, present_placement
from lightning_modules.vlm.adapters import AdapterConfig, four_bit_config
from lightning_modules.vlm.collator import IGNORED, VlmCollator
from lightning_modules.vlm.conversation import Conversation
from lightning_modules.vlm.export import load_adapter, load_trained
from lightning_modules.vlm.loading import family_named, load_vlm
from lightning_modules.vlm.tiny_models import TinySize
from lightning_modules.weights_digest import digest_of


@dataclass(frozen=True)
class Teacher:
    """Which model teaches.

    Args:
        model: a name of the zoo, a folder, or a name on the hub (`owner/name` or `owner/name@revision`). Of
            the student's family, or at least with its tokens of text.
        random_weights: take the model's tiny random model, made in memory from a seed, instead of the model.
        adapter: the folder `adapter/` of the run that trained the teacher; the bare model when left out.
        checkpoint: the checkpoint of the run that trained the teacher, where that trained it whole
            (`method: full`), without an adapter.
        made_by: the experiment that makes the adapter or the checkpoint, for the message where it is missing.
        four_bit: hold its linear layers in NF4.
        image_tokens: the most tokens that one image may take; as for the student when left out.
        device: where it computes, such as `cuda:1`; where the student does when left out.
        tiny_size: how large the tiny random model is.
        weights_seed: the seed of the tiny random model's weights.
        cache: the folder with what it has said before, to train without the teacher in memory; `make
            cache-teacher` writes it.
        cache_k: how many of the likeliest tokens are kept there at each position; of the others the sum.

    Raises:
        ModelError: nothing would be kept.
    """

    model: str
    random_weights: bool = False
    adapter: str | None = None
    checkpoint: str | None = None
    made_by: str = ""
    four_bit: bool = False
    image_tokens: int | None = None
    device: str | None = None
    tiny_size: TinySize | None = None
    weights_seed: int = 1
    cache: str | None = None
    cache_k: int = 64

    def __post_init__(self) -> None:
        require_positive(**{"teacher.image_tokens": self.image_tokens})
        if self.cache_k < 1:
            raise ModelError(f"teacher.cache_k is {self.cache_k}; give a number of tokens, at least 1.")

    def image_limit(self, family: str, student: VlmCollator, limit: int | None) -> int | None:
        """The most tokens that the teacher gives to an image: in the student's family the student's limit.

        Args:
            family: the teacher's.
            student: how the student reads.
            limit: the most tokens that the student gives to an image.
        """
        return limit if self.image_tokens is None and family == student.family.name else self.image_tokens


@dataclass(frozen=True)
class TeacherOutput:
    """What a teacher says of a batch.

    Attributes:
        logits: of the next token, at the supervised positions.
        layers: the layers of its attention that were asked for; pooled ones where they come from a cache.
    """

    logits: TeacherLogits | TopKLogits
    layers: Sequence[TappedLayer | PooledLayer]


class TeacherSource(Protocol):
    """Where teacher outputs come from: a model in memory, or what one has said before.

    Attributes:
        origin: where the teacher's weights come from.
        layer_count: layers of the teacher's language model.
        same_tokenization: whether student and teacher read the very same tokens, so that their attention can
            be compared.
    """

    origin: str
    layer_count: int
    same_tokenization: bool

    def collator(self, student: VlmCollator) -> Collator:
        """The student's collator, with what the teacher needs to know of a batch."""
        ...

    def require_attention(self, config: AttentionDistillation, layers: Collection[int]) -> None:
        """Raise `ModelError` where the attention of these layers cannot be compared in this way."""
        ...

    def to(self, device: torch.device) -> None:
        """Go to where the student is."""
        ...

    def output(
        self, batch: Batch, inputs: dict[str, Tensor], labels: Tensor, layers: Collection[int] = ()
    ) -> TeacherOutput:
        """What the teacher says of a batch, without gradient.

        Args:
            batch: the batch as `collator` has made it.
            inputs: the student's inputs.
            labels: what the student learns, `[batch, tokens]`, -100 where nothing.
            layers: numbers of the layers whose attention is wanted.
        """
        ...


class LiveTeacher:
    """A frozen model in memory; no module, so that it is in no checkpoint, no optimizer and no DDP.

    Args:
        settings: which model.
        student: how the student reads.
        image_tokens: the most tokens that the student gives to an image.
        placement: what the student computes on; the present one when left out.

    Attributes:
        network: the model, with its adapter.
        family: its family.
        origin: where its weights come from.
        tokens: what it has in common with the student, where their tokenizers are not the same.
        layer_count: layers of its language model.
        same_tokenization: whether student and teacher read the very same tokens.

    Raises:
        ModelError: it cannot be loaded, its adapter is missing, or its tokenizer is another one.
    """

    def __init__(
        self,
        settings: Teacher,
        student: VlmCollator,
        image_tokens: int | None = None,
        placement: Placement | None = None,
    ) -> None:
        placement = placement or present_placement()
        require_files(settings.adapter, settings.checkpoint, settings.made_by)
        family = family_named(settings.model)
        vlm = load_vlm(
            settings.model,
            settings.random_weights,
            image_tokens=settings.image_limit(family.name, student, image_tokens),
            quantization=four_bit_config(
                AdapterConfig(four_bit=settings.four_bit), family.parts, placement.products
            ),
            placement=placement,
            device=settings.device,
            tiny_size=settings.tiny_size,
            weights_seed=settings.weights_seed,
        )
        self.family = family
        self.origin = teacher_origin(vlm.origin, digest_of(settings.adapter), digest_of(settings.checkpoint))
        self._collator = VlmCollator(
            vlm.processor, family, with_labels=False, rationale=student.rationale, prompt=student.prompt
        )
        self.tokens = common_tokens(
            student.processor.tokenizer,
            vlm.processor.tokenizer,
            student.conversation.end_id,
            self._collator.conversation.end_id,
        )
        _require_same_template(student.conversation, self._collator.conversation)
        self.same_tokenization = _same_tokenization(student, self._collator)
        if settings.checkpoint is not None:
            load_trained(vlm.model, settings.checkpoint, family.parts)
        network = vlm.model if settings.adapter is None else load_adapter(vlm.model, settings.adapter)
        self.network: nn.Module = network.eval().requires_grad_(False)
        self.layer_count = layer_count(network)
        self._device = None if settings.device is None else torch.device(settings.device)

    def collator(self, student: VlmCollator) -> Collator:
        """The student's own, or one that adds the teacher's prompts."""
        return student if self.same_tokenization else TwoCollators(student, self._collator)

    def require_attention(self, config: AttentionDistillation, layers: Collection[int]) -> None:
        """Raise `ModelError` where student and teacher do not read the same tokens."""
        if not self.same_tokenization:
            raise not_same_tokens()

    def to(self, device: torch.device) -> None:
        """Move to its own device or the student's; weights in 4 bits stay where they were loaded."""
        if not is_quantized(self.network):
            self.network.to(self._device or device)

    @torch.no_grad()
    def output(
        self, batch: Batch, inputs: dict[str, Tensor], labels: Tensor, layers: Collection[int] = ()
    ) -> TeacherOutput:
        """What the teacher says of a batch: its last hidden states with its head, and tapped layers."""
        if not self.same_tokenization:
            answers = [row[row != IGNORED].tolist() for row in labels.cpu()]
            inputs, labels = as_taught(self._collator, batch["teacher_prompt"], answers)
        device = next(self.network.parameters()).device
        self.network.eval()
        inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
        seen = run(self.network, self.family.parts["language_model"], inputs, layers)
        rows, positions, _ = supervised_positions(labels.to(device))
        signal = TeacherLogits(
            seen.hidden[rows, positions], head_of(self.network), softcap_of(self.network), self.tokens
        )
        return TeacherOutput(signal, seen.layers)


def require_files(adapter: str | None, checkpoint: str | None, made_by: str) -> None:
    """Raise `ModelError` where a teacher's adapter or checkpoint is missing; it names the command for it.

    The arguments are those of `Teacher`.
    """
    for what, path in (("adapter", adapter), ("checkpoint", checkpoint)):
        if path is not None and not Path(path).exists():
            by = f" `make experiment NAME={made_by}` makes it." if made_by else ""
            raise ModelError(f"The teacher's {what} {path} does not exist.{by}")


def teacher_origin(model: str, adapter: str | None, checkpoint: str | None) -> str:
    """Where a teacher's weights come from.

    Args:
        model: the origin of the bare model.
        adapter: the digest of its adapter.
        checkpoint: the digest of its checkpoint.
    """
    trained = {"adapter": adapter, "checkpoint": checkpoint}
    return ", ".join([model, *(f"{what} {digest}" for what, digest in trained.items() if digest)])


@dataclass(frozen=True)
class TwoCollators:
    """The student's batches, with `teacher_prompt`: the same questions as the teacher reads them.

    Attributes:
        student: makes the batch.
        teacher: makes the teacher's prompts, padded on the left.
    """

    student: VlmCollator
    teacher: VlmCollator

    def __call__(self, samples: Sequence[SpatialSample]) -> Batch:
        """The batch of some questions; raises `CollatorError`."""
        return {**self.student(samples), "teacher_prompt": self.teacher(samples)["prompt"]}


def not_same_tokens() -> ModelError:
    """The error where attention cannot be compared, since it is that of different tokens."""
    return ModelError(
        "Student and teacher read a question as different tokens (another family, other sizes of "
        "images, or prompt tuning), so that their attention cannot be compared. Leave `attention` "
        "out to distil the logits alone, or take a teacher that reads as the student does."
    )


def _same_tokenization(student: VlmCollator, teacher: VlmCollator) -> bool:
    """Whether two models turn a sample into the same tokens and images."""
    return (
        student.family.name == teacher.family.name
        and not student.prefix
        and student.processor.tokenizer.get_vocab() == teacher.processor.tokenizer.get_vocab()
        and student.processor.chat_template == teacher.processor.chat_template
        and student.processor.image_processor.to_dict() == teacher.processor.image_processor.to_dict()
        and _image_length(student) == _image_length(teacher)
    )


def _require_same_template(student: Conversation, teacher: Conversation) -> None:
    """Raise `ModelError` where one begins its answers with a space and the other does not.

    The same word is another token then, and the teacher would teach the student another answer.
    """
    if student.response_template != teacher.response_template:
        raise ModelError(
            f"The teacher writes {teacher.response_template!r} between a prompt and its answer, the student "
            f"{student.response_template!r}, so that their answers begin with other tokens. Set the "
            f"student's `response_template: {teacher.response_template!r}`."
        )


def _image_length(collator: VlmCollator) -> object:
    """Tokens of a tile where a processor says so; others derive them from the image."""
    names = ("image_seq_len", "image_seq_length")
    return next((getattr(collator.processor, name) for name in names if hasattr(collator.processor, name)), 0)
