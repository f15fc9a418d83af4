"""`python -m experiments.run {fit,validate,test,predict,experiment} -c experiments/NAME.yaml ...`."""

from __future__ import annotations

import sys

from experiments.errors import plain_errors


def main() -> None:
    """Run what the command line says; an error this project raises on purpose ends in one sentence."""
    with plain_errors():
        # Imported here so that a mistake in an import is shown in the same way as any other.
        from experiments.command_line import SpatialCLI

        SpatialCLI(sys.argv[1:])


if __name__ == "__main__":
    main()
