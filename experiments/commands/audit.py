"""Audits a checkpoint: its test again, each time with one thing changed.

`python -m experiments.run audit --run runs/quickstart/latest`

Answers are kept in the run's folder `audit/`: what was asked already is not asked again.
"""

from __future__ import annotations

from experiments.audits.passes import AUDITS, audits_named
from experiments.errors.plain_errors import OptionParser, plain_errors
from experiments.experiment_files.allowed_classes import ALLOW, enforce
from experiments.program import program
from experiments.run_folders.alone import alone_in
from experiments.run_folders.find_run import run_to_ask
from experiments.run_folders.run_folder import RunFolder


def main(arguments: list[str] | None = None) -> None:
    """Make the audits and write their page."""
    parser = OptionParser(prog=program("audit"), description=__doc__)
    parser.add_argument("--run", required=True, help="a run's folder, or an experiment's name for its newest")
    known = ", ".join(audit.name for audit in AUDITS)
    parser.add_argument("--audits", default="", help=f"some of them, with commas between: {known}")
    parser.add_argument(
        ALLOW, action="append", default=[], help="a package of your own with classes of the run"
    )
    with plain_errors():
        options = parser.parse_args(arguments)
        wanted = audits_named([name for name in options.audits.replace(",", " ").split() if name])
        enforce(options.allow)
        run = run_to_ask(options.run)
        from experiments.errors.libraries import quiet_libraries

        quiet_libraries()
        from experiments.audits.of_run import FOLDER, auditing_of
        from experiments.audits.page import write_page

        with alone_in(RunFolder(run.path / FOLDER)):
            auditing = auditing_of(run)
            auditing.audit(wanted, lambda result: write_page(auditing.questioner.folder, result))
        print(f"\nPage: {auditing.questioner.folder / 'index.html'}")


if __name__ == "__main__":
    main()
