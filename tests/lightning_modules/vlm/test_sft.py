from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn

from datamodules.samples import Answer, AnswerType, SpatialSample
from lightning_modules.base import Batch, ModelError
from lightning_modules.placement import Placement, placed
from lightning_modules.schedule import WarmupCosine
from lightning_modules.vlm import sft as sft_module
from lightning_modules.vlm.adapters import AdapterConfig, Method
from lightning_modules.vlm.loading import LoadedVlm
from lightning_modules.vlm.prompt_template import BARE, REASONED, Prompt
from lightning_modules.vlm.sft import PeftSft
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from lightning_modules.vlm.zoo import ZOO
from tests.helpers.bare_trainer import bare_trainer
from tests.helpers.image_data import ImageData
from tests.helpers.sample_questions import (
    SMALL,
    TINY_FAMILIES,
    letter_question,
    many_questions,
    tiny_model,
)
from tests.helpers.sums import sum_of

families = pytest.mark.parametrize("family", TINY_FAMILIES)
FULL = AdapterConfig(method="full", parts=("language_model", "vision_tower", "connector"))


def sft(family: str = "smolvlm", **options: Any) -> PeftSft:
    torch.manual_seed(0)
    return PeftSft(family, **{"random_weights": True, "tiny_size": SMALL, **options})


def trainer(tmp_path: Path, **options: Any) -> Trainer:
    return Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        **{"logger": False, "enable_checkpointing": False, "max_epochs": 1, **options},
    )


@families
@pytest.mark.parametrize("rationale", [False, True])
def test_the_loss_is_the_plain_one_over_the_answers_tokens(family: str, rationale: bool) -> None:
    module = sft(family, adapter=FULL, rationale=rationale, answering="generate")
    batch = module.collator("fit")(many_questions(family))
    loss = sum_of(module.loss(batch).values())
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}

    # Token by token over all logits, without any shift or mask of the code under test.
    module.zero_grad()
    logits = module.network(**batch["inputs"]).logits.log_softmax(-1)
    labels = batch["labels"]
    terms = [
        -logits[row, position - 1, labels[row, position]]
        for row in range(labels.shape[0])
        for position in range(1, labels.shape[1])
        if labels[row, position] >= 0
    ]
    plain = torch.stack(terms).mean()
    plain.backward()
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), abs=1e-5)
    assert gradients
    for name, parameter in module.named_parameters():
        if name in gradients:
            torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-5, rtol=1e-3)
    # And what transformers itself computes from the labels.
    theirs = module.network(**batch["inputs"], labels=labels).loss
    assert float(loss.detach()) == pytest.approx(float(theirs.detach()), abs=1e-5)


def test_frozen_parts_rest_while_the_adapters_dropout_is_on() -> None:
    module = sft(adapter=AdapterConfig(dropout=0.5)).train()
    for name, layer in module.network.named_modules():
        own = list(layer.parameters())
        if isinstance(layer, nn.Dropout):
            assert layer.training == ("lora_dropout" in name), name
        elif own and not any(parameter.requires_grad for parameter in own):
            assert not layer.training, name
    batch = module.collator("fit")(many_questions())
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(0, 0.1)
    first, second = (float(module.loss(batch)["answer_loss"].detach()) for _ in range(2))
    assert first != second
    module.eval()
    assert not any(layer.training for layer in module.network.modules())


@pytest.mark.parametrize("family", ["smolvlm", "qwen2_5_vl", "paligemma"])
def test_activation_checkpointing_changes_no_gradient(family: str) -> None:
    """Also where a gradient only passes through: a frozen language model before a trained connector."""
    for adapter in (AdapterConfig(dropout=0.0), AdapterConfig(method="full", parts=("connector",))):
        found = []
        for checkpointing in (False, True):
            module = sft(family, adapter=adapter, activation_checkpointing=checkpointing).train()
            recomputed: list[int] = []
            language = module.vlm.model.get_submodule(module.vlm.family.parts["language_model"])
            language.layers[0].self_attn.register_forward_hook(lambda *_, seen=recomputed: seen.append(1))
            towers: list[bool] = []
            tower = module.vlm.model.get_submodule(module.vlm.family.parts["vision_tower"])
            leaf = next(layer for layer in tower.modules() if not list(layer.children()))
            leaf.register_forward_hook(lambda _, __, out, seen=towers: seen.append(out.requires_grad))
            sum_of(module.loss(module.collator("fit")(many_questions(family))).values()).backward()
            assert len(recomputed) == 1 + checkpointing
            # Nothing in front of what is trained is computed twice, or goes backward.
            assert towers == [False]
            found.append([p.grad for p in module.parameters() if p.requires_grad])
        for plain, checkpointed in zip(*found, strict=True):
            torch.testing.assert_close(plain, checkpointed, atol=1e-6, rtol=1e-4)


