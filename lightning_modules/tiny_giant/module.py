"""The TinyGiant LightningModule: two objectives in phases, expert losses, answers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from datamodules.samples import Answer, SpatialSample
from lightning_modules.answering_parts import AnsweringParts, PromptTokens
from lightning_modules.base import Batch, ModelError, SpatialModule
from lightning_modules.distributed import all_reduce_mean
from lightning_modules.no_numbers import refuse_no_numbers
from lightning_modules.optimizers import Decay
from lightning_modules.phases import Objective, Phase, objective_at
from lightning_modules.precision import at_least_float32
from lightning_modules.schedule import Schedule
from lightning_modules.tiny_giant.chain_grammar import LONGEST_CHAIN, ChainGrammar
from lightning_modules.tiny_giant.chain_scores import ChainScores, true_chains, written
from lightning_modules.tiny_giant.chains import ANSWER, CHAIN_WORDS, Chain
from lightning_modules.tiny_giant.collator import TinyGiantCollator
from lightning_modules.tiny_giant.config import TinyGiantConfig
from lightning_modules.tiny_giant.count_head import member_sum
from lightning_modules.tiny_giant.encoded import Encoded
from lightning_modules.tiny_giant.experts import Routing
from lightning_modules.tiny_giant.geometry import ON_FLOOR
from lightning_modules.tiny_giant.model import TinyGiantNetwork
from lightning_modules.tiny_giant.picture_counts import count_sum
from lightning_modules.tiny_giant.training_texts import training_texts
from lightning_modules.tiny_giant.vocabulary import DIGITS, NUMBER, PAD, NumberForm, Vocabulary
from lightning_modules.weights_digest import NO_WEIGHTS

OPTIONAL_FIELDS = frozenset({"depth", "regions"})
"""What a question may have beside its image, by the fields of the record."""

LONGEST_NORMALIZED = 32
LONGEST_FREE_FORM = 96


class TinyGiant(SpatialModule):
    """Trains a TinyGiant network and answers with it.

    Args:
        network: the network's shape.
        phases: stretches of training, each with its objective; their epochs make up the whole fit.
        numbers: how decimal numbers are written: as a regressed value, or digit by digit.
        balance_weight: weight of the experts' load-balancing loss.
        z_weight: weight of the router z-loss.
        value_weight: weight of the loss on the logarithm of numbers.
        scale_weight: weight of the loss on the camera's height, where the network estimates it.
        count_weight: weight of the losses on which regions are counted, and on how many pallets the picture
            shows in each region, where the network counts them and the data tell.
        optimizer: makes the optimizer from the parameters that require a gradient.
        schedule: the learning rate's course: `WarmupCosine` over the whole fit, or any scheduler of torch.
        decay: which weights decay; `matrices` spares biases, norms and scales.
        chain: how the regions before an answer are written, in phases whose objective is `chain`.

    Raises:
        ModelError: relations are asked for without any geometry to make them from, phases are empty, or the
            digits of numbers are to be written behind a chain.
    """

    def __init__(
        self,
        network: TinyGiantConfig,
        phases: list[Phase],
        numbers: NumberForm = "value",
        balance_weight: float = 0.01,
        z_weight: float = 0.001,
        value_weight: float = 2.0,
        scale_weight: float = 1.0,
        count_weight: float = 1.0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        schedule: Schedule | None = None,
        decay: Decay = "matrices",
        chain: Chain | None = None,
    ) -> None:
        super().__init__(optimizer, schedule, decay)
        if network.relations and network.geometry == "none":
            raise ModelError("relations: true needs numbers to make relations from: set geometry to another.")
        if not phases or any(phase.epochs < 0 for phase in phases) or not sum(p.epochs for p in phases):
            raise ModelError("phases must hold at least one epoch, for example one phase `normalized` of 4.")
        self.writes_chains = any(phase.objective == "chain" for phase in phases)
        if self.writes_chains and numbers == "digits":
            raise ModelError("Behind a chain a number is one value: set numbers to value.")
        if network.count_head and numbers == "digits":
            raise ModelError(
                "network.count_head takes each digit for a count, and numbers: digits writes distances with "
                "them: set numbers to value."
            )
        self.chain = chain or Chain()
        self._chain_scores = ChainScores()
        self.phases = phases
        self.balance_weight = balance_weight
        self.z_weight = z_weight
        self.value_weight = value_weight
        self.scale_weight = scale_weight
        self.count_weight = count_weight
        self._always_given: frozenset[str] | None = None
        self.vocabulary = Vocabulary(network.vocabulary_size, numbers)
        self.network = TinyGiantNetwork(network)

    def origins(self) -> dict[str, str]:
        """Where the weights of the backbones come from; all others are random at first."""
        backbones = {"rgb": self.network.rgb, "depth": self.network.depth}
        found = {name: backbone.origin for name, backbone in backbones.items() if backbone is not None}
        if set(found.values()) == {NO_WEIGHTS}:
            return {"model": NO_WEIGHTS}
        return {"model": ", ".join(f"{name} backbone {origin}" for name, origin in found.items())}

    @property
    def needs(self) -> frozenset[str]:
        """What every question of the training had, as far as the network takes it in."""
        given = self._always_given or frozenset()
        return given if self._reads_depth else given - {"depth"}

    @property
    def objective(self) -> Objective:
        """What the model is taught to write at present; after training, what it was taught last."""
        if self.trainer.training:
            return objective_at(self.phases, self.current_epoch)
        return self.phases[-1].objective

    def setup(self, stage: str) -> None:
        """Learn the words of the training data before the first fit; let the phases set the fit's length."""
        super().setup(stage)
        if stage == "fit":
            if self.vocabulary.is_empty:
                words = CHAIN_WORDS if self.writes_chains else ()
                self.vocabulary.build(training_texts(self.data), words)
            if self.trainer.max_epochs in (None, -1):
                self.trainer.fit_loop.max_epochs = sum(phase.epochs for phase in self.phases)

    def collator(self, stage: str) -> TinyGiantCollator:
        """Resizes images, describes regions and splits texts into words."""
        shape = self.network.config
        return TinyGiantCollator(
            self.vocabulary,
            shape.image_size,
            shape.geometry_size or shape.image_size,
            shape.geometry,
            shape.field_of_view,
            use_depth=self._reads_depth,
            maximum_words=shape.maximum_words,
            maximum_regions=shape.maximum_regions,
            with_labels=stage in ("fit", "validate"),
            chain=self.chain if self.writes_chains else None,
            depth_encoding=shape.depth_encoding,
        )

    @property
    def _reads_depth(self) -> bool:
        shape = self.network.config
        return shape.depth_backbone is not None or shape.geometry in ON_FLOOR

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of the words, the loss of numbers' values, and the routers' losses."""
        sums, routings = self._answer_sums(batch)
        terms = {name: total / _at_least_one(count) for name, (total, count) in sums.items()}
        if routings:
            terms["balance_loss"] = self.balance_weight * _mean(routings, "balance")
            terms["z_loss"] = self.z_weight * _mean(routings, "z")
            self._log_routers(routings, len(batch["samples"]))
        return terms

    def counts(self, batch: Batch) -> dict[str, int]:
        """The words of the answers; all else is a mean over questions, the routers' losses as well.

        These are not linear in the batch: each batch of a step balances its own tokens, and the step takes
        the mean of that, weighed by questions.
        """
        return {"word_loss": batch["answer_words"][self.objective], "count_loss": len(batch["rgb"])}

    def validation_loss(self, batch: Batch) -> dict[str, tuple[Tensor, int]]:
        """The same of words and numbers, without what is asked of the routers; nothing without sentences."""
        if batch[self.objective].shape[1] < 2:
            return {}
        sums, _ = self._answer_sums(batch)
        return {name: (total, int(count)) for name, (total, count) in sums.items()}

    def _answer_sums(self, batch: Batch) -> tuple[dict[str, tuple[Tensor, Tensor | int]], list[Routing]]:
        """The weighted losses of the answers as sums and counts, and what the routers did."""
        objective = self.objective
        target, values = batch[objective], batch[f"{objective}_values"]
        if target.shape[1] < 2:
            raise ModelError(
                f"No question of the batch has an answer to learn from ({objective}): is this a test split?"
            )
        encoded, routings = self.network.encode(batch)
        made = self.network.decoder(target[:, :-1], values[:, :-1], encoded)
        learnt = target[:, 1:].masked_fill(~self.vocabulary.learnt(target[:, 1:]), PAD)
        sums = answer_sums(
            at_least_float32(made.logits), at_least_float32(made.log_values), learnt, values[:, 1:]
        )
        total, count = sums["number_loss"]
        sums["number_loss"] = self.value_weight * total, count
        if encoded.log_height is not None:
            total, count = height_sum(encoded.log_height, batch["log_height"], batch["height_known"])
            sums["scale_loss"] = self.scale_weight * total, count
        # Terms that a batch has nothing for are there as well: processes add up the same ones.
        nothing = torch.zeros((), device=learnt.device), 0
        if self.network.config.count_head:
            total, count = nothing
            if made.members is not None:
                is_digit = (learnt >= DIGITS.start) & (learnt < DIGITS.stop)
                total, count = member_sum(made.members, is_digit, batch["counted"], batch["counted_known"])
            sums["member_loss"] = self.count_weight * total, count
        if self.network.config.picture_counts:
            total, count = nothing
            if encoded.shown_in_images is not None:
                total, count = count_sum(encoded.shown_in_images, batch["shown"])
            sums["count_loss"] = self.count_weight * total, count
        return sums, routings

    def answer(self, batch: Batch) -> list[Answer]:
        """The normalised answer, or the whole sentence where that is all the model was taught.

        Raises:
            ModelError: the likelihoods of an answer's words, or the number in it, are no numbers.
        """
        encoded, _ = self.network.encode(batch)
        return self._written(encoded, batch)

    def answering_parts(self) -> AnsweringParts:
        """Backbones and what makes tokens of their maps; the decoder writes, its first call ends the prefill.

        What stands between them, the fusion of question and image, is the prefill's.
        """
        network = self.network
        vision = (network.rgb, network.depth, network.regions, network.global_tokens)
        return AnsweringParts(tuple(part for part in vision if part is not None), network.decoder)

    def prompt_tokens(self, batch: Batch) -> PromptTokens:
        """The questions' words, and the squares of the images that they are fused with."""
        words = int((batch["question"] != PAD).sum())
        rows, columns = self.network.config.global_grid
        seen = 0 if self.network.global_tokens is None else int((batch["image_of"] >= 0).sum())
        return PromptTokens(words + seen * rows * columns, seen * rows * columns)

    def written_tokens(self, batch: Batch, reads: Sequence[int]) -> int:
        """One for each call of the decoder, the word that ends the answer among them."""
        return len(reads)

    def _written(self, encoded: Encoded, batch: Batch, given: Tensor | None = None) -> list[Answer]:
        """What is written of encoded questions, behind tokens that are given."""
        if self.objective == "chain":
            grammar = ChainGrammar(self.vocabulary, self.chain)
            tokens, values = self.network.write(encoded, LONGEST_CHAIN, grammar.allowed, given)
        else:
            longest = LONGEST_NORMALIZED if self.objective == "normalized" else LONGEST_FREE_FORM
            tokens, values = self.network.write(encoded, longest)
        rows = list(zip(tokens.tolist(), values.tolist(), strict=True))
        unknown = [index for index, (_, numbers) in enumerate(rows) if any(map(math.isnan, numbers))]
        refuse_no_numbers(unknown, [sample.id for sample in batch["samples"]])
        return [
            self._answer(sample, row, numbers)
            for sample, (row, numbers) in zip(batch["samples"], rows, strict=True)
        ]

    def _answer(self, sample: SpatialSample, tokens: list[int], values: list[float]) -> Answer:
        """What a question's tokens say; of a chain the answer behind it, with the chain beside."""
        word = self.vocabulary.number_of(ANSWER)
        if self.objective != "chain" or word not in tokens:
            return Answer(sample, self.vocabulary.decode(tokens, values))
        place = tokens.index(word)
        size = self.vocabulary.size
        regions = [token - size for token in tokens[:place] if token >= size]
        text = self.vocabulary.decode(tokens[place + 1 :], values[place + 1 :])
        return Answer(sample, text or str(len(regions)), reasoning=written(regions))

    def _evaluate(self, batch: Batch) -> list[Answer]:
        """Answer and score a batch; where chains are written, answer it behind the true ones as well."""
        judge = getattr(self.metric, "judge", None)
        if self.objective != "chain" or self.chain.control != "none" or self.metric is None or judge is None:
            return super()._evaluate(batch)
        encoded, _ = self.network.encode(batch)
        answers = self._written(encoded, batch)
        self.metric.update(answers)
        given = true_chains(list(batch["samples"]), self.chain, self.vocabulary).to(self.device)
        self._chain_scores.update(answers, self._written(encoded, batch, given), self.chain, judge)
        return answers

    def _summarise(self, split: str) -> None:
        super()._summarise(split)
        for name, score in self._chain_scores.compute().items():
            self.log(f"{split}/right/{name}", score)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Note which of the optional fields every question has had so far."""
        super().on_train_batch_start(batch, batch_idx)
        given = OPTIONAL_FIELDS if self._always_given is None else self._always_given
        self._always_given = frozenset(
            field for field in given if all(getattr(sample, field) for sample in batch["samples"])
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the words beside the tensors: the checkpoint then needs no training data."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["vocabulary"] = list(self.vocabulary.words)
        checkpoint["always_given"] = sorted(self.needs)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back the words that the checkpoint was trained with, and what its questions had."""
        super().on_load_checkpoint(checkpoint)
        self.vocabulary.load(checkpoint["vocabulary"])
        # Checkpoints of older versions do not say.
        self._always_given = frozenset(checkpoint.get("always_given", ()))

    def _log_routers(self, routings: Sequence[Routing], count: int) -> None:
        # Only in steps that loggers write down: these figures would take a twentieth of each step.
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not self.trainer.training or not every or (self.trainer.global_step + 1) % every:
            return
        # One copy to the host, as in `training_step`.
        figures = torch.stack([torch.cat([each.entropy[None], each.load]) for each in routings])
        figures = all_reduce_mean(figures).cpu()
        for layer, (entropy, *load) in enumerate(figures):
            logged = {f"router/layer{layer}/entropy": entropy}
            for expert, share in enumerate(load):
                logged[f"router/layer{layer}/expert{expert}"] = share
            self.log_dict(logged, batch_size=count)


