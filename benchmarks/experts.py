"""How long TinyGiant's mixture of experts takes beside a dense network of the same width per token.

python -m benchmarks.experts [--tokens 1400] [--device cpu]

Forward and backward of one layer of the published size: 16 experts of 880, two a token, against a dense
network of 1,760. The products are as many; what the mixture takes more is the router, the sorting, and the
gradients of eight times as many weights.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.measuring import write_result
from lightning_modules.tiny_giant.experts import DenseFeedForward, Experts

WIDTH, HIDDEN, EXPERTS, TOP_K = 384, 880, 16, 2
"""Of `warehouse/tinygiant_64m`."""


def seconds(layer: nn.Module, tokens: Tensor, questions: Tensor) -> float:
    """One step forward and back."""
    if tokens.is_cuda:
        torch.cuda.synchronize()
    began = time.perf_counter()
    layer.zero_grad()
    made, _ = layer(tokens, questions)
    made.sum().backward()
    if tokens.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def main() -> None:
    """Time both in turn, so that a busy machine slows both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=1400)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    inputs = [torch.randn(options.tokens, WIDTH, device=options.device) for _ in range(2)]
    layers = Experts(WIDTH, HIDDEN, EXPERTS, TOP_K), DenseFeedForward(WIDTH, TOP_K * HIDDEN)
    timed = [partial(seconds, layer.to(options.device), *inputs) for layer in layers]
    for once in timed * 5:
        once()
    pairs = [[once() for once in timed] for _ in range(options.repeats)]
    ours, other = zip(*pairs, strict=True)
    ratios = sorted(mixture / dense for mixture, dense in pairs)
    result = {
        "ours": statistics.median(ours) * 1e3,
        "other": statistics.median(other) * 1e3,
        "ratio": statistics.median(ratios),
        "spread": [ratios[len(ratios) // 10], ratios[-len(ratios) // 10]],
        "unit": "ms a layer, forward and back",
        "what": f"{options.tokens} tokens on {options.device}, {torch.get_num_threads()} threads: "
        f"{EXPERTS} experts of {HIDDEN}, {TOP_K} a token, against a dense network of {TOP_K * HIDDEN}",
    }
    write_result("experts", result)


if __name__ == "__main__":
    main()
