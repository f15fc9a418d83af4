"""The kept list of mutants fits the code, and planting tells what tests notice from what they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.commands import LONGEST_S, ROOT, environment
from tests.helpers.forked import ForkedCommand
from tests.mutants.copies import planted
from tests.mutants.kept_list import BY_HAND, MutantError, kept_mutants

NOTICED = {
    "name": "one tail is left out",
    "place": "datamodules.statistics.intervals:TAIL",
    "old": "0.025",
    "new": "0.05",
    "breaks": "A 95 % interval is one of 90 %.",
    "tests": ["tests/datamodules/test_statistics.py"],
}
UNNOTICED = {
    **NOTICED,
    "name": "fewer draws at once",
    "place": "datamodules.statistics.intervals:_DRAWS_AT_ONCE",
    "old": "2_000_000",
    "new": "1_000_000",
}


def write_list(folder: Path, *entries: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "intervals.yaml").write_text(yaml.safe_dump(list(entries)))
    return folder


def test_every_fault_has_its_place_and_its_tests() -> None:
    mutants = kept_mutants()
    for mutant in mutants:
        assert mutant.planted(ROOT)
        assert mutant.breaks.strip() and mutant.tests, mutant
        for test in mutant.tests:
            file, _, name = test.partition("::")
            assert name.partition("[")[0] in (ROOT / file).read_text(), mutant
    assert len(mutants) >= 200
    assert sum(mutant.proposed_by == BY_HAND for mutant in mutants) >= 100


def test_planting_tells_noticed_from_unnoticed_and_excused(tmp_path: Path) -> None:
    noticed = {**NOTICED, "name": "the low/high one is left out"}
    excused = {**UNNOTICED, "name": "excused", "excused": "it is only faster"}
    folder = write_list(tmp_path / "list", noticed, UNNOTICED, excused)
    typed = ("--list", str(folder), "--jobs", "2", "--to", str(tmp_path))
    memory = tmp_path / "told_by.json"
    memory.write_text(json.dumps({noticed["name"]: "tests/test_mutants.py::test_gone"}))
    finished = ForkedCommand("tests.mutants.__main__", typed, ROOT, environment(), tmp_path).finished(
        LONGEST_S
    )
    assert finished.returncode == 1, finished.stdout + finished.stderr
    table = (tmp_path / "mutants.md").read_text()
    assert "| intervals | 3 | 1 | 2 |" in table
    assert "fewer draws at once" in table and "it is only faster" in table and "low/high" not in table
    assert "test_statistics.py::" in finished.stdout
    # A test that is no longer there takes no fault's tests away, and the next time another one runs first.
    (told,) = json.loads(memory.read_text()).items()
    assert told[0] == noticed["name"] and "test_statistics.py::" in told[1]


def test_a_fault_is_there_for_a_while_and_in_its_place_alone(tmp_path: Path) -> None:
    file = tmp_path / "datamodules/statistics/intervals.py"
    file.parent.mkdir(parents=True)
    file.write_text("OTHER = 0.025\nTAIL = 0.025\n")
    (mutant,) = kept_mutants(write_list(tmp_path / "list", NOTICED))
    before = file.stat().st_mtime_ns
    with planted(mutant, tmp_path):
        assert file.read_text() == "OTHER = 0.025\nTAIL = 0.05\n"
        assert file.stat().st_mtime_ns != before  # or its compiled form would be taken for it
    assert file.read_text() == "OTHER = 0.025\nTAIL = 0.025\n"
    assert file.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"old": "0.125"}, "occurs 0 times"),
        ({"old": "0"}, "occurs 2 times"),
        ({"place": "datamodules.statistics.intervals:HEAD"}, "is gone"),
        ({"place": "datamodules.statistics.outervals:TAIL"}, "there is no outervals.py"),
        ({"new": "0.05)"}, "cannot be read"),
    ],
)
def test_a_fault_that_does_not_fit_the_code_is_refused(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    (mutant,) = kept_mutants(write_list(tmp_path / "list", {**NOTICED, **change}))
    with pytest.raises(MutantError, match=rf"intervals.yaml, 'one tail is left out'.*{said}"):
        mutant.planted(ROOT)


def test_a_list_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MutantError, match="twice"):
        kept_mutants(write_list(tmp_path / "list", NOTICED, NOTICED))
    with pytest.raises(MutantError, match=r"'intervall'.*Did you mean intervals\?"):
        kept_mutants(tmp_path / "list", "intervall")
    with pytest.raises(MutantError, match="lacks a key"):
        kept_mutants(write_list(tmp_path / "list", {"name": "a", "tests": []}))
