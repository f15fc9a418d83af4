"""`python -m experiments.run list`: every experiment and the question it answers."""

from __future__ import annotations

from experiments.errors.plain_errors import OptionParser, plain_errors
from experiments.experiment_files.registry import experiment_names, question_of
from experiments.program import program


def main(arguments: list[str] | None = None) -> None:
    """Print the experiments."""
    with plain_errors(only_prints=True):
        OptionParser(prog=program("list"), description=__doc__).parse_args(arguments)
        width = max(map(len, experiment_names()))
        for listed in experiment_names():
            print(f"{listed:{width}}  {question_of(listed)}")


if __name__ == "__main__":
    main()
