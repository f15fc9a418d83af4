"""Do to real runs what machines and people do to them: `make drill [NAME=]`.

Each drill disturbs a small run on the CPU and looks at what came of it: its status, what it said, the files
that are left, and whether the resumed run ends as the undisturbed one, to the last bit. What came of all of
them lies in `runs/drills/` then. Exit status 1 where one fails.

Disks that are full or read-only are mounts in a namespace of this process, which end with it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

from datamodules.samples import SmallSpatialError
from tests.drills.drill import Drill, DrillError, WentWrong, drills
from tests.drills.outcomes import Outcome, as_markdown
from tests.drills.place import place_for_a_drill
from tests.helpers.commands import ROOT

FOLDER = ROOT / "runs" / "drills"
IN_NAMESPACE = "DRILLS_IN_NAMESPACE"


def enter_namespace() -> None:
    """Start again with mounts of one's own, where the system has a way to."""
    if IN_NAMESPACE in os.environ or shutil.which("unshare") is None:
        return
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    os.environ[IN_NAMESPACE] = "1"
    command = ["unshare", "--mount", *as_root, sys.executable, "-m", "tests.drills", *sys.argv[1:]]
    os.execvp(command[0], command)


def outcome_of(drill: Drill, shared: Path) -> Outcome:
    """Do a drill."""
    began = time.monotonic()
    try:
        with place_for_a_drill(shared) as place:
            drill.act(place)
    except WentWrong as wrong:
        return Outcome(drill, "fails", str(wrong), time.monotonic() - began)
    except DrillError as error:
        return Outcome(drill, "not done", str(error), time.monotonic() - began)
    return Outcome(drill, "passes", "", time.monotonic() - began)


def main(arguments: list[str] | None = None) -> int:
    """Do the drills that were asked for and write the table."""
    parser = ArgumentParser(prog="python -m tests.drills", description=__doc__)
    parser.add_argument("--name", help="those whose name holds this; all when left out")
    parser.add_argument("--to", type=Path, default=FOLDER, help="the folder for the table")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    outcomes = []
    try:
        chosen = drills(options.name)
    except SmallSpatialError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        shared = Path(temporary)
        (shared / "rendered_data").mkdir()
        for number, drill in enumerate(chosen, start=1):
            outcome = outcome_of(drill, shared)
            outcomes.append(outcome)
            done = f"[{number}/{len(chosen)}]"
            print(f"{done:>8} {outcome.status:8} {outcome.seconds:4.0f} s  {drill.name}", flush=True)
            if outcome.why:
                print(f"{'':>9}{outcome.why}", flush=True)
    options.to.mkdir(parents=True, exist_ok=True)
    table = as_markdown(outcomes, time.monotonic() - began)
    (options.to / "drills.md").write_text(table)
    (options.to / "drills.json").write_text(
        json.dumps([each.as_json() for each in outcomes], indent=1) + "\n"
    )
    print(f"\n{table}\nTable: {options.to / 'drills.md'}")
    return int(any(outcome.status == "fails" for outcome in outcomes))


if __name__ == "__main__":
    enter_namespace()
    sys.exit(main())
