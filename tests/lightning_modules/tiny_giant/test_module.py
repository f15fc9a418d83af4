"""How TinyGiant is set up: its words, its objective, what it reads, and what a recipe need not say."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from datamodules.base import Role
from datamodules.samples import AnswerType, SpatialSample
from lightning_modules.base import ModelError
from lightning_modules.phases import Objective, Phase
from lightning_modules.schedule import WarmupCosine
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.module import TinyGiant
from lightning_modules.tiny_giant.training_texts import training_texts
from lightning_modules.tiny_giant.vocabulary import FIXED_WORDS, Vocabulary
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.memory_data import MemoryData, MemoryQuestions
from tests.helpers.scenes import questions
from tests.helpers.small_tiny_giant import CONFIG, collator_for


def giant(*objectives: Objective) -> TinyGiant:
    torch.manual_seed(0)
    return TinyGiant(CONFIG, [Phase(objective, 1) for objective in objectives or ("normalized",)])


class OwnWords(MemoryData):
    """Each split has words that no other has."""

    def __init__(self, train: str = "train", **shared: Any) -> None:
        super().__init__(images=1, **shared)
        self.train_word = train

    def open_split(self, role: Role) -> MemoryQuestions:
        word = {"train": self.train_word, "val": "validation"}.get(role, role)

        class Worded(MemoryQuestions):
            def samples(self, group: int, chosen: Any) -> list[SpatialSample]:
                made = super().samples(group, chosen)
                return [one.replace(question=word + " <mask>" * len(one.regions)) for one in made]

        return Worded({"train": 0, "val": 1000, "test": 2000}[role], self.images)


def test_the_words_are_those_of_the_first_training_split() -> None:
    module = giant()
    bare_trainer(max_steps=1).fit(module, OwnWords())
    words = module.vocabulary.words[len(FIXED_WORDS) :]
    assert sorted(words) == ["about", "answer", "is", "the", "train"]
    bare_trainer(max_steps=1).fit(module, OwnWords(train="later"))
    assert module.vocabulary.words[len(FIXED_WORDS) :] == words


@pytest.mark.parametrize("counted", [True, False])
def test_the_texts_of_plain_data_are_all_of_their_training_records(counted: bool) -> None:
    records = [
        SpatialSample(str(n), f"question{n}", answer=f"A{n}", rationale=f"why{n}", choices=(f"x{n}", f"y{n}"))
        for n in range(300)
    ]
    records.append(SpatialSample("no answer", "last"))
    loader = SimpleNamespace(dataset=records if counted else iter(records))
    data = SimpleNamespace(
        train_dataloader=lambda: loader, val_dataloader=lambda: SimpleNamespace(dataset=[])
    )
    texts = [*training_texts(data)]
    expected = [text for n in range(300) for text in (f"question{n}", f"why{n}", f"A{n}", f"x{n}", f"y{n}")]
    assert sorted(filter(None, texts)) == sorted([*expected, "last"])
    with pytest.raises(ModelError, match="The words to learn are not known"):
        training_texts(SimpleNamespace(train_dataloader=lambda: SimpleNamespace(dataset=[1, 2])))


@pytest.mark.parametrize(
    ("objectives", "longest"), [(("free_form", "normalized"), 32), (("normalized", "free_form"), 96)]
)
def test_what_was_taught_last_is_written_and_as_long_as_that_may_be(
    objectives: tuple[Objective, ...], longest: int
) -> None:
    """A model that never ends writes until it is stopped."""
    module, collate = giant(*objectives).eval(), collator_for()
    module.trainer = bare_trainer()
    module.vocabulary.load(collate.vocabulary.words)
    with torch.no_grad():
        module.network.decoder.word_bias[len(FIXED_WORDS)] = 1e6
    (answer,) = module.answer(collate(questions(0)[:1]))
    assert answer.raw.split() == [collate.vocabulary.words[len(FIXED_WORDS)]] * longest


@pytest.mark.parametrize(
    ("depth_backbone", "geometry", "reads"),
    [
        ("lcnet_050", "floor_fit", True),
        ("lcnet_050", "mask", True),
        (None, "floor_fit", True),
        (None, "mask", False),
    ],
)
@pytest.mark.parametrize("measured", [(128, 96), None])
def test_samples_are_read_as_the_network_needs_them(
    depth_backbone: str | None, geometry: Any, reads: bool, measured: tuple[int, int] | None
) -> None:
    limits: dict[str, Any] = {"maximum_words": 77, "maximum_regions": 5, "field_of_view": 55.0}
    shape = TinyGiantConfig(
        image_size=(96, 64),
        depth_backbone=depth_backbone,
        geometry=geometry,
        geometry_size=measured,
        **limits,
    )
    with torch.device("meta"):
        module = TinyGiant(shape, [Phase("normalized", 1)])
    for stage, labelled in {"fit": True, "validate": True, "test": False, "predict": False}.items():
        made = module.collator(stage)
        assert made.vocabulary is module.vocabulary
        assert (made.image_size, made.geometry_size) == ((96, 64), measured or (96, 64))
        assert (made.geometry, made.field_of_view, made.use_depth) == (geometry, 55.0, reads)
        assert (made.maximum_words, made.maximum_regions, made.with_labels) == (77, 5, labelled)


def test_every_word_of_a_loaded_list_is_known() -> None:
    vocabulary = Vocabulary(128)
    vocabulary.load([*FIXED_WORDS, *(chr(97 + n // 26) + chr(97 + n % 26) for n in range(90))])
    plain = range(len(FIXED_WORDS), len(vocabulary.words))
    assert vocabulary.encode(" ".join(vocabulary.words[n] for n in plain)).tokens == [*plain]
    assert vocabulary.encode("2", AnswerType.REGION).tokens == [128 + 2]


def test_what_a_recipe_does_not_say_is_as_the_documentation_has_it() -> None:
    signature = inspect.signature(TinyGiant.__init__).parameters
    weights = {name: signature[name].default for name in ("balance_weight", "z_weight", "value_weight")}
    assert weights == {"balance_weight": 0.01, "z_weight": 0.001, "value_weight": 2.0}
    assert (WarmupCosine().warmup_fraction, WarmupCosine().final_fraction) == (0.03, 0.1)
    shape = TinyGiantConfig()
    assert (shape.field_of_view, shape.experts, shape.top_k, shape.dropout) == (70.0, 4, 2, 0.0)
