"""What the answers of one pass say beside those of another: both scores, and what their difference shows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datamodules.samples import AnswerType, SpatialSample
from datamodules.statistics.intervals import TAIL, draw_images, score_with_intervals
from datamodules.statistics.paired import design_effect, largest_loss, paired_bootstrap, sign_flip_test
from datamodules.statistics.power import detectable_difference

Lines = Mapping[str, Mapping[str, Any]]
"""Lines of a `predictions.jsonl` by the question's id."""

RESAMPLES = 2000
"""Of a bootstrap."""


def chance_of(sample: SpatialSample) -> float:
    """How likely a guess among the possible answers is right; 0 where they are no closed set."""
    match sample.answer_type:
        case AnswerType.LETTER:
            return 1 / len(sample.letters)
        case AnswerType.SIDE:
            return 1 / 2
        case AnswerType.REGION if sample.regions:
            return 1 / len(sample.regions)
        case _:
            return 0.0


@dataclass(frozen=True)
class Paired:
    """Verdicts on the same questions before and after a change, `[questions]` each.

    Attributes:
        ids: the questions.
        images: a number that tells their images apart.
        tasks: their tasks.
        before, after: whether they were answered rightly.
        chance: how likely a guess is right.
        unreadable: whether the answer could not be read before, and after, `[2, questions]`.
        changed: whether it was answered otherwise, in words.
    """

    ids: list[str]
    images: np.ndarray
    tasks: np.ndarray
    before: np.ndarray
    after: np.ndarray
    chance: np.ndarray
    unreadable: np.ndarray
    changed: np.ndarray

    @classmethod
    def of(cls, before: Lines, after: Lines, samples: Mapping[str, SpatialSample]) -> Paired:
        """The questions that both answered, and that there is a sample of."""
        ids = [name for name in after if name in before and name in samples]
        groups = [samples[name].group or name for name in ids]
        return cls(
            ids,
            np.unique(groups, return_inverse=True)[1] if groups else np.zeros(0, int),
            np.array([samples[name].task for name in ids], str),
            np.array([bool(before[name]["correct"]) for name in ids], bool),
            np.array([bool(after[name]["correct"]) for name in ids], bool),
            np.array([chance_of(samples[name]) for name in ids], float),
            np.array(
                [[lines[name]["prediction"] is None for name in ids] for lines in (before, after)], bool
            ),
            np.array([before[name]["prediction"] != after[name]["prediction"] for name in ids], bool),
        )

    def where(self, chosen: Sequence[bool] | np.ndarray) -> Paired:
        """Some of the questions."""
        kept = np.asarray(chosen, bool)
        return Paired(
            [name for name, keep in zip(self.ids, kept, strict=True) if keep],
            self.images[kept],
            self.tasks[kept],
            self.before[kept],
            self.after[kept],
            self.chance[kept],
            self.unreadable[:, kept],
            self.changed[kept],
        )


def accuracy(right: np.ndarray, images: np.ndarray) -> dict[str, Any]:
    """The share of right answers in percent, with its interval over images."""
    score, _ = score_with_intervals(right, np.zeros(len(right), int), images, 1)
    return {"score": score.score, "n": score.n, "interval": list(score.interval)}


def shares_of(names: Sequence[str], lines: Lines, pairs: Paired) -> dict[str, Any]:
    """Of what the lines say of each question, the shares for which it is so; none where some do not."""
    return {
        name: accuracy(np.array([bool(lines[each][name]) for each in pairs.ids]), pairs.images)
        for name in names
        if pairs.ids and all(lines[each].get(name) is not None for each in pairs.ids)
    }


def above_chance(right: np.ndarray, chance: np.ndarray) -> float | None:
    """The share, in percent, of what a guesser lacks that is answered rightly; of closed questions alone.

    The sum of (right - 1/n) over that of (1 - 1/n), n the number of possible answers, which differs between
    questions.
    """
    closed = chance > 0
    lacking = (1 - chance[closed]).sum()
    return float(100 * (right[closed] - chance[closed]).sum() / lacking) if lacking else None


