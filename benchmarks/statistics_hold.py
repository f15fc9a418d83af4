"""Whether intervals and tests hold what they say, by simulation with the sizes of real benchmarks.

python -m benchmarks.statistics_hold [--repeats 10000] [--only OmniSpatial]

Pictures differ in how hard they are, for both systems alike and for each by itself, so that questions about
one rise and fall together. Drawn anew each time: how often the 95 % interval of an accuracy (percentile
bootstrap over pictures) holds the true one; how often the test of pairs (sign flips of pictures, mid-p) finds
a difference where there is none; and how often it finds the one that is called detectable.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from scipy.special import expit

from benchmarks.measuring import write_result
from datamodules.statistics.intervals import score_with_intervals
from datamodules.statistics.paired import design_effect, sign_flip_test
from datamodules.statistics.power import detectable_difference

SIZES: dict[str, np.ndarray] = {
    "OmniSpatial": np.repeat([1, 2, 3], [1247, 134, 6]),
    "Track 3, test": np.repeat([1, 2], [10_711, 4_315]),
    "rendered warehouses": np.repeat([6, 7, 8], [109, 73, 118]),
    "CV-Bench": np.ones(2638, int),
    "100 questions": np.ones(100, int),
    "40 pictures of 5": np.full(40, 5),
    "10 pictures of 10": np.full(10, 10),
}
"""Questions of each picture. Those of OmniSpatial and of the rendered test (difficulty `real`, 300 scenes)
are counted; of Track 3's 19,341 questions about 15,026 pictures the sums are known; CV-Bench's are taken as
about a picture each. Three more are too small on purpose."""

SHARED, OWN = 0.8, 0.6
"""Standard deviations, in logits, of how hard a picture is for both systems, and for each by itself."""

RESAMPLES = 1000
"""Of the bootstrap: half as many as for a report, for time."""


def rates(base: float) -> tuple[float, float]:
    """The true accuracy of a system with this logit, and its share of questions that tell two of it apart."""
    random = np.random.default_rng(1)
    shared = random.normal(0, SHARED, 400_000)
    first, second = (expit(base + shared + random.normal(0, OWN, len(shared))) for _ in range(2))
    return float(first.mean()), float((first * (1 - second) + second * (1 - first)).mean())


def simulate(sizes: np.ndarray, repeats: int, gain: float) -> dict[str, float]:
    """Shares of the repeats: the interval holds the truth, and the test finds a difference.

    Args:
        sizes: questions of each picture.
        repeats: how often everything is drawn anew.
        gain: by how much B's logit is above A's.
    """
    random, image = np.random.default_rng(2), np.repeat(np.arange(len(sizes)), sizes)
    truth, _ = rates(0.0)
    held = found = 0
    effects = []
    for repeat in range(repeats):
        shared = random.normal(0, SHARED, len(sizes))
        a, b = (
            random.random(len(image)) < expit(add + shared + random.normal(0, OWN, len(sizes)))[image]
            for add in (0.0, gain)
        )
        found += sign_flip_test(a, b, image) < 0.05
        effects.append(design_effect(a, b, image))
        if not gain:
            score, _ = score_with_intervals(
                a, np.zeros(len(a), int), image, 1, resamples=RESAMPLES, seed=repeat
            )
            held += score.interval[0] <= 100 * truth <= score.interval[1]
    return {"held": held / repeats, "found": found / repeats, "effect": float(np.mean(effects))}


def detectable_gain(sizes: np.ndarray, effect: float) -> tuple[float, float]:
    """The detectable difference in points with its design effect, and the gain in logits that makes it."""
    accuracy, discordance = rates(0.0)
    points = detectable_difference(int(sizes.sum()), discordance, effect)
    if not math.isfinite(points) or accuracy + points / 100 > 0.95:
        return math.inf, math.inf
    low, high = 0.0, 4.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if 100 * (rates(middle)[0] - accuracy) < points else (low, middle)
    return points, high


def main() -> None:
    """Print and write one row a benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--only", choices=sorted(SIZES))
    options = parser.parse_args()
    rows = {}
    for name, sizes in SIZES.items():
        if options.only in (None, name):
            alike = simulate(sizes, options.repeats, 0.0)
            points, gain = detectable_gain(sizes, alike["effect"])
            rows[name] = {
                "questions": int(sizes.sum()),
                "pictures": len(sizes),
                "interval_holds": alike["held"],
                "found_without_difference": alike["found"],
                "design_effect": alike["effect"],
                "detectable_points": points,
                "found_where_detectable": None
                if math.isinf(gain)
                else simulate(sizes, options.repeats, gain)["found"],
            }
            print(name, rows[name], flush=True)
    write_result("statistics_hold", {"repeats": options.repeats, "rows": rows})


if __name__ == "__main__":
    main()
