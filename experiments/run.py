"""`python -m experiments.run {fit,validate,test,predict,experiment} -c experiments/NAME.yaml ...`."""

from __future__ import annotations

import sys

from experiments.errors.libraries import quiet_libraries
from experiments.errors.plain_errors import plain_errors
from experiments.experiment_files.config_files import compose


def main() -> None:
    """Run what the command line says; an error this project raises on purpose ends in one sentence."""
    with plain_errors(only_prints=bool({"--print_config", "--help", "-h"} & set(sys.argv))):
        composition = compose(sys.argv[1:])
        # Loaded late, so that a mistyped name is reported at once.
        quiet_libraries()
        from experiments.command_line.cli import SpatialCLI

        SpatialCLI(composition)


if __name__ == "__main__":
    main()
