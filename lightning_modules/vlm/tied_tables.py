"""Whether a model's head and its embedding are one tensor: what its configuration says, and what is so."""

from __future__ import annotations

from typing import Any


def say_whether_tied(model: Any) -> None:
    """Let the configuration say that head and embedding are two tensors, where they are.

    InternVL3's says nothing, which means tied. transformers finds two tensors in the files and keeps them
    apart, but ties them the next time that the configuration is asked: when tokens are added, or by peft.
    """
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or head.weight.data_ptr() == embedding.weight.data_ptr():
        return
    for config in (model.config, model.config.get_text_config()):
        if getattr(config, "tie_word_embeddings", False):
            config.tie_word_embeddings = False
