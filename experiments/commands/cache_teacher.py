"""`python -m experiments.run cache-teacher -c NAME`: write what a teacher says of training questions.

Training then reads these teacher outputs and needs no teacher in memory. The experiment takes the options
that `experiment` takes, and its `teacher.cache` names the folder. After an interruption, the same command
goes on.
"""

from __future__ import annotations

import sys

from experiments.errors.libraries import quiet_libraries
from experiments.errors.plain_errors import AGAIN, plain_errors
from experiments.experiment_files.config_files import compose
from experiments.run_folders.run_folder import RunError


def main(arguments: list[str] | None = None) -> None:
    """Write the teacher outputs of an experiment's teacher; what is wrong goes to the error stream."""
    with plain_errors(interrupted=AGAIN):
        cache_teacher(sys.argv[1:] if arguments is None else arguments)


def cache_teacher(typed: list[str]) -> None:
    """Write the teacher outputs of an experiment's teacher.

    Args:
        typed: the options of `experiment`.

    Raises:
        RunError: the experiment has no cached teacher.
    """
    composition = compose(["experiment", *typed])
    # Loaded late, so that a mistyped name is reported at once.
    quiet_libraries()
    from experiments.command_line.dry_run import DryRun
    from experiments.command_line.teacher_outputs import learns_from_cache, write_teacher_outputs

    experiment = DryRun(composition)
    if not learns_from_cache(experiment.model):
        raise RunError(
            f"{experiment.name} does not learn from a cached teacher: name a folder as "
            "model.init_args.teacher.cache, as distillation/logit_kd_cached does."
        )
    # The teacher may need the room of the student's weights, and nobody asks the student anything.
    for parameter in experiment.model.parameters():
        parameter.data = parameter.data.new_empty(0)
    print(write_teacher_outputs(experiment.model, experiment.datamodule, experiment.trainer))
    print(f"Next: make experiment NAME={experiment.name}, with the same options, reads them.")


if __name__ == "__main__":
    main()
