"""The shape of a small Tiny Giant, and a collator that knows the words of one image's questions."""

from __future__ import annotations

from lightning_modules.tiny_giant.collator import TinyGiantCollator
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.vocabulary import Vocabulary
from tests.helpers.scenes import FIELD_OF_VIEW, questions

CONFIG = TinyGiantConfig(
    image_size=(64, 64), global_grid=(2, 2), width=32, visual_width=16, vocabulary_size=96, expert_hidden=48
)


def collator_for(config: TinyGiantConfig = CONFIG) -> TinyGiantCollator:
    vocabulary = Vocabulary(config.vocabulary_size)
    vocabulary.build(text for s in questions(0) for text in (s.question, s.rationale, s.answer or ""))
    return TinyGiantCollator(
        vocabulary,
        config.image_size,
        config.geometry_size or config.image_size,
        config.geometry,
        FIELD_OF_VIEW,
        True,
        config.maximum_words,
        config.maximum_regions,
        depth_encoding=config.depth_encoding,
    )
