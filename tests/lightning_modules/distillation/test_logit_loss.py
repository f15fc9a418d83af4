"""The losses of logits against sums over one position and one token at a time, in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lightning_modules.distillation.logits.divergences import (
    Divergence,
    divergence_named,
    forward_kl,
    generalised_jsd,
    log_probabilities,
    reverse_kl,
)
from lightning_modules.distillation.logits.loss import (
    LogitDistillation,
    LogitLossError,
    distil_logits,
    supervised_positions,
    weighted,
)
from lightning_modules.distillation.logits.teacher_signal import (
    TeacherLogits,
    TeacherSignalError,
    TopKLogits,
    top_k_logits,
)
from tests.helpers.sums import sum_of

DIVERGENCES = ("forward_kl", "reverse_kl", "jsd")
PRECISE = {torch.float64: 1e-11, torch.float32: 1e-5, torch.bfloat16: 1e-2}
"""How far values and gradients may be from the reference, relative to the largest."""


@dataclass
class Case:
    """A student, a teacher and what is to be predicted."""

    hidden: Tensor
    head: nn.Linear
    targets: Tensor
    teacher: TeacherLogits

    @property
    def teacher_head(self) -> nn.Linear:
        """The teacher's head, as what it is here."""
        assert isinstance(self.teacher.head, nn.Linear)
        return self.teacher.head


