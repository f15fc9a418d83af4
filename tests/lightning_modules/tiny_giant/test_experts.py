from __future__ import annotations

import pytest
import torch

from lightning_modules.tiny_giant.experts import Experts


@pytest.fixture
def experts() -> Experts:
    torch.manual_seed(0)
    return Experts(width=8, hidden=16, experts=5, top_k=2).double()


def test_the_same_token_goes_elsewhere_for_another_question(experts: Experts) -> None:
    token = torch.randn(1, 8).double().expand(50, 8)
    _, chosen, _ = experts.router(token, torch.randn(50, 8).double())
    assert len({tuple(sorted(row)) for row in chosen.tolist()}) > 1


def test_balance_is_one_for_equal_shares_and_rises_when_the_router_collapses(experts: Experts) -> None:
    with torch.no_grad():
        experts.router.question.weight.zero_()
        experts.router.token.weight.zero_()
        _, even = experts(torch.randn(100, 8).double(), torch.zeros(100, 8).double())
        assert even.entropy == pytest.approx(1.0, abs=1e-5)
        experts.router.question.weight[3] = 5.0
        _, collapsed = experts(torch.randn(100, 8).double(), torch.ones(100, 8).double())
    assert even.balance == pytest.approx(1.0, abs=1e-5)
    assert collapsed.balance > 2.0
    assert collapsed.entropy < 0.01
    assert collapsed.load[3] == pytest.approx(0.5)


def test_an_expert_without_tokens_still_gets_a_gradient(experts: Experts) -> None:
    with torch.no_grad():
        experts.router.question.weight[4] = -100.0
    made, routing = experts(torch.randn(6, 8).double(), torch.ones(6, 8).double())
    assert routing.load[4] == 0
    made.sum().backward()
    assert experts.up.grad is not None and not experts.up.grad[4].any()
