"""`audit/index.html`: the audits of a run on one page without anything outside of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from experiments.audits.passes import FAMILY, MARGIN, Expectation
from experiments.report.charts import GRID, INK, MUTED, SERIES
from experiments.report.templates import rendered
from experiments.run_folders.run_folder import write_whole

TEMPLATE = Path(__file__).with_name("audit.html.jinja")

EXPECTATIONS: tuple[Expectation, ...] = ("stays", "falls")
LINE_PX, LEFT_PX, WIDTH_PX = 24, 250, 1000
"""Height of a line of the drawing, the room for its names, and the drawing's width."""


def write_page(folder: Path, result: Mapping[str, Any]) -> Path:
    """Write the page of what `Auditing.audit` has returned."""
    page = folder / "index.html"
    drawings = {kind: Markup(drawing) for kind in EXPECTATIONS if (drawing := differences(result, kind))}
    content = {**result, "margin": MARGIN, "family": ", ".join(FAMILY), "drawings": drawings}
    write_whole(page, rendered(TEMPLATE, {"signed": signed, "between": between}, content))
    return page


def signed(value: float | None) -> str:
    """A difference with its sign, or a dash."""
    return "-" if value is None else f"{value:+.1f}"


def between(interval: list[float] | None, sign: bool = False) -> str:
    """An interval, or a dash."""
    if not interval:
        return "-"
    return " to ".join(f"{bound:+.1f}" if sign else f"{bound:.1f}" for bound in interval)


def differences(result: Mapping[str, Any], expects: Expectation) -> str | None:
    """Every pass of a kind as a line: the difference to the unchanged questions with its interval.

    Args:
        result: what `Auditing.audit` has returned.
        expects: the passes after which the score of a model that understands stays, or those after which it
            falls.

    Returns:
        None where there is no such pass.
    """
    audits = [audit for audit in result["audits"].values() if audit["expects"] == expects]
    rows = [row for audit in audits for row in audit["passes"].values()]
    if not rows:
        return None
    low = min(-2 * MARGIN, *(row["interval"][0] for row in rows))
    high = max(MARGIN, *(row["interval"][1] for row in rows))
    height = LINE_PX * len(rows) + 34

    def x(points: float) -> float:
        return LEFT_PX + (WIDTH_PX - LEFT_PX - 20) * (points - low) / (high - low)

    parts = [
        f'<svg viewBox="0 0 {WIDTH_PX} {height}" role="img" aria-label="difference of each pass in points">',
        f'<rect x="{x(-MARGIN):.1f}" y="0" width="{x(MARGIN) - x(-MARGIN):.1f}" height="{height - 30}" '
        f'fill="{GRID}" opacity="0.6"/>',
        f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="0" y2="{height - 30}" stroke="{MUTED}"/>',
    ]
    step = next(step for step in (1, 2, 5, 10, 20, 50) if (high - low) / step <= 12)
    for tick in range(math.ceil(low / step) * step, math.floor(high) + 1, step):
        parts.append(
            f'<text x="{x(tick):.1f}" y="{height - 10}" class="tick">{tick:+d}</text>'.replace("+0<", "0<")
        )
    for number, row in enumerate(rows):
        y = LINE_PX * number + 14
        (start, end), said = row["interval"], escape(row["said"])
        parts.append(
            f'<text x="{LEFT_PX - 14}" y="{y + 4}" text-anchor="end" fill="{INK}">{said}</text>'
            f'<line x1="{x(start):.1f}" x2="{x(end):.1f}" y1="{y}" y2="{y}" stroke="{SERIES[0]}" '
            f'stroke-width="6" stroke-linecap="round" opacity="0.35"/>'
            f'<circle cx="{x(row["difference"]):.1f}" cy="{y}" r="5" fill="{SERIES[0]}"/>'
        )
    return "".join([*parts, "</svg>"])
