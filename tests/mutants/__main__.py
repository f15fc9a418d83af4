"""Plant every mutant of the kept list and see whether its tests tell: `make mutants [PACKAGE=] [JOBS=2]`.

Each fault is planted in a copy of the project, and the tests that its entry names are run there. What they
said lies in `runs/mutants/` then. Exit status 1 where a fault was not noticed whose entry gives no reason.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from datamodules.samples import SmallSpatialError
from tests.helpers.commands import ROOT, SETTINGS_OF_THE_CALLER
from tests.mutants.copies import copy_project, planted
from tests.mutants.kept_list import LIST, Mutant, MutantError, kept_mutants
from tests.mutants.outcomes import Outcome, as_markdown
from tests.mutants.trials import SECONDS_BETWEEN_LOOKS, Trial, Verdict, load_libraries

FOLDER = ROOT / "runs" / "mutants"
FAILED, NOT_FOUND, NOTHING_COLLECTED = 1, 4, 5


class Planting:
    """Plants mutants one after the other in each of several copies.

    Args:
        mutants: the faults.
        jobs: how many copies there are.
        folder: where the logs go, and what tells of each fault: that test runs first the next time.
    """

    def __init__(self, mutants: list[Mutant], jobs: int, folder: Path) -> None:
        self._waiting = list(mutants)
        self._count = len(mutants)
        self._jobs = jobs
        self._folder = folder
        self._memory = folder / "told_by.json"
        self._told_by: dict[str, str] = json.loads(self._memory.read_text()) if self._memory.exists() else {}
        self.outcomes: list[Outcome] = []

    def run(self) -> list[Outcome]:
        """Plant all of them; what became of each, in the list's order.

        Raises:
            MutantError: the text of one is gone; tests that an entry names fail without any fault.
        """
        order = [mutant.name for mutant in self._waiting]
        for mutant in self._waiting:
            mutant.planted(ROOT)
        load_libraries()
        with tempfile.TemporaryDirectory() as temporary:
            copies = [copy_project(Path(temporary) / str(job)) for job in range(self._jobs)]
            workers = [self._work(copy) for copy in copies]
            while workers:
                workers = [worker for worker in workers if next(worker, "ended") != "ended"]
                time.sleep(SECONDS_BETWEEN_LOOKS)
            self._see_tests_pass_without_faults(copies)
        return sorted(self.outcomes, key=lambda outcome: order.index(outcome.mutant.name))

    def _work(self, copy: Path) -> Iterator[None]:
        """Plant in one copy what is waiting; gives way while tests run."""
        while self._waiting:
            mutant = self._waiting.pop(0)
            log = (
                self._folder / "logs" / f"{mutant.package}-{re.sub(r'[^a-z0-9]+', '_', mutant.name)[:80]}.log"
            )
            told = [self._told_by[mutant.name]] if mutant.name in self._told_by else []
            with planted(mutant, copy):
                trial = Trial(copy, [*told, *mutant.tests], log)
                while (verdict := trial.ended()) is None or (told and verdict.code == NOT_FOUND):
                    if verdict:  # that test is gone
                        told, trial = [], Trial(copy, mutant.tests, log)
                    yield
            self._note(mutant, verdict)

    def _note(self, mutant: Mutant, verdict: Verdict) -> None:
        outcome = _judged(mutant, verdict)
        self.outcomes.append(outcome)
        done = f"[{len(self.outcomes)}/{self._count}]"
        print(f"{done:>9} {outcome.status:8} {verdict.seconds:4.0f} s  {mutant}", flush=True)
        if outcome.told_by:
            print(f"{'':>10}{outcome.told_by}", flush=True)
        if outcome.status == "caught" and verdict.failed:
            self._told_by[mutant.name] = outcome.told_by
            self._memory.write_text(json.dumps(self._told_by, indent=1) + "\n")

    def _see_tests_pass_without_faults(self, copies: list[Path]) -> None:
        """Run every test that has told of a fault without one: only who else passes has told anything."""
        told = sorted({outcome.told_by for outcome in self.outcomes if "::" in outcome.told_by})
        print(
            f"Running the {len(told)} tests that have told of a fault once more, without one ...", flush=True
        )
        trials = [
            Trial(
                copy, told[job :: len(copies)], self._folder / "logs" / f"without-{job}.log", all_of_them=True
            )
            for job, copy in enumerate(copies)
            if told[job :: len(copies)]
        ]
        failing: set[str] = set()
        for trial in trials:
            while (verdict := trial.ended()) is None:
                time.sleep(SECONDS_BETWEEN_LOOKS)
            failing.update(verdict.failed)
            if verdict.code not in (0, FAILED):
                raise MutantError(f"The tests could not be run without a fault: see {verdict.log}.")
        self.outcomes = [
            replace(outcome, status="broken", told_by=f"{outcome.told_by} fails without the fault as well")
            if outcome.told_by in failing
            else outcome
            for outcome in self.outcomes
        ]


def _judged(mutant: Mutant, verdict: Verdict) -> Outcome:
    """What a verdict means."""
    if verdict.code == 0:
        return Outcome(mutant, "uncaught", "", verdict.seconds)
    if verdict.code is None:
        return Outcome(mutant, "caught", "the tests did not end", verdict.seconds)
    if verdict.failed:
        return Outcome(mutant, "caught", verdict.failed[0], verdict.seconds)
    why = "no test is there" if verdict.code == NOTHING_COLLECTED else f"pytest ended with {verdict.code}"
    return Outcome(mutant, "broken", f"{why}: see {verdict.log.name}", verdict.seconds)


def main(arguments: list[str] | None = None) -> int:
    """Plant the mutants that were asked for and write the table."""
    parser = ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--package", help="those of one package: a file of the list")
    parser.add_argument(
        "--list", type=Path, default=LIST, help="a folder with another list than the kept one"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many copies, and runs at once")
    parser.add_argument("--to", type=Path, default=FOLDER, help="the folder for the table and the logs")
    options = parser.parse_args(arguments)
    for variable in SETTINGS_OF_THE_CALLER:
        os.environ.pop(variable, None)
    os.environ["OMP_NUM_THREADS"] = "1"
    (options.to / "logs").mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        outcomes = Planting(kept_mutants(options.list, options.package), options.jobs, options.to).run()
    except SmallSpatialError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    table = as_markdown(outcomes, time.monotonic() - began)
    (options.to / "mutants.md").write_text(table)
    (options.to / "mutants.json").write_text(json.dumps([o.as_json() for o in outcomes], indent=1) + "\n")
    print(f"\n{table}\nTable: {options.to / 'mutants.md'}")
    return int(any(o.status != "caught" and not o.mutant.excused for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
