"""What is answered to a question does not depend on which questions stand beside it.

A score with one question an image is then that with all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from random import Random

import pytest
import torch
from torch import nn

from datamodules.samples import SpatialSample
from lightning_modules.phases import Objective, Phase
from lightning_modules.tiny_giant.chain_grammar import LONGEST_CHAIN, ChainGrammar
from lightning_modules.tiny_giant.chains import CHAIN_WORDS
from lightning_modules.tiny_giant.geometry import Geometry
from lightning_modules.tiny_giant.module import LONGEST_NORMALIZED, TinyGiant
from lightning_modules.tiny_giant.vocabulary import END, NUMBER
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.scenes import questions
from tests.helpers.small_tiny_giant import CONFIG

ASKED = questions(0, 12)
BESIDE = [*questions(1, 3), *questions(2, 5)]

Written = tuple[str, list[int], list[float]]
"""An answer's text, its tokens, and their values."""


def random_giant(geometry: Geometry, objective: Objective) -> TinyGiant:
    """A tiny random model that writes more than one thing."""
    torch.manual_seed(3)
    shape = dataclasses.replace(CONFIG, geometry=geometry, experts=4)
    if geometry == "containment":
        shape = dataclasses.replace(shape, focus=True, count_head=True, scale="picture")
    module = TinyGiant(shape, [Phase(objective, 1)])
    texts = (text for s in ASKED for text in (s.question, s.rationale, s.answer or ""))
    module.vocabulary.build(texts, CHAIN_WORDS if objective == "chain" else ())
    module.trainer = bare_trainer()
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                # As after a training: what a batch's own statistics would give is something else.
                assert part.running_mean is not None and part.running_var is not None
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 1.5)
        for name, weight in module.network.named_parameters():
            if weight.dim() > 1 and name.startswith(("fusion", "decoder", "relations", "regions")):
                weight.mul_(2.0)
        module.network.decoder.word_bias[NUMBER] = 3.0
    return module.eval()


def written(module: TinyGiant, samples: Sequence[SpatialSample]) -> dict[str, Written]:
    """What the module answers to questions that are asked together."""
    batch = module.collator("test")(samples)
    with torch.no_grad():
        answers = module.answer(batch)
        encoded, _ = module.network.encode(batch)
        chains = module.objective == "chain"
        allowed = ChainGrammar(module.vocabulary, module.chain).allowed if chains else None
        tokens, values = module.network.write(
            encoded, LONGEST_CHAIN if chains else LONGEST_NORMALIZED, allowed
        )
    ended = [row.index(END) + 1 if END in row else len(row) for row in tokens.tolist()]
    return {
        sample.id: (answer.raw, row[:end], numbers[:end])
        for sample, answer, row, numbers, end in zip(
            samples, answers, tokens.tolist(), values.tolist(), ended, strict=True
        )
    }


@pytest.mark.parametrize("objective", ["normalized", "chain"])
@pytest.mark.parametrize("geometry", ["floor_fit", "containment"])
def test_a_question_is_answered_alone_as_it_is_beside_others(
    geometry: Geometry, objective: Objective
) -> None:
    """Beside those of its image, beside other images, in another order, and alone."""
    module = random_giant(geometry, objective)
    together = written(module, ASKED)
    assert len({str(answer) for answer in together.values()}) > len(ASKED) // 2, "the model is too dull"
    assert any(NUMBER in tokens for _, tokens, _ in together.values())
    mixed = [*ASKED, *BESIDE]
    Random(0).shuffle(mixed)
    beside = written(module, mixed)
    for sample in ASKED:
        for other in (written(module, [sample]), beside):
            text, tokens, values = other[sample.id]
            assert tokens == together[sample.id][1]
            assert values == pytest.approx(together[sample.id][2], rel=1e-4)
            if NUMBER not in tokens:
                assert text == together[sample.id][0]


def test_images_that_are_normalised_by_their_batch_would_be_told_of() -> None:
    """What the test above is there for, in the encoder's result: answers of a dull model might stay."""
    module = random_giant("floor_fit", "normalized")

    def summary(*others: SpatialSample) -> torch.Tensor:
        with torch.no_grad():
            return module.network.encode(module.collator("test")([ASKED[0], *others]))[0].summary[0]

    torch.testing.assert_close(summary(), summary(*BESIDE), rtol=1e-4, atol=1e-5)
    module.train()
    assert not torch.allclose(summary(), summary(*BESIDE), rtol=1e-2, atol=1e-2)