@families
@pytest.mark.parametrize("method", ["lora", "full"])
def test_weights_of_half_precision_train_and_write_in_mixed_precision(
    family: str, method: Method, tmp_path: Path
) -> None:
    """As on a GPU: what is frozen is bfloat16, what is trained float32."""
    model, processor, _ = tiny_model(family)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with placed(Placement.of("cpu", "bf16-mixed")):
        module = PeftSft(str(tmp_path), adapter=AdapterConfig(method=method)).train()
    trained = {parameter.dtype for parameter in module.parameters() if parameter.requires_grad}
    frozen = {parameter.dtype for parameter in module.parameters() if not parameter.requires_grad}
    assert trained == {torch.float32}
    assert frozen == {torch.float32 if method == "full" else torch.bfloat16}
    batch = module.collator("fit")(many_questions(family))
    with torch.autocast("cpu", torch.bfloat16):
        sum_of(module.loss(batch).values()).backward()
        network: Any = module.eval().network
        written = network.generate(**batch["prompt"], max_new_tokens=2, do_sample=False)
    assert written.shape[0] == len(many_questions(family))
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def test_ranking_beside_a_rationale_is_refused() -> None:
    with pytest.raises(ModelError, match="set answering: generate, or rationale: false"):
        sft(rationale=True)


def test_only_trained_tensors_are_saved_and_the_same_tiny_model_takes_them_back(tmp_path: Path) -> None:
    module, data = sft(), ImageData()
    run = trainer(tmp_path, limit_val_batches=0)
    run.fit(module, data)
    run.save_checkpoint(tmp_path / "kept.ckpt")
    kept = torch.load(tmp_path / "kept.ckpt", weights_only=True)["state_dict"]
    assert kept and all("lora" in name for name in kept)

    other = sft()
    trainer(tmp_path).test(other, data, ckpt_path=tmp_path / "kept.ckpt", verbose=False, weights_only=True)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_throughput_and_padding_are_logged_and_only_one_layout_is_moved(tmp_path: Path) -> None:
    seen = []

    class Watching(PeftSft):
        def loss(self, batch: Batch) -> dict[str, Tensor]:
            seen.append(set(batch))
            return super().loss(batch)

        def answer(self, batch: Batch) -> list[Answer]:
            seen.append(set(batch))
            return super().answer(batch)

    module = Watching("qwen2_5_vl", random_weights=True, tiny_size=SMALL)
    run = trainer(tmp_path)
    run.fit(module, ImageData())
    metrics = run.callback_metrics
    assert {name for name in metrics if name.startswith("batch/")} == {
        f"batch/{name}" for name in ("tokens_per_second", "padding_fraction", "shortened")
    }
    # The report draws all that is called so as parts of the loss.
    assert {name for name in metrics if name.startswith("train/")} == {"train/loss", "train/answer_loss"}
    assert "inputs" in seen[0] and "prompt" not in seen[0]
    # A validation answers, and takes the loss of the true answers.
    assert {"prompt", "inputs"} <= seen[-1]
    seen.clear()
    run.test(module, ImageData(), verbose=False)
    assert "prompt" in seen[0] and "inputs" not in seen[0]


@families
def test_answers_stand_in_the_order_of_their_questions_whether_ranked_or_written(family: str) -> None:
    module = sft(family, answering="rank", maximum_new_tokens=3).eval()
    samples = many_questions(family)
    answers = module.answer(module.collator("test")(samples))
    assert [answer.sample.id for answer in answers] == [sample.id for sample in samples]
    assert answers[0].raw in "ABC" and answers[2].raw in "012" and answers[3].raw in ("left", "right")
    # What another question in the batch is cannot change an answer.
    for sample, answer in zip(samples, answers, strict=True):
        assert module.answer(module.collator("test")([sample]))[0].raw == answer.raw
    written = sft(family, answering="generate", maximum_new_tokens=3).eval()
    batch = written.collator("test")(samples)
    again = written.answer(batch)
    assert [answer.raw for answer in again[4:]] == [answer.raw for answer in answers[4:]]
    # A text is read by the form in which it was asked for; what is weighed has none.
    assert [answer.asked for answer in again] == batch["asked"]
    assert [answer.asked for answer in answers] == ["", "", "", "", *batch["asked"][4:]]


@pytest.mark.parametrize("answering", ["rank", "reason_then_rank"])
def test_of_equally_likely_answers_the_first_is_taken(answering: Any) -> None:
    """A model that takes every token for equally likely says so of every letter and every region."""
    module = sft(answering=answering, maximum_new_tokens=3).eval()
    module.vlm.model.get_output_embeddings().weight.data.zero_()
    samples = [sample for sample in many_questions() if sample.answer_type in ("letter", "region")]
    assert [answer.raw for answer in module.answer(module.collator("test")(samples))] == ["A", "A", "0"]