def answer_sums(
    logits: Tensor, log_values: Tensor, target: Tensor, values: Tensor
) -> dict[str, tuple[Tensor, Tensor | int]]:
    """Losses of written answers, each as a sum and the number of figures that it is of.

    Args:
        logits: `[questions, answer, vocabulary + regions]`.
        log_values: predicted log metres, `[questions, answer]`.
        target: the words that should stand there, `[questions, answer]`, padded.
        values: what numbers among them stand for, in metres, `[questions, answer]`.

    Returns:
        `word_loss`, the cross-entropy of the words; `number_loss`, the Huber loss of the logarithms of the
        questions' numbers (a tenth off costs about as much at 1 m as at 10 m, as the benchmark's tolerance
        has it).
    """
    real = target != PAD
    words = nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
    is_number = target == NUMBER
    error = log_values - values.clamp(min=0.05).log()
    huber = nn.functional.smooth_l1_loss(error, torch.zeros_like(error), beta=0.1, reduction="none")
    return {
        "word_loss": ((words.view_as(target) * real).sum(), real.sum()),
        "number_loss": ((huber * is_number).sum(), len(target)),
    }


def height_sum(log_height: Tensor, true: Tensor, known: Tensor) -> tuple[Tensor, int]:
    """The Huber loss of the logarithm of cameras' heights, as a sum and the number of questions.

    Args:
        log_height: as the picture has it, `[questions]`.
        true: as the questions' distances have it, `[questions]`.
        known: for which questions there is one, `[questions]`.
    """
    error = (log_height.float() - true) * known
    return nn.functional.smooth_l1_loss(error, torch.zeros_like(error), beta=0.1, reduction="sum"), len(known)


def _at_least_one(count: Tensor | int) -> Tensor | int:
    return count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1)


def _mean(routings: Sequence[Routing], name: str) -> Tensor:
    return torch.stack([getattr(routing, name) for routing in routings]).mean()


def parameter_count(config: TinyGiantConfig) -> int:
    """How many parameters a network of this shape has, without pretrained weights being fetched."""
    bare = dataclasses.replace(config, pretrained="none", pretrained_depth="none")
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in TinyGiantNetwork(bare).parameters())
