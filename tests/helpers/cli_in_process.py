"""The command line in the process of the tests: all but the run itself, or a whole run."""

from __future__ import annotations

from experiments.command_line.cli import SpatialCLI
from experiments.experiment_files.config_files import compose
from experiments.run_folders.run_folder import RunFolder
from tests.helpers.commands import allowing


class DryRunCLI(SpatialCLI):
    """Does everything but the run itself."""

    def __init__(self, typed: list[str]) -> None:
        super().__init__(compose(allowing(typed)))

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def run(*typed: str) -> RunFolder:
    """A whole run; its folder."""
    cli = SpatialCLI(compose(allowing(typed)))
    return cli.folder
