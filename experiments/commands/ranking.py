"""`python -m experiments.run ranking`: which differences of published scores their sets could have shown."""

from __future__ import annotations

from experiments.errors.plain_errors import OptionParser, plain_errors
from experiments.program import program
from experiments.report.published_ranking import NOTE, as_text, comparisons


def main(arguments: list[str] | None = None) -> None:
    """Print the rankings."""
    with plain_errors(only_prints=True):
        OptionParser(prog=program("ranking"), description=__doc__).parse_args(arguments)
        print("\n\n".join([*map(as_text, comparisons()), NOTE]))


if __name__ == "__main__":
    main()
