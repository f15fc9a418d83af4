"""The command line: LightningCLI, with whole experiments, run folders and plain error messages."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
import yaml
from jsonargparse import ArgumentError, Namespace, set_parsing_settings
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from omegaconf.errors import OmegaConfBaseException

from datamodules.base import SpatialDataModule
from datamodules.loading.cores import available_cores
from experiments.callbacks.checkpoint_callbacks import checkpoints
from experiments.callbacks.checkpoint_choice import (
    Best,
    Tested,
    refuse_looking_at_the_test,
    said_of,
)
from experiments.callbacks.gallery import GalleryWriter
from experiments.callbacks.logged_score import LoggedScore
from experiments.callbacks.plain_halves import arguments_of, data_face, module_face
from experiments.callbacks.predictions import PredictionsWriter
from experiments.callbacks.progress import progress
from experiments.callbacks.start_card import StartCard
from experiments.callbacks.state_before import StateBefore
from experiments.callbacks.stopwatch import Stopwatch
from experiments.command_line.closing import close, write_results_of, write_trained
from experiments.command_line.preconditions import (
    UNTRAINED,
    require_checkpoint,
    require_name,
    require_open_files,
    require_seed,
    require_splits,
    require_teacher,
    require_tensors_alone,
    require_workable,
    trains,
)
from experiments.command_line.run_baselines import Baselines, run_baselines
from experiments.command_line.strategies import settled_strategy
from experiments.command_line.submission_file import write_submission_file
from experiments.command_line.teacher_outputs import refuse_blind_baseline, write_missing
from experiments.errors.constructors import NotMade, made_as_configured, reason_of, refused_by_lightning
from experiments.errors.loading import loading_failed
from experiments.errors.memory import is_out_of_memory, out_of_memory
from experiments.errors.parser_errors import RefusedOption, refusal
from experiments.errors.plain_errors import Interrupted, is_interrupt
from experiments.experiment_files.allowed_classes import enforce, refuse_remote_code
from experiments.experiment_files.config_files import ConfigFiles, refuse_other_model
from experiments.experiment_files.registry import BASE, read_yaml
from experiments.experiment_files.secrets import masked, refuse_secrets
from experiments.lightning_internals import OpenedCLI
from experiments.program import program
from experiments.run_folders.alone import alone_in
from experiments.run_folders.checkpoint_io import AtomicCheckpointIO
from experiments.run_folders.find_run import find_run, next_number
from experiments.run_folders.loggers import MetricsTable, drop_rows_from, name_wandb_run
from experiments.run_folders.provenance import parameter_counts, started
from experiments.run_folders.run_folder import RUNS, TRAINING_COMMANDS, RunError, RunFolder, write_whole
from lightning_modules.base import SpatialModule
from lightning_modules.checkpoints import read_checkpoint
from lightning_modules.placement import Placement, device_of, placed
from lightning_modules.precision import Combination, refuse_unworkable
from lightning_modules.schedule import ONE_EPOCH, train_for_an_epoch_unless_told

# base.yaml, an experiment and the command line are merged before `${name}` is looked up in the result.
set_parsing_settings(omegaconf_absolute_to_relative_paths=True)


class ExperimentTrainer(Trainer):
    """Lightning's Trainer with one more verb.

    Attributes:
        best: the checkpoint to test after a training, in place of the last one.
    """

    best: Path | None = None

    def experiment(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        weights_only: bool | None = True,
    ) -> None:
        """Fit, test, and compare with baselines; a model with nothing to train is tested as it is.

        Args:
            model: the module.
            datamodule: the data.
            ckpt_path: a checkpoint to go on from.
            weights_only: load nothing but tensors and plain values from it.
        """
        if parameter_counts(model)[1]:
            self.fit(model, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=weights_only)
            ckpt_path = None if self.best is None else str(self.best)
        if isinstance(model, SpatialModule):
            model.summary = None  # of the validation: where nothing is tested, there is no score
        self.test(model, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=weights_only, verbose=False)


class SpatialCLI(OpenedCLI):
    """Parses, prepares the run folder, runs, and closes with results and report.

    Args:
        composition: the command line, resolved.
    """

    trainer: ExperimentTrainer
    model: LightningModule
    datamodule: LightningDataModule

    def __init__(self, composition: ConfigFiles) -> None:
        self.composition = composition
        enforce(composition.allowed)
        self.typed_subcommand = next(iter(composition.arguments), "")
        self.resumed = composition.resumed
        self.stopwatch = Stopwatch()
        self.logged_score = LoggedScore()
        # An abbreviated option would pass by `compose`, which reads some before the parser does.
        parser = {"parser_mode": "omegaconf+", "allow_abbrev": False}
        try:
            with ExitStack() as self.until_the_end:
                super().__init__(
                    LightningModule,
                    LightningDataModule,
                    trainer_class=ExperimentTrainer,
                    seed_everything_default=0,
                    parser_kwargs={
                        **parser,
                        "exit_on_error": False,
                        **{
                            name: {**parser, "default_config_files": [str(BASE)]}
                            for name in self.subcommands()
                        },
                    },
                    subclass_mode_model=True,
                    subclass_mode_data=True,
                    args=composition.arguments,
                    auto_configure_optimizers=False,
                    load_from_checkpoint_support=False,
                )
        except SIGTERMException:
            self._end_as_told()
        except (KeyboardInterrupt, SystemExit) as error:
            if not is_interrupt(error):
                raise
            raise Interrupted(self._how_to_go_on()) from error
        except Exception as error:
            # Told to the whole group of processes, loading workers end at once and are missed first.
            if getattr(getattr(self, "trainer", None), "received_sigterm", False):
                self._end_as_told()
            if is_out_of_memory(error):
                raise out_of_memory(self.config[self.subcommand], self._trains, error) from error
            if (failed := loading_failed(error, self._being_read)) is not None:
                raise failed from error
            if refused_by_lightning(error):
                raise NotMade(f"Lightning does not take these settings: {reason_of(error)}") from error
            raise

    def _end_as_told(self) -> NoReturn:
        """End after SIGTERM, which a scheduler sends first; Lightning would exit with 0."""
        print(f"\n{self._how_to_go_on()}", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's own, and `experiment`."""
        return {**LightningCLI.subcommands(), "experiment": {"model", "datamodule"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The keys of an experiment file that are not Lightning's."""
        parser.add_argument("--name", type=str, help="The experiment's name; its runs lie in runs/<name>/.")
        parser.add_class_arguments(Baselines, "baselines")
        parser.add_class_arguments(Best, "best")
        parser.add_argument(
            "--tested", type=Tested, default="last", help="The checkpoint that is tested and asked later on."
        )
        parser.add_argument(
            "--scale", type=Literal["full", "tiny"], default="full", help="tiny: seconds on a CPU, offline."
        )
        parser.add_argument(
            "--starts_from", type=str | None, default=None, help="The experiment this one differs from."
        )
        parser.add_argument("--tiny", type=dict | None, default=None, help="What differs with --scale tiny.")
        parser.add_argument(
            "--resume", type=str | None, default=None, help="Go on with a run: its folder, or `latest`."
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, without Lightning's warning about arguments that do not come from the shell."""
        try:
            self.config = parser.parse_args(args)
        except ArgumentError as error:
            known = self.known_keys(self.typed_subcommand)
            said = refusal(error, self.composition.typed, known, self.composition.files)
            raise RefusedOption(said) from error
        except OmegaConfBaseException as error:
            said = str(error).partition("\n")[0].rstrip(".")
            raise RefusedOption(f"{getattr(error, 'full_key', None) or 'A file'}: {said}.") from error
        config = self.config[self.config["subcommand"]]
        refuse_secrets(config.as_dict(), "the configuration")
        refuse_remote_code(config.as_dict())
        require_seed(config.get("seed_everything"))
        require_name(config.get("name"))
        require_workable(config.trainer)
        require_tensors_alone(config.get("weights_only", True))
        if config.get("ckpt_path"):
            require_checkpoint(config.ckpt_path)

    def instantiate_classes(self) -> None:
        """Make data, model and trainer; what other libraries do not take is said in a sentence."""
        with made_as_configured():
            super().instantiate_classes()

    def before_instantiate_classes(self) -> None:
        """Settle what was left open, so that the saved configuration is the whole truth of the run."""
        config = self.config[self.subcommand]
        placement = Placement.of(config.trainer.accelerator, config.trainer.precision)
        config.trainer.precision = placement.precision
        several = str(config.trainer.devices) != "1" or config.trainer.num_nodes > 1
        config.trainer.strategy = settled_strategy(config.trainer.strategy, several)
        # What is clear before a large model is loaded.
        training = trains(str(self.subcommand), config.model)
        refuse_unworkable(Combination(placement.precision, placement.device, training))
        self.until_the_end.enter_context(placed(placement))
        config.tiny = config.starts_from = None  # already merged in
        settle_data_seed(config)
        if self.subcommand not in TRAINING_COMMANDS and trains("fit", config.model):
            config.ckpt_path = self._checkpoint_to_ask(config)
        if config.get("ckpt_path") and Path(config.ckpt_path).is_file():
            dumped = self.parser_of(self.subcommand).dump(config, skip_validation=True, skip_unset=False)
            source = RunFolder.of_checkpoint(Path(config.ckpt_path))
            refuse_other_model(yaml.safe_load(dumped), source, training)
            # `runs/<name>/latest` may point to another run before the checkpoint is read.
            config.ckpt_path = str(Path(config.ckpt_path).resolve())
        self._refuse_what_is_missing(config, training)
        require_open_files(int(arguments_of(config.data).get("num_workers", 0)))
        torch.set_num_threads(computing_threads(config))
        # Deterministic kernels need no memory that is filled before its use: half of a small step's launches.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        self.folder = self.resumed or RunFolder.new(RUNS, config.name)
        if not self.rehearses:
            self.folder.require_writable()
        name_wandb_run(config.trainer.logger, self.folder.identifier)

    def _checkpoint_to_ask(self, config: Any) -> str | None:
        """The checkpoint of the run whose configuration this is, or of the newest training of its name.

        A model is never asked untrained without being told to: `--ckpt_path none` does.
        """
        typed = config.get("ckpt_path")
        if typed is not None:
            return None if typed.lower() == UNTRAINED else str(typed)
        try:
            run = find_run(
                str(self.composition.source.path) if self.composition.source else config.name, "trained"
            )
        except RunError as error:
            raise RunError(
                f"{error} So there is no checkpoint to {self.subcommand} with: train it, name one with "
                "--ckpt_path, or ask the model as it begins with --ckpt_path none."
            ) from error
        return str(run.asked)

    def _refuse_what_is_missing(self, config: Any, training: bool) -> None:
        """Say what a run lacks before a model is loaded, data are fetched, or a run folder is made."""
        with made_as_configured():
            data = self.parser_of(self.subcommand).instantiate_classes(Namespace(data=config.data)).data
        require_splits(data_face(data), str(self.subcommand), training)
        # The suite's data deal out the questions to the processes; for plain loaders Lightning does it.
        config.trainer.use_distributed_sampler |= not isinstance(data, SpatialDataModule)
        if training and (teacher := arguments_of(config.model).get("teacher")):
            require_teacher(teacher)

    def instantiate_trainer(self, **kwargs: Any) -> ExperimentTrainer:
        """Add the run folder's table and the callbacks that belong to every run."""
        config = self.settings_of(self.config_init, "trainer")
        if self.resumed and not self.rehearses:
            self.save_config_callback = None  # it writes no file over another one
        configured = config["logger"]
        loggers = [configured] if isinstance(configured, Logger) else configured
        loggers = loggers if isinstance(loggers, list) else []  # true asks for a table, which is there
        self.trainer_defaults["callbacks"] = self._callbacks(config)
        plugins = config["plugins"] or []
        plugins = list(plugins) if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(AtomicCheckpointIO())
        with made_as_configured("The trainer"):
            trainer = super().instantiate_trainer(
                default_root_dir=str(self.folder.path),
                logger=[MetricsTable(self.folder), *loggers],
                plugins=plugins,
                **kwargs,
            )
        assert isinstance(trainer, ExperimentTrainer)
        if trainer.is_global_zero and not self.rehearses:
            self.until_the_end.enter_context(alone_in(self.folder))
            kept: dict[str, Any] = {}
            if self.resumed:
                kept = {key: value for key, value in self.folder.read_card().items() if key == "steps"}
                self._rewrite_config()
                self._rewind_metrics()
            card = started(
                self._command(), str(self.subcommand), self.settings_of(self.config, "seed_everything")
            )
            card["number"] = next_number(self.folder.path.parent)
            card["data_seed"] = getattr(self.datamodule, "seed", None)
            if self.composition.allowed:
                card["allowed"] = list(self.composition.allowed)
            self.folder.write_card({"name": self.name, "comment": self.composition.comment, **kept, **card})
        return trainer

    def before_experiment(self) -> None:
        """Refuse what would fail at the end, then begin as a fit does."""
        if self.settings_of(self.config_init, "baselines").blind:
            refuse_blind_baseline(self.model)
        learns = parameter_counts(self.model)[1] > 0
        module_face(self.model).refuse_unworkable(self.trainer, trains=learns)
        self.stopwatch.start()
        self._require_answers()
        refuse_looking_at_the_test(self.trainer, self.datamodule, self._tested)
        if self._tested == "best" and learns:
            self.trainer.best = self.folder.best
        if learns:
            self._settle_length()
            self._write_teacher_outputs()

    def _settle_length(self) -> None:
        """A plain module does not know that base.yaml leaves the length open; others see to it themselves."""
        plain = not isinstance(self.model, SpatialModule)
        if plain and train_for_an_epoch_unless_told(self.trainer) and self.trainer.is_global_zero:
            print(ONE_EPOCH)

    @rank_zero_only
    def _require_answers(self) -> None:
        """Open the split that the test will score: what is wrong with it is said before the training."""
        if self.trainer.limit_test_batches != 0:
            data = data_face(self.datamodule)
            data.prepare_split(data.scored)
            data.require_answers(data.scored)

    def before_fit(self) -> None:
        """Start the clock, and write the teacher outputs of a cached teacher that are missing."""
        module_face(self.model).refuse_unworkable(self.trainer, trains=True)
        refuse_looking_at_the_test(self.trainer, self.datamodule, self._tested)
        self._settle_length()
        self.stopwatch.start()
        self._write_teacher_outputs()

    def before_test(self) -> None:
        """Start the clock."""
        module_face(self.model).refuse_unworkable(self.trainer, trains=False)
        self.stopwatch.start()

    before_validate = before_predict = before_test

    def after_experiment(self) -> None:
        """Write results and adapter, then ask the baselines, then the report."""
        if self.rehearses:
            return close(self, None)
        if self.trainer.is_global_zero and parameter_counts(self.model)[1] and not self.trainer.global_step:
            print("\nNothing was trained: the score is that of the model as it begins.")
        results = write_results_of(self, {})
        write_trained(self)
        tested = self.trainer.limit_test_batches != 0
        baselines = run_baselines(self, self.settings_of(self.config_init, "baselines")) if tested else {}
        if results is not None and baselines:
            results = write_results_of(self, baselines)
        close(self, results)

    def after_test(self) -> None:
        """Write results and report."""
        close(self, write_results_of(self, {}))

    after_validate = after_test

    def after_fit(self) -> None:
        """Write the adapter and the report of the training."""
        if not self.rehearses:
            write_trained(self)
        close(self, None)

    def after_predict(self) -> None:
        """Say where the answers are, and write the file that the benchmark takes, if any, and the report."""
        if self.trainer.is_global_zero and not self.rehearses:
            print(f"\nAnswers: {self.folder.predictions}")
            if file := write_submission_file(self.datamodule, self.folder):
                print(f"Submission: {file}")
        close(self, None)

    @property
    def rehearses(self) -> bool:
        """Whether `fast_dev_run` asks for a few steps of each part, of which nothing is kept."""
        return bool(self.settings_of(self.config, "trainer").fast_dev_run)

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.settings_of(self.config, "name")

    @property
    def best(self) -> Best:
        """Which checkpoint is the best one."""
        best: Best = self.settings_of(self.config_init, "best")
        return best

    @property
    def _tested(self) -> Tested:
        """Which checkpoint is tested."""
        return self.settings_of(self.config, "tested")

    @property
    def _trains(self) -> bool:
        trainer = getattr(self, "trainer", None)
        return self.subcommand in ("fit", "experiment") if trainer is None else trainer.state.fn == "fit"

    def _being_read(self, processes: Collection[int]) -> str:
        """What data-loading workers read; loaders of one's own do not say."""
        data = getattr(self, "datamodule", None)
        return data.being_read(processes) if isinstance(data, SpatialDataModule) else ""

    def _how_to_go_on(self) -> str:
        """What to type after an interruption."""
        folder = getattr(self, "folder", None)
        if folder is not None and folder.checkpoint.exists() and self._trains:
            return f"Interrupted. Go on with: {self._resume_command()}"
        return "Interrupted before anything was saved: the same command starts it again."

    def _resume_command(self) -> str:
        """What to type to go on with this run."""
        return f"{program(str(self.subcommand))} --resume {self.folder.path}{self.composition.allowing}"

    def _write_teacher_outputs(self) -> None:
        with self.stopwatch.paused():
            write_missing(self.model, self.datamodule, self.trainer)

    def _callbacks(self, config: Any) -> list[Callback]:
        """What every run has, whatever callbacks an experiment adds; switches of Lightning take some away."""
        shown: list[Callback] = [self.stopwatch, self.logged_score]
        if config["enable_progress_bar"] is not False:
            shown.append(progress())
        if self.rehearses:
            return shown
        required = self._tested == "best" or self.best != Best()
        return [
            LearningRateMonitor(logging_interval="step"),
            *(
                (*checkpoints(self.best, required), StateBefore())
                if config["enable_checkpointing"] is not False
                else ()
            ),
            StartCard(
                self.name,
                self._resume_command(),
                said_of(self._tested, self.best),
            ),
            PredictionsWriter(),
            GalleryWriter(),
            *shown,
        ]

    def _command(self) -> list[str]:
        return [*program().split(), *(shlex.quote(masked(word)) for word in self.composition.typed)]

    def _rewrite_config(self) -> None:
        """Keep the run's configuration true: a resumed run may have been told to train longer."""
        config = self.config[self.subcommand].clone()
        config.ckpt_path = None
        text = self.parser_of(self.subcommand).dump(config, skip_validation=True, skip_unset=False)
        if yaml.safe_load(text) != read_yaml(self.folder.config):
            write_whole(self.folder.config, text)

    def _rewind_metrics(self) -> None:
        if self.folder.checkpoint.exists():
            drop_rows_from(self.folder.metrics, read_checkpoint(self.folder.checkpoint)["global_step"])
        else:
            self.folder.metrics.unlink(missing_ok=True)


def settle_data_seed(config: Any) -> None:
    """Give the data the run's seed where they have none of their own, so that `config.yaml` says which."""
    arguments = arguments_of(config.data)
    if "seed" in arguments and arguments.seed is None:
        arguments.seed = int(config.seed_everything or 0)


def computing_threads(config: Any) -> int:
    """Threads that torch computes with: the cores that data-loading workers leave over, at least one.

    On few cores more would be slower, not faster: threads that wait for each other while a worker holds a
    core can take a hundred times as long. `OMP_NUM_THREADS` overrides.
    """
    if os.environ.get("OMP_NUM_THREADS"):
        return int(os.environ["OMP_NUM_THREADS"])
    on_cpu = device_of(config.trainer.accelerator) == "cpu"
    devices = str(config.trainer.devices)
    processes = int(devices) if on_cpu and devices.isdigit() else 1
    workers = int(arguments_of(config.data).get("num_workers", 0))
    return max(1, available_cores() // processes - workers)
