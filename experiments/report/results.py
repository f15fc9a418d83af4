"""`results.json`: what a run reached, in one form for every benchmark, and the same as a short page."""

from __future__ import annotations

import json
from typing import Any

from datamodules.files.text_files import read_json
from experiments.run_folders.run_folder import RunFolder, write_whole

Results = dict[str, Any]
"""What `OF_EVERY_RUN` names, and the metric's further scores.

`official` and `ours` are the scores by a benchmark's own code and by this project's rules, where there are
both; the `score` is one of them. `official_reason` says why the official one is null. `scored_on` says which
split was scored, where that is not the test split; `tested` whose weights these are, where something was
trained; `metric` what the score is the number of, where that is not a benchmark's own score from 0 to 100.
"""

OF_EVERY_RUN = (
    "score",
    "n",
    "interval",
    "unreadable",
    "tasks",
    "baselines",
    "seconds",
    "parameters",
    "provenance",
    "images",
)
"""What stands in the results whatever the benchmark."""


IMAGES = {
    "scaled": "scaled down to fit into maximum_tokens",
    "padded": "padded because their sides are too unequal for the model",
    "skipped": "passed over because they could not be read",
}
"""What may have happened to images, as it is counted and as it is said."""


def collect(
    summary: dict[str, Any],
    baselines: dict[str, Any],
    seconds: dict[str, float],
    parameters: tuple[int, int],
    provenance: dict[str, str] | None = None,
    images: dict[str, int] | None = None,
) -> Results:
    """Put together what the metric, the baselines and the clock said.

    Args:
        summary: the metric's.
        baselines: scores by name.
        seconds: of the parts of the run.
        parameters: all of them, and those that were trained.
        provenance: the commits or digests of "model" and "data", and of further models, and the version of
            what resized the images.
        images: how many were scaled, padded and skipped; none of them when left out.
    """
    return {
        "score": summary["score"],
        "n": summary["n"],
        "interval": summary["interval"] and list(summary["interval"]),
        "unreadable": summary["unreadable"],
        "tasks": summary["tasks"],
        "baselines": baselines,
        "seconds": {part: round(value, 2) for part, value in seconds.items()},
        "parameters": {"total": parameters[0], "trainable": parameters[1]},
        "provenance": provenance or {},
        "images": {**dict.fromkeys(IMAGES, 0), **(images or {})},
        **{name: value for name, value in summary.items() if name not in OF_EVERY_RUN},
    }


def other_scores(results: Results) -> dict[str, dict[str, Any]]:
    """The metric's scores beside the main one ("official", "ours"), by name."""
    return {
        name.replace("_", " "): value
        for name, value in results.items()
        if name not in OF_EVERY_RUN and isinstance(value, dict) and "score" in value
    }


def further_scores(results: Results) -> dict[str, dict[str, Any]]:
    """Those of the other scores that say something else than the main one."""
    return {name: score for name, score in other_scores(results).items() if not is_main(score, results)}


def kind_of(results: Results) -> str:
    """Whose rules the main score follows: " (official)", " (ours)", or "" where there are not two."""
    by_rules = {name: results.get(name) for name in ("official", "ours")}
    return next((f" ({name})" for name, value in by_rules.items() if value and is_main(value, results)), "")


def is_main(score: dict[str, Any], results: Results) -> bool:
    """Whether a score is the main one under another name."""
    return all(score[key] == results[key] for key in ("score", "n") if key in score)


def further_tables(results: Results) -> dict[str, dict[str, dict[str, Any]]]:
    """The metric's tables beside the one of the tasks ("sources"), by name."""
    return {
        name.replace("_", " "): value
        for name, value in results.items()
        if name not in OF_EVERY_RUN and isinstance(value, dict) and "score" not in value
    }


def write_results(folder: RunFolder, results: Results) -> None:
    """Write `results.json` and `results.md`."""
    write_whole(folder.results, json.dumps(results, indent=2, allow_nan=False, default=plain) + "\n")
    write_whole(folder.results_page, as_markdown(folder, results))


