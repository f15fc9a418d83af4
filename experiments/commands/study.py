"""Several experiments over several seeds, and one table.

`python -m experiments.run study NAME [--scale tiny] [--jobs 2]`

Runs that were done before from the same settings are kept, so that a study goes on after an interruption. All
its files lie in `runs/study/NAME/` (or `NAME-tiny/`).
"""

from __future__ import annotations

import signal
import sys

from experiments.errors.plain_errors import AGAIN, OptionParser, plain_errors
from experiments.experiment_files.allowed_classes import ALLOW, require_packages
from experiments.program import program
from experiments.study.runner import StudyRunner
from experiments.study.study_file import StudyError, find_study, read_study
from experiments.study.study_latency import measure_latencies
from experiments.study.study_summary import summarise
from experiments.study.study_table import as_markdown, write_tables


def main(arguments: list[str] | None = None) -> None:
    """Run a study and print its table."""
    parser = OptionParser(prog=program("study"), description=__doc__)
    parser.add_argument("name", help="a study's name (experiments/studies/NAME.yaml) or its file")
    parser.add_argument("--scale", choices=["full", "tiny"], default="full", help="the size of every run")
    parser.add_argument("--jobs", type=int, default=1, help="how many runs at once")
    parser.add_argument(ALLOW, action="append", default=[], help="a package whose classes the runs may name")
    with plain_errors(interrupted=AGAIN):
        options = parser.parse_args(arguments)
        require_packages(options.allow)
        if options.jobs < 1:
            raise StudyError(f"--jobs is {options.jobs}, but must be at least 1.")
        study = read_study(find_study(options.name), options.scale, options.allow)
        folders = StudyRunner(study, options.jobs).run()
        summary = summarise(study, folders)
        # Once nothing else of the study runs.
        latencies = measure_latencies(study, folders)
        write_tables(study, summary, latencies)
        print(f"\n{as_markdown(study, summary, latencies)}\nTable: {study.folder / 'table.md'}")


if __name__ == "__main__":
    # Whoever ends the study ends its runs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    main()
