"""Whether a split can be scored: the answers and the kinds of all its questions are known."""

from __future__ import annotations

import torchmetrics

from datamodules.loading.grouped import Split, every_sample
from datamodules.samples import DataError


def require_answers(split: Split, metric: torchmetrics.Metric, name: str) -> None:
    """Raise where some questions of a split cannot be scored.

    Asked before a training, so that it is not the test after it which finds out.

    Args:
        split: the questions.
        metric: the benchmark's score; where it lists its `tasks`, every question must be of one of them.
        name: what the split is called in the error.

    Raises:
        DataError: a question has no answer or an unknown task; the first of them is named.
    """
    tasks: tuple[str, ...] | None = getattr(metric, "tasks", None)
    labels = list(split.labels())
    without = sum(not answer for _, answer in labels)
    if without:
        raise DataError(
            f"{without:,} of the {len(labels):,} questions of the {name} split have no answer (the first is "
            f"{_first_without(split)}), so that it cannot be scored. Give a split whose answers are known, "
            f"for example with `splits: {{{name}: NAME}}`; one without them can only be predicted."
        )
    unknown = {task for task, _ in labels} - set(tasks or ())
    if tasks is not None and unknown:
        raise DataError(
            f"The {name} split has questions of the task {min(unknown)!r}; this benchmark has "
            f"{', '.join(tasks)}. A split without tasks can be predicted, but not scored."
        )


def _first_without(split: Split) -> str:
    return next(sample.id for sample in every_sample(split) if not sample.answer)
