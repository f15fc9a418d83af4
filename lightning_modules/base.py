"""`SpatialModule`: the steps every module shares, and its side of the handshake with the data.

The module gives the data its collator (only the module knows its tokenizer and image size); the data gives
the module its metric (only the data knows the benchmark's rules). Subclasses write `collator`, `loss` and
`answer`, nothing else.
"""

from __future__ import annotations

import math
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import Metric

from datamodules.samples import Answer, SmallSpatialError, SpatialSample, metric_of
from lightning_modules.accumulation import QUESTIONS, OptimizerStep, batches_of_step
from lightning_modules.answering_parts import AnsweringParts, PromptTokens
from lightning_modules.checkpoints import keep_trainable, require_trainable
from lightning_modules.distributed import all_reduce_mean, joined_sums
from lightning_modules.finite import NotFinite, all_finite
from lightning_modules.one_number import taking_answers
from lightning_modules.optimizers import Decay, optimizer_of, require_optimizer
from lightning_modules.precision import combination_of, leave_scaling_to_trainer, refuse_unworkable
from lightning_modules.schedule import (
    ONE_EPOCH,
    Schedule,
    WarmupCosine,
    follow_course,
    require_schedule,
    scheduler_settings,
    total_steps,
    train_for_an_epoch_unless_told,
)
from lightning_modules.weights_digest import NO_WEIGHTS
from lightning_modules.whole_batches import WholeBatches

Batch = dict[str, Any]
"""What a collator makes: tensors by name, and the samples they came from under "samples"."""

Collator = Callable[[Sequence[SpatialSample]], Batch]


class ModelError(SmallSpatialError):
    """A model cannot be built, loaded or run as it was asked to."""


def require_positive(**values: float | None) -> None:
    """Raise `ModelError` where one of the numbers, which are named as the user names them, is not above 0."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ModelError(f"{name} is {value}; it must be above 0.")


class DataSide(Protocol):
    """What a `SpatialModule` needs from the datamodule it is joined to.

    A plain `LightningDataModule` will do: its loaders use `self.collator`, and without `metric` there is no
    score.
    """

    collator: Collator | None

    def metric(self, stage: str) -> Metric:
        """The metric of a stage's questions: takes `Answer`s, returns the summary that the report shows."""
        ...

    def texts(self) -> Any:
        """Questions and answers of the training split, from which a vocabulary can be built."""
        ...


