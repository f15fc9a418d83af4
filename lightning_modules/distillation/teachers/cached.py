"""A teacher that is not in memory: what it has said of the training samples, read from a folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.base import Batch, Collator, ModelError
from lightning_modules.distillation.attention.loss import AttentionDistillation
from lightning_modules.distillation.attention.pooled import PooledLayer
from lightning_modules.distillation.logits.loss import LogitDistillation
from lightning_modules.distillation.logits.teacher_signal import TopKLogits
from lightning_modules.distillation.on_policy import OnPolicy
from lightning_modules.distillation.teachers.cache_files import StoredOutput, TeacherCache, is_complete
from lightning_modules.distillation.teachers.live import Teacher, TeacherOutput, not_same_tokens
from lightning_modules.distillation.teachers.manifest import (
    CacheError,
    fingerprint_of,
    origin_of,
    require_same,
)
from lightning_modules.distillation.teachers.output_keys import WithOutputKeys
from lightning_modules.vlm.collator import IGNORED, VlmCollator
from lightning_modules.vlm.zoo import entry_of


class CachedTeacher:
    """Teacher outputs that a live teacher has given before; a `TeacherSource`.

    Args:
        settings: which teacher, and the folder of its outputs.
        student: how the student reads.
        logits: how it learns from logits.
        image_tokens: the most tokens that the student gives to an image.

    Attributes:
        origin: where the teacher's weights come from.
        layer_count: layers of the teacher's language model.
        same_tokenization: whether student and teacher read the very same tokens.

    Raises:
        CacheError: there are no teacher outputs, not all of them, or those of another teacher, another state
            of its training, another student or another temperature.
    """

    def __init__(
        self,
        settings: Teacher,
        student: VlmCollator,
        logits: LogitDistillation,
        image_tokens: int | None = None,
    ) -> None:
        assert settings.cache is not None, "the settings name no cache"
        self.cache = TeacherCache(settings.cache)
        manifest = self.manifest = self.cache.manifest
        limit = settings.image_limit(manifest.family, student, image_tokens)
        require_same(
            self.cache.folder,
            manifest.fingerprint,
            fingerprint_of(settings, student, logits.temperature, limit),
        )
        entry = entry_of(settings.model)
        if entry is not None and entry.family_name != manifest.family:
            raise CacheError(
                f"The teacher outputs in {self.cache.folder} are those of another teacher, of the family "
                f"{manifest.family}: {settings.model} is of {entry.family_name}. Set teacher.model back, or "
                "name another folder as teacher.cache for `make cache-teacher NAME=...`."
            )
        if not is_complete(self.cache.folder):
            raise CacheError(
                f"The teacher outputs in {self.cache.folder} were not written to their end: "
                "`make cache-teacher NAME=...` goes on with them."
            )
        self.origin = f"{origin_of(manifest.fingerprint)}, from a cache"
        self.layer_count = manifest.layer_count
        self.same_tokenization = manifest.same_tokenization

    def collator(self, student: VlmCollator) -> Collator:
        """The student's collator, with the keys of the samples."""
        return WithOutputKeys(student, student.rationale, student.prompt)

    def require_attention(self, config: AttentionDistillation, layers: Collection[int]) -> None:
        """Raise `ModelError` where the cache does not hold these layers' attention in this form."""
        if not self.same_tokenization:
            raise not_same_tokens()
        folder, stored = self.cache.folder, self.manifest.maps
        if stored is None:
            raise CacheError(
                f"The teacher outputs in {folder} hold no attention maps. Delete it and write them with "
                "`make cache-teacher NAME=...` of an experiment with `attention`, or leave `attention` out."
            )
        for name in ("pool", "rows", "columns"):
            then, now = getattr(stored, name), getattr(config, name)
            if then != now:
                raise CacheError(
                    f"The attention maps in {folder} were pooled otherwise: attention.{name} was {then!r}, "
                    f"and {now!r} is asked for. Set it back, or delete {folder} and write the teacher "
                    "outputs with `make cache-teacher NAME=...`."
                )
        if missing := sorted(set(layers) - set(stored.layers)):
            raise CacheError(
                f"The teacher outputs in {folder} hold the attention of the teacher's layers "
                f"{', '.join(map(str, stored.layers))}, but the layer map asks for layer {missing[0]}. Set "
                f"layer_map back, or delete {folder} and write the teacher outputs with "
                "`make cache-teacher NAME=...`."
            )

    def to(self, device: torch.device) -> None:
        """Nothing: teacher outputs go to the device of the labels."""

    def output(
        self, batch: Batch, inputs: dict[str, Tensor], labels: Tensor, layers: Collection[int] = ()
    ) -> TeacherOutput:
        """What the teacher has said of a batch.

        Raises:
            CacheError: it has said nothing of a sample, or has read it otherwise.
        """
        stored = self._stored(batch, inputs, labels)
        values = torch.cat([output.values for output in stored]).to(labels.device).float()
        tail = torch.cat([output.tail for output in stored]).to(labels.device)
        # Rounding to half precision leaves the sum of probabilities a little beside 1.
        known = torch.cat([values, tail[:, None]], dim=-1).log_softmax(-1)
        signal = TopKLogits(
            known[:, :-1],
            torch.cat([output.indices for output in stored]).to(labels.device).long(),
            known[:, -1],
            self.manifest.vocabulary,
            self.manifest.fingerprint.temperature,
            self.manifest.tokens,
        )
        return TeacherOutput(
            signal, [self._layer(layer, stored, labels.device) for layer in sorted(set(layers))]
        )

    def _stored(self, batch: Batch, inputs: dict[str, Tensor], labels: Tensor) -> list[StoredOutput]:
        """The teacher outputs of a batch, which are those of the tokens that the student reads."""
        fingerprint = read_by_student(inputs, labels)
        stored = []
        for sample, key, (prompt, targets) in zip(
            batch["samples"], batch["output_keys"], fingerprint, strict=True
        ):
            if key not in self.cache:
                raise CacheError(
                    f"The teacher outputs in {self.cache.folder} have none on question {sample.id!r}: its "
                    "prompt, an image or its answer has changed since, or it was not trained on then. "
                    "`make cache-teacher NAME=...` adds what is missing."
                )
            output = self.cache[key]
            different = not torch.equal(output.targets, targets)
            if different or (self.same_tokenization and output.prompt != prompt):
                what = "answer" if different else "prompt"
                raise CacheError(
                    f"The {what} of question {sample.id!r} has other tokens than when its teacher output was "
                    f"cached in {self.cache.folder}: another window (maximum_tokens), other sizes of images, "
                    "or another form of prompts and answers. Set them back, or delete the folder and write "
                    "the teacher outputs again with `make cache-teacher NAME=...`."
                )
            stored.append(output)
        return stored

    def _layer(self, number: int, stored: Sequence[StoredOutput], device: torch.device) -> PooledLayer:
        assert self.manifest.maps is not None, "attention was not asked for when the cache was opened"
        size, place = self.manifest.maps.pool, self.manifest.maps.layers.index(number)
        maps = [output.maps[place] for output in stored if output.maps is not None]
        rows, columns = torch.tensor([each.shape[1:] for each in maps], device=device).unbind(1)
        padded = [
            nn.functional.pad(each.float(), (0, size - each.shape[2], 0, size - each.shape[1]))
            for each in maps
        ]
        whole = torch.stack(padded).to(device)
        whole = whole / whole.sum(-1, keepdim=True).clamp_min(torch.finfo(whole.dtype).tiny)
        return PooledLayer(number, whole, rows, columns)


