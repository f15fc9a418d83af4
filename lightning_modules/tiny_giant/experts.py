"""Mixture of experts: a router conditioned on the question sends each token to a few small networks.

The load-balancing loss is that of Switch Transformers (Fedus et al. 2021, eq. 4), for top-k routing; the
router z-loss is that of ST-MoE (Zoph et al. 2022, eq. 5).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class Routing:
    """What a router did with one batch.

    Attributes:
        balance: load-balancing loss; 1 where all experts get an equal share.
        z: router z-loss.
        counts: how many choices went to each expert, `[experts]`.
        entropy: mean entropy of a token's probabilities over the logarithm of the number of experts: 1 for
            an undecided router, 0 for one that is always certain; without gradient.
    """

    balance: Tensor
    z: Tensor
    counts: Tensor
    entropy: Tensor

    @property
    def load(self) -> Tensor:
        """Share of the choices that went to each expert, `[experts]`, without gradient."""
        return self.counts / self.counts.sum().clamp(min=1)


class Router(nn.Module):
    """Chooses experts for a token from the token itself and from the question it belongs to.

    Args:
        width: size of a token.
        experts: how many experts there are.
        top_k: how many of them a token is sent to.
    """

    def __init__(self, width: int, experts: int, top_k: int) -> None:
        super().__init__()
        self.top_k = top_k
        self.token = nn.Linear(width, experts, bias=False)
        self.question = nn.Linear(width, experts, bias=False)

    def forward(self, tokens: Tensor, questions: Tensor) -> tuple[Tensor, Tensor, Routing]:
        """Weights and experts of each token, and what the router did.

        Args:
            tokens: `[tokens, width]`.
            questions: summary of each token's question, `[tokens, width]`.

        Returns:
            weights `[tokens, top_k]` that sum to 1, expert numbers `[tokens, top_k]`, and the `Routing`.
        """
        # float32: under bf16 the probabilities of close experts would round to the same value.
        logits = (self.token(tokens) + self.question(questions)).float()
        probabilities = logits.softmax(dim=-1)
        weights, chosen = probabilities.topk(self.top_k, dim=-1)
        weights = weights / weights.sum(-1, keepdim=True)
        experts = logits.shape[-1]
        # `bincount` would wait for the device.
        counts = (chosen[..., None] == torch.arange(experts, device=chosen.device)).sum((0, 1))
        load = counts / max(chosen.numel(), 1)
        balance = experts * (load * probabilities.mean(0)).sum()
        z = torch.logsumexp(logits, dim=-1).square().mean()
        entropy = -(probabilities * probabilities.clamp(min=1e-9).log()).sum(-1).mean()
        routing = Routing(balance, z, counts, (entropy / torch.log(torch.tensor(float(experts)))).detach())
        return weights, chosen, routing


class Experts(nn.Module):
    """Several feed-forward networks of one shape, of which each token passes through a few.

    Args:
        width: size of a token.
        hidden: inner size of one expert.
        experts: how many there are.
        top_k: how many a token passes through.
    """

    def __init__(self, width: int, hidden: int, experts: int, top_k: int) -> None:
        super().__init__()
        self.router = Router(width, experts, top_k)
        self.up = nn.Parameter(torch.empty(experts, width, hidden))
        self.up_bias = nn.Parameter(torch.zeros(experts, hidden))
        self.down = nn.Parameter(torch.empty(experts, hidden, width))
        self.down_bias = nn.Parameter(torch.zeros(experts, width))
        nn.init.normal_(self.up, std=width**-0.5)
        nn.init.normal_(self.down, std=hidden**-0.5)

    def forward(self, tokens: Tensor, questions: Tensor) -> tuple[Tensor, Routing]:
        """Send tokens `[tokens, width]` through their experts.

        Args:
            tokens: `[tokens, width]`.
            questions: summary of each token's question, `[tokens, width]`.
        """
        weights, chosen, routing = self.router(tokens, questions)
        weights = weights.to(tokens.dtype)
        # Sorted by expert, each expert's tokens stand together: one matrix product an expert.
        order = chosen.flatten().argsort(stable=True)
        owner = order // chosen.shape[1]
        gathered = tokens[owner].split(routing.counts.tolist())
        # Taken apart at once, since the gradient of an expert taken by its number fills a tensor of all.
        weights_of_experts = [each.unbind() for each in (self.up, self.up_bias, self.down, self.down_bias)]
        # An expert without tokens still takes part (with an empty product), so that DDP finds its gradient.
        made = torch.cat(
            [
                torch.addmm(down_bias, nn.functional.gelu(torch.addmm(up_bias, part, up)), down)
                for part, up, up_bias, down, down_bias in zip(gathered, *weights_of_experts, strict=True)
            ]
        )
        weighted = made * weights.flatten()[order, None]
        return torch.zeros_like(tokens).index_add(0, owner, weighted), routing


class DenseFeedForward(nn.Module):
    """The feed-forward network that stands where experts are switched off.

    Args:
        width: size of a token.
        hidden: inner size.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, tokens: Tensor, questions: Tensor) -> tuple[Tensor, None]:
        """Pass tokens `[tokens, width]` through the network; the question plays no part."""
        return self.layers(tokens), None
