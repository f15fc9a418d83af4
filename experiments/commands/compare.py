"""Compares two runs on the same questions: is one better, or may it be chance?

`python -m experiments.run compare small_vlm/lora small_vlm/zero_shot`; a run is its folder, or the name
of an experiment for its newest tested run.
"""

from __future__ import annotations

from experiments.errors.plain_errors import OptionParser, plain_errors
from experiments.program import program
from experiments.report.comparison import (
    as_text,
    compare,
    paired_answers,
    said_of_truths,
    views_that_move_truth,
)
from experiments.run_folders.find_run import find_run


def main(arguments: list[str] | None = None) -> None:
    """Print the comparison."""
    parser = OptionParser(prog=program("compare"), description=__doc__)
    parser.add_argument("a", help="a run's folder, or the name of an experiment for its newest tested run")
    parser.add_argument("b", help="the run to compare it with")
    with plain_errors(only_prints=True):
        options = parser.parse_args(arguments)
        run_a, run_b = find_run(options.a, "tested"), find_run(options.b, "tested")
        moved_by = views_that_move_truth(run_a, run_b)
        answers = paired_answers(run_a.predictions, run_b.predictions, moved_by)
        print(as_text(run_a, run_b, compare(answers), said_of_truths(answers, moved_by)))


if __name__ == "__main__":
    main()
