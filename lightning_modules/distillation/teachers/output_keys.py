"""The keys of cached teacher outputs: digests of what is asked, seen and answered, not of any model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from datamodules.samples import ImageSource, SpatialSample, open_rgb
from lightning_modules.base import Batch, Collator
from lightning_modules.vlm.prompt_template import Prompt
from lightning_modules.vlm.prompts import answer_text, rationale_of, turns_of

KEY_BYTES = 16


def output_key(
    sample: SpatialSample,
    rationale: bool,
    seen: dict[ImageSource, bytes] | None = None,
    prompt: Prompt | None = None,
) -> str:
    """The digest of a sample's conversation, its answer and the pixels of its images.

    Pixels are those of the RGB image, which is what models are given.

    Args:
        sample: the sample, as its views show it.
        rationale: whether reasoning is learnt.
        seen: digests of images that other samples of a batch show as well; those of this one are added.
        prompt: the words that questions are asked in; the usual ones when left out.

    Raises:
        UnreadableImage: an image cannot be decoded.
    """
    seen = {} if seen is None else seen
    turns = turns_of(sample, sample.examples, rationale, prompt)
    digest = blake2b(digest_size=KEY_BYTES)
    if prompt is not None and prompt.system:
        _add(digest, prompt.system.encode())
    for turn in turns:
        for text in (turn.text, turn.reply):
            _add(digest, b"" if text is None else text.encode())
        _add(digest, b"".join(_pixels(source, seen) for source in turn.images))
    _add(digest, answer_text(sample, rationale_of(sample) if rationale else None).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class WithOutputKeys:
    """A collator's batches, with `output_keys`: the key of each question.

    Attributes:
        collator: makes the batch.
        rationale: whether reasoning is learnt.
        prompt: the words that questions are asked in.
    """

    collator: Collator
    rationale: bool
    prompt: Prompt | None = None

    def __call__(self, samples: Sequence[SpatialSample]) -> Batch:
        """The batch of some questions."""
        seen: dict[ImageSource, bytes] = {}
        keys = [output_key(sample, self.rationale, seen, self.prompt) for sample in samples]
        return {**self.collator(samples), "output_keys": keys}


def _add(digest: Any, part: bytes) -> None:
    """Add a part with its length, so that no two rows of parts look the same."""
    digest.update(len(part).to_bytes(8, "little"))
    digest.update(part)


def _pixels(source: ImageSource, seen: dict[ImageSource, bytes]) -> bytes:
    """The digest of an image, made once."""
    if source not in seen:
        image = open_rgb(source)
        digest = blake2b(repr(image.size).encode(), digest_size=KEY_BYTES)
        digest.update(image.tobytes())
        seen[source] = digest.digest()
    return seen[source]
