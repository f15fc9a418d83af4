"""`latency/latency.html`: what an answer of a run costs, on one page without anything outside of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from experiments.latency.measuring import OVER_THE_SET
from experiments.latency.stages import END_TO_END
from experiments.latency.table import TITLES, between, counted, milliseconds
from experiments.report.charts import MUTED, SERIES
from experiments.report.templates import rendered
from experiments.run_folders.run_folder import write_whole

TEMPLATE = Path(__file__).with_name("latency.html.jinja")

WIDTH_PX, BAR_PX, ROOM_FOR_NAME_PX = 1000, 34, 90


def write_page(folder: Path, result: Mapping[str, Any]) -> Path:
    """Write the page of what `measure` has returned."""
    page = folder / "latency.html"
    content = {
        **result,
        "figures": {name: title.format(n=result[name]["n"]) for name, title in TITLES.items()},
        "shown": result[OVER_THE_SET]["rows"][END_TO_END],
        "bars": {name: Markup(stacked_bar(result, name)) for name in TITLES},
        "colours": colours(result),
        "end_to_end": END_TO_END,
    }
    filters = {"milliseconds": milliseconds, "between": between, "counted": counted}
    write_whole(page, rendered(TEMPLATE, filters, content))
    return page


def colours(result: Mapping[str, Any]) -> dict[str, str]:
    """The colour of each stage."""
    return dict(zip(result["stages"], SERIES, strict=False))


def stacked_bar(result: Mapping[str, Any], name: str) -> str:
    """The means of the stages side by side, which add up to the mean from end to end, as SVG."""
    rows = result[name]["rows"]
    total = rows[END_TO_END]["mean"]
    parts = [
        f'<svg viewBox="0 0 {WIDTH_PX} {BAR_PX + 24}" role="img" aria-label="mean time of each stage">',
    ]
    x = 0.0
    for stage, colour in colours(result).items():
        seconds = rows[stage]["mean"]
        width = WIDTH_PX * seconds / total
        said = f"{stage} {milliseconds(seconds)} ms, {100 * seconds / total:.0f} %"
        parts.append(
            f'<rect x="{x:.1f}" y="0" width="{width:.1f}" height="{BAR_PX}" fill="{colour}">'
            f"<title>{escape(said)}</title></rect>"
        )
        if width >= ROOM_FOR_NAME_PX:
            parts.append(f'<text x="{x + 8:.1f}" y="{BAR_PX / 2 + 5:.0f}" fill="#fff">{escape(stage)}</text>')
        x += width
    parts.append(
        f'<text x="{WIDTH_PX}" y="{BAR_PX + 18}" text-anchor="end" fill="{MUTED}">'
        f"{milliseconds(total)} ms on average</text>"
    )
    return "".join([*parts, "</svg>"])