def make_case(
    positions: int = 7,
    vocabulary: int = 23,
    teacher_vocabulary: int = 23,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> Case:
    """Distributions that are far from flat and from each other, so that each divergence is about 1."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    head, teacher_head = (
        nn.Linear(8, size, bias=False, dtype=dtype) for size in (vocabulary, teacher_vocabulary)
    )
    with torch.no_grad():
        head.weight.copy_(normal(*head.weight.shape))
        teacher_head.weight.copy_(normal(*teacher_head.weight.shape))
    targets = torch.randint(0, vocabulary, (positions,), generator=generator)
    hidden = normal(positions, 8).requires_grad_()
    return Case(hidden, head, targets, TeacherLogits(normal(positions, 8), teacher_head))


def probabilities(logits: Tensor) -> Tensor:
    """The definition of softmax."""
    powers = (logits - logits.max()).exp()
    return powers / powers.sum()


def kl(first: Tensor, second: Tensor) -> Tensor:
    """The definition, outcome by outcome."""
    return sum_of(a * (a / b).log() for a, b in zip(first, second, strict=True) if a > 0)


def plain_divergence(name: str, teacher: Tensor, student: Tensor, beta: float) -> Tensor:
    """Of two vectors of probabilities."""
    if name == "forward_kl":
        return kl(teacher, student)
    if name == "reverse_kl":
        return kl(student, teacher)
    middle = torch.stack([beta * p + (1 - beta) * q for p, q in zip(teacher, student, strict=True)])
    return beta * kl(teacher, middle) + (1 - beta) * kl(student, middle)


def grouped(probability: Tensor, tokens: list[int]) -> Tensor:
    """The probabilities of some tokens, and of all others together."""
    others = [probability[v] for v in range(len(probability)) if v not in tokens]
    return torch.stack([*(probability[v] for v in tokens), *([sum_of(others)] if others else [])])


def reference(
    case: Case, config: LogitDistillation, k: int | None = None, caps: tuple[float, float] | None = None
) -> tuple[float, float, Tensor, Tensor]:
    """Cross-entropy, divergence, and the gradients of the weighted loss by hidden states and head weights."""
    hidden = case.hidden.detach().double().requires_grad_()
    weight = case.head.weight.detach().double().requires_grad_()
    teacher_weight = case.teacher_head.weight.detach().double()
    assert isinstance(config.alpha, float)
    entropies, divergences = [], []
    for position in range(len(case.targets)):
        student = weight @ hidden[position]
        teacher = teacher_weight @ case.teacher.hidden[position].double()
        if caps:
            student, teacher = (
                caps[0] * torch.tanh(student / caps[0]),
                caps[1] * torch.tanh(teacher / caps[1]),
            )
        entropies.append(-probabilities(student)[case.targets[position]].log())
        common = min(len(student), len(teacher))
        p = probabilities(teacher[:common] / config.temperature)
        q = probabilities(student[:common] / config.temperature)
        if k is not None:
            tokens = sorted(range(common), key=lambda token: -float(teacher[token]))[:k]
            p, q = grouped(p, tokens), grouped(q, tokens)
        divergences.append(plain_divergence(config.divergence, p, q, config.beta))
    entropy, divergence = sum_of(entropies) / len(entropies), sum_of(divergences) / len(divergences)
    loss = config.alpha * entropy + (1 - config.alpha) * config.temperature**2 * divergence
    by_hidden, by_weight = torch.autograd.grad(loss, [hidden, weight])
    return float(entropy.detach()), float(divergence.detach()), by_hidden, by_weight


def assert_like_reference(
    case: Case,
    config: LogitDistillation,
    signal: TeacherLogits | TopKLogits,
    expected: tuple[float, float, Tensor, Tensor],
    **options: float,
) -> None:
    """Values and gradients agree as precisely as the type allows."""
    entropy, divergence, by_hidden, by_weight = expected
    tolerance = PRECISE[case.hidden.dtype]
    terms = distil_logits(case.hidden, case.head, case.targets, signal, config, **options)
    assert float(terms["cross_entropy"].detach()) == pytest.approx(entropy, rel=tolerance)
    assert float(terms["divergence"].detach()) == pytest.approx(divergence, rel=tolerance, abs=tolerance / 10)
    sum_of(weighted(terms, config).values()).backward()
    for found, wanted in ((case.hidden.grad, by_hidden), (case.head.weight.grad, by_weight)):
        assert found is not None and found.dtype == case.hidden.dtype
        assert (found.double() - wanted).abs().max() <= tolerance * wanted.abs().max()


@pytest.mark.parametrize("dtype", PRECISE, ids=str)
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_values_and_gradients_are_those_of_the_definition(divergence: Divergence, dtype: torch.dtype) -> None:
    case = make_case(dtype=dtype)
    config = LogitDistillation(0.3, temperature=1.7, divergence=divergence, beta=0.2, chunk=3)
    assert_like_reference(case, config, case.teacher, reference(case, config))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("k", [1, 5, 22, 23])
def test_cached_logits_count_the_remaining_mass_as_one_outcome(
    k: int, divergence: Divergence, dtype: torch.dtype
) -> None:
    case = make_case(dtype=dtype)
    config = LogitDistillation(0.3, temperature=1.7, divergence=divergence, beta=0.2, chunk=3)
    cached = top_k_logits(case.teacher.head(case.teacher.hidden), k, config.temperature)
    assert_like_reference(case, config, cached, reference(case, config, k=k))


@settings(max_examples=40, deadline=None)
@given(
    positions=st.integers(1, 9),
    vocabulary=st.integers(2, 30),
    teacher_vocabulary=st.integers(2, 30),
    chunk=st.integers(1, 11),
    temperature=st.sampled_from([0.5, 1.0, 4.0]),
    divergence=st.sampled_from(DIVERGENCES),
    beta=st.sampled_from([0.1, 0.5, 0.9]),
    share=st.none() | st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_any_shapes(
    positions: int,
    vocabulary: int,
    teacher_vocabulary: int,
    chunk: int,
    temperature: float,
    divergence: Divergence,
    beta: float,
    share: float | None,
    seed: int,
) -> None:
    case = make_case(positions, vocabulary, teacher_vocabulary, torch.float64, seed)
    config = LogitDistillation(0.4, temperature, divergence, beta, chunk)
    signal: TeacherLogits | TopKLogits = case.teacher
    k = None
    if share is not None:
        common = min(vocabulary, teacher_vocabulary)
        k = 1 + round(share * (common - 1))
        signal = top_k_logits(case.teacher.head(case.teacher.hidden)[:, :common], k, temperature)
    assert_like_reference(case, config, signal, reference(case, config, k))


@pytest.mark.parametrize("sizes", [(23, 31), (31, 23)], ids=["larger teacher", "larger student"])
def test_vocabularies_are_compared_on_what_both_have(sizes: tuple[int, int]) -> None:
    case = make_case(vocabulary=sizes[0], teacher_vocabulary=sizes[1])
    case.targets[0] = sizes[0] - 1  # known to the student alone, in one case
    config = LogitDistillation(0.5, chunk=4)
    assert_like_reference(case, config, case.teacher, reference(case, config))


def test_soft_capped_logits_of_either_side() -> None:
    case = make_case(dtype=torch.float64)
    config = LogitDistillation(0.5, chunk=4)
    signal = replace(case.teacher, softcap=3.0)
    assert_like_reference(case, config, signal, reference(case, config, caps=(2.0, 3.0)), student_softcap=2.0)


@pytest.mark.parametrize("cached", [False, True])
def test_the_chunk_never_changes_the_result(cached: bool) -> None:
    found = []
    for chunk in (1, 2, 3, 6, 7, 100):
        case = make_case(dtype=torch.float64)
        config = LogitDistillation(chunk=chunk)
        signal = top_k_logits(case.teacher.head(case.teacher.hidden), 4, 2.0) if cached else case.teacher
        terms = distil_logits(case.hidden, case.head, case.targets, signal, config)
        sum_of(weighted(terms, config).values()).backward()
        found.append([terms["cross_entropy"], terms["divergence"], case.hidden.grad, case.head.weight.grad])
    for other in found[1:]:
        for first, second in zip(found[0], other, strict=True):
            torch.testing.assert_close(first, second, rtol=1e-12, atol=1e-14)


def test_no_head_ever_sees_more_than_a_chunk() -> None:
    case, seen = make_case(positions=11), []
    for head in (case.head, case.teacher.head):
        head.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    terms = distil_logits(case.hidden, case.head, case.targets, case.teacher, LogitDistillation(chunk=4))
    assert seen == [4, 4, 4, 4, 3, 3]
    sum_of(terms.values()).backward()
    assert max(seen) == 4


def test_the_terms_have_gradients_of_their_own() -> None:
    case, config = make_case(dtype=torch.float64), LogitDistillation(alpha=1.0)
    terms = distil_logits(case.hidden, case.head, case.targets, case.teacher, config)
    (alone,) = torch.autograd.grad(terms["cross_entropy"], case.hidden, retain_graph=True)
    whole = torch.autograd.grad(sum_of(weighted(terms, config).values()), case.hidden, retain_graph=True)[0]
    assert torch.equal(alone, whole)
    (other,) = torch.autograd.grad(terms["divergence"], case.hidden)
    assert not torch.allclose(alone, other)


def test_a_frozen_head_and_the_teacher_get_no_gradient() -> None:
    case = make_case()
    trained, config = make_case(), LogitDistillation(chunk=3)
    case.head.requires_grad_(False)
    case.teacher.hidden.requires_grad_()
    for each in (case, trained):
        terms = distil_logits(each.hidden, each.head, each.targets, each.teacher, config)
        sum_of(weighted(terms, config).values()).backward()
    assert case.head.weight.grad is None
    assert case.teacher.hidden.grad is None
    assert case.teacher.head.weight.grad is None
    torch.testing.assert_close(case.hidden.grad, trained.hidden.grad, rtol=1e-6, atol=0)


def test_a_head_with_bias_learns_it() -> None:
    case = make_case(dtype=torch.float64)
    case.head = nn.Linear(8, 23, dtype=torch.float64)
    logits = case.head(case.hidden)
    nn.functional.cross_entropy(logits, case.targets).backward()
    assert case.head.bias.grad is not None
    wanted = case.head.bias.grad.clone()
    case.head.zero_grad()
    terms = distil_logits(case.hidden, case.head, case.targets, None, LogitDistillation(chunk=2))
    sum_of(terms.values()).backward()
    torch.testing.assert_close(case.head.bias.grad, wanted)


def test_without_a_teacher_it_is_the_cross_entropy() -> None:
    case = make_case()
    config = LogitDistillation(alpha=0.1, chunk=3)
    terms = distil_logits(case.hidden, case.head, case.targets, None, config)
    assert list(terms) == ["cross_entropy"]
    assert weighted(terms, config) == terms
    assert float(terms["cross_entropy"].detach()) == pytest.approx(reference(case, config)[0], rel=1e-5)


def test_without_gradient_the_value_is_the_same() -> None:
    case, config = make_case(), LogitDistillation()
    with torch.no_grad():
        terms = distil_logits(case.hidden, case.head, case.targets, case.teacher, config)
    assert not terms["divergence"].requires_grad
    assert float(terms["divergence"]) == pytest.approx(reference(case, config)[1], rel=1e-5)


def test_under_autocast_losses_are_still_of_float32() -> None:
    case, config = make_case(), LogitDistillation(chunk=3)
    entropy, divergence, by_hidden, _ = reference(case, config)
    with torch.autocast("cpu", torch.bfloat16):
        terms = distil_logits(case.hidden, case.head, case.targets, case.teacher, config)
    sum_of(weighted(terms, config).values()).backward()
    assert terms["cross_entropy"].dtype == terms["divergence"].dtype == torch.float32
    assert float(terms["cross_entropy"].detach()) == pytest.approx(entropy, rel=1e-2)
    assert float(terms["divergence"].detach()) == pytest.approx(divergence, rel=1e-2)
    assert case.hidden.grad is not None
    assert (case.hidden.grad - by_hidden).abs().max() <= 1e-2 * by_hidden.abs().max()


def test_a_one_token_answer_is_predicted_at_the_last_token_of_the_prompt() -> None:
    prompt, answer, padding = [11, 12, 13], [5], [0, 0]
    labels = torch.tensor([[-100] * len(prompt) + answer + [-100] * len(padding)])
    rows, positions, targets = supervised_positions(labels)
    assert (rows.tolist(), positions.tolist(), targets.tolist()) == ([0], [len(prompt) - 1], answer)


@given(st.lists(st.lists(st.sampled_from([-100, 0, 7, 9]), min_size=6, max_size=6), min_size=1, max_size=5))
@settings(deadline=None)
def test_positions_and_targets_are_those_of_a_search(labels: list[list[int]]) -> None:
    wanted = [
        (row, token - 1, label)
        for row, line in enumerate(labels)
        for token, label in enumerate(line)
        if label != -100 and token > 0
    ]
    found = supervised_positions(torch.tensor(labels))
    assert list(zip(*(tensor.tolist() for tensor in found), strict=True)) == wanted


def test_a_padded_batch_equals_its_samples_one_by_one() -> None:
    generator = torch.Generator().manual_seed(3)
    case = make_case(dtype=torch.float64)
    config = LogitDistillation(chunk=4)
    lengths, answers = (5, 9, 7), (1, 4, 2)
    hidden = torch.randn(3, 9, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    teacher_hidden = torch.randn(3, 9, 8, generator=generator, dtype=torch.float64)
    labels = torch.full((3, 9), -100)
    for row, (length, answer) in enumerate(zip(lengths, answers, strict=True)):
        labels[row, length - answer : length] = torch.arange(answer) + row

    def loss(hidden: Tensor, teacher_hidden: Tensor, labels: Tensor) -> Tensor:
        rows, positions, targets = supervised_positions(labels)
        teacher = TeacherLogits(teacher_hidden[rows, positions], case.teacher.head)
        terms = distil_logits(hidden[rows, positions], case.head, targets, teacher, config)
        return sum_of(weighted(terms, config).values())

    whole = loss(hidden, teacher_hidden, labels)
    parts = [
        loss(
            hidden[row : row + 1, :length],
            teacher_hidden[row : row + 1, :length],
            labels[row : row + 1, :length],
        )
        for row, length in enumerate(lengths)
    ]
    together = sum_of(part * answer for part, answer in zip(parts, answers, strict=True)) / sum(answers)
    torch.testing.assert_close(whole, together)
    (wanted,) = torch.autograd.grad(together, hidden)
    (found,) = torch.autograd.grad(whole, hidden)
    torch.testing.assert_close(found, wanted)
    assert not found[0, 5:].any()


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("k", [None, 3, 23])
@pytest.mark.parametrize("scale", [1e3, 1e4])
def test_extreme_logits_stay_finite(divergence: Divergence, k: int | None, scale: float) -> None:
    case = make_case()
    with torch.no_grad():
        case.head.weight *= scale
        case.teacher_head.weight *= scale
    signal = case.teacher if k is None else top_k_logits(case.teacher.head(case.teacher.hidden), k, 0.5)
    config = LogitDistillation(temperature=0.5, divergence=divergence)
    terms = distil_logits(case.hidden, case.head, case.targets, signal, config)
    sum_of(weighted(terms, config).values()).backward()
    for tensor in (*terms.values(), case.hidden.grad, case.head.weight.grad):
        assert tensor is not None and tensor.isfinite().all()
    assert terms["divergence"] > 0


def test_tokens_the_teacher_rules_out_count_nothing() -> None:
    case = make_case(dtype=torch.float64)
    head = nn.Linear(8, 23, dtype=torch.float64)
    with torch.no_grad():
        head.weight.copy_(case.teacher_head.weight)
        head.bias.zero_()
        head.bias[-4:] = -math.inf
    found = distil_logits(
        case.hidden, case.head, case.targets, TeacherLogits(case.teacher.hidden, head), LogitDistillation()
    )
    p = torch.softmax(case.teacher.head(case.teacher.hidden)[:, :-4] / 2, -1)
    q = torch.softmax(case.head(case.hidden) / 2, -1)[:, :-4]
    torch.testing.assert_close(found["divergence"], (p * (p / q).log()).sum(-1).mean())


@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_remaining_mass_leaves_the_teacher_as_the_best_student(divergence: Divergence, k: int) -> None:
    teacher = make_case(dtype=torch.float64).teacher
    logits = teacher.head(teacher.hidden).detach()
    student = logits.clone().requires_grad_()
    cached = top_k_logits(logits, k, 1.0)
    loss = divergence_named(divergence)(*cached.compare(student, 1.0)).sum()
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-12)
    assert student.grad.abs().max() < 1e-12

    # Without it, every other token is pushed down although the student is right.
    student.grad = None
    known = torch.log_softmax(cached.values, -1), log_probabilities(student).gather(-1, cached.indices)
    divergence_named(divergence)(*known).sum().backward()
    assert student.grad.abs().max() > 1e-3


@given(st.integers(1, 23), st.sampled_from(DIVERGENCES), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_cached_logits_never_tell_of_more_than_the_full_ones(
    k: int, divergence: Divergence, seed: int
) -> None:
    case, config = make_case(dtype=torch.float64, seed=seed), LogitDistillation(divergence=divergence)
    full = distil_logits(case.hidden, case.head, case.targets, case.teacher, config)["divergence"]
    cached = top_k_logits(case.teacher.head(case.teacher.hidden), k, config.temperature)
    found = distil_logits(case.hidden, case.head, case.targets, cached, config)["divergence"]
    assert -1e-12 < float(found.detach()) < float(full.detach()) + 1e-12


def test_a_tiny_remaining_mass_is_not_lost_to_rounding() -> None:
    logits = torch.tensor([[0.0, -30.0, -30.0, -40.0]])
    cached = top_k_logits(logits, 1, 1.0)
    assert float(cached.tail) == pytest.approx(math.log(2 * math.exp(-30) + math.exp(-40)), rel=1e-6)


def test_cached_logits_in_half_precision_are_close() -> None:
    case, config = make_case(), LogitDistillation()
    cached = top_k_logits(case.teacher.head(case.teacher.hidden), 8, config.temperature)
    stored = replace(cached, values=cached.values.half(), tail=cached.tail.half())
    found = [
        distil_logits(case.hidden, case.head, case.targets, signal, config)["divergence"].item()
        for signal in (cached, stored)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-2)


@given(st.floats(0.01, 0.99), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_the_generalised_jsd_is_bounded_and_symmetric_in_its_sides(beta: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    p, q = (5 * torch.randn(2, 4, 9, generator=generator, dtype=torch.float64)).log_softmax(-1)
    found = generalised_jsd(p, q, beta)
    assert (found >= 0).all()
    assert (found <= -beta * math.log(beta) - (1 - beta) * math.log(1 - beta)).all()
    torch.testing.assert_close(found, generalised_jsd(q, p, 1 - beta))


def test_the_generalised_jsd_leads_from_one_kl_to_the_other() -> None:
    p, q = torch.randn(2, 4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).log_softmax(
        -1
    )
    torch.testing.assert_close(generalised_jsd(p, q, 1e-6) / 1e-6, forward_kl(p, q), rtol=1e-4, atol=0)
    torch.testing.assert_close(generalised_jsd(p, q, 1 - 1e-6) / 1e-6, reverse_kl(p, q), rtol=1e-4, atol=0)


def test_a_real_language_model_has_this_loss() -> None:
    """Gemma 2: soft-capped logits and a head that is tied to the embedding."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    settings_of_tiny_model = Gemma2Config(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        final_logit_softcapping=0.5,
        pad_token_id=0,
    )
    model = Gemma2ForCausalLM(settings_of_tiny_model)
    tokens = torch.randint(1, 50, (2, 9))
    labels = tokens.clone()
    labels[0, :8], labels[1, :4], labels[1, 7:] = -100, -100, -100
    wanted = model(input_ids=tokens, labels=labels).loss
    by_embedding = torch.autograd.grad(wanted, model.lm_head.weight)[0]

    hidden = model.model(input_ids=tokens).last_hidden_state
    rows, positions, targets = supervised_positions(labels)
    found = distil_logits(
        hidden[rows, positions],
        model.lm_head,
        targets,
        None,
        LogitDistillation(chunk=2),
        student_softcap=settings_of_tiny_model.final_logit_softcapping,
    )["cross_entropy"]
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found, model.lm_head.weight)[0], by_embedding)


