"""Makes the audits of one checkpoint, and says what each of them shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from datamodules.files.text_files import read_json
from datamodules.samples import DataError, SmallSpatialError, metric_of
from datamodules.scoring.prediction_files import records_by_id
from datamodules.statistics.paired import holm
from experiments.audits import findings
from experiments.audits.asking import Answered, Questioner
from experiments.audits.bias_of_test import bias_of_test
from experiments.audits.figures import Lines, Paired, accuracy, figures, rotations, shares_of
from experiments.audits.passes import AUDITS, FAMILY, GRAYSCALE, UNCHANGED, Audit, AuditError, Pass
from experiments.audits.subsets import by_height, without_colour
from experiments.errors.plain_errors import explained
from experiments.report.answer_histogram import answer_histogram
from experiments.run_folders.run_folder import RunFolder, write_whole

Result = dict[str, Any]
"""What became of an audit or of all of them, in plain values."""

IN_THE_RUN = "in_the_run"
TOLD_BY = ("identity", "base", "histogram")
"""Where these are the same, earlier audits are of the same checkpoint and questions."""

NEEDED = ("prediction", "correct")
"""What a line of a run must tell to be compared with."""


class Auditing:
    """Audits one checkpoint.

    Args:
        questioner: asks the model.
        run: the run it is of; its own answers are compared with those of now, where there are any.
        card: what the page says of the run.
    """

    def __init__(self, questioner: Questioner, run: RunFolder, card: Mapping[str, Any]) -> None:
        self.questioner, self.run, self.card = questioner, run, card
        self.samples = questioner.in_run
        self._answered: dict[str, Answered] = {}

    @property
    def file(self) -> Path:
        """`audit.json`."""
        return self.questioner.folder / "audit.json"

    def audit(
        self,
        wanted: Sequence[Audit],
        known: Callable[[Result], object] = lambda result: None,
        said: Callable[[str], object] = print,
    ) -> Result:
        """Make some audits, each after the other, and keep all that is known in `audit.json`.

        An audit that cannot be made says why; the others are made all the same. Those that were made before
        of the same checkpoint and questions stay.

        Args:
            wanted: the audits.
            known: is given all that is known after each of them.
            said: is given each sentence as soon as it is known.
        """
        result = self._begun(said)
        before = self._made_before(result)
        audits = {
            audit.name: before["audits"][audit.name] for audit in AUDITS if audit.name in before["audits"]
        }
        for audit in wanted:
            made = self._made(audit) if result["base"] else {"error": result["error"]}
            audits[audit.name] = {
                "question": audit.question,
                "expects": audit.expects,
                "why": audit.why,
                "passes": {},
                "findings": [],
                **made,
            }
            result["audits"] = {each.name: audits[each.name] for each in AUDITS if each.name in audits}
            _adjust(result["audits"])
            _find(result["audits"])
            result["in_short"] = findings.in_short(result["audits"])
            entry = result["audits"][audit.name]
            for sentence in [*entry["findings"], *([entry["error"]] if "error" in entry else [])]:
                said(f"{audit.name}: {sentence}")
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.file, json.dumps(result, indent=1) + "\n")
            known(result)
        return result

    def _begun(self, said: Callable[[str], object]) -> Result:
        """What is known before any audit: the unchanged answers, and what the test gives away."""
        result: Result = {
            "run": dict(self.card),
            "identity": self.questioner.identity,
            "base": None,
            "bias": [],
            "histogram": {},
            "in_short": [],
            "audits": {},
        }
        try:
            base = self._answers(UNCHANGED)
            if any(line["correct"] is None for line in base.lines.values()):
                raise AuditError(
                    "The metric of the data judges no single answer right or wrong, so that nothing can be "
                    "compared question by question."
                )
            pairs = Paired.of(base.lines, base.lines, self.samples)
            unreadable = int(pairs.unreadable[0].sum())
            result["base"] = {**accuracy(pairs.before, pairs.images), "unreadable": unreadable}
            result["histogram"] = answer_histogram(base.lines)
            result["bias"] = self._made_before(result)["bias"] or bias_of_test(
                list(self.samples.values()), metric_of(self.questioner.data, "test")
            )
        except SmallSpatialError as error:
            result |= {"base": None, "error": sentence_of(error)}
            said(result["error"])
        return result

    def _made_before(self, result: Result) -> Result:
        """What earlier calls found out about the same checkpoint and the same questions."""
        nothing: Result = {"audits": {}, "bias": []}
        if not self.file.is_file() or result["base"] is None:
            return nothing
        with suppress(DataError):  # a damaged one is written anew
            before = read_json(self.file)
            now = json.loads(json.dumps({name: result[name] for name in TOLD_BY}))
            if all(before.get(name) == now[name] for name in TOLD_BY):
                return dict(before)
        return nothing

    def _answers(self, wanted: Pass) -> Answered:
        if wanted.name not in self._answered:
            self._answered[wanted.name] = self.questioner.ask(wanted)
        return self._answered[wanted.name]

    def _made(self, audit: Audit) -> Result:
        try:
            if audit.passes:
                return self._of_answers(audit)
            base = self._answers(UNCHANGED)
            if audit.name == "colour":
                return without_colour(base.lines, self._answers(GRAYSCALE), self.samples)
            raw = {sample.id: sample for sample in self.questioner.samples}
            return by_height(base.lines, raw)
        except SmallSpatialError as error:
            return {"error": sentence_of(error)}

    def _of_answers(self, audit: Audit) -> Result:
        base = self._answers(UNCHANGED)
        passes: dict[str, Result] = {}
        errors: list[str] = []
        if audit.name == "identity":
            passes, errors = self._with_run(base)
        for each in audit.passes:
            if each is UNCHANGED:
                continue
            try:
                passes[each.name] = self._figures(each.said, base.lines, self._answers(each))
            except SmallSpatialError as error:
                errors.append(sentence_of(error))
        made: Result = {"passes": passes}
        if audit.name == "rotated_choices" and passes:
            asked = [self._answered[each.name].lines for each in audit.passes if each.name in passes]
            made["rotations"] = rotations([base.lines, *asked], self.samples)
            errors = []  # questions with few choices have few rotations, which is no fault
        return {**made, "error": " ".join(dict.fromkeys(errors))} if errors else made

    def _with_run(self, base: Answered) -> tuple[dict[str, Result], list[str]]:
        """The answers of now beside the run's own ones, and what is wrong with those."""
        if not self.run.predictions.is_file():
            name = self.run.predictions.name
            return {}, [f"The run has no answers of its own to compare with: {name} is missing."]
        lines = records_by_id(self.run.predictions)
        if not all(name in line for line in lines.values() for name in NEEDED):
            return {}, [
                f"{self.run.predictions} is not what a run writes, so that nothing is compared with it."
            ]
        common = lines.keys() & base.lines.keys()
        errors = []
        if len(common) != len(lines) or len(common) != len(base.lines):
            errors.append(
                f"The run has not answered the questions that its data hold now: {len(lines):,} then, "
                f"{len(base.lines):,} now, {len(common):,} of them the same. Either the data are others by "
                "now, or the run was limited to a part of them."
            )
        return {IN_THE_RUN: self._figures("the run's own answers", lines, base)} if common else {}, errors

    def _figures(self, said: str, before: Lines, answered: Answered) -> Result:
        pairs = Paired.of(before, answered.lines, self.samples)
        left_out = dict(answered.left_out)
        shares = shares_of(("copied", "last_correct"), answered.lines, pairs)
        return {"said": said, **figures(pairs), **shares, "changed": answered.changed, "left_out": left_out}


def sentence_of(error: SmallSpatialError) -> str:
    """What an error says, without the traceback that a data-loading process has put around it."""
    return explained(error) or str(error)


def _adjust(audits: Mapping[str, Result]) -> None:
    """Adjust the p-values of the family that was named beforehand; one that is not known is 1 in it."""
    passes = {name: each for audit in audits.values() for name, each in audit["passes"].items()}
    p_values = [passes.get(name, {}).get("p") for name in FAMILY]
    adjusted = holm([1.0 if p is None else p for p in p_values])
    for name, p, value in zip(FAMILY, p_values, adjusted, strict=True):
        if p is not None:
            passes[name]["holm"] = value


def _find(audits: Mapping[str, Result]) -> None:
    """Put into sentences what every audit shows."""
    for name, made in audits.items():
        made["findings"] = findings.findings_of(name, made)
