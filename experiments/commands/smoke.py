"""Run every experiment, or some, at the tiny size: `python -m experiments.run smoke [NAME ...]`.

All of them share one process, so that the libraries are imported once. The runs lie in `runs/smoke/`.
"""

from __future__ import annotations

from experiments.errors.libraries import quiet_libraries
from experiments.errors.plain_errors import OptionParser, plain_errors
from experiments.experiment_files.allowed_classes import ALLOW, allowing
from experiments.experiment_files.config_files import compose
from experiments.experiment_files.registry import experiment_names, find_experiment
from experiments.program import program


def main(arguments: list[str] | None = None) -> None:
    """Run the named experiments, by default all of them, one after the other."""
    with plain_errors():
        parser = OptionParser(prog=program("smoke"), description=__doc__)
        parser.add_argument(
            "names", nargs="*", metavar="NAME", help="an experiment; all of them when left out"
        )
        parser.add_argument(ALLOW, action="append", default=[], help="a package whose classes they may name")
        options = parser.parse_args(arguments)
        names = options.names
        quiet_libraries()
        from experiments.command_line.cli import SpatialCLI

        for name in names:
            find_experiment(name)
        for name in names or experiment_names():
            print(f"\n=== {name}", flush=True)
            typed = ["experiment", "-c", name, "--scale", "tiny", "--name", f"smoke/{name}"]
            SpatialCLI(compose([*typed, *allowing(options.allow)]))


if __name__ == "__main__":
    main()
