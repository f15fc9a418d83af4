"""`python -m experiments.commands.list`: every experiment and the question it answers."""

from __future__ import annotations

from experiments.errors.plain_errors import plain_errors
from experiments.experiment_files.registry import experiment_names, question_of


def main() -> None:
    """Print the experiments."""
    width = max(map(len, experiment_names()))
    with plain_errors(only_prints=True):
        for listed in experiment_names():
            print(f"{listed:{width}}  {question_of(listed)}")


if __name__ == "__main__":
    main()
