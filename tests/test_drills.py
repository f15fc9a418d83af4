"""The drills are what their names say, and a drill that goes wrong is told from one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills.__main__ import main, outcome_of
from tests.drills.drill import FILES, INJECTED, MOUNT, SIGNAL, Drill, DrillError, drills, require
from tests.drills.outcomes import as_markdown
from tests.drills.place import Place
from tests.helpers.commands import ROOT


def test_every_drill_says_what_must_come_of_it_and_stands_in_the_table() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## Fault drills")[2].partition("\n## ")[0]
    known = drills()
    for each in known:
        assert each.expected and each.done_by in (FILES, INJECTED, MOUNT, SIGNAL), each
        assert f"| {each.name} |" in table, each.name
    assert len(known) >= 20
    assert table.count("\n| ") == len(known) + 1


def test_drills_are_found_by_a_word_and_an_unknown_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert [each.name for each in drills("nan at")] == [
        "the loss is NaN at a step",
        "the gradient is NaN at a step whose loss is a number",
    ]
    assert main(["--name", "earthquake"]) == 2
    assert "No drill is called like 'earthquake'" in capsys.readouterr().err


def test_a_drill_passes_fails_or_is_not_done(tmp_path: Path) -> None:
    def well(place: Place) -> None:
        assert place.folder.is_dir()

    def wrong(place: Place) -> None:
        require(False, "it went | wrong")

    def impossible(place: Place) -> None:
        raise DrillError("There is no such disk here.")

    acts = (well, wrong, impossible)
    outcomes = [outcome_of(Drill(act.__name__, FILES, "It ends.", act), tmp_path) for act in acts]
    assert [outcome.status for outcome in outcomes] == ["passes", "fails", "not done"]
    table = as_markdown(outcomes, 60)
    assert "| wrong | files | It ends. | fails: it went \\| wrong |" in table
    assert "1 of 3 pass; 1.0 minutes." in table
    assert not list(tmp_path.iterdir())
