"""The distilled student: supervised fine-tuning beside a teacher's logits and attention."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from lightning_modules.base import Batch, Collator
from lightning_modules.distillation.attention.layer_map import LayerMap, pair_layers
from lightning_modules.distillation.attention.loss import AttentionDistillation, attention_distillation
from lightning_modules.distillation.decoder_pass import DecoderPass, head_of, layer_count, run, softcap_of
from lightning_modules.distillation.logits.loss import (
    LogitDistillation,
    distil_logits,
    supervised_positions,
    weighted,
)
from lightning_modules.distillation.on_policy import OnPolicy, as_taught, on_policy_answers
from lightning_modules.distillation.teachers.cached import CachedTeacher, require_cachable
from lightning_modules.distillation.teachers.live import LiveTeacher, Teacher, TeacherOutput, TeacherSource
from lightning_modules.distillation.weights import Weight, weight_at
from lightning_modules.lightning_internals import is_attached
from lightning_modules.schedule import total_steps
from lightning_modules.vlm.collator import label_count
from lightning_modules.vlm.sft import PeftSft, PeftSftArguments


class DistilledStudent(PeftSft):
    """A vision-language model with an adapter that learns from answers and from a larger model.

    The loss is `attention_weight * attention + logit_weight * (alpha * CE + (1 - alpha) * T^2 * divergence)`,
    each term logged on its own. The teacher is there for training only: it is loaded when that begins, and
    not for a test.

    Args:
        teacher: the larger model.
        logits: how it learns from the teacher's logits.
        attention: how it learns from the teacher's attention; not at all when left out.
        layer_map: which layers' attention is compared.
        logit_weight: weight of the logits' loss.
        attention_weight: weight of the attention's loss.
        on_policy: learn what the teacher says of the student's own answers, in some of the steps.
        student: the arguments of `PeftSft`.

    Raises:
        ModelError: the student cannot be loaded; when training begins, that the teacher cannot, that their
            tokenizers differ, that their attention cannot be compared, or that the layer map names a layer
            that is not there.
    """

    teacher: TeacherSource

    def __init__(
        self,
        teacher: Teacher,
        logits: LogitDistillation | None = None,
        attention: AttentionDistillation | None = None,
        layer_map: LayerMap = "linear",
        logit_weight: Weight = 1.0,
        attention_weight: Weight = 0.5,
        on_policy: OnPolicy | None = None,
        **student: Unpack[PeftSftArguments],
    ) -> None:
        if teacher.cache is not None:
            require_cachable(attention, on_policy)
        super().__init__(**student)
        self.teacher_settings = teacher
        self.image_tokens: int | None = student.get("image_tokens")
        self.logits = logits or LogitDistillation()
        self.attention_loss = attention
        self.layer_map = layer_map
        self.logit_weight = logit_weight
        self.attention_weight = attention_weight
        self.on_policy = on_policy
        self.pairs: list[tuple[int, int]] = []
        self._steps = math.inf
        self.teacher_origin = ""

    def origins(self) -> dict[str, str]:
        """Those of the student, and of the teacher where it was opened, which a training does."""
        return super().origins() | ({"teacher": self.teacher_origin} if self.teacher_origin else {})

    def open_teacher(self) -> None:
        """Load the teacher and find out what of its attention is wanted."""
        self._collator = self.vlm_collator(with_labels=True)
        # A plain object in the instance's dictionary: no submodule, so neither saved, trained nor counted.
        self.__dict__["teacher"] = self._opened_teacher()
        self.teacher_origin = self.teacher.origin
        if self.attention_loss is not None:
            self.pairs = pair_layers(layer_count(self.network), self.teacher.layer_count, self.layer_map)
            self.teacher.require_attention(self.attention_loss, {teacher for _, teacher in self.pairs})

    def _opened_teacher(self) -> TeacherSource:
        settings = self.teacher_settings
        if settings.cache is not None:
            return CachedTeacher(settings, self._collator, self.logits, self.image_tokens)
        return LiveTeacher(settings, self._collator, self.image_tokens, self.placement)

    def setup(self, stage: str) -> None:
        """Load the teacher before a training."""
        if stage == "fit" and "teacher" not in self.__dict__:
            self.open_teacher()
        super().setup(stage)

    def collator(self, stage: str) -> Collator:
        """The student's; for training with what the teacher has to know."""
        if stage != "fit":
            return super().collator(stage)
        return self.teacher.collator(self._collator)

    def on_fit_start(self) -> None:
        """Take the teacher to where the student is."""
        super().on_fit_start()
        self.teacher.to(self.device)
        self._steps = total_steps(self.trainer)

    def on_fit_end(self) -> None:
        """Let go of the teacher, so that its memory is free for the test."""
        del self.__dict__["teacher"]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy, divergence from the teacher's logits, and divergence from its attention."""
        if "on_policy" in batch:
            return self._on_policy_loss(batch)
        inputs, labels = batch["inputs"], batch["labels"]
        student_pass, output = self._both(batch, inputs, labels, self.pairs)
        terms = weighted(self._logit_terms(student_pass, output, labels), self.logits, self._progress)
        losses = {name: weight_at(self.logit_weight, self._progress) * term for name, term in terms.items()}
        if self.attention_loss is not None:
            mask = inputs["attention_mask"]
            images = inputs["input_ids"] == self.vlm.processor.image_token_id
            losses["attention"] = weight_at(self.attention_weight, self._progress) * attention_distillation(
                student_pass.layers,
                output.layers,
                self.pairs,
                self.attention_loss.rows_mask(mask, labels),
                self.attention_loss.columns_mask(mask, images),
                self.attention_loss,
            )
        return losses

    def begin_step(self, batches: Sequence[Batch]) -> None:
        """Let the student answer all batches of an on-policy step, before it learns from any of them."""
        if not self._is_on_policy_step():
            return
        for batch in batches:
            answers = self._answered(batch["prompt"])
            batch["inputs"], batch["labels"] = as_taught(self._collator, batch["prompt"], answers)
            batch["label_count"], batch["on_policy"] = label_count(batch["labels"]), True

    def _answered(self, prompt: dict[str, Tensor]) -> list[list[int]]:
        assert self.on_policy is not None
        there = {name: tensor.to(self.device) for name, tensor in prompt.items()}
        with self.trainer.precision_plugin.forward_context():
            return on_policy_answers(
                self.network, self.tokenizer, there, self.on_policy, self.vlm.family.stop_strings
            )

    def counts(self, batch: Batch) -> dict[str, int]:
        """Supervised positions; attention is a mean over questions."""
        labelled: int = batch["label_count"]
        return {"cross_entropy": labelled, "divergence": labelled, "on_policy_divergence": labelled}

    def _on_policy_loss(self, batch: Batch) -> dict[str, Tensor]:
        """What the teacher says of the answers that the student gave; the true ones are not looked at."""
        inputs, labels = batch["inputs"], batch["labels"]
        student_pass, output = self._both(batch, inputs, labels, [])
        divergence = self._logit_terms(student_pass, output, labels)["divergence"]
        weight = weight_at(self.logit_weight, self._progress) * self.logits.temperature**2
        return {"on_policy_divergence": weight * divergence}

    def _both(
        self, batch: Batch, inputs: dict[str, Tensor], labels: Tensor, pairs: list[tuple[int, int]]
    ) -> tuple[DecoderPass, TeacherOutput]:
        language_model = self.vlm.family.parts["language_model"]
        student_pass = run(self.network, language_model, inputs, {student for student, _ in pairs})
        return student_pass, self.teacher.output(batch, inputs, labels, {teacher for _, teacher in pairs})

    def _logit_terms(
        self, student_pass: DecoderPass, output: TeacherOutput, labels: Tensor
    ) -> dict[str, Tensor]:
        rows, positions, targets = supervised_positions(labels)
        return distil_logits(
            student_pass.hidden[rows, positions],
            head_of(self.network),
            targets,
            output.logits,
            self.logits,
            student_softcap=softcap_of(self.network),
        )

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move only what the step will look at; prompts as well where they are answered in training."""
        moved = super().transfer_batch_to_device(batch, device, dataloader_idx)
        if self.trainer.training and self.on_policy is not None:
            moved["prompt"] = {name: tensor.to(device) for name, tensor in batch["prompt"].items()}
        return moved

    def _is_on_policy_step(self) -> bool:
        """Whether the present step is one of the student's own answers."""
        if self.on_policy is None or not self.training:
            return False
        seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
        return self.on_policy.sampled(seed, self.global_step)

    @property
    def _progress(self) -> float:
        """The share of the training that is done, 0 to 1; 0 where nobody knows how long it will be."""
        return 0.0 if not is_attached(self) else min(1.0, self.global_step / self._steps)


# Typed for editors; the parser looks up the defaults in the parent, which it does for untyped ones alone.
del DistilledStudent.__init__.__annotations__["student"]
