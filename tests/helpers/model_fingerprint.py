"""A number for all bits of a tiny random model, to compare those of several processes."""

from __future__ import annotations

import hashlib

from lightning_modules.vlm.tiny_models import make_tiny_model


def fingerprint(family: str) -> str:
    """Of all bits of a tiny random model's weights and of its tokenizer."""
    model, processor = make_tiny_model(family, 3)
    digest = hashlib.sha256(processor.tokenizer.backend_tokenizer.to_str().encode())
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
