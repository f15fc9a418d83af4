"""How it was measured, in sentences for whoever reads the figures."""

from __future__ import annotations

from typing import Any

from datamodules.statistics.quantile_intervals import METHOD

IMAGES_SHARED = (
    "Each question is asked alone, as a user asks it: its image is opened and read anew. A test asks all "
    "questions of an image together and reads it once, so that a question of a test costs less."
)

NOT_DIVIDED = (
    "This module does not say which parts it answers with (`answering_parts`), so that vision, prefill and "
    "decoding are one stage, `answer`."
)


EXAMPLES_CHOSEN_BEFORE = (
    "Which solved examples stand before a question was found beforehand, for all questions of the test at "
    "once: the time it takes to find them for a new question is in none of these figures; opening and "
    "reading them is."
)

BUSY_FROM = 0.5
"""From which load average a core, before anything is measured, a machine is busy with something else."""


def busy(machine: dict[str, Any]) -> str | None:
    """A sentence where others used the machine: one who shares it with a training waits twice as long.

    Args:
        machine: as `latency.json` has it.
    """
    before, cores = machine["load_before"], machine["cores"]
    if before is None or not cores or before[0] < BUSY_FROM * cores:
        return None
    return (
        f"The machine was busy with other work (a load average of {before[0]:.1f} on {cores} cores before "
        "anything was measured): these times are longer than they are on a quiet one, and repeat less well."
    )


def notes(result: dict[str, Any]) -> list[str]:
    """The sentences below the figures.

    Args:
        result: the content of `latency.json`, as far as it is figures.
    """
    machine, memory = result["machine"], result["memory"]
    one, several = result["one_question"], result["over_the_set"]
    answering = f" ({result['answering']})" if result["answering"] else ""
    return [
        "Wall-clock time of one question at a time, without gradients, by the run's own code: its data's "
        "views and loading, its module's collator, Lightning's way to the device, its module's way of "
        f"answering{answering}.",
        "The stages add up to the time from end to end, answer by answer, and so do their means; their p50 "
        "and p95 do not.",
        *([] if result["divided"] else [NOT_DIVIDED]),
        "Before a question was timed, its shape of input had been answered once untimed: "
        f"{one['warm_up_runs']} warm-up run for the one question, {several['warm_up_runs']} for those over "
        "the set. So files are read from the system's cache: the first reading of an image from a disk takes "
        "longer.",
        "At the boundaries of stages the accelerator is waited for, without which times would end before the "
        "work does; a CPU is never ahead of the program.",
        f"p50 and p95 are each {METHOD}. Their 95 % intervals are by order statistics (exact binomial ranks, "
        "for any distribution; Hahn & Meeker), as if each answer took its time independently of the one "
        "before. They tell how sure a figure is on this machine as it was, and nothing of other hours.",
        IMAGES_SHARED,
        f"The one question is the first of the test, asked {one['n']:,} times: how fast the machine is. Over "
        f"the set there are {several['n']:,} questions, evenly spread over the test's "
        f"{result['questions_of_test']:,}: what users see.",
        *([EXAMPLES_CHOSEN_BEFORE] if several["examples"]["most"] else []),
        f"Peak memory is {memory['of']}: {memory['peak_gb']:.2f} GB.",
        f"Load averages over 1, 5 and 15 minutes: {_load(machine['load_before'])} before, "
        f"{_load(machine['load_after'])} after. What is measured is itself a load of 1 to the number of "
        "threads; whatever else runs makes the times longer.",
    ]


def _load(averages: list[float] | None) -> str:
    return "not known" if averages is None else ", ".join(f"{each:.2f}" for each in averages)
