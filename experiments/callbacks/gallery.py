"""Some of the test's questions as images, for the report."""

from __future__ import annotations

import json
from typing import Any

from lightning import LightningModule, Trainer

from datamodules.samples import Answer, UnreadableImage
from datamodules.scoring.metrics import Judgement
from experiments.callbacks.in_run_folder import InRunFolder
from experiments.callbacks.logged_score import answers_in
from experiments.callbacks.predictions import judge, judging_metric
from experiments.report.region_images import draw_question
from experiments.run_folders.run_folder import write_whole


class GalleryWriter(InRunFolder):
    """Keeps the first right and the first wrong answers of every task, from different images where it can.

    Args:
        each: how many of a kind.
        unjudged: how many where the truth is not known.
    """

    def __init__(self, each: int = 2, unjudged: int = 8) -> None:
        self.each = each
        self.unjudged = unjudged
        self.chosen: dict[tuple[str, bool | None], dict[str, tuple[Answer, Judgement | None]]] = {}

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Look for questions to keep."""
        if not trainer.is_global_zero:
            return
        metric = judging_metric(trainer, pl_module)
        for answer in answers_in(outputs):
            judgement = judge(metric, answer)
            key = (answer.sample.task, bool(judgement.correct) if judgement else None)
            kept = self.chosen.setdefault(key, {})
            if len(kept) < (self.each if judgement else self.unjudged):
                kept.setdefault(answer.sample.group, (answer, judgement))

    on_predict_batch_end = on_test_batch_end

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the images."""
        self._draw(trainer)

    on_predict_end = on_test_end

    def _draw(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            return
        folder = self.folder.gallery
        folder.mkdir(parents=True, exist_ok=True)
        entries: list[dict[str, Any]] = []
        for (task, correct), kept in sorted(
            self.chosen.items(), key=lambda item: (item[0][0], str(item[0][1]))
        ):
            for answer, judgement in kept.values():
                name = f"{len(entries):03d}.jpg"
                try:
                    image = draw_question(answer.sample)
                except UnreadableImage:
                    image = None
                if image is not None:
                    image.save(folder / name, quality=85)
                entries.append(
                    {
                        "image": name if image is not None else None,
                        "task": task,
                        "question": answer.sample.question,
                        "choices": [
                            f"({letter}) {choice}"
                            for letter, choice in zip(
                                answer.sample.letters, answer.sample.choices, strict=False
                            )
                        ],
                        "truth": answer.sample.answer,
                        "prediction": judgement.prediction if judgement else answer.raw,
                        "raw": answer.raw,
                        "correct": correct,
                        "source": answer.sample.source,
                        "id": answer.sample.id,
                    }
                )
        write_whole(folder / "gallery.json", json.dumps(entries, indent=1) + "\n")
        self.chosen = {}