@pytest.mark.parametrize(
    ("setting", "value"), [("alpha", 1.5), ("temperature", 0.0), ("beta", 0.0), ("beta", 1.0), ("chunk", 0)]
)
def test_a_setting_out_of_range_is_named(setting: str, value: float) -> None:
    chosen: dict[str, Any] = {setting: value}
    with pytest.raises(LogitLossError, match=f"{setting} is {value}"):
        LogitDistillation(**chosen)


def test_a_batch_with_nothing_to_learn_is_refused() -> None:
    case = make_case()
    targets = supervised_positions(torch.full((2, 4), -100)).targets
    with pytest.raises(LogitLossError, match="Nothing is learnt in this batch"):
        distil_logits(case.hidden[:0], case.head, targets, None, LogitDistillation())


def test_a_teacher_of_other_positions_is_refused() -> None:
    case = make_case()
    with pytest.raises(LogitLossError, match="7 supervised positions, but its teacher speaks of 5"):
        distil_logits(case.hidden, case.head, case.targets, case.teacher[:5], LogitDistillation())


def test_a_cache_that_cannot_be_compared_is_refused() -> None:
    case, config = make_case(teacher_vocabulary=31), LogitDistillation(temperature=2.0)
    logits = case.teacher.head(case.teacher.hidden)
    for cached, message in (
        (top_k_logits(logits, 4, 2.0), "over 31 tokens, but the student has only 23"),
        (top_k_logits(logits[:, :23], 4, 1.0), "cached at temperature 1, but the loss compares at 2"),
    ):
        with pytest.raises(TeacherSignalError, match=message):
            distil_logits(case.hidden, case.head, case.targets, cached, config)
    plain = TopKLogits(
        *(getattr(top_k_logits(logits[:, :23], 4, 2.0), name) for name in ("values", "indices", "tail"))
    )
    assert distil_logits(case.hidden, case.head, case.targets, plain, config)["divergence"] > 0
