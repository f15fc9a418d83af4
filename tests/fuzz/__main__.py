"""Put mutated records and files through every reader: `make fuzz [EXAMPLES=10000] [NAME=]`.

Prints a line for each reader: how many inputs were tried, read, and refused by which of the named errors.
Exit status 1 where a reader did anything else: another error, none within its time, a file outside of its
folder, another process. What led there lies in `runs/fuzz/` then.
"""

from __future__ import annotations

import faulthandler
import logging
import resource
import sys
import time
import warnings
from argparse import ArgumentParser

from tests.fuzz.targets import TARGETS
from tests.fuzz.trials import Trial
from tests.helpers.commands import ROOT

FOLDER = ROOT / "runs" / "fuzz"
MEMORY_BYTES = 12 * 2**30
"""Address space: what asks for more for a file of a few KB believes a number in it."""

SECONDS_FOR_ALL_OF_ONE = 3_000


def main() -> int:
    """Try all readers, or those whose name holds a word."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=10_000, help="how many inputs for each reader")
    parser.add_argument("--name", default="", help="a part of the names of readers; all when left out")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    trials = []
    for target in TARGETS:
        if options.name.lower() in target.name.lower():
            # A hang within a library's own code is not interrupted by a signal.
            faulthandler.dump_traceback_later(SECONDS_FOR_ALL_OF_ONE, exit=True)
            started = time.monotonic()
            trial = Trial(target).run(options.examples)
            print(f"{trial} [{time.monotonic() - started:.0f} s]", flush=True)
            trials.append(trial)
    faulthandler.cancel_dump_traceback_later()
    for trial in trials:
        for number, (said, (_, content)) in enumerate(trial.wrong.items()):
            FOLDER.mkdir(parents=True, exist_ok=True)
            file = FOLDER / f"{trial.target.name.replace(' ', '_').replace(',', '')}-{number}"
            file.write_bytes(content if isinstance(content, bytes) else ascii(content).encode())
            print(f"{trial.target.name}: {said} ({file.relative_to(ROOT)})")
    print(f"{sum(trial.outcomes.total() for trial in trials):,} inputs, {len(trials)} readers")
    return 1 if any(trial.wrong for trial in trials) else 0


if __name__ == "__main__":
    sys.exit(main())
