"""Who audits a run: its model with the weights it was tested with, and the data it was tested on."""

from __future__ import annotations

from experiments.audits.asking import Questioner
from experiments.audits.auditing import Auditing
from experiments.run_folders.run_folder import RunFolder
from experiments.tested import card_of, tested

FOLDER = "audit"
"""Of a run's folder: where its audits lie."""


def auditing_of(run: RunFolder) -> Auditing:
    """What audits a run; raises as `tested` does."""
    return Auditing(questioner_of(run), run, card_of(run))


def questioner_of(run: RunFolder) -> Questioner:
    """Who asks the model of a run about the data it was tested on; raises as `tested` does."""
    asked = tested(run)
    return Questioner(asked.module, asked.data, run.path / FOLDER, asked.identity, asked.trainer)
