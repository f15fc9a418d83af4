"""The report's drawings, as SVG text that stands in the page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, MUTED, GRID = "#1f2733", "#6b7686", "#e4e8ee"
SERIES = ("#2f6fde", "#e0593e", "#2a9d74", "#a05bd0", "#d99a1c", "#1fa3b8", "#c2487f", "#7a8c28")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "smallspatial",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
}
EXPERT = re.compile(r"router/layer(\d+)/expert(\d+)")

VALIDATION_LOSS = "val/loss"
NO_SCORES = (VALIDATION_LOSS, "val/unreadable")
"""Figures of a validation that are no percentages."""

Curve = tuple[list[int], list[float]]
Table = Sequence[dict[str, str]]


def curve(table: Table, column: str) -> Curve:
    """Steps and values of one column of metrics.csv, without the rows that lack it."""
    points = [(int(row["step"]), float(row[column])) for row in table if row.get(column)]
    return [step for step, _ in points], [value for _, value in points]


def learning_curves(table: Table) -> str | None:
    """Loss terms on the left, validation scores on the right; None where nothing was logged."""
    columns = list(table[0]) if table else []
    losses = [name for name in columns if name.startswith("train/") and curve(table, name)[0]]
    losses += [name for name in columns if name == VALIDATION_LOSS]
    scores = [name for name in columns if name.startswith("val/") and name not in NO_SCORES]
    panels = [part for part in (losses, scores) if part]
    if not panels:
        return None
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 3.1), squeeze=False)
        for axis, names in zip(axes[0], panels, strict=True):
            total = f"{names[0].partition('/')[0]}/{'loss' if names is losses else 'score'}"
            _draw(axis, [(_label(name), curve(table, name), name == total) for name in names])
            axis.set_title("Loss" if names is losses else "Validation score")
            if names is losses and all(value > 0 for name in names for value in curve(table, name)[1]):
                axis.set_yscale("log")
            if names is scores:
                axis.set_ylim(0, 100)
        return _svg(figure)


def _label(name: str) -> str:
    return "validation" if name == VALIDATION_LOSS else name.partition("/")[2]


def router_curves(table: Table) -> str | None:
    """Each expert's share of the tokens, layer by layer, with the router's entropy below."""
    columns = list(table[0]) if table else []
    layers: dict[int, list[str]] = {}
    for name in sorted(columns):
        if match := EXPERT.fullmatch(name):
            layers.setdefault(int(match[1]), []).append(name)
    if not layers:
        return None
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2,
            len(layers),
            figsize=(min(10.4, 5.2 * len(layers)), 4.2),
            squeeze=False,
            sharex=True,
            gridspec_kw={"height_ratios": (2, 1)},
        )
        for column, (layer, names) in enumerate(sorted(layers.items())):
            shares, entropy = axes[:, column]
            steps = curve(table, names[0])[0]
            shares.stackplot(
                steps,
                [curve(table, name)[1] for name in names],
                colors=[SERIES[index % len(SERIES)] for index in range(len(names))],
                labels=[f"expert {index}" for index in range(len(names))],
                alpha=0.85,
                linewidth=0,
            )
            shares.set_title(f"Layer {layer}: share of each expert")
            shares.set_ylim(0, None)
            if len(names) <= len(SERIES):
                shares.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
            _draw(entropy, [("entropy", curve(table, f"router/layer{layer}/entropy"), True)])
            entropy.set_ylim(0, None)
            entropy.set_ylabel("entropy")
            if legend := entropy.get_legend():
                legend.remove()
        return _svg(figure)


def score_strip(results: dict[str, Any], width: int = 560) -> str | None:
    """A line from 0 to 100 with the score, its interval, and the baselines; None for any other number."""
    if "metric" in results:
        return None
    baselines = sorted(results["baselines"].items(), key=lambda item: item[1]["score"])
    # Each name has a line of its own, the leftmost the highest: no name lies on another, nor on its mark.
    above = 16 * max(len(baselines) - 1, 1)
    left, right, y = 14, width - 14, 30 + above

    def x(score: float) -> float:
        return left + (right - left) * score / 100

    parts = [
        f'<svg class="strip" viewBox="0 0 {width} {y + 46}" role="img" aria-label="score and baselines">',
        f'<rect x="{left}" y="{y - 3}" width="{right - left}" height="6" rx="3" fill="{GRID}"/>',
    ]
    for tick in range(0, 101, 25):
        parts.append(f'<text x="{x(tick):.1f}" y="{y + 24}" class="tick">{tick}</text>')
    for index, (name, baseline) in enumerate(baselines):
        at, height = x(baseline["score"]), 14 + above - 16 * index
        anchor = "start" if baseline["score"] < 70 else "end"
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y + 8}" y2="{y - height}" stroke="{MUTED}"/>'
            f'<text x="{at + (4 if anchor == "start" else -4):.1f}" y="{y - height + 7}" class="name" '
            f'text-anchor="{anchor}">{name} {baseline["score"]:.1f}</text>'
        )
    low, high = results["interval"] or (results["score"], results["score"])
    parts.append(
        f'<rect x="{x(low):.1f}" y="{y - 7}" width="{max(2.0, x(high) - x(low)):.1f}" height="14" rx="7" '
        f'fill="{SERIES[0]}" opacity="0.3"/>'
        f'<circle cx="{x(results["score"]):.1f}" cy="{y}" r="7" fill="{SERIES[0]}"/></svg>'
    )
    return "".join(parts)


def _draw(axis: Axes, curves: Iterable[tuple[str, Curve, bool]]) -> None:
    for index, (label, (steps, values), strong) in enumerate(curves):
        axis.plot(
            steps,
            values,
            label=label,
            color=INK if strong else SERIES[index % len(SERIES)],
            linewidth=2.0 if strong else 1.3,
            marker="o" if len(steps) < 3 else None,
            markersize=4,
        )
    axis.set_xlabel("step")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)


def _svg(figure: Figure) -> str:
    figure.tight_layout()
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]
