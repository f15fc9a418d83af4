"""Supervised fine-tuning of vision-language models with few trained parameters."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, Required, TypedDict

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from datamodules.samples import Answer
from lightning_modules.answering_parts import AnsweringParts, PromptTokens
from lightning_modules.base import Batch, Collator, ModelError, SpatialModule, require_positive
from lightning_modules.distributed import all_reduce_mean
from lightning_modules.optimizers import Decay
from lightning_modules.placement import present_placement
from lightning_modules.precision import at_least_float32
from lightning_modules.schedule import Schedule
from lightning_modules.vlm.adapters import (
    AdapterConfig,
    add_adapter,
    describe_trainable,
    four_bit_config,
    prompt_tokens,
)
from lightning_modules.vlm.collator import IGNORED, VlmCollator
from lightning_modules.vlm.generation import generate_texts
from lightning_modules.vlm.image_inputs import choose_questions
from lightning_modules.vlm.loading import Attention, Composed, family_named, load_vlm
from lightning_modules.vlm.prompt_template import ANSWER_BLOCK, ANSWER_LINE, Prompt, default_prompt
from lightning_modules.vlm.prompts import candidates_of
from lightning_modules.vlm.ranking import rank_candidates
from lightning_modules.vlm.reasoned_ranking import Cue, rank_after
from lightning_modules.vlm.tiny_models import TinySize

Answering = Literal["generate", "rank", "reason_then_rank"]
"""How questions are answered.

