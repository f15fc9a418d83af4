"""Asks a model all questions of its test once more, through one more view, and keeps the answers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning import Trainer

from datamodules.base import SpatialDataModule
from datamodules.files.text_files import read_json
from datamodules.in_context import InContext
from datamodules.loading.grouped import every_sample
from datamodules.loading.listed_questions import ListedQuestions
from datamodules.samples import AnswerType, SpatialSample
from datamodules.scoring.prediction_files import records_by_id
from datamodules.views import NotApplicable, View
from experiments.audits.changes import Changes
from experiments.audits.passes import AuditError, Pass
from experiments.callbacks.predictions import PredictionsWriter
from experiments.callbacks.progress import progress
from experiments.run_folders.run_folder import RunFolder, write_whole
from lightning_modules.base import SpatialModule
from lightning_modules.vlm.prompt_template import ENDINGS, OTHER, Prompt

ASKED = "asked.json"
"""What was asked of whom: where it is the same again, the answers are taken as they are."""


@dataclass(frozen=True)
class Answered:
    """What came of one pass.

    Attributes:
        lines: the lines of its `predictions.jsonl` by id.
        left_out: how many questions were not asked, by the reason.
        changed: share of the asked questions, 0 to 1, of which anything was changed.
    """

    lines: Mapping[str, dict[str, Any]]
    left_out: Mapping[str, int]
    changed: float


class Questioner:
    """Asks a checkpoint, pass by pass.

    Args:
        module: the model with its trained weights.
        data: the data it was tested on, with the run's own views.
        folder: where answers are kept, a folder a pass.
        identity: what tells this model from any other: the digest of its checkpoint.
        trainer: arguments of the Trainer that asks.

    Attributes:
        samples: the questions as the data have them.
        in_run: the same as the run asked them, by id.
    """

    def __init__(
        self,
        module: SpatialModule,
        data: SpatialDataModule,
        folder: Path,
        identity: str,
        trainer: Mapping[str, Any],
    ) -> None:
        self.module, self.data, self.folder = module, data, folder
        self.identity, self.trainer = identity, trainer
        self.own_views = data.views
        data.prepare_split(data.taken_from(data.scored))
        data.require_answers(data.scored)
        self.samples = list(every_sample(data.split(data.scored)))
        self.in_run = {sample.id: self._through(data.views, sample) for sample in self.samples}
        self._changes = Changes(passes_over_bad_images=data.on_bad_image == "answer_blind")

    def ask(self, wanted: Pass) -> Answered:
        """Ask all questions that a pass can be asked of, or take the answers that are there already.

        Raises:
            AuditError: it can be asked of none, or changes nothing.
            SmallSpatialError: the model cannot be asked, or a picture not be read.
        """
        view = None if wanted.view is None else wanted.view(self.samples)
        views = self._views(wanted, view)
        for each in views:
            each.prepare(ListedQuestions.grouped(self.samples))
        kept, seen, left_out = self._seen(wanted, views)
        if not kept:
            raise AuditError(f"No question can be asked so: {_said(left_out)}.")
        place = self.folder / wanted.name
        key = self._key(wanted, views, seen)
        changed = _known_share(place, key, seen)
        if changed is None:
            changed = self._share_changed(kept, seen, wanted)
            if not changed and any(each is not None for each in (view, wanted.endings, wanted.examples)):
                raise AuditError(
                    f"Of {len(kept)} questions nothing is changed ({wanted.said}): the same answers would "
                    "say nothing."
                )
            self._ask_anew(wanted, views, kept, place)
            write_whole(place / ASKED, json.dumps({"asked": key, "changed": changed}, indent=1) + "\n")
        return Answered(records_by_id(RunFolder(place).predictions), left_out, changed)

    @staticmethod
    def _through(views: Sequence[View], sample: SpatialSample) -> SpatialSample:
        for view in views:
            sample = view(sample)
        return sample

    def _views(self, wanted: Pass, view: View | None) -> tuple[View, ...]:
        """The run's own views with what a pass changes; examples know the questions as the data have them."""
        own = self.own_views
        shown = [place for place, each in enumerate(own) if isinstance(each, InContext)]
        if wanted.examples is not None:
            if not shown:
                raise AuditError("The questions of this run are asked without examples (the view InContext).")
            return tuple(
                each.changed(**wanted.examples) if isinstance(each, InContext) else each for each in own
            )
        if view is None:
            return own
        behind = len(own) if wanted.last else shown[-1] + 1 if shown else 0
        return (*own[:behind], view, *own[behind:])

    def _seen(
        self, wanted: Pass, views: Sequence[View]
    ) -> tuple[list[SpatialSample], dict[str, SpatialSample], Counter[str]]:
        """The questions that the views can be used on, how they look through them, and why others cannot."""
        kept, seen, left_out = [], {}, Counter[str]()
        for sample in self.samples:
            if why := wanted.left_out(self.in_run[sample.id]) or self._has_no_ending(wanted, sample):
                left_out[why] += 1
                continue
            try:
                seen[sample.id] = self._through(views, sample)
            except NotApplicable as error:
                left_out[error.reason] += 1
                continue
            kept.append(sample)
        return kept, seen, left_out

    def _has_no_ending(self, wanted: Pass, sample: SpatialSample) -> str:
        """Why the last line of a question's prompt cannot be worded otherwise; "" where it can."""
        if wanted.endings is None:
            return ""
        prompt = getattr(self.module, "prompt", None)
        if not isinstance(prompt, Prompt):
            return "the model takes no instruction"
        form = self.in_run[sample.id].answer_type
        known = form in wanted.endings and ENDINGS[form] in prompt.ending_of(form)  # type: ignore[index]
        return "" if known else "the prompt has no last line that could be worded otherwise"

    def _share_changed(
        self, kept: Sequence[SpatialSample], seen: Mapping[str, SpatialSample], wanted: Pass
    ) -> float:
        if wanted.endings is not None:
            return 1.0  # the others were left out
        changed = [self._changes.any(self.in_run[sample.id], seen[sample.id]) for sample in kept]
        return sum(changed) / len(changed)

    def _key(
        self, wanted: Pass, views: tuple[View, ...], seen: Mapping[str, SpatialSample]
    ) -> dict[str, Any]:
        """All that answers depend on, as far as it can be told without asking."""
        questions = hashlib.sha256()
        for name, sample in seen.items():
            regions = [[region.height, region.width, region.counts] for region in sample.regions]
            texts = [name, sample.question, sample.prompt, sample.choices, sample.answer, regions]
            questions.update(json.dumps([*texts, len(sample.examples)]).encode())
        return {
            "model": self.identity,
            "data": self.data.origin(),
            "questions": questions.hexdigest(),
            "views": [repr(each) for each in views],
            "images_a_batch": wanted.images_a_batch,
            "endings": None if wanted.endings is None else dict(wanted.endings),
        }

    def _ask_anew(
        self, wanted: Pass, views: tuple[View, ...], kept: Sequence[SpatialSample], place: Path
    ) -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        trainer = Trainer(
            **{
                "logger": False,
                "enable_checkpointing": False,
                "enable_model_summary": False,
                "default_root_dir": str(place),
                **self.trainer,
                "callbacks": [PredictionsWriter(), progress(f"{wanted.name}: ")],
            }
        )
        with self._asked_so(wanted, views, kept):
            trainer.test(self.module, datamodule=self.data, verbose=False)

    @contextmanager
    def _asked_so(
        self, wanted: Pass, views: tuple[View, ...], kept: Sequence[SpatialSample]
    ) -> Iterator[None]:
        """Data and model as a pass asks them; afterwards as they were."""
        data, module = self.data, self.module
        before = data.split(data.scored), data.views, data.evaluation_batch_size
        prompt = getattr(module, "prompt", None)
        data.ask_instead(data.scored, ListedQuestions.grouped(kept))
        data.views = views
        data.evaluation_batch_size = wanted.images_a_batch or data.evaluation_batch_size
        try:
            if wanted.endings is not None and isinstance(prompt, Prompt):
                module.prompt = _with_endings(prompt, wanted.endings)  # type: ignore[assignment]
            yield
        finally:
            whole, data.views, data.evaluation_batch_size = before
            data.ask_instead(data.scored, whole)
            if wanted.endings is not None and prompt is not None:
                module.prompt = prompt


def _with_endings(prompt: Prompt, endings: Mapping[str, str]) -> Prompt:
    """The prompt with other words where it has the usual ones; all else of it stays."""
    forms = [*AnswerType, OTHER]
    asked = {form: prompt.ending_of(form) for form in forms}
    worded = {
        form: words.replace(ENDINGS[form], endings[form]) if form in endings else words
        for form, words in asked.items()
    }
    return dataclasses.replace(prompt, ending=worded)


def _known_share(place: Path, key: dict[str, Any], seen: Mapping[str, SpatialSample]) -> float | None:
    """The share of changed questions, where all of just these questions were answered before."""
    if not (place / ASKED).is_file() or not RunFolder(place).predictions.is_file():
        return None
    known = read_json(place / ASKED)
    whole = known.get("asked") == key and records_by_id(RunFolder(place).predictions).keys() == seen.keys()
    return float(known["changed"]) if whole else None


def _said(left_out: Mapping[str, int]) -> str:
    return "; ".join(f"{count:,} where {reason}" for reason, count in left_out.items())