def test_rate_padding_and_shortened_are_those_of_each_batch_over_all_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches: list[dict[str, Any]] = [
        {"samples": [0] * 4, "tokens": tokens, "cells": cells, "shortened": shortened}
        for tokens, cells, shortened in ((100, 200, 1), (60, 60, 0), (80, 100, 2))
    ]
    other = torch.tensor([300.0, 600.0, 3.0, 4.0])
    monkeypatch.setattr(sft_module, "all_reduce_mean", lambda counted: (counted + other) / 2)
    # Tokens, places and shortened are added up over two processes; their times go on beside each other.
    expected: dict[int, list[tuple[float, float, float]]] = {
        1: [(50, 0.5, 1), (60, 0, 0), (20, 0.2, 2)],
        2: [(400 / 3, 0.5, 4), (144, 5 / 11, 3), (95, 16 / 35, 5)],
    }
    for processes, figures in expected.items():
        module = sft()
        logged: list[Any] = []
        clock = SimpleNamespace(monotonic=iter([10.0, 12.0, 13.0, 17.0]).__next__)
        monkeypatch.setattr(sft_module, "time", clock)
        monkeypatch.setattr(PeftSft, "trainer", SimpleNamespace(world_size=processes))
        monkeypatch.setattr(module, "log", lambda *said, seen=logged, **how: seen.append((*said, how)))
        module.on_train_epoch_start()
        for batch in batches:
            module.log_tokens(batch)
        for number, (rate, padding, shortened) in enumerate(figures):
            options = {"batch_size": 4}
            assert logged[3 * number : 3 * number + 3] == [
                ("batch/tokens_per_second", pytest.approx(rate), options),
                ("batch/padding_fraction", pytest.approx(padding, abs=1e-6), options),
                ("batch/shortened", pytest.approx(shortened), {"reduce_fx": "sum", **options}),
            ]


