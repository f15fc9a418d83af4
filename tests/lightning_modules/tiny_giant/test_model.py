from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from datamodules.samples import AnswerType
from lightning_modules.base import Batch
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.image_preparation import CollatorError
from lightning_modules.tiny_giant.model import TinyGiantNetwork
from lightning_modules.tiny_giant.module import answer_sums
from lightning_modules.tiny_giant.vocabulary import END, NUMBER, PAD, START
from tests.helpers.scenes import questions
from tests.helpers.small_tiny_giant import CONFIG, collator_for


def network_for(config: TinyGiantConfig = CONFIG) -> TinyGiantNetwork:
    torch.manual_seed(0)
    return TinyGiantNetwork(config).eval()


def logits_of(network: TinyGiantNetwork, batch: Batch, name: str = "normalized") -> tuple[Tensor, Tensor]:
    encoded, _ = network.encode(batch)
    target, values = batch[name], batch[f"{name}_values"]
    written = network.decoder(target[:, :-1], values[:, :-1], encoded)
    return written.logits, written.log_values


def test_the_decoder_does_not_see_words_to_come() -> None:
    collator, network = collator_for(), network_for()
    batch = collator(questions(0))
    with torch.no_grad():
        before, _ = logits_of(network, batch, "free_form")
        changed = copy.copy(batch)
        changed["free_form"] = batch["free_form"].clone()
        changed["free_form"][:, 5:] = 9
        after, _ = logits_of(network, changed, "free_form")
    assert torch.allclose(before[:, :5], after[:, :5], atol=1e-5)
    assert not torch.allclose(before[:, 5:], after[:, 5:], atol=1e-3)


def test_written_answers_are_the_likeliest_as_learnt_answers_are_read() -> None:
    """Behind a word a number's value is read, and behind any other none, as the collator writes them."""
    collator, network = collator_for(), network_for()
    batch = collator([*questions(1), *questions(2)])
    with torch.no_grad():
        network.decoder.word_bias[START] = -30
        network.decoder.word_bias[NUMBER] = 2.4  # about as likely as words
        network.decoder.position.mul_(10)  # so that an untrained decoder writes more than one word
        encoded, _ = network.encode(batch)
        tokens, values = network.write(encoded, longest=6)
        start = torch.full((len(tokens), 1), START)
        read = torch.where(tokens == NUMBER, values, 0)
        again = network.decoder(
            torch.cat([start, tokens[:, :-1]], 1),
            torch.cat([torch.zeros(len(tokens), 1), read[:, :-1]], 1),
            encoded,
        )
    assert 0 < (tokens == NUMBER).sum() < tokens.numel()
    best = again.logits.argmax(-1)
    for row in range(len(tokens)):
        end = next((place + 1 for place, token in enumerate(tokens[row]) if token == END), tokens.shape[1])
        assert tokens[row, :end].equal(best[row, :end])
        wanted = torch.where(tokens[row, :end] == NUMBER, again.log_values[row, :end].clamp(-5, 7).exp(), 0)
        assert torch.allclose(values[row, :end], wanted, rtol=1e-4)


def test_only_regions_of_the_question_can_be_pointed_at() -> None:
    collator, network = collator_for(), network_for()
    batch = collator(questions(0))
    with torch.no_grad():
        logits, _ = logits_of(network, batch)
    pointers = logits[..., CONFIG.vocabulary_size :]
    absent = ~batch["region_named"][:, None].expand_as(pointers)
    assert (pointers[absent] == -1e4).all()
    assert (pointers[~absent] > -1e3).all()


@pytest.mark.parametrize("what", ["image", "region", "depth", "question"])
def test_each_input_changes_the_answer(what: str) -> None:
    collator, network = collator_for(), network_for()
    sample, other = questions(0)[1], questions(5)[1]
    changed = {
        "image": sample.replace(image=other.image),
        "region": sample.replace(regions=other.regions),
        "depth": sample.replace(depth=None),
        "question": sample.replace(question="How far ? Which of <mask> <mask> <mask>"),
    }[what]
    with torch.no_grad():
        before, _ = logits_of(network, collator([sample]))
        after, _ = logits_of(network, collator([changed]))
    assert not torch.allclose(before, after, atol=1e-4)


@pytest.mark.parametrize("without", ["image", "region"])
def test_questions_without_an_image_or_a_region_are_answered_beside_others(without: str) -> None:
    collator, network = collator_for(), network_for()
    samples = questions(0)
    other = samples[0].replace(image=None, depth=None, regions=())
    if without == "region":
        other = samples[2].replace(question="how many ?", regions=(), rationale="")
    with torch.no_grad():
        mixed, mixed_values = logits_of(network, collator([*samples, other]))
        alone, values = logits_of(network, collator([other]))
        plain, _ = logits_of(network, collator(samples))
    assert torch.isfinite(mixed).all()
    words, length = CONFIG.vocabulary_size, alone.shape[1]
    assert torch.allclose(mixed[-1, :length, :words], alone[0, :, :words], atol=2e-4)
    assert torch.allclose(mixed_values[-1, :length], values[0], atol=2e-4)
    assert torch.allclose(mixed[:-1], plain, atol=2e-4)


def test_a_text_without_regions_or_image_has_finite_gradients() -> None:
    collator, network = collator_for(), network_for()
    sample = questions(0)[3].replace(question="how many ?", image=None, depth=None, regions=())
    logits, values = logits_of(network, collator([sample]))
    (logits[..., :90].sum() + values.sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_every_parameter_learns_from_an_ordinary_batch() -> None:
    """DDP runs without a search for unused parameters, so that each one needs a gradient at every step."""
    collator, network = collator_for(), network_for().train()
    logits, values = logits_of(network, collator([*questions(0), *questions(1)]))
    (logits.sum() + values.sum()).backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []


def test_losses_equal_a_plain_reference() -> None:
    logits, log_values = torch.randn(3, 4, 20), torch.randn(3, 4)
    target = torch.tensor([[7, NUMBER, 2, PAD], [11, 2, PAD, PAD], [NUMBER, 12, NUMBER, 2]])
    values = torch.zeros(3, 4)
    values[0, 1], values[2, 0], values[2, 2] = 0.4, 0.0, 11.0
    sums = answer_sums(logits, log_values, target, values)
    losses = {name: total / count for name, (total, count) in sums.items()}
    words, numbers = [], 0.0
    for q in range(3):
        for t in range(4):
            if target[q, t] != PAD:
                words.append(-torch.log_softmax(logits[q, t].double(), 0)[target[q, t]])
            if target[q, t] == NUMBER:
                error = abs(float(log_values[q, t]) - float(torch.log(values[q, t].clamp(min=0.05))))
                numbers += error - 0.05 if error > 0.1 else error**2 / 0.2
    assert losses["word_loss"] == pytest.approx(float(sum(words) / len(words)), rel=1e-5)
    assert losses["number_loss"] == pytest.approx(numbers / 3, rel=1e-5)


def test_wrong_samples_are_named() -> None:
    collator = collator_for()
    sample = questions(0)[0]
    with pytest.raises(CollatorError, match=r"0-0.*2 <mask> for 1 regions"):
        collator([sample.replace(regions=sample.regions[:1])])
    with pytest.raises(CollatorError, match="names a region it does not have"):
        collator([sample.replace(answer="7", answer_type=AnswerType.REGION)])
    with pytest.raises(CollatorError, match="raise maximum_words"):
        collator([sample.replace(question="pallet " * 300)])
    with pytest.raises(CollatorError, match="raise maximum_regions"):
        collator([sample.replace(question="<mask> " * 40)])