def read_results(folder: RunFolder) -> Results | None:
    """What `write_results` wrote, if the run was tested."""
    return read_json(folder.results) if folder.results.exists() else None


def plain(value: Any) -> Any:
    """Numbers of numpy and torch as Python's own."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} does not belong into results.json.")


def said_of_weak(results: Results) -> str:
    """How many answers were read by a form that a person may read otherwise, where any were."""
    weak = results.get("weakly_read")
    return f", {weak} read by a weak form" if weak else ""


def as_markdown(folder: RunFolder, results: Results) -> str:
    """The results as tables."""
    card = folder.read_card()
    lines = [
        f"# {card.get('name', folder.path.parent.name)}",
        "",
        f"**{percent(results)}**{named_metric(results)} on {results['n']:,} questions "
        f"({results['unreadable']} answers unreadable{said_of_weak(results)}){said_of_interval(results)}.",
        *([f"Scored on {results['scored_on']}."] if "scored_on" in results else []),
        *([f"Tested: {results['tested']}."] if "tested" in results else []),
        *([f"No official score: {results['official_reason']}"] if "official_reason" in results else []),
        "",
        "| | score | 95 % interval | n |",
        "|---|---|---|---|",
        row(f"**this model**{kind_of(results)}", results),
        *(row(f"this model: {name}", value) for name, value in further_scores(results).items()),
        *(row(f"baseline: {name}", baseline) for name, baseline in results["baselines"].items()),
        "",
        *(table("task", results["tasks"]) if results["tasks"] else []),
        *(line for name, part in further_tables(results).items() for line in table(name, part)),
        f"Parameters: {results['parameters']['total']:,}, of which {results['parameters']['trainable']:,} "
        "trained. "
        + "Seconds: "
        + ", ".join(f"{part} {value:.0f}" for part, value in results["seconds"].items())
        + f". Seed {card.get('seed')}, commit {card.get('commit')}.",
        *said_of_provenance(results),
        *said_of_images(results),
        "",
        f"    {card.get('command', '')}",
        "",
    ]
    return "\n".join(lines)


def said_of_provenance(results: Results) -> list[str]:
    """A line on which weights and data these were; none where results were written before that was noted."""
    said = "; ".join(f"{name} {origin}" for name, origin in results.get("provenance", {}).items())
    return [f"Provenance: {said}."] if said else []


def said_of_images(results: Results) -> list[str]:
    """A line on the images that the model saw otherwise than they are; none where there are no such."""
    counted = {how: results.get("images", {}).get(kind, 0) for kind, how in IMAGES.items()}
    said = [f"{count:,} {how}" for how, count in counted.items() if count]
    return [f"Images: {', '.join(said)}."] if said else []


def table(heading: str, scores: dict[str, dict[str, Any]]) -> list[str]:
    """The lines of a markdown table of named scores, and an empty one."""
    rows = (row(name, score) for name, score in scores.items())
    return [f"| {heading} | score | 95 % interval | n |", "|---|---|---|---|", *rows, ""]


def row(name: str, result: dict[str, Any]) -> str:
    """One line of a markdown table."""
    return f"| {name} | {percent(result)} | {interval(result)} | {result['n']:,} |"


def percent(result: dict[str, Any]) -> str:
    """The score, or a dash where nothing was asked; a number that is no percentage with its first digits."""
    if result["score"] is None or not result["n"]:
        return "-"
    return f"{result['score']:.4g}" if "metric" in result else f"{result['score']:.2f}"


def named_metric(results: Results) -> str:
    """The name of the metric that the score is the number of; "" where it is a benchmark's own score."""
    return f" ({results['metric']})" if "metric" in results else ""


def said_of_interval(results: Results) -> str:
    """The interval and what it is; "" where none is known."""
    known = interval(results)
    return "" if known == "-" else f", 95 % interval {known}, clustered by image"


def interval(result: dict[str, Any]) -> str:
    """The interval, or a dash where there is none."""
    bounds = result.get("interval")
    return "-" if not bounds or bounds[0] is None else f"{bounds[0]:.1f} to {bounds[1]:.1f}"
