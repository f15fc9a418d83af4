"""The distilled student: supervised fine-tuning beside a teacher's logits and attention."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lightning_modules.base import Batch, ModelError
from lightning_modules.distillation.attention_loss import AttentionDistillation, attention_distillation
from lightning_modules.distillation.layer_map import LayerMap, pair_layers
from lightning_modules.distillation.logit_loss import (
    LogitDistillation,
    distil_logits,
    supervised_positions,
    weighted,
)
from lightning_modules.distillation.teacher_signal import TeacherLogits
from lightning_modules.distillation.teachers import (
    LiveTeacher,
    Teacher,
    head_of,
    layer_count,
    run,
    softcap_of,
)
from lightning_modules.vlm.sft import PeftSft


class DistilledStudent(PeftSft):
    """A vision-language model with an adapter that learns from answers and from a larger model.

    The loss is `attention_weight * attention + logit_weight * (alpha * CE + (1 - alpha) * T^2 * divergence)`,
    each term logged on its own.

    Args:
        teacher: the larger model.
        logits: how it learns from the teacher's logits.
        attention: how it learns from the teacher's attention; not at all when left out.
        layer_map: which layers' attention is compared.
        logit_weight: weight of the logits' loss.
        attention_weight: weight of the attention's loss.
        student: the arguments of `PeftSft`.

    Raises:
        ModelError: student or teacher cannot be loaded, they are of different families or tokenizers, or the
            layer map names a layer that is not there.
    """

    teacher: LiveTeacher

    def __init__(
        self,
        teacher: Teacher,
        logits: LogitDistillation | None = None,
        attention: AttentionDistillation | None = None,
        layer_map: LayerMap = "linear",
        logit_weight: float = 1.0,
        attention_weight: float = 0.5,
        **student: Any,
    ) -> None:
        super().__init__(**student)
        self.logits = logits or LogitDistillation()
        self.attention_loss = attention
        self.logit_weight = logit_weight
        self.attention_weight = attention_weight
        live = LiveTeacher(teacher, self.tokenizer)
        if live.family.name != self.vlm.family.name:
            raise ModelError(
                f"The teacher is of the family {live.family.name}, the student of {self.vlm.family.name}: "
                "they take pictures in different forms. Take a teacher of the student's family."
            )
        # A plain object in the instance's dictionary: no submodule, so neither saved, trained nor counted.
        self.__dict__["teacher"] = live
        self.pairs = (
            [] if attention is None else pair_layers(layer_count(self.network), live.layer_count, layer_map)
        )

    def on_fit_start(self) -> None:
        """Take the teacher to where the student is."""
        super().on_fit_start()
        self.teacher.to(self.device)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy, divergence from the teacher's logits, and divergence from its attention."""
        inputs, labels = batch["inputs"], batch["labels"]
        ours = run(
            self.network,
            self.vlm.family.parts["language_model"],
            inputs,
            {student for student, _ in self.pairs},
        )
        theirs = self.teacher.lesson(inputs, {teacher for _, teacher in self.pairs})
        rows, positions, targets = supervised_positions(labels)
        terms = distil_logits(
            ours.hidden[rows, positions],
            head_of(self.network),
            targets,
            TeacherLogits(
                theirs.hidden[rows, positions], self.teacher.head, softcap_of(self.teacher.network)
            ),
            self.logits,
            student_softcap=softcap_of(self.network),
        )
        losses = {name: self.logit_weight * term for name, term in weighted(terms, self.logits).items()}
        if self.attention_loss is not None:
            mask = inputs["attention_mask"]
            pictures = inputs["input_ids"] == self.vlm.processor.image_token_id
            losses["attention"] = self.attention_weight * attention_distillation(
                ours.layers,
                theirs.layers,
                self.pairs,
                self.attention_loss.rows_mask(mask, labels),
                self.attention_loss.columns_mask(mask, pictures),
                self.attention_loss,
            )
        return losses
