"""What the figures of an audit do and do not show, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from datamodules.statistics.intervals import TAIL
from datamodules.statistics.paired import FEW_IMAGES
from experiments.audits.passes import MARGIN

Verdict = Literal["loses", "holds", "unclear"]
"""It is worse; it is at most worse by the margin; neither is shown."""

_USES = {"no_depth": "it uses the depth", "examples": "it uses them so"}
"""What a fall shows, by the audit."""

LEAST_OF_A_CLASS = 10
"""With fewer questions of a class nothing is said of it."""


def findings_of(name: str, made: Mapping[str, Any]) -> list[str]:
    """What an audit shows, a sentence or some for each of its passes.

    Args:
        name: the audit's.
        made: its entry in `audit.json`.
    """
    sentences = [rotated(made["rotations"])] if made.get("rotations") else []
    sentences += [by_height(made["height"])] if "height" in made else []
    for row in made["passes"].values():
        if name == "identity":
            sentences.append(_identity(row))
        elif made["expects"] == "falls":
            sentences.append(" ".join([_fall(name, row), *_cautions(row)]))
        else:
            sentences.append(" ".join([_loss(row), *_cautions(row)]))
    return sentences


def in_short(audits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What all audits together show, in a few sentences.

    Args:
        audits: their entries in `audit.json`.
    """
    passes = {name: audit["passes"] for name, audit in audits.items() if audit["passes"]}
    sentences = []
    if "identity" in passes:
        changed = max(row["answers_changed"] for row in passes["identity"].values())
        how = f"up to {changed:,} of its answers change" if changed else "none of its answers changes"
        sentences.append(f"Where nothing is changed, {how}.")
    if "blindfolded" in passes:
        blind = [row["after"]["score"] for row in passes["blindfolded"].values()]
        before = next(iter(passes["blindfolded"].values()))["before"]["score"]
        sentences.append(
            f"Without the question's picture it keeps {min(blind):.1f} to {max(blind):.1f} of {before:.1f}."
        )
    if shown := passes.get("examples"):
        kept = ", ".join(f"{row['after']['score']:.1f} with {row['said']}" for row in shown.values())
        before = next(iter(shown.values()))["before"]["score"]
        sentences.append(f"Of {before:.1f} behind its own examples it keeps {kept}.")
    kinds: dict[Verdict, list[str]] = {"loses": [], "holds": [], "unclear": []}
    for name, rows in passes.items():
        if audits[name]["expects"] == "stays" and name != "identity":
            for row in rows.values():
                kinds[verdict(row)].append(f"{row['said']} ({row['difference']:+.1f})")
    for kind, said in (
        ("loses", "It loses with"),
        ("holds", f"It loses less than {MARGIN:g} points with"),
        ("unclear", "Not clear is what becomes of it with"),
    ):
        if kinds[kind]:  # type: ignore[index]
            sentences.append(f"{said} {', '.join(kinds[kind])}.")  # type: ignore[index]
    if turned := audits.get("rotated_choices", {}).get("rotations"):
        plain, strict, chance = turned["plain"], turned["strict"], turned["chance"]
        sentences.append(
            f"In every rotation of the choices {strict['score']:.1f} % are right, of {plain['score']:.1f} % "
            f"as they stand; guessing anew each time would give {chance['strict, guessing anew']:.1f} %."
        )
    if "height" in audits.get("height_for_distance", {}):
        sentences.append(leans_on_height(audits["height_for_distance"]["height"]))
    return sentences


def verdict(row: Mapping[str, Any]) -> Verdict:
    """Whether a model that is to stay where it is does so.

    It loses where interval and test agree (the adjusted p-value, where the pass is of the family), and holds
    where the largest loss that the questions leave possible is within the margin.

    Args:
        row: the figures of a pass.
    """
    p = row.get("holm", row["p"])
    if row["interval"][1] < 0 and p is not None and p < 2 * TAIL:
        return "loses"
    return "holds" if row["largest_loss"] < MARGIN and row["images"] >= FEW_IMAGES else "unclear"


def _identity(row: Mapping[str, Any]) -> str:
    changed, n = row["answers_changed"], row["n"]
    how = "Asked again" if row["said"].startswith("the run's") else f"With {row['said']}"
    if not changed:
        return f"{how}, none of {n:,} answers differs."
    return (
        f"{how}, {changed:,} of {n:,} answers differ although nothing was changed, "
        f"{row['newly_wrong']:,} of them newly wrong and {row['newly_right']:,} newly right: that is noise "
        "of batches, padding or the machine."
    )


