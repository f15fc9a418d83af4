"""Audits that ask nothing new: the answers to some of the questions, looked at apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from datamodules.omni_spatial import depends_on_colour
from datamodules.samples import SpatialSample, open_rgb
from datamodules.statistics.height_for_distance import HeightClass, answer_by_height, height_class
from experiments.audits.asking import Answered
from experiments.audits.figures import Lines, Paired, accuracy, figures, gap
from experiments.audits.passes import AuditError

CLASSES: tuple[HeightClass, ...] = ("consistent", "counter", "ambiguous")


def without_colour(base: Lines, gray: Answered, samples: Mapping[str, SpatialSample]) -> dict[str, Any]:
    """Grey pictures and coloured ones, where neither question nor choices name a colour.

    Raises:
        AuditError: every question names one, or none does.
    """
    pairs = Paired.of(base, gray.lines, samples)
    without = [not depends_on_colour(_words(samples[name])) for name in pairs.ids]
    if not any(without):
        raise AuditError("Every question names a colour, so that none is left to ask without.")
    if all(without):
        raise AuditError("No question names a colour: the audit `grayscale` says all there is to say.")
    said = "no colours, and none named"
    named = {"a colour is named": len(without) - sum(without)}
    found = {"said": said, **figures(pairs.where(without)), "changed": gray.changed, "left_out": named}
    return {"passes": {"no_colour_named": found}}


def by_height(base: Lines, samples: Mapping[str, SpatialSample]) -> dict[str, Any]:
    """The unchanged answers by what height in the image says, and what it answers itself.

    Args:
        base: the lines of the unchanged questions.
        samples: the questions as the data have them, whatever the run made of them.

    Raises:
        AuditError: height has an answer to none of them.
        UnreadableImage: a picture that would tell how high it is cannot be opened.
    """
    pairs = Paired.of(base, base, samples)
    asked = [samples[name] for name in pairs.ids]
    classes = [_height_class(sample) for sample in asked]
    known = np.array([each is not None for each in classes])
    if not known.any():
        raise AuditError(
            "No question asks what is nearer with boxes or regions that say where things are in the picture: "
            "height has no answer to any."
        )
    rule = np.array([answer_by_height(sample) == sample.answer for sample in asked])
    found: dict[str, Any] = {
        "classes": _by_class(pairs.before, pairs.images, classes),
        "rule": accuracy(rule[known], pairs.images[known]),
    }
    consistent, counter = (np.array([each == name for each in classes]) for name in CLASSES[:2])
    if consistent.any() and counter.any():
        found["gap"] = gap(pairs.before, pairs.images, consistent, counter)
    return {"height": found}


def _by_class(right: np.ndarray, images: np.ndarray, classes: Sequence[HeightClass | None]) -> dict[str, Any]:
    names = np.array([name or "" for name in classes])
    return {
        name: accuracy(right[names == name], images[names == name]) for name in CLASSES if name in classes
    }


def _height_class(sample: SpatialSample) -> HeightClass | None:
    """Whether height in the image leads to the answer of a question; its picture tells how high it is."""
    if answer_by_height(sample) is None:
        return None
    if sample.regions:
        return height_class(sample, sample.regions[0].height)
    return None if sample.image is None else height_class(sample, open_rgb(sample.image).height)


def _words(sample: SpatialSample) -> str:
    return " ".join([sample.question, *sample.choices])
