"""Whether a model's head and its embedding are one tensor: what its configuration says, and what is so."""

from __future__ import annotations

from typing import Any

from lightning_modules.model_source import ModelSource


def config_where_tied_is_not_said(source: ModelSource, trust_remote_code: bool = False) -> Any | None:
    """A configuration with head and embedding apart, where it does not say and the language model's are.

    InternVL3's does not say, which transformers takes for tied: a folder without its head, or without its
    embedding, would run with the other one in its place. None where the configuration may stay as it is.
    """
    from transformers import AutoConfig, PretrainedConfig

    commit = source.commit()
    said, _ = PretrainedConfig.get_config_dict(source.place, revision=commit)
    if "tie_word_embeddings" in said:
        return None
    config = AutoConfig.from_pretrained(source.place, revision=commit, trust_remote_code=trust_remote_code)
    text = config.get_text_config()
    if text is config or text.tie_word_embeddings:
        return None
    config.tie_word_embeddings = False
    return config


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