def _loss(row: Mapping[str, Any]) -> str:
    low, high = row["interval"]
    points = f"{row['difference']:+.1f} points [{low:+.1f}, {high:+.1f}]"
    moved = f"{row['newly_wrong']:,} newly wrong, {row['newly_right']:,} newly right of {row['n']:,}"
    match verdict(row):
        case "loses":
            return f"It loses with {row['said']}: {points}; {moved}."
        case "holds":
            return f"It loses less than {MARGIN:g} points with {row['said']}: {points}; {moved}."
        case _:
            return (
                f"Whether it loses with {row['said']} is not clear: {points}; {moved}. It may lose up to "
                f"{row['largest_loss']:.1f} points."
            )


def _fall(name: str, row: Mapping[str, Any]) -> str:
    before, after = row["before"]["score"], row["after"]["score"]
    low, high = row["after"]["interval"]
    sentence = f"With {row['said']} {after:.1f} [{low:.1f}, {high:.1f}] of {before:.1f} are left"
    seeing, blind = row["above_chance"]
    if seeing is not None and blind is not None and seeing > 0:
        sentence += f"; above chance, of what has a fixed set of answers, {blind:.1f} of {seeing:.1f}"
    if row["interval"][0] <= 0 <= row["interval"][1]:
        uses = _USES.get(name, "it looks")
        sentence += f"; no difference is shown, so that nothing shows that {uses}"
    return f"{sentence}. {copied}" if (copied := _copied(row)) else f"{sentence}."


def _copied(row: Mapping[str, Any]) -> str:
    """How often the answer of the last example was given, where there were examples."""
    if "copied" not in row:
        return ""
    given, right = row["copied"], row["last_correct"]
    return (
        f"The last example's answer is given to {given['score']:.1f} % [{given['interval'][0]:.1f}, "
        f"{given['interval'][1]:.1f}] of the questions, and right for {right['score']:.1f} %."
    )


def _cautions(row: Mapping[str, Any]) -> list[str]:
    """What a reader has to know beside it."""
    cautions = []
    if row["changed"] < 1:
        cautions.append(f"Only {100 * row['changed']:.1f} % of the questions are changed by it at all.")
    if left_out := sum(row["left_out"].values()):
        cautions.append(f"{left_out:,} questions could not be asked so.")
    before, after = row["unreadable"]
    if after > before:
        cautions.append(f"{after - before:,} more answers cannot be read.")
    if row["images"] < FEW_IMAGES:
        cautions.append(f"There are {row['images']} images only, so that interval and p are too sure.")
    return cautions


def rotated(figures: Mapping[str, Any]) -> str:
    """What a choice is worth in all its rotations."""
    chance = figures["chance"]
    letters = ", ".join(f"{letter} {count:,}" for letter, count in figures["letters"].items())
    left_out = figures["left_out"]
    more = f" {left_out:,} questions have more choices than there are rotations." if left_out else ""
    return (
        f"Of {figures['n']:,} questions in all rotations, {figures['plain']['score']:.1f} % are right as "
        f"they stand (chance {chance['plain']:.1f}), {figures['mean']['score']:.1f} on average, and "
        f"{figures['strict']['score']:.1f} in every rotation (who guesses anew each time: "
        f"{chance['strict, guessing anew']:.1f}; who holds on to a choice: "
        f"{chance['strict, holding on to a choice']:.1f}; who always takes one letter: 0). "
        f"Letters that were chosen: {letters}.{more}"
    )


def by_height(figures: Mapping[str, Any]) -> str:
    """What height in the picture does to the answers about distance, class by class."""
    parts = [
        f"{name} {part['score']:.1f} [{part['interval'][0]:.1f}, {part['interval'][1]:.1f}] (n {part['n']:,})"
        for name, part in figures["classes"].items()
    ]
    rule = figures["rule"]
    return (
        f"By class: {', '.join(parts)}. Always answering that higher is farther: {rule['score']:.1f} "
        f"(n {rule['n']:,}). {leans_on_height(figures)}"
    )


def leans_on_height(figures: Mapping[str, Any]) -> str:
    """Whether it takes what is higher in the picture for what is farther away."""
    classes = figures["classes"]
    fewest = min(classes.get(name, {"n": 0})["n"] for name in ("consistent", "counter"))
    if fewest < LEAST_OF_A_CLASS:
        return f"With {fewest} questions of one class nothing tells the model from the rule."
    low, high = figures["gap"]["interval"]
    points = (
        f"{figures['gap']['difference']:+.1f} points [{low:+.1f}, {high:+.1f}] where height tells the truth"
    )
    return f"It leans on height: {points}." if low > 0 else f"That it leans on height is not shown: {points}."
