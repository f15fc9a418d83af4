"""Which teacher outputs a cache holds: of which teacher, for which student, and how much was kept.

This stands beside them as JSON, and is compared with what a training asks for.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from datamodules.samples import SmallSpatialError
from lightning_modules.base import ModelError
from lightning_modules.distillation.logits.common_tokens import CommonTokens
from lightning_modules.distillation.teachers.live import Teacher, teacher_origin
from lightning_modules.vlm.collator import VlmCollator
from lightning_modules.vlm.loading import model_source
from lightning_modules.vlm.zoo import entry_of
from lightning_modules.weights_digest import ELSEWHERE, digest_of

FORMAT = 3
"""The version of the files."""

COMMIT_LENGTH, DIGEST_LENGTH = 40, 64
"""How many digits the commit of a repository and the digest of a folder have."""


class CacheError(ModelError):
    """A cache of teacher outputs is missing, damaged, or not the one that is asked for."""


@dataclass(frozen=True)
class Fingerprint:
    """What settings say of teacher outputs; two trainings that agree in it can use the same ones.

    Attributes:
        model: the commit of the teacher on the hub, or the digest of its folder; for a tiny random model its
            name.
        random_weights: whether it is a tiny random model.
        tiny_size: how large, as far as it was said.
        weights_seed: the seed of its weights; None where it is no tiny random model.
        adapter: the digest of its adapter's files, or None.
        checkpoint: the digest of its checkpoint, or None.
        four_bit: whether its linear layers are in NF4.
        image_tokens: the most tokens that one image may take for it.
        cache_k: how many classes were kept at each position.
        temperature: by which logits were divided.
        rationale: whether reasoning is learnt.
        tokenizer: the digest of the student's tokens.
        end: the token that ends the student's answers.
        response_template: what stands between the student's prompts and answers.
    """

    model: str
    random_weights: bool
    tiny_size: dict[str, int] | None
    weights_seed: int | None
    adapter: str | None
    checkpoint: str | None
    four_bit: bool
    image_tokens: int | None
    cache_k: int
    temperature: float
    rationale: bool
    tokenizer: str
    end: int
    response_template: str


@dataclass(frozen=True)
class StoredMaps:
    """What of the teacher's attention was kept.

    Attributes:
        pool: groups of rows and of columns.
        rows: which queries counted, as in `AttentionDistillation`.
        columns: which keys counted, likewise.
        layers: numbers of the teacher's layers, ascending.
    """

    pool: int
    rows: Literal["all", "answer"]
    columns: Literal["all", "image"]
    layers: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """What is in a cache.

    Attributes:
        fingerprint: what the settings said when it was written.
        family: the teacher's family.
        layer_count: layers of the teacher's language model.
        same_tokenization: whether student and teacher read the very same tokens.
        vocabulary: the number of classes that log-probabilities are about.
        tokens: which classes these are, where the tokenizers are not the same.
        maps: what of the attention was kept; None where nothing was.
        version: of the files' format.
    """

    fingerprint: Fingerprint
    family: str
    layer_count: int
    same_tokenization: bool
    vocabulary: int
    tokens: CommonTokens | None
    maps: StoredMaps | None
    version: int = FORMAT

    def to_json(self) -> str:
        """The text of its file."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read what `to_json` wrote.

        Raises:
            CacheError: the text is no such file, or one of another version.
        """
        try:
            read: dict[str, Any] = json.loads(text)
            if read["version"] != FORMAT:
                raise CacheError(f"is of version {read['version']}, and this program reads {FORMAT}")
            tokens, maps = read["tokens"], read["maps"]
            return cls(
                **{
                    **read,
                    "fingerprint": Fingerprint(**read["fingerprint"]),
                    "tokens": None if tokens is None else CommonTokens(**tokens),
                    "maps": None if maps is None else StoredMaps(**{**maps, "layers": tuple(maps["layers"])}),
                }
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CacheError(f"cannot be read ({error})") from error


def fingerprint_of(
    settings: Teacher, student: VlmCollator, temperature: float, image_tokens: int | None
) -> Fingerprint:
    """What a training asks of its teacher.

    Args:
        settings: the teacher.
        student: how the student reads.
        temperature: the loss's.
        image_tokens: the most tokens that one image may take for the teacher.
    """
    vocabulary = json.dumps(sorted(student.processor.tokenizer.get_vocab().items()))
    size = settings.tiny_size if settings.random_weights else None
    return Fingerprint(
        model=settings.model if settings.random_weights else _weights_of(settings.model),
        random_weights=settings.random_weights,
        tiny_size=None if size is None else asdict(size),
        weights_seed=settings.weights_seed if settings.random_weights else None,
        adapter=digest_of(settings.adapter),
        checkpoint=digest_of(settings.checkpoint),
        four_bit=settings.four_bit,
        image_tokens=image_tokens,
        cache_k=settings.cache_k,
        temperature=temperature,
        rationale=student.rationale,
        tokenizer=hashlib.sha256(vocabulary.encode()).hexdigest(),
        end=student.conversation.end_id,
        response_template=student.conversation.response_template,
    )


def origin_of(fingerprint: Fingerprint) -> str:
    """Where the weights of a cached teacher come from."""
    model = (
        f"tiny random model, seed {fingerprint.weights_seed}"
        if fingerprint.random_weights
        else fingerprint.model
    )
    return teacher_origin(model, fingerprint.adapter, fingerprint.checkpoint)


def _weights_of(model: str) -> str:
    """What a teacher's weights are told by, or `ELSEWHERE`.

    Raises:
        ModelError: no model can have this name, or the hub says that it has no such one.
    """
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        return model_source(model).origin()
    except SmallSpatialError as error:
        nothing = isinstance(error.__cause__, RepositoryNotFoundError | RevisionNotFoundError)
        if nothing or ("/" not in model and entry_of(model) is None):
            raise
        return ELSEWHERE


def require_same(folder: Path, cached: Fingerprint, fingerprint: Fingerprint) -> None:
    """Raise `CacheError` where a cache holds other teacher outputs than those that are asked for.

    What is not on this machine, and cannot be asked for on the hub either, is taken as it was cached.
    """
    for name in ("model", "adapter", "checkpoint"):
        if getattr(fingerprint, name) == ELSEWHERE and getattr(cached, name) is not None:
            print(
                f"The teacher's {name} is not on this machine: taken for the one of the outputs in {folder}."
            )
            fingerprint = replace(fingerprint, **{name: getattr(cached, name)})
    for field in fields(Fingerprint):
        then, now = getattr(cached, field.name), getattr(fingerprint, field.name)
        if then != now:
            raise CacheError(_difference(folder, field.name, then, now))


def _difference(folder: Path, name: str, then: Any, now: Any) -> str:
    anew = (
        f"Delete {folder}, or name another folder as teacher.cache, and write the teacher outputs with "
        "`make cache-teacher NAME=...`."
    )
    if name in ("adapter", "checkpoint") and then is not None and now is not None:
        return (
            f"The teacher's {name} has been trained again since its outputs were cached in {folder}. {anew}"
        )
    if name == "model" and not {len(then), len(now)} - {COMMIT_LENGTH, DIGEST_LENGTH}:
        again = (
            f"`teacher.model: owner/name@{then}`" if len(then) == COMMIT_LENGTH else "the former ones back"
        )
        return (
            f"The teacher outputs in {folder} are those of another teacher: the weights of teacher.model are "
            f"{now[:12]}, and they were {then[:12]} when it was asked. Give {again}. Or else: {anew}"
        )
    if name == "tokenizer":
        return f"The teacher outputs in {folder} are for a student with another tokenizer. {anew}"
    if name == "temperature":
        return (
            f"The teacher outputs in {folder} were cached at temperature {then:g}, but the loss compares at "
            f"{now:g}. Set logits.temperature to {then:g}. Or else: {anew}"
        )
    if name in ("end", "response_template", "rationale"):
        return (
            f"The teacher outputs in {folder} are for a student that writes its answers in another form: "
            f"{name} is {then!r} there, and {now!r} is asked for. {anew}"
        )
    if name == "cache_k":
        return (
            f"The teacher outputs in {folder} keep the {then} likeliest tokens, but teacher.cache_k asks for "
            f"{now}. Set teacher.cache_k to {then}. Or else: {anew}"
        )
    return (
        f"The teacher outputs in {folder} are those of another teacher: teacher.{name} is {_shown(then)} "
        f"there, and {_shown(now)} is asked for. {anew}"
    )


def _shown(value: Any) -> str:
    if isinstance(value, str) and len(value) == 64:
        return "a trained one"
    return "not set" if value is None else repr(value)
