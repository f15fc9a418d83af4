"""From a teacher in memory to teacher outputs in a folder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_modules.base import Batch, Collator
from lightning_modules.distillation.attention.layer_map import pair_layers
from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.attention.pooled import PooledLayer, pool_layer
from lightning_modules.distillation.attention.tap import TappedLayer
from lightning_modules.distillation.decoder_pass import layer_count, vocabulary_size
from lightning_modules.distillation.logits.loss import supervised_positions
from lightning_modules.distillation.logits.teacher_signal import TeacherLogits, TopKLogits, top_k_logits
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.teachers.cache_files import StoredOutput
from lightning_modules.distillation.teachers.cached import read_by_student
from lightning_modules.distillation.teachers.live import LiveTeacher
from lightning_modules.distillation.teachers.manifest import Manifest, StoredMaps, fingerprint_of
from lightning_modules.distillation.teachers.output_keys import WithOutputKeys


class OutputWriting:
    """A teacher in memory, and what of its outputs is kept for a student.

    Of the student nothing but its settings and its way of reading is used.

    Args:
        student: the student, with the settings of its teacher.
        device: where the teacher computes, unless its settings say it.

    Attributes:
        manifest: what the cache will say of itself.
        collator: makes batches for `outputs`.

    Raises:
        ModelError: the teacher cannot be loaded, or not be compared with the student.
    """

    def __init__(self, student: DistilledStudent, device: torch.device) -> None:
        settings, collator = student.teacher_settings, student.vlm_collator(with_labels=True)
        self.teacher = LiveTeacher(settings, collator, student.image_tokens, student.placement)
        self.teacher.to(device)
        self.collator: Collator = WithOutputKeys(
            self.teacher.collator(collator), collator.rationale, collator.prompt
        )
        self.image_token: int = student.vlm.processor.image_token_id
        self.logits = student.logits
        self.attention: AttentionDistillation | None = student.attention_loss
        family, tokens = self.teacher.family.name, self.teacher.tokens
        if tokens is None:
            vocabulary = min(vocabulary_size(student.network), vocabulary_size(self.teacher.network))
        else:
            vocabulary = tokens.text + 1
        self.manifest = Manifest(
            fingerprint=fingerprint_of(
                settings,
                collator,
                self.logits.temperature,
                settings.image_limit(family, collator, student.image_tokens),
            ),
            family=family,
            layer_count=self.teacher.layer_count,
            same_tokenization=self.teacher.same_tokenization,
            vocabulary=vocabulary,
            tokens=tokens,
            maps=self._maps_to_keep(student),
        )

    @torch.no_grad()
    def outputs(self, batch: Batch) -> list[tuple[str, StoredOutput]]:
        """What the teacher says of a batch, with the keys of its samples."""
        inputs, labels = batch["inputs"], batch["labels"]
        layers = () if self.manifest.maps is None else self.manifest.maps.layers
        output = self.teacher.output(batch, inputs, labels, layers)
        assert isinstance(output.logits, TeacherLogits), "a live teacher has a head"
        sizes = supervised_positions(labels).rows.bincount(minlength=len(labels)).tolist()
        signal = self._likeliest(output.logits)
        pooled = [self._pooled(layer, inputs, labels) for layer in output.layers]
        stored = (
            StoredOutput(prompt, targets, values, indices, tail, _of_sample(pooled, number))
            for number, ((prompt, targets), values, indices, tail) in enumerate(
                zip(
                    read_by_student(inputs, labels),
                    signal.values.split(sizes),
                    signal.indices.split(sizes),
                    signal.tail.split(sizes),
                    strict=True,
                )
            )
        )
        return list(zip(batch["output_keys"], stored, strict=True))

    def _maps_to_keep(self, student: DistilledStudent) -> StoredMaps | None:
        config = self.attention
        if config is None or config.pool is None:
            return None
        pairs = pair_layers(layer_count(student.network), self.teacher.layer_count, student.layer_map)
        layers = {teacher for _, teacher in pairs}
        self.teacher.require_attention(config, layers)
        return StoredMaps(config.pool, config.rows, config.columns, tuple(sorted(layers)))

    def _likeliest(self, logits: TeacherLogits) -> TopKLogits:
        """The likeliest tokens at all positions, from the logits of a few positions at a time."""
        k = min(self.manifest.fingerprint.cache_k, self.manifest.vocabulary)
        chunk = self.logits.chunk
        parts = [
            top_k_logits(
                logits[slice(start, start + chunk)].class_logits()[:, : self.manifest.vocabulary],
                k,
                self.logits.temperature,
            )
            for start in range(0, len(logits), chunk)
        ]
        return TopKLogits(
            torch.cat([part.values for part in parts]).half().cpu(),
            torch.cat([part.indices for part in parts]).int().cpu(),
            torch.cat([part.tail for part in parts]).float().cpu(),
        )

    def _pooled(
        self, layer: TappedLayer | PooledLayer, inputs: dict[str, Tensor], labels: Tensor
    ) -> PooledLayer:
        assert isinstance(layer, TappedLayer), "a live teacher taps"
        config, device = self.attention, layer.queries.device
        assert config is not None and config.pool is not None
        mask = inputs["attention_mask"]
        rows = config.rows_mask(mask, labels)
        columns = config.columns_mask(mask, inputs["input_ids"] == self.image_token)
        return pool_layer(layer, rows.to(device), columns.to(device), config.pool, config.chunk)


def _of_sample(pooled: Sequence[PooledLayer], number: int) -> Tensor | None:
    """The maps of one sample, without the groups that it does not have, `[layers, heads, rows, columns]`."""
    if not pooled:
        return None
    return (
        torch.stack([each.maps[number, :, : each.rows[number], : each.columns[number]] for each in pooled])
        .half()
        .cpu()
    )
