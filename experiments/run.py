"""`python -m experiments.run {experiment,fit,test,...} -c NAME ...`; installed, it is called `smallspatial`.

Lightning's own verbs and `experiment` are told by their options what to run; every other command has a file
of its own in `experiments/commands/`.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from datamodules.errors.nearest_names import did_you_mean
from experiments.errors.plain_errors import CommandError, plain_errors
from experiments.experiment_files.config_files import compose
from experiments.program import program

VERBS = {
    "experiment": "fit, test, baselines and report: -c NAME",
    "fit": "train: -c NAME",
    "test": "score a trained model: -c NAME, or -c runs/NAME/latest/config.yaml",
    "validate": "the same on the val split",
    "predict": "answer questions, about your own images too: --data OwnImages --data.root FOLDER",
}
"""What LightningCLI does, by its subcommands."""

COMMANDS = {
    "list": ("experiments.commands.list", "every experiment and the question it answers"),
    "print": ("experiments.commands.print", "an experiment's whole configuration: -c NAME"),
    "score": ("experiments.commands.score", "score any system's file by the official rules"),
    "compare": ("experiments.commands.compare", "two runs on the same questions, by paired tests"),
    "audit": ("experiments.commands.audit", "does a checkpoint understand or guess? --run FOLDER"),
    "latency": ("experiments.commands.latency", "what an answer costs, by stages: --run FOLDER"),
    "bias": ("experiments.commands.bias", "what a test set gives away without its pictures"),
    "ranking": ("experiments.commands.ranking", "published scores, and what their sets can show"),
    "export": ("experiments.export", "what a run has trained, for use outside of this project"),
    "study": ("experiments.commands.study", "several experiments over several seeds, one table"),
    "cache-teacher": ("experiments.commands.cache_teacher", "write a teacher's outputs down, once"),
    "fetch": ("experiments.commands.fetch", "fetch a real benchmark with your own hub token"),
    "smoke": ("experiments.commands.smoke", "every experiment, or some, at the tiny size"),
}
"""The module of each other command, and what it is for."""


def main() -> Any:
    """Run what the command line says; an error this project raises on purpose ends in one sentence."""
    typed = sys.argv[1:]
    if typed[:1] in ([], ["-h"], ["--help"]):
        with plain_errors(only_prints=True):
            return print(overview())
    if typed[0] in COMMANDS:
        return importlib.import_module(COMMANDS[typed[0]][0]).main(typed[1:])
    with plain_errors(only_prints=bool({"--print_config", "--help", "-h"} & set(typed))):
        if not typed[0].startswith("-") and typed[0] not in VERBS:
            raise CommandError(
                f"There is no command {typed[0]!r}.{did_you_mean(typed[0], [*VERBS, *COMMANDS])} There are "
                f"{', '.join([*VERBS, *COMMANDS])}."
            )
        composition = compose(typed)
        # Loaded late, so that a mistyped name is reported at once.
        from experiments.errors.libraries import quiet_libraries

        quiet_libraries()
        from experiments.command_line.cli import SpatialCLI

        SpatialCLI(composition)


def overview() -> str:
    """All commands, a line each."""
    lines = {**VERBS, **{name: what for name, (_, what) in COMMANDS.items()}}
    return "\n".join(
        [
            "SmallSpatial: small vision-language models that reason about space",
            "",
            *(f"  {program(name)}  {' ' * (13 - len(name))}{what}" for name, what in lines.items()),
            "",
            f"Start with:  {program('experiment -c quickstart')}",
            f"Options:     {program('fit --help')}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