`generate`: the model writes, and its text is read. `rank`: the likeliest of the possible answers is taken;
questions without a closed set of answers are generated. `reason_then_rank`: the model writes, and of the
possible answers the likeliest after its own reasoning and a cue is taken, for counts one of 0 to 20; nothing
is read out of its text, but for questions without a closed set of answers.
"""

END_OF_REASONED_ANSWER = "</answer>"


class PeftSftArguments(TypedDict, total=False):
    """The arguments of `PeftSft` that a student hands on: all but `attention`, which is its own."""

    model: Required[str | Composed]
    random_weights: bool
    adapter: AdapterConfig | None
    answering: Answering
    prompt: Prompt | None
    rationale: bool
    maximum_tokens: int | None
    maximum_new_tokens: int | None
    image_tokens: int | None
    response_template: str | None
    activation_checkpointing: bool
    trust_remote_code: bool
    tiny_size: TinySize | None
    weights_seed: int
    optimizer: OptimizerCallable
    schedule: Schedule | None
    decay: Decay


class PeftSft(SpatialModule):
    """A vision-language model with an adapter, trained on the answers to questions about images.

    Only the tensors that are trained go into checkpoints; the model itself comes from where it came from.

    Args:
        model: a name of the zoo, a folder, or a name on the hub (`owner/name` or `owner/name@revision`); or
            an encoder and a language model.
        random_weights: take the model's tiny random model, made in memory from a seed, instead of the model.
        adapter: what is trained; LoRA on the language model's attention when left out.
        answering: how questions are answered.
        prompt: the words that questions are asked in; when left out, lettered choices, what form the answer
            has, and with a rationale or `reason_then_rank` that the reasoning comes first.
        rationale: learn the reasoning before the answer.
        maximum_tokens: the window of prompt and answer; unlimited when left out. Longer samples lose the end
            of their reasoning, then solved examples; images that do not fit even so are scaled down.
        maximum_new_tokens: how much is generated; 32 tokens, or 512 where reasoning comes first, when left
            out.
        image_tokens: the most tokens that one image may take; the model's own limit when left out.
        response_template: what stands between a prompt and its answer, where it shall not be the model's own:
            a student of a teacher that begins its answers with a space does so as well.
        attention: how attention is computed.
        activation_checkpointing: compute activations twice instead of keeping them, to save memory.
        trust_remote_code: run Python code that comes with the model.
        tiny_size: how large the tiny random model is.
        weights_seed: the seed of weights that are made: a tiny random model's, and the connector's of a
            composed model.
        optimizer: makes the optimizer from the parameters that require a gradient.
        schedule: the learning rate's course: `WarmupCosine` over the whole fit, or any scheduler of torch.
        decay: which weights decay; `matrices` spares biases, norms and scales.

    Raises:
        ModelError: the model cannot be loaded, its adapter cannot be made, or ranking is asked for beside a
            rationale.
    """

    def __init__(
        self,
        model: str | Composed,
        random_weights: bool = False,
        adapter: AdapterConfig | None = None,
        answering: Answering = "rank",
        prompt: Prompt | None = None,
        rationale: bool = False,
        maximum_tokens: int | None = None,
        maximum_new_tokens: int | None = None,
        image_tokens: int | None = None,
        response_template: str | None = None,
        attention: Attention = "auto",
        activation_checkpointing: bool = False,
        trust_remote_code: bool = False,
        tiny_size: TinySize | None = None,
        weights_seed: int = 0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        schedule: Schedule | None = None,
        decay: Decay = "matrices",
    ) -> None:
        super().__init__(optimizer, schedule, decay)
        if rationale and answering == "rank":
            raise ModelError(
                "answering: rank weighs bare answers, which a model that reasons first does not write: set "
                "answering: generate, or rationale: false. To weigh answers after the model's reasoning, set "
                "answering: reason_then_rank."
            )
        require_positive(
            maximum_tokens=maximum_tokens, maximum_new_tokens=maximum_new_tokens, image_tokens=image_tokens
        )
        self.adapter = adapter or AdapterConfig()
        self.answering = answering
        reasons = rationale or answering == "reason_then_rank"
        self.prompt = prompt or default_prompt(reasons)
        self.rationale = rationale
        self.maximum_tokens = maximum_tokens
        self.response_template = response_template
        self.maximum_new_tokens = maximum_new_tokens or (512 if reasons else 32)
        parts = family_named(model, trust_remote_code).parts
        # Remembered for a teacher, which is loaded later.
        self.placement = present_placement()
        # Not a module: its model is `network` without the adapter, and must not be counted or saved twice.
        self.vlm = load_vlm(
            model,
            random_weights,
            attention=attention,
            image_tokens=image_tokens,
            quantization=four_bit_config(self.adapter, parts, self.placement.products),
            # SmolVLM cannot put features of one precision between the embeddings of another one.
            dtype=torch.float32 if _trains_language_model(self.adapter) else None,
            activation_checkpointing=activation_checkpointing,
            trust_remote_code=trust_remote_code,
            tiny_size=tiny_size,
            weights_seed=weights_seed,
        )
        self.network = add_adapter(self.vlm.model, parts, self.adapter, self.tokenizer)
        if activation_checkpointing:
            # peft switches them on again: the frozen vision tower would be computed again and go backward.
            self.vlm.model.disable_input_require_grads()
        self._clock = 0.0

    def origins(self) -> dict[str, str]:
        """The commit or digest of the model, or how it was made; the file that the prompt was taken from."""
        return {"model": self.vlm.origin} | ({"prompt": origin} if (origin := self.prompt.origin) else {})

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self.vlm.processor.tokenizer

    def collator(self, stage: str) -> Collator:
        """Prepares images and writes conversations as the model knows them."""
        return self.vlm_collator(with_labels=stage in ("fit", "validate"))

    def vlm_collator(self, with_labels: bool) -> VlmCollator:
        """How the model reads samples, to answer them or to learn from them."""
        return VlmCollator(
            self.vlm.processor,
            self.vlm.family,
            with_labels=with_labels,
            rationale=self.rationale,
            maximum_tokens=self.maximum_tokens,
            prefix=prompt_tokens(self.adapter),
            response_template=self.response_template,
            prompt=self.prompt,
        )

    def train(self, mode: bool = True) -> PeftSft:
        """Switch to training: what is frozen stays in evaluation mode, the adapters' dropout is on."""
        super().train(mode)
        if mode:
            _set_frozen_to_eval(self.network)
        return self

    def on_fit_start(self) -> None:
        """Say what is trained and what is frozen."""
        self.train()
        self.print(describe_trainable(self.network, self.vlm.family.parts))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move only what the step will look at: learning and answering have layouts of their own."""
        unused = ("prompt",) if self.trainer.training else ()
        needed = {name: value for name, value in batch.items() if name not in unused}
        return super().transfer_batch_to_device(needed, device, dataloader_idx)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of the answers' tokens, each given the true ones before it.

        Logits are computed for the positions that are learnt alone: with a large vocabulary, those of the
        whole sequence would take most of the memory.
        """
        total, count = self._cross_entropy(batch)
        return {"answer_loss": total / max(count, 1)}

    def counts(self, batch: Batch) -> dict[str, int]:
        """The answers' tokens."""
        return {"answer_loss": batch["label_count"]}

    def validation_loss(self, batch: Batch) -> dict[str, tuple[Tensor, int]]:
        """The same cross-entropy, also where something else is trained on."""
        return {"answer_loss": self._cross_entropy(batch)}

    def _cross_entropy(self, batch: Batch) -> tuple[Tensor, int]:
        """Its sum over the answers' tokens, and how many these are."""
        following = nn.functional.pad(batch["labels"][:, 1:], (0, 1), value=IGNORED)
        labelled = following != IGNORED
        logits = self.network(**batch["inputs"], logits_to_keep=labelled, use_cache=False).logits
        total = nn.functional.cross_entropy(at_least_float32(logits), following[labelled], reduction="sum")
        return total, len(logits)

    def answer(self, batch: Batch) -> list[Answer]:
        """The likeliest candidate where candidates are weighed and there are some; else what is generated."""
        if self.answering == "reason_then_rank":
            return self._reason_then_rank(batch)
        samples, texts = batch["samples"], batch["candidate_texts"]
        answers: dict[int, Answer] = {}
        everyone = range(len(samples))
        if ranked := [question for question in everyone if texts[question] and self.answering == "rank"]:
            scores = rank_candidates(
                self.network,
                self._prompt(batch, ranked),
                [batch["candidates"][question] for question in ranked],
                [samples[question].id for question in ranked],
            )
            for question, likelihoods in zip(ranked, scores, strict=True):
                answers[question] = Answer(samples[question], _likeliest(texts[question], likelihoods))
        if written := [question for question in everyone if question not in answers]:
            for question, text in zip(written, self._write(batch, written), strict=True):
                answers[question] = Answer(samples[question], text, batch["asked"][question])
        return [answers[question] for question in everyone]

    def _reason_then_rank(self, batch: Batch) -> list[Answer]:
        """The likeliest candidate after what the model writes; where there are none, what it writes."""
        samples = batch["samples"]
        texts = self._write(batch, list(range(len(samples))))
        answers = [Answer(*written) for written in zip(samples, texts, batch["asked"], strict=True)]
        candidates = [candidates_of(sample, counts=True) for sample in samples]
        if ranked := [question for question, several in enumerate(candidates) if several]:
            cue = Cue(self.prompt.cue or (ANSWER_BLOCK if self.rationale else ANSWER_LINE))
            reasonings = [cue.after(texts[question]) for question in ranked]
            scores = rank_after(
                self.network,
                self._answering_collator,
                self._prompt(batch, ranked),
                reasonings,
                [candidates[question] for question in ranked],
                cue.behind,
                [samples[question].id for question in ranked],
            )
            for question, reasoning, likelihoods in zip(ranked, reasonings, scores, strict=True):
                best = _likeliest(candidates[question], likelihoods)
                answers[question] = Answer(samples[question], best, reasoning=reasoning)
        return answers

    @cached_property
    def _answering_collator(self) -> VlmCollator:
        """Continues prompts; made once."""
        return self.vlm_collator(with_labels=False)

    def _write(self, batch: Batch, questions: list[int]) -> list[str]:
        """What the model writes to some questions of a batch."""
        return generate_texts(
            self.network,
            self.tokenizer,
            self._prompt(batch, questions),
            self.maximum_new_tokens,
            (*self.vlm.family.stop_strings, *([END_OF_REASONED_ANSWER] if self.rationale else [])),
            [batch["samples"][question].id for question in questions],
        )

    def answering_parts(self) -> AnsweringParts:
        """Vision tower, connector and language model, where the model's family has them."""
        parts = {part: self.vlm.model.get_submodule(place) for part, place in self.vlm.family.parts.items()}
        return AnsweringParts((parts["vision_tower"], parts["connector"]), parts["language_model"])

    def prompt_tokens(self, batch: Batch) -> PromptTokens:
        """The tokens of the prompts without padding, and the placeholders of images among them."""
        prompt = batch["prompt"]
        image = prompt["input_ids"] == self.vlm.processor.image_token_id
        return PromptTokens(int(prompt["attention_mask"].sum()), int(image.sum()))

    def written_tokens(self, batch: Batch, reads: Sequence[int]) -> int:
        """None of a ranking; else each call behind the prompt's reads the token that was written before it.

        The last token that is written is read by no call, the first follows from the prompt. A ranking behind
        a reasoning begins with a call that reads all of it anew.
        """
        if self.answering == "rank" and batch["candidate_texts"][0]:
            return 0
        later = reads[1:]
        return 1 + next((number for number, read in enumerate(later) if read > 1), len(later))

    def on_train_epoch_start(self) -> None:
        """Start the clock of the token rate."""
        self._clock = time.monotonic()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch; how its tokens are dealt with is logged beside it."""
        loss = super().training_step(batch, batch_idx)
        self.log_tokens(batch)
        return loss

    def log_tokens(self, batch: Batch) -> None:
        """Log how fast tokens go through, which part of the places is padding, how often text was cut."""
        now = time.monotonic()
        options: dict[str, Any] = {"batch_size": len(batch["samples"])}
        # Tensors of the host: Lightning sends plain numbers to the device, and reads them back from there.
        counted = torch.tensor([batch["tokens"], batch["cells"], batch["shortened"], now - self._clock])
        if (processes := self.trainer.world_size) > 1:
            counted = all_reduce_mean(counted.to(self.device)).cpu()
        tokens, cells, shortened, seconds = counted
        self.log("batch/tokens_per_second", processes * tokens / seconds.clamp(min=1e-9), **options)
        self.log("batch/padding_fraction", 1 - tokens / cells, **options)
        self.log("batch/shortened", processes * shortened, reduce_fx="sum", **options)
        self._clock = now

    @staticmethod
    def _prompt(batch: Batch, questions: list[int]) -> dict[str, Tensor]:
        if len(questions) == len(batch["samples"]):
            return batch["prompt"]
        return choose_questions(batch["prompt"], batch["prompt_rows"], questions)


def _likeliest(candidates: Sequence[str], likelihoods: Sequence[float]) -> str:
    """The candidate of the highest likelihood, the first of several."""
    return candidates[max(range(len(likelihoods)), key=likelihoods.__getitem__)]


def _trains_language_model(adapter: AdapterConfig) -> bool:
    """Whether the language model's own weights are trained, which float32 is for."""
    return adapter.method == "full" and "language_model" in adapter.parts


def _set_frozen_to_eval(module: nn.Module) -> None:
    """Put what has parameters but trains none of them into evaluation mode.

    Layers without parameters follow what they stand in: the dropout of an adapter stays on.
    """
    if any(parameter.requires_grad for parameter in module.parameters()):
        for child in module.children():
            _set_frozen_to_eval(child)
    elif any(True for _ in module.parameters()):
        module.eval()
        for layer in module.modules():
            # Activations that gradients pass through are dropped and computed again in training mode only.
            if getattr(layer, "gradient_checkpointing", False):
                layer.training = True
