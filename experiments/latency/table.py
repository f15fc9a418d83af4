"""The figures as a table that can be read as it is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.latency.measuring import ONE_QUESTION, OVER_THE_SET

TITLES = {
    ONE_QUESTION: "The same question {n:,} times: how fast the machine is",
    OVER_THE_SET: "{n:,} different questions of the test: what users see",
}


def as_text(result: Mapping[str, Any]) -> str:
    """Both figures, in milliseconds, and what was read and written.

    Args:
        result: what `measure` has returned.
    """
    lines: list[str] = []
    for name, title in TITLES.items():
        figure = result[name]
        lines += [title.format(n=figure["n"]), "", *_table(figure["rows"]), ""]
        if figure["p95_refused"]:
            lines += [figure["p95_refused"], ""]
        lines += [said_of_tokens(figure), ""]
    machine = result["machine"]
    lines.append(
        f"{machine['device']} ({machine['accelerator']}), {machine['threads']} threads, precision "
        f"{machine['precision']}, peak memory {result['memory']['peak_gb']:.2f} GB ({result['memory']['of']})"
    )
    return "\n".join([*lines, *([result["busy"]] if result["busy"] else [])])


def said_of_tokens(figure: Mapping[str, Any]) -> str:
    """What was read and written a question, in a line."""
    share = figure["image_share"]
    images = "" if share is None else f" ({100 * share:.0f} % of images)"
    return (
        f"a question: tokens in {counted(figure['tokens_in'])}{images}, tokens out "
        f"{counted(figure['tokens_out'])}, solved examples {counted(figure['examples'])}; "
        f"{figure['warm_up_runs']} warm-up run{'' if figure['warm_up_runs'] == 1 else 's'} before"
    )


def counted(counts: Mapping[str, float] | None) -> str:
    """A count as its mean, with the least and the most where they differ; "not known" where it is not."""
    if counts is None:
        return "not known"
    if counts["least"] == counts["most"]:
        return f"{counts['least']:,}"
    return f"{counts['mean']:,.1f} ({counts['least']:,} to {counts['most']:,})"


def milliseconds(seconds: float | None) -> str:
    """A time in milliseconds, or a dash."""
    return "-" if seconds is None else f"{1000 * seconds:,.2f}"


def between(interval: Sequence[float] | None) -> str:
    """An interval in milliseconds, or a dash."""
    return "-" if interval is None else " to ".join(map(milliseconds, interval))


def _table(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    header = ["ms", "mean", "p50", "95 % interval", "p95", "95 % interval"]
    cells = [
        [
            name.replace("_", " "),
            *(milliseconds(row["mean"]), milliseconds(row["p50"]), between(row["p50_interval"])),
            *(milliseconds(row["p95"]), between(row["p95_interval"])),
        ]
        for name, row in rows.items()
    ]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [header, *cells]
    ]