@pytest.mark.parametrize(
    ("options", "tokens", "prompt", "stops"),
    [
        ({}, 32, BARE, ()),
        ({"answering": "generate", "maximum_new_tokens": 7}, 7, BARE, ()),
        ({"answering": "generate", "rationale": True}, 512, REASONED, ("</answer>",)),
        ({"answering": "reason_then_rank"}, 512, REASONED, ()),
        (
            {"answering": "reason_then_rank", "rationale": True, "prompt": Prompt(ending="Go.")},
            *(512, Prompt(ending="Go."), ("</answer>",)),
        ),
    ],
)
@pytest.mark.parametrize("family", ["smolvlm_500m", "smolvlm_2b", "qwen2_5_vl_3b", "internvl3_1b"])
def test_how_long_and_until_where_is_written_follows_from_what_is_asked_for(
    family: str, options: Any, tokens: int, prompt: Prompt, stops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(ZOO[family].family_name)
    monkeypatch.setattr(sft_module, "load_vlm", lambda *_, **__: LoadedVlm(*model, name="", origin=""))
    module = PeftSft(family, adapter=AdapterConfig("none"), **options)
    write = Mock(return_value=["It is 3."])
    monkeypatch.setattr(sft_module, "generate_texts", write)
    question = SpatialSample("q", "How far?", answer_type=AnswerType.DISTANCE)
    (answer,) = module.answer(module.collator("test")([question]))
    _, tokenizer, _, limit, strings, names = write.call_args.args
    assert (answer.raw, module.prompt, limit, strings, names) == ("It is 3.", prompt, tokens, stops, ["q"])
    assert tokenizer is model[1].tokenizer and module.answering == options.get("answering", "rank")


def test_every_setting_of_the_model_is_handed_on_to_loading_it(monkeypatch: pytest.MonkeyPatch) -> None:
    load = Mock(return_value=LoadedVlm(*tiny_model("smolvlm"), "", ""))
    monkeypatch.setattr(sft_module, "load_vlm", load)
    settings: dict[str, Any] = {
        **{"attention": "eager", "image_tokens": 9, "trust_remote_code": True, "weights_seed": 3},
        **{"tiny_size": SMALL, "activation_checkpointing": True},
    }
    PeftSft("smolvlm", True, AdapterConfig("none"), **settings)
    load.assert_called_once_with("smolvlm", True, **settings, quantization=None, dtype=None)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny Qwen in a folder; an image of 60x90 pixels takes many of its tokens."""
    folder = tmp_path_factory.mktemp("qwen")
    for part in make_tiny_model("qwen2_5_vl", size=TinySize(width=64, layers=1, vision_layers=1)):
        part.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("options", "image", "learnt", "asked"),
    [
        ({}, 12, "B<|im_end|>", "letter."),
        ({"image_tokens": 6}, 6, "B<|im_end|>", "letter."),
        ({"maximum_tokens": 82}, 6, "B<|im_end|>", "letter."),
        ({"response_template": "So: "}, 12, "So: B<|im_end|>", "letter."),
        ({"prompt": Prompt(ending="Go.")}, 12, "B<|im_end|>", "Go."),
        (
            {"rationale": True, "answering": "generate"},
            *(
                12,
                "<think>\nIt is.\n</think>\n<answer>B</answer><|im_end|>",
                "between <answer> and </answer>.",
            ),
        ),
        ({"adapter": AdapterConfig("prompt_tuning", virtual_tokens=2)}, 12, "B<|im_end|>", "letter."),
    ],
)
def test_what_is_set_of_a_model_reaches_its_batches(
    saved: str, options: dict[str, Any], image: int, learnt: str, asked: str
) -> None:
    module = PeftSft(saved, **options)
    batch = module.collator("fit")([letter_question(1, rationale="It is.")])
    tokens, labels = batch["inputs"]["input_ids"][0], batch["labels"][0]
    assert int((tokens == module.vlm.processor.image_token_id).sum()) == image
    assert module.tokenizer.decode(labels[labels != -100]) == learnt
    text = module.tokenizer.decode(tokens[labels == -100])
    assert text.endswith(f"{asked}<|im_end|>\n<|im_start|>assistant\n")
    assert text.startswith("<virtual_0><virtual_1>" if "adapter" in options else "<|im_start|>")


@pytest.mark.parametrize(("decay", "groups"), [("matrices", [0.5, 0.0]), ("all", [0.5])])
def test_rate_and_decay_take_the_course_that_is_asked_for(decay: Any, groups: list[float]) -> None:
    module = sft(
        adapter=AdapterConfig("dora"),
        decay=decay,
        optimizer=partial(torch.optim.AdamW, lr=0.01, weight_decay=0.5),
        schedule=partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.1),
    )
    run = bare_trainer(max_epochs=2, limit_train_batches=1)
    run.fit(module, ImageData())
    (optimizer,) = run.optimizers
    assert [group["weight_decay"] for group in optimizer.param_groups] == groups
    assert [group["lr"] for group in optimizer.param_groups] == [pytest.approx(1e-4)] * len(groups)


def test_a_run_says_whose_words_it_asked_in(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes(b"Look: {question}")
    module = sft(prompt=Prompt(file=str(tmp_path / "words.txt")))
    digest = hashlib.sha256(b"Look: {question}").hexdigest()[:12]
    assert module.origins() == {
        "model": "tiny random model, seed 0",
        "prompt": f"{tmp_path / 'words.txt'} {digest}",
    }
    assert sft(weights_seed=3).origins() == {"model": "tiny random model, seed 3"}


@pytest.mark.slow
@pytest.mark.parametrize("family", ["smolvlm", "qwen2_5_vl"])
def test_four_images_are_learnt_by_heart(family: str, tmp_path: Path) -> None:
    """The question is the same and only the image tells which answer is right."""
    module = sft(
        family,
        adapter=FULL,
        answering="generate",
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=2e-3),
        schedule=WarmupCosine(0.1, 0.1),
    )
    run = trainer(tmp_path, max_epochs=60, limit_val_batches=0, gradient_clip_val=1.0)
    run.fit(module, ImageData())
    for answering in ("generate", "rank"):
        module.answering = answering
        run.test(module, ImageData(), verbose=False)
        assert module.summary is not None
        assert module.summary["n"] == 4
        assert module.summary["score"] == 100.0


@pytest.mark.parametrize("model", ["smolvlm_500m", "qwen2_5_vl_3b"])
def test_weights_in_4_bits_give_the_same_gradient_after_an_evaluation(model: str) -> None:
    """bitsandbytes packs them for inference on some CPUs, and then passes no gradient on."""
    pytest.importorskip("bitsandbytes")
    adapter = AdapterConfig(four_bit=True, dropout=0.0)
    module = PeftSft(model, random_weights=True, tiny_size=SMALL, adapter=adapter, answering="rank").train()
    batch = module.collator("fit")(many_questions())

    def gradients() -> list[torch.Tensor]:
        module.zero_grad()
        module.loss(batch)["answer_loss"].backward()
        return [p.grad.clone() for p in module.parameters() if p.grad is not None]

    before = gradients()
    module.eval()
    with torch.no_grad():
        module.answer(batch)
    module.train()
    after = gradients()
    assert len(before) == len(after) > 0
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