def require_cachable(attention: AttentionDistillation | None, on_policy: OnPolicy | None) -> None:
    """Raise `ModelError` where a student wants of its teacher what no cache can hold."""
    if on_policy is not None:
        raise ModelError(
            "A cached teacher knows no answers but the true ones, so it cannot say anything of the student's "
            "own: leave `on_policy` out, or `teacher.cache`."
        )
    if attention is not None and attention.pool is None:
        raise ModelError(
            "Whole attention maps are too large for a cache: set attention.pool to the number of groups that "
            "rows and columns are put into, or leave `teacher.cache` out."
        )


def read_by_student(inputs: dict[str, Tensor], labels: Tensor) -> list[tuple[int, Tensor]]:
    """For each sample a fingerprint of its prompt's tokens, and the tokens of its answer, `[positions]`.

    Args:
        inputs: the student's inputs, with `input_ids` and `attention_mask`, `[batch, tokens]`.
        labels: `[batch, tokens]`, -100 where nothing is learnt.
    """
    # One copy to the host, where three would wait for the device three times.
    tokens, mask, labels = torch.stack([inputs["input_ids"], inputs["attention_mask"], labels]).cpu()
    labelled = labels != IGNORED
    prompts = mask.bool() & ~labelled
    return [
        (_fingerprint(row[prompt]), row_labels[answer].int())
        for row, prompt, row_labels, answer in zip(tokens, prompts, labels, labelled, strict=True)
    ]


def _fingerprint(tokens: Tensor) -> int:
    digest: Any = blake2b(tokens.numpy().astype("<i8").tobytes(), digest_size=8)
    return int.from_bytes(digest.digest(), "little", signed=True)
