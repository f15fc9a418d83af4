"""The report's curves: which figures of the table they show, and how they are named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from experiments.report import charts
from experiments.report.charts import curve, learning_curves, router_curves, score_strip

TABLE = [
    {"step": "0", "train/loss": "4.0", "train/word": "3.0", "val/score": "", "lr-AdamW": "0.1"},
    {"step": "3", "train/loss": "2.0", "train/word": "1.5", "val/score": "", "lr-AdamW": "0.1"},
    {
        **{"step": "3", "train/loss": "", "val/score": "40.0", "val/count": "30.0", "val/loss": "2.5"},
        **{"val/unreadable": "7.0"},
    },
    {
        **{"step": "8", "train/loss": "1.0", "val/score": "55.5", "val/count": "60.0", "val/loss": "1.25"},
        **{"val/unreadable": "0.0"},
    },
]


def table(*rows: dict[str, str]) -> list[dict[str, str]]:
    """Rows as a CSV has them, each with all columns."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name, "") for name in names} for row in rows]


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Axes]]:
    """The axes of what was drawn, instead of its text."""
    drawn: list[Axes] = []

    def keep(figure: Any) -> str:
        drawn.extend(figure.axes)
        return "drawn"

    monkeypatch.setattr(charts, "_svg", keep)
    yield drawn
    plt.close("all")


def lines_of(axis: Axes) -> dict[str, tuple[list[float], list[float]]]:
    return {
        str(line.get_label()): (
            np.asarray(line.get_xdata()).tolist(),
            np.asarray(line.get_ydata()).tolist(),
        )
        for line in axis.get_lines()
    }


def strong(axis: Axes) -> list[str]:
    """The curves that stand out."""
    return [str(line.get_label()) for line in axis.get_lines() if line.get_color() == charts.INK]


def test_a_curve_is_a_column_without_its_gaps() -> None:
    assert curve(TABLE, "train/loss") == ([0, 3, 8], [4.0, 2.0, 1.0])
    assert curve(TABLE, "val/score") == ([3, 8], [40.0, 55.5])
    assert curve(TABLE, "absent") == ([], [])


def test_losses_stand_on_the_left_and_scores_on_the_right(axes: list[Axes]) -> None:
    assert learning_curves(table(*TABLE)) == "drawn"
    losses, scores = axes
    assert lines_of(losses) == {
        "loss": ([0, 3, 8], [4.0, 2.0, 1.0]),
        "word": ([0, 3], [3.0, 1.5]),
        "validation": ([3, 8], [2.5, 1.25]),
    }
    assert lines_of(scores) == {"score": ([3, 8], [40.0, 55.5]), "count": ([3, 8], [30.0, 60.0])}
    assert [axis.get_title(loc="left") for axis in axes] == ["Loss", "Validation score"]
    assert [axis.get_xlabel() for axis in axes] == ["step", "step"]
    assert (losses.get_yscale(), scores.get_yscale()) == ("log", "linear")
    assert scores.get_ylim() == (0, 100)
    assert (strong(losses), strong(scores)) == (["loss"], ["score"])
    for axis in axes:
        legend = axis.get_legend()
        assert legend and [text.get_text() for text in legend.get_texts()] == list(lines_of(axis))


def test_a_loss_that_is_not_above_0_has_a_plain_axis(axes: list[Axes]) -> None:
    learning_curves(table({"step": "0", "train/loss": "1.0"}, {"step": "1", "train/loss": "0.0"}))
    (losses,) = axes
    assert losses.get_yscale() == "linear"
    assert lines_of(losses) == {"loss": ([0, 1], [1.0, 0.0])}


def test_where_nothing_was_logged_nothing_is_drawn(axes: list[Axes]) -> None:
    assert learning_curves([]) is None and router_curves([]) is None
    assert learning_curves(table({"step": "0", "lr-AdamW": "0.1", "val/unreadable": "3"})) is None
    assert router_curves(TABLE) is None
    assert axes == []


def test_each_experts_share_is_stacked_layer_by_layer(axes: list[Axes]) -> None:
    shares = {"0/expert0": (0.25, 0.5), "0/expert1": (0.75, 0.5), "2/expert0": (0.9, 0.8)}
    shares |= {"2/expert1": (0.1, 0.2)}
    entropies = {0: (0.5, 0.7), 2: (0.3, 0.4)}
    rows = [
        {"step": str(step)}
        | {f"router/layer{name}": str(share[place]) for name, share in shares.items()}
        | {f"router/layer{layer}/entropy": str(each[place]) for layer, each in entropies.items()}
        for place, step in enumerate((1, 6))
    ]
    assert router_curves(table(*rows)) == "drawn"
    upper, lower = axes[:2], axes[2:]
    for axis, below, layer in zip(upper, lower, (0, 2), strict=True):
        assert axis.get_title(loc="left") == f"Layer {layer}: share of each expert"
        tops = [
            [max(path[path[:, 0] == step, 1]) for step in (1, 6)]
            for collection in axis.collections
            for path in [np.asarray(collection.get_paths()[0].vertices)]
        ]
        first = shares[f"{layer}/expert0"]
        assert np.allclose(tops, [first, [1, 1]])
        legend = axis.get_legend()
        assert legend and [text.get_text() for text in legend.get_texts()] == ["expert 0", "expert 1"]
        assert lines_of(below) == {"entropy": ([1, 6], list(entropies[layer]))}
        assert (axis.get_ylim()[0], below.get_ylim()[0], below.get_ylabel()) == (0, 0, "entropy")


def test_names_of_near_baselines_do_not_lie_on_each_other() -> None:
    scores = {"majority": 30.7, "words": 32.1, "blind": 32.7}
    baselines = {name: {"score": score} for name, score in scores.items()}
    strip = score_strip({"score": 94.9, "interval": None, "baselines": baselines})
    assert strip is not None
    heights = [float(y) for y in re.findall(r'y="([\d.]+)" class="name"', strip)]
    assert len(heights) == 3 and all(below - above >= 16 for above, below in pairwise(heights))
    marks = [float(y) for y in re.findall(r'y2="([\d.]+)"', strip)]
    assert marks == sorted(marks), "a mark further right ends below the names further left"
    assert min(heights) > 8


def test_the_strip_of_a_score_without_interval_and_of_no_percentage() -> None:
    results = {"score": 80.0, "interval": None, "baselines": {"high": {"score": 75.0}, "low": {"score": 5.0}}}
    strip = score_strip(results, width=1028)
    assert strip is not None
    assert '<circle cx="814.0"' in strip  # 14 + 1000 * 0.8
    assert '<rect x="814.0" y="39" width="2.0"' in strip
    low, high = strip.index("low 5.0"), strip.index("high 75.0")
    assert low < high
    assert 'x1="64.0" x2="64.0"' in strip and 'x1="764.0" x2="764.0"' in strip
    # A name stands where there is room for it.
    assert '<text x="68.0"' in strip and '<text x="760.0"' in strip
    assert strip.index('text-anchor="start"') < low < strip.index('text-anchor="end"') < high
    assert score_strip({**results, "metric": "test/accuracy"}) is None