class SpatialModule(LightningModule, ABC):
    """Base of every module: training on named loss terms, evaluation through the benchmark's metric.

    Args:
        optimizer: makes the optimizer from the parameters that require a gradient.
        schedule: the learning rate's course: `WarmupCosine` over the whole fit, or any scheduler of torch.
        decay: which weights decay; `matrices` spares biases, norms and scales.

    Raises:
        OptimizerError: the optimizer does not take its settings, such as a learning rate below 0.
        ScheduleError: the schedule does not take its settings.
    """

    metric: Metric | None
    summary: dict[str, Any] | None
    """What the metric said of the last evaluation: score, n, interval, unreadable, tasks."""

    def __init__(
        self,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        schedule: Schedule | None = None,
        decay: Decay = "matrices",
    ) -> None:
        super().__init__()
        require_optimizer(optimizer)
        # Frozen tensors are not in checkpoints; `on_load_checkpoint` is strict about all others.
        self.strict_loading = False
        self.optimizer_callable = optimizer
        self.decay: Decay = decay
        self.schedule: Schedule = schedule or WarmupCosine()
        require_schedule(self.schedule, optimizer)
        self.metric = None
        self.summary = None
        self._step: OptimizerStep | None = None
        self._step_terms: list[dict[str, Tensor]] = []
        self._step_questions: list[list[str]] = []
        self._logged: set[str] = set()
        self._validation: dict[str, tuple[float, int]] = {}
        self._nothing_said_how_long = False
        self._said_of_examples = False

    @abstractmethod
    def collator(self, stage: str) -> Collator:
        """A picklable function from samples to tensors, for "fit", "validate", "test" or "predict".

        In the first two stages batches are both learnt from (or the loss of them is taken) and answered.
        """

    @abstractmethod
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The loss as named terms, already weighted; their sum is minimised.

        Each is a mean over this process's batch alone. What it is the mean over is said by `counts`.
        """

    @abstractmethod
    def answer(self, batch: Batch) -> list[Answer]:
        """What the model replies to each sample of the batch, in the batch's order."""

    def counts(self, batch: Batch) -> dict[str, int]:
        """Of how many figures (tokens, numbers) each term of a batch's loss is the mean.

        A term that is not named is a mean over questions. Several batches or processes that make one step are
        weighed by it, so that every figure of the step counts alike. It has to be known without computing
        anything: collators count.
        """
        return {}

    def answering_parts(self) -> AnsweringParts | None:
        """The parts that `answer` calls, by which its time is divided; None where they are not told."""
        return None

    def prompt_tokens(self, batch: Batch) -> PromptTokens | None:
        """How many tokens the questions of a batch take; None where that is not known."""
        return None

    def written_tokens(self, batch: Batch, reads: Sequence[int]) -> int | None:
        """How many tokens were written to answer a batch of one question; None where that is not known.

        Args:
            batch: the batch that was answered.
            reads: how many tokens each call of the language model has read.
        """
        return None

    def begin_step(self, batches: Sequence[Batch]) -> None:
        """Look at all batches of an optimizer step before the first of them is trained on.

        Args:
            batches: as the loader made them; of them only the first lies where the model computes.
        """

    def validation_loss(self, batch: Batch) -> dict[str, tuple[Tensor, int]]:
        """Named terms of the loss of the true answers: each a sum, and of how many figures.

        `val/loss` is the sum of their means over the whole split. By default the terms of `loss`, taken for
        means over questions; processes may have batches of their own, and must not wait for each other here.
        """
        count = len(batch["samples"])
        return {name: (term * count, count) for name, term in self.loss(batch).items()}

    def origins(self) -> dict[str, str]:
        """Where the weights come from that the run began with, under "model", and those of further models."""
        return {"model": NO_WEIGHTS}

    @property
    def data(self) -> DataSide:
        """The datamodule this module is joined to."""
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is None:
            raise ModelError(
                f"{type(self).__name__} needs a datamodule: call trainer.fit(model, datamodule=...), "
                "because the data gives the module its metric and vocabulary."
            )
        return datamodule

    @property
    def needs(self) -> frozenset[str]:
        """The optional fields of a sample ("depth", "regions") that this module has always been given.

        It has never learnt to answer without them, so that data which people have written down themselves are
        refused where they lack one.
        """
        return frozenset()

    def refuse_unworkable(self, trainer: Trainer, trains: bool) -> None:
        """Raise `PrecisionError` where this module cannot run in what a Trainer computes with.

        Args:
            trainer: the Trainer.
            trains: whether it is about to train, and not only to answer.
        """
        refuse_unworkable(combination_of(self, trainer, trains, self.optimizer_callable))

    def setup(self, stage: str) -> None:
        """Exchange collator and metric with the datamodule."""
        self.refuse_unworkable(self.trainer, stage == "fit")
        self.data.collator = WholeBatches(self.collator(stage))
        if stage != "predict" and hasattr(self.data, "metric"):
            self.metric = taking_answers(metric_of(self.data, stage), getattr(self.data, "read_answer", None))

    def configure_optimizers(self) -> Any:
        """The optimizer over trainable parameters only, and its schedule per step."""
        if not any(parameter.requires_grad for parameter in self.parameters()):
            raise ModelError(
                f"{type(self).__name__} has no parameter left to train: unfreeze something or run `test`."
            )
        optimizer = optimizer_of(self.optimizer_callable, self, self.decay)
        self._nothing_said_how_long = train_for_an_epoch_unless_told(self.trainer)
        leave_scaling_to_trainer(optimizer)
        scheduler = scheduler_settings(self.schedule, optimizer, total_steps(self.trainer))
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def on_train_start(self) -> None:
        """Take up the learning rate's course where a resumed run is on it: it may be a longer one by now."""
        if self._nothing_said_how_long:
            self.print(ONE_EPOCH)
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, LambdaLR):
                follow_course(config.scheduler)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Draw every step's randomness from seed, rank and step alone, so that a resumed run repeats it."""
        seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        torch.manual_seed((seed * 1_000_003 + step) * 1_009 + self.global_rank)
        together = self.trainer.accumulate_grad_batches
        # An earlier fit, or epoch, may have ended within a step.
        if self._step is None or self._step.is_last or batch_idx % together == 0:
            self.open_step(batches_of_step(self.trainer, batch, batch_idx), together)
        else:
            self._step.position += 1

    def open_step(self, batches: Sequence[Batch], divided_by: int = 1) -> OptimizerStep:
        """Count what the terms of an optimizer step are means over.

        Args:
            batches: all of its batches of this process.
            divided_by: what the loss of each is divided by later on.
        """
        self.begin_step(batches)
        counts = [{QUESTIONS: len(batch["samples"]), **self.counts(batch)} for batch in batches]
        self._step = OptimizerStep(counts, divided_by, self.device)
        self._step_terms = []
        self._step_questions = []
        return self._step

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch, weighed as its figures count in the optimizer step; logged with its last."""
        step = self._step or self.open_step([batch])
        terms = step.weighed(self.loss(batch))
        total = torch.stack(list(terms.values())).sum()
        self._step_questions.append([sample.id for sample in batch["samples"]])
        self._step_terms.append(
            {"loss": total.detach(), **{name: term.detach() for name, term in terms.items()}}
        )
        if step.is_last:
            self._log_step(step.divided_by)
        return total

    def _log_step(self, divided_by: int) -> None:
        """Log the loss and its terms of the whole step, as all processes have computed them."""
        names = list(dict.fromkeys(name for terms in self._step_terms for name in terms))
        nothing = torch.zeros_like(self._step_terms[0]["loss"])
        own = torch.stack(
            [torch.stack([terms.get(name, nothing) for name in names]) for terms in self._step_terms]
        )
        mean = all_reduce_mean(own.sum(0) / divided_by)
        # One copy to the host of all that is looked at: figures that stay on the device are waited for one by
        # one, and that of the progress bar at the end of every step.
        *parts, mean = torch.cat([own, mean[None]]).cpu()
        if not torch.isfinite(mean[0]):
            spoilt = not all_finite(self._trained())
            raise NotFinite(self._why_not_finite(names, [part.tolist() for part in parts], spoilt), spoilt)
        figures = dict(zip(names, mean, strict=True))
        # Lightning goes on logging what a term was when it was last computed.
        for name in sorted(self._logged - figures.keys()):
            figures[name] = torch.zeros(())
        self._logged |= figures.keys()
        for name, figure in figures.items():
            self.log(f"train/{name}", figure, prog_bar=name == "loss", batch_size=1)

    def validation_step(self, batch: Batch, batch_idx: int) -> list[Answer]:  # type: ignore[override]
        """Take the loss of a batch, answer it and score it."""
        for name, (total, count) in self.validation_loss(batch).items():
            before, seen = self._validation.get(name, (0.0, 0))
            self._validation[name] = (before + float(total), seen + count)
        return self._evaluate(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> list[Answer]:  # type: ignore[override]
        """Answer a batch and score it."""
        return self._evaluate(batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> list[Answer]:
        """Answer a batch, without scoring."""
        return self._with_examples(batch)

    def on_validation_epoch_end(self) -> None:
        """Log loss and score of the validation split."""
        terms = joined_sums(self._validation)
        self._validation = {}
        if means := [total / count for total, count in terms.values() if count]:
            self.log("val/loss", sum(means), prog_bar=True)
        self._summarise("val")

    def on_test_epoch_end(self) -> None:
        """Log the score of the test split and keep its summary for the report."""
        self._summarise("test")

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *options: Any, **arguments: Any) -> Any:
        """The module that a checkpoint holds the trained tensors of, made with the arguments given here.

        Checkpoints hold no arguments: the run's configuration does.

        Args:
            checkpoint_path: the checkpoint.
            options: see Lightning.
            arguments: those of the constructor, and Lightning's.

        Raises:
            ModelError: the module cannot be made with these arguments.
        """
        try:
            return super().load_from_checkpoint(checkpoint_path, *options, **arguments)
        except TypeError as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise ModelError(
                f"A checkpoint holds no arguments to make a {cls.__name__} with: {reason}. Give them beside "
                'the path, or take experiments.trained.load_trained("runs/NAME/latest"), which finds them in '
                "the run's config.yaml."
            ) from error

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep only what was trained: frozen tensors come from where they came from before.

        Raises:
            NotFinite: it is no numbers, so that the checkpoint before is the last one to go on from.
        """
        if not all_finite(self._trained()):
            raise NotFinite(
                f"The weights are not finite after step {self.global_step - 1}, whose loss was: its gradient "
                f"was not. No checkpoint is written of them. {self._what_to_look_at(self._step_questions)}",
                spoilt=True,
            )
        checkpoint["state_dict"] = keep_trainable(self, checkpoint["state_dict"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that lacks a tensor this module trains."""
        require_trainable(self, checkpoint["state_dict"])

    def _trained(self) -> Iterator[Tensor]:
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def _why_not_finite(self, names: list[str], parts: list[list[float]], spoilt: bool) -> str:
        wrong = [number for number, part in enumerate(parts) if not all(map(math.isfinite, part))]
        shown = zip(names, parts[wrong[0] if wrong else -1], strict=True)
        values = ", ".join(f"{name} {value:.4g}" for name, value in shown if name != "loss")
        if not wrong:
            return (
                f"The loss of another process is not finite at step {self.global_step}; here it is {values}."
            )
        which = "" if len(parts) == 1 else f", in batch {wrong[0] + 1} of the {len(parts)} of the step"
        before = " Nor are the weights: the gradient of a step before was not." if spoilt else ""
        return (
            f"The loss is not finite at step {self.global_step} ({values}){which}.{before} "
            f"{self._what_to_look_at([self._step_questions[wrong[0]]])}"
        )

    def _what_to_look_at(self, batches: list[list[str]]) -> str:
        questions = ", ".join(question for batch in batches for question in batch)
        return f"Lower the learning rate, or look at the questions of this batch: {questions}"

    def _with_examples(self, batch: Batch) -> list[Answer]:
        """The answers to a batch; to each how many solved examples its question was asked with."""
        answers = self.answer(batch)
        if "examples" not in batch:
            return answers
        counted = [
            replace(answer, examples=count) if answer.sample.examples else answer
            for answer, count in zip(answers, batch["examples"], strict=True)
        ]
        without = next((answer.sample for answer in counted if answer.examples == 0), None)
        if without is not None and not self._said_of_examples:
            self._said_of_examples = True
            warnings.warn(
                f"None of the {len(without.examples)} examples before question {without.id!r} fits into the "
                "model's window, so that it is asked without: raise maximum_tokens, or lower image_tokens. "
                "Further such questions are only counted (`in_context` in results.json).",
                stacklevel=2,
            )
        return counted

    def _evaluate(self, batch: Batch) -> list[Answer]:
        answers = self._with_examples(batch)
        if self.metric is not None:
            self.metric.update(answers)
        return answers

    def _summarise(self, split: str) -> None:
        if self.metric is None:
            return
        self.summary = self.metric.compute()
        self.metric.reset()
        if not self.summary["n"] or self.summary["score"] is None:
            return
        self.log(f"{split}/score", float(self.summary["score"]), prog_bar=True)
        self.log(f"{split}/unreadable", float(self.summary["unreadable"]))
        for task, result in self.summary["tasks"].items():
            self.log(f"{split}/{task}", float(result["score"]))
