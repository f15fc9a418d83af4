"""From single timings to the figures that are read: means, p50 and p95 of every stage, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datamodules.statistics.quantile_intervals import fewest_for_upper_bound, quantile_of
from experiments.latency.measuring import Timings
from experiments.latency.stages import END_TO_END

FEWEST_FOR_P95 = 60
"""Of fewer timings no p95 is given."""

Figure = dict[str, Any]
"""One of the figures in plain values, see `measured`."""


def figure(timings: Timings) -> Figure:
    """What is said of the timings of one figure.

    Args:
        timings: at least one.
    """
    answers = timings.timings
    stages = list(answers[0].seconds)
    rows = {stage: row([answer.seconds[stage] for answer in answers]) for stage in stages}
    rows[END_TO_END] = row([answer.end_to_end for answer in answers])
    return {
        "n": len(answers),
        "warm_up_runs": timings.warm_up_runs,
        "rows": rows,
        "p95_refused": refused(len(answers)),
        **_tokens(timings),
        "timings": [
            {"question": answer.question, **answer.seconds, END_TO_END: answer.end_to_end}
            for answer in answers
        ],
    }


def row(seconds: Sequence[float]) -> dict[str, Any]:
    """Mean, p50 and p95 of the times of a stage, in seconds, with 95 % intervals.

    An interval is None where there are too few times for one, and so is the p95 of fewer than 60.
    """
    p50 = quantile_of(seconds, 0.5)
    p95 = None if refused(len(seconds)) else quantile_of(seconds, 0.95)
    return {
        "mean": sum(seconds) / len(seconds),
        "p50": p50.value,
        "p50_interval": p50.interval,
        "p95": None if p95 is None else p95.value,
        "p95_interval": None if p95 is None else p95.interval,
    }


def refused(n: int) -> str | None:
    """Why no p95 of so many timings is given; None where one is."""
    if n >= FEWEST_FOR_P95:
        return None
    return (
        f"There is no p95 of {n} timings: with fewer than {fewest_for_upper_bound(0.95)} even the largest of "
        f"them does not lie above it with 95 % confidence. Ask at least {FEWEST_FOR_P95} questions."
    )


def _tokens(timings: Timings) -> Figure:
    """How many tokens the questions take and the answers have, and how many solved examples there were."""
    answers = timings.timings
    prompts = [answer.tokens_in for answer in answers if answer.tokens_in is not None]
    written = [answer.tokens_out for answer in answers if answer.tokens_out is not None]
    total = sum(prompt.total for prompt in prompts)
    return {
        "tokens_in": _range([prompt.total for prompt in prompts]),
        "image_tokens": _range([prompt.image for prompt in prompts]),
        "image_share": sum(prompt.image for prompt in prompts) / total if total else None,
        "tokens_out": _range(written),
        "examples": _range([answer.examples for answer in answers]),
    }


def _range(counts: Sequence[int]) -> Figure | None:
    """Mean, least and most of some counts; None where there are none."""
    if not counts:
        return None
    return {"mean": sum(counts) / len(counts), "least": min(counts), "most": max(counts)}
