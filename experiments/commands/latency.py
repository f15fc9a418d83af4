"""Measures what an answer of a run costs: one question at a time, by stages.

`python -m experiments.run latency --run runs/quickstart/latest [--questions 200]`

The figures and their page lie in the run's folder `latency/`.
"""

from __future__ import annotations

from experiments.errors.plain_errors import CommandError, OptionParser, plain_errors
from experiments.experiment_files.allowed_classes import ALLOW, enforce
from experiments.program import program
from experiments.run_folders.alone import alone_in
from experiments.run_folders.find_run import run_to_ask
from experiments.run_folders.run_folder import RunFolder


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the figures and write their page."""
    parser = OptionParser(prog=program("latency"), description=__doc__)
    parser.add_argument("--run", required=True, help="a run's folder, or an experiment's name for its newest")
    parser.add_argument(
        "--questions", type=int, default=200, help="how many questions, and how often the same one is asked"
    )
    parser.add_argument(
        ALLOW, action="append", default=[], help="a package of your own with classes of the run"
    )
    with plain_errors():
        options = parser.parse_args(arguments)
        if options.questions < 1:
            raise CommandError(
                f"--questions (N=) is {options.questions}, but must be at least 1; a p95 needs 60 or more."
            )
        enforce(options.allow)
        run = run_to_ask(options.run)
        from experiments.errors.libraries import quiet_libraries

        quiet_libraries()
        from experiments.latency.kept import file_of
        from experiments.latency.of_run import measure
        from experiments.latency.table import as_text

        folder = file_of(run).parent
        with alone_in(RunFolder(folder)):
            result = measure(run, options.questions)
        print(f"\n{as_text(result)}\n\nPage: {folder / 'latency.html'}")


if __name__ == "__main__":
    main()