def figures(pairs: Paired) -> dict[str, Any]:
    """All that two passes say together, as plain numbers."""
    before, after, images = pairs.before, pairs.after, pairs.images
    difference = paired_bootstrap(before, after, images)
    several = len(np.unique(images)) > 1
    detectable = math.inf
    if several:
        effect = design_effect(before, after, images)
        detectable = detectable_difference(len(before), float((before != after).mean()), effect)
    return {
        "n": len(before),
        "images": len(np.unique(images)),
        "before": accuracy(before, images),
        "after": accuracy(after, images),
        "above_chance": [above_chance(before, pairs.chance), above_chance(after, pairs.chance)],
        "difference": difference.difference,
        "interval": list(difference.interval),
        "largest_loss": largest_loss(before, after, images),
        "p": sign_flip_test(before, after, images) if several else None,
        "can_show": None if math.isinf(detectable) else detectable,
        "newly_wrong": int((before & ~after).sum()),
        "newly_right": int((~before & after).sum()),
        "both_right": int((before & after).sum()),
        "both_wrong": int((~before & ~after).sum()),
        "answers_changed": int(pairs.changed.sum()),
        "unreadable": pairs.unreadable.sum(1).tolist(),
        "tasks": {
            str(task): {
                "n": int((pairs.tasks == task).sum()),
                "before": float(100 * before[pairs.tasks == task].mean()),
                "after": float(100 * after[pairs.tasks == task].mean()),
            }
            for task in np.unique(pairs.tasks)
        },
    }


def gap(right: np.ndarray, images: np.ndarray, chosen: np.ndarray, others: np.ndarray) -> dict[str, Any]:
    """How many points more of some questions are right than of others, with its interval over images.

    Args:
        right: whether each answer is right, `[questions]`.
        images: a number that tells their images apart.
        chosen: which questions the one kind are, `[questions]`.
        others: which the other kind.
    """
    _, image = np.unique(images, return_inverse=True)
    columns = [np.bincount(image, weights=kind.astype(float)) for kind in (chosen & right, chosen)]
    columns += [np.bincount(image, weights=kind.astype(float)) for kind in (others & right, others)]
    drawn = draw_images(np.stack(columns, axis=1), RESAMPLES, seed=0)
    drawn = drawn[(drawn[:, 1] > 0) & (drawn[:, 3] > 0)]
    differences = 100 * (drawn[:, 0] / drawn[:, 1] - drawn[:, 2] / drawn[:, 3])
    known = 100 * (right[chosen].mean() - right[others].mean())
    return {"difference": float(known), "interval": np.quantile(differences, [TAIL, 1 - TAIL]).tolist()}


def rotations(asked: Sequence[Lines], samples: Mapping[str, SpatialSample]) -> dict[str, Any] | None:
    """Questions whose choices were asked in all their rotations: scored plainly, on average, and strictly.

    Strictly a question is right where it is in every rotation. Who guesses anew each time is then right with
    (1/n)^n, who holds on to a choice whatever it says with 1/n, and who always takes the same letter never.

    Args:
        asked: the lines of the unrotated questions, then of those rotated by 1, 2, ...
        samples: the questions, by id.

    Returns:
        None where no question was asked in all its rotations.
    """
    rows: list[tuple[str, list[bool]]] = []
    left_out = 0
    letters: Counter[str] = Counter()
    for name, sample in samples.items():
        count = len(sample.choices)
        turned = asked[:count]
        left_out += count > len(asked) and name in asked[-1]
        if count < 2 or len(asked) < count or any(name not in lines for lines in turned):
            continue
        rows.append((name, [bool(lines[name]["correct"]) for lines in turned]))
        letters.update(str(lines[name]["prediction"] or "unreadable") for lines in turned)
    if not rows:
        return None
    names = [samples[name].group or name for name, _ in rows]
    images = np.unique(names, return_inverse=True)[1]
    plain = np.array([right[0] for _, right in rows])
    strict = np.array([all(right) for _, right in rows])
    counts = np.array([len(right) for _, right in rows], float)
    return {
        "n": len(rows),
        "left_out": left_out,
        "plain": accuracy(plain, images),
        "mean": accuracy(np.array([np.mean(right) for _, right in rows]), images),
        "strict": accuracy(strict, images),
        "chance": {
            "plain": float(100 * (1 / counts).mean()),
            "strict, guessing anew": float(100 * (counts**-counts).mean()),
            "strict, holding on to a choice": float(100 * (1 / counts).mean()),
            "strict, always one letter": 0.0,
        },
        "letters": dict(sorted(letters.items())),
    }
