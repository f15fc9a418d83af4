"""Ranking after the model's own reasoning: the text that is continued, and likelihoods as those in full."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoProcessor

from datamodules.answers import read_answer
from datamodules.samples import Answer, AnswerType, SpatialSample
from datamodules.scoring.choice_metrics import SpaceThinkerMetric
from lightning_modules.base import ModelError
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.teachers.live import Teacher
from lightning_modules.vlm import sft as sft_module
from lightning_modules.vlm.collator import VlmCollator
from lightning_modules.vlm.conversation import Conversation
from lightning_modules.vlm.families import FAMILIES
from lightning_modules.vlm.loading import family_named
from lightning_modules.vlm.prompt_template import ANSWER_BLOCK, ANSWER_LINE, BARE, REASONED, Prompt
from lightning_modules.vlm.prompts import LARGEST_COUNT, answer_text, candidates_of
from lightning_modules.vlm.ranking import rank_candidates
from lightning_modules.vlm.reasoned_ranking import Cue, _parted, rank_after
from lightning_modules.vlm.sft import PeftSft
from tests.helpers.composed_models import tiny_composed
from tests.helpers.sample_questions import (
    SMALL,
    TINY_FAMILIES,
    letter_question,
    many_questions,
    noise_image,
    tiny_model,
)

BLOCK, LINE = Cue(ANSWER_BLOCK), Cue(ANSWER_LINE)
COUNTS = [str(number) for number in range(21)]
REASONS = (
    "<think>\nThe chair is 2 metres away. The box is 3 metres away.\n</think>\n<answer>",
    "<answer>",
    "It stands left of the zürich lamp\nAnswer: ",
    "<think>\nI look at it, and\n</think>\n<answer>",
)


@pytest.mark.parametrize(
    ("cue", "text", "before"),
    [
        (
            BLOCK,
            "<think>\nIt is near.\n</think>\n<answer>B</answer>",
            "<think>\nIt is near.\n</think>\n<answer>",
        ),
        (BLOCK, "<think>It is near.</think> (B)", "<think>It is near.\n</think>\n<answer>"),
        # Cut off in mid-reasoning, in mid-character, at the tag, behind it.
        (BLOCK, "<think>\nIt is ne", "<think>\nIt is ne\n</think>\n<answer>"),
        (BLOCK, "<think>\nz\ufffd", "<think>\nz\n</think>\n<answer>"),
        (BLOCK, "<think>\nIt is near.\n</thi", "<think>\nIt is near.\n</thi\n</think>\n<answer>"),
        (BLOCK, "<think>\nIt is near.\n</think>\n<ans", "<think>\nIt is near.\n</think>\n<answer>"),
        (BLOCK, "<answer>B</answer>", "<answer>"),
        (BLOCK, "", "<answer>"),
        (BLOCK, " \n", "<answer>"),
        (BLOCK, "It is near. <answer>B", "It is near.\n<answer>"),
        (BLOCK, "It is near.\n<answer>B</answer>", "It is near.\n<answer>"),
        # The reasoning speaks of the cue, and goes on.
        (BLOCK, "I write <answer> and look.\nIt is", "I write <answer> and look.\nIt is\n<answer>"),
        (LINE, "The lamp is nearer.\n\n**Answer: (B)**", "The lamp is nearer.\nAnswer: "),
        (LINE, "The lamp is nearer. Answer: B", "The lamp is nearer.\nAnswer: "),
        (LINE, "The lamp is nearer.\nANSWER: b", "The lamp is nearer.\nAnswer: "),
        (LINE, "Answer: B", "Answer: "),
        (LINE, "I must write Answer: X, so", "I must write Answer: X, so\nAnswer: "),
        (LINE, "Answer: B? No.\nIt is", "Answer: B? No.\nIt is\nAnswer: "),
        (LINE, "<think>It is", "<think>It is\n</think>\nAnswer: "),
        (Cue("{answer}"), "It is near.", "It is near.\n"),
    ],
)
def test_a_reasoning_is_closed_by_the_cue(cue: Cue, text: str, before: str) -> None:
    assert cue.after(text) == before


@given(
    st.text(st.characters(blacklist_characters="<>\ufffd"), max_size=60), st.sampled_from("ABCD"), st.data()
)
def test_reasoning_cue_and_answer_are_the_text_that_is_learnt(thought: str, answer: str, data: Any) -> None:
    """And from wherever the limit cuts it off, the same but for what had not been written by then."""
    sample = letter_question(answer=answer, choices=())
    for rationale in {thought.strip(), ""}:
        learnt = answer_text(sample, rationale)
        assert BLOCK.after(learnt) + answer + BLOCK.behind == learnt
        cut = learnt[: data.draw(st.integers(0, len(learnt)))]
        for cue in (BLOCK, LINE):
            before = cue.after(cut)
            assert before.endswith(cue.before)
            # What is continued holds nothing that the model has not written, but for the closing.
            own = before.removesuffix(cue.before).rstrip().removesuffix("</think>").rstrip()
            assert cut.strip().startswith(own)


@given(st.text(max_size=80))
def test_any_text_can_be_continued(text: str) -> None:
    for cue in (BLOCK, LINE, Cue("So it is {answer}.")):
        assert cue.after(text).endswith(cue.before)


def closed_questions() -> list[SpatialSample]:
    regions = "Which of " + "<mask> " * 12 + "is leftmost?"
    return [
        letter_question(1, choices=("x", "A", "the b", "C")),
        letter_question(1, choices=()),
        letter_question(1, choices=tuple(map(str, range(26)))),
        SpatialSample("regions", regions, answer_type=AnswerType.REGION),
        SpatialSample("side", "Left or right?", answer_type=AnswerType.SIDE),
        SpatialSample("count", "How many?", answer_type=AnswerType.COUNT),
    ]


def test_every_candidate_is_read_as_itself() -> None:
    """What is taken by likelihood is not changed by any rule of reading."""
    for sample in closed_questions():
        candidates = candidates_of(sample, counts=True)
        assert len(candidates) > 1
        for candidate in candidates:
            assert read_answer(Answer(sample, candidate, reasoning="Answer: B. 7 chairs")) == candidate


def test_counts_are_candidates_where_they_are_wanted_only() -> None:
    """A count may be larger, so that no training refuses one, and `rank` lets them be written as before."""
    sample = SpatialSample("1", "How many?", answer_type=AnswerType.COUNT)
    assert candidates_of(sample, counts=True) == COUNTS and LARGEST_COUNT == 20
    assert candidates_of(sample) == []
    length = sample.replace(answer_type=AnswerType.DISTANCE)
    assert candidates_of(length, counts=True) == candidates_of(sample.replace(answer_type=None), True) == []


def test_a_cue_has_one_place_for_the_answer() -> None:
    assert Prompt(cue="So: {answer}.").cue == "So: {answer}."
    for cue in ("Answer:", "{answer} or {answer}"):
        with pytest.raises(ModelError, match=r"prompt.cue is '.*'; write \{answer\} where"):
            Prompt(cue=cue)


def tokens_in_full(conversation: Conversation, text: str) -> list[int]:
    """A text behind a prompt in one piece, tokenised by nothing but the tokenizer."""
    tokenizer = conversation.processor.tokenizer
    found: list[int] = tokenizer(conversation.response_template + text, add_special_tokens=False)["input_ids"]
    return found


@torch.no_grad()
def in_full(
    model: Any,
    prompt: dict[str, Tensor],
    conversation: Conversation,
    text: str,
    answers: list[str],
    behind: str,
) -> list[float]:
    """The plain reference: the whole text of each answer in one piece through the model's own forward.

    Where one answer begins another one, both have their end; the tokens that all share say nothing.
    """
    rows = [tokens_in_full(conversation, text + answer) for answer in answers]
    if any(a is not b and b[: len(a)] == a for a in rows for b in rows):
        end = [] if behind else [conversation.end_id]
        rows = [tokens_in_full(conversation, text + answer + behind) + end for answer in answers]
    start = prompt["input_ids"].shape[1]
    scores = []
    for tokens in rows:
        shared = next(at for at in range(len(tokens)) if len({tuple(row[: at + 1]) for row in rows}) > 1)
        added = {"input_ids": 0, "attention_mask": 1, "mm_token_type_ids": 0, "token_type_ids": 1}
        inputs = {**prompt}
        for name in added.keys() & prompt.keys():
            new = torch.tensor([tokens]) if name == "input_ids" else torch.full((1, len(tokens)), added[name])
            inputs[name] = torch.cat([prompt[name], new], 1)
        logits = model(**inputs).logits[0, start - 1 : -1].log_softmax(-1)
        scores.append(float(logits[range(shared, len(tokens)), tokens[shared:]].sum()))
    return scores


def open_tiny_model(family: str) -> tuple[Any, VlmCollator]:
    """A tiny random model in float64 whose tokens are far from equally likely, and its collator."""
    if family == "composed":
        model, processor = tiny_composed()
    else:
        model, processor, _ = tiny_model(family)
    model = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5) if parameter.ndim > 1 else None
    return model, VlmCollator(processor, FAMILIES[family], with_labels=False)


def as_double(prompt: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.double() if value.is_floating_point() else value for name, value in prompt.items()}


def samples_of(family: str, kind: str) -> list[SpatialSample]:
    if kind == "distinct":
        return [sample for sample in many_questions(family) if family != "paligemma" or sample.image][:4]
    shared = noise_image(7)
    asked = [letter_question(number, image=shared) for number in range(3)]
    return [
        sample.replace(question=f"{sample.question} {'Look! ' * number}")
        for number, sample in enumerate(asked)
    ] + [letter_question(4)]


@pytest.mark.parametrize("kind", ["shared", "distinct"])
@pytest.mark.parametrize("family", [*TINY_FAMILIES, "composed"])
def test_likelihoods_are_those_of_the_whole_text_in_one_piece(family: str, kind: str) -> None:
    """After reasonings of different lengths, with images in common or not, many at once or one by one."""
    model, collate = open_tiny_model(family)
    samples = samples_of(family, kind)
    texts = list(REASONS)
    answers = [list("ABC"), ["left", "right"], COUNTS, list("ABCD")]
    for behind in ("", "</answer>"):
        prompt = as_double(collate(samples)["prompt"])
        ours = rank_after(model, collate, prompt, texts, answers, behind)
        for question, sample in enumerate(samples):
            alone = as_double(collate([sample])["prompt"])
            text, several = texts[question], answers[question]
            plain = in_full(model, alone, collate.conversation, text, several, behind)
            assert ours[question] == pytest.approx(plain, abs=1e-5)
            (single,) = rank_after(model, collate, alone, [text], [several], behind)
            assert single == pytest.approx(plain, abs=1e-5)
            assert max(plain) - min(plain) > 0.05


def test_without_a_reasoning_the_likelihoods_are_those_of_ranking() -> None:
    model, collate = open_tiny_model("qwen2_5_vl")
    batch = collate(samples_of("qwen2_5_vl", "shared"))
    prompt = as_double(batch["prompt"])
    plain = rank_candidates(model, prompt, batch["candidates"])
    ours = rank_after(model, collate, prompt, [""] * 4, batch["candidate_texts"])
    for several, reference in zip(ours, plain, strict=True):
        assert several == pytest.approx(reference, abs=1e-9)


def test_what_prompts_share_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image and what stands before the question; the reasoning is each question's own."""
    model, collate = open_tiny_model("qwen2_5_vl")
    samples = [letter_question(number, image=noise_image(7, 112, 112)) for number in range(5)]
    read = 0
    forward = model.forward

    def counted(**inputs: Any) -> Any:
        nonlocal read
        read += inputs["inputs_embeds"].shape[:2].numel()
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", counted)
    prompt = as_double(collate(samples)["prompt"])
    rank_after(model, collate, prompt, ["It is near.\nAnswer: "] * 5, [list("ABC")] * 5)
    assert 0 < read < 0.75 * prompt["input_ids"].numel()


@pytest.mark.parametrize("family", ["qwen2_5_vl", "smolvlm"])
def test_special_tokens_in_a_models_own_text_are_no_fault(family: str) -> None:
    """Spelt out in pieces they come back from decoding, where no record can be corrected."""
    model, collate = open_tiny_model(family)
    batch = collate([letter_question(1)])
    image, end = collate.processor.image_token, collate.conversation.end
    plain, spelt = (
        rank_after(model, collate, as_double(batch["prompt"]), [text], [list("ABC")])
        for text in ("I see. Answer: ", f"I {image}see{end}. Answer: ")
    )
    assert spelt[0] == pytest.approx(plain[0], abs=1e-9)


def sft(family: str = "smolvlm", **options: Any) -> PeftSft:
    torch.manual_seed(0)
    return PeftSft(
        family, **{"random_weights": True, "tiny_size": SMALL, "maximum_new_tokens": 6, **options}
    ).eval()


@pytest.mark.parametrize("family", TINY_FAMILIES)
@pytest.mark.parametrize("rationale", [False, True])
def test_closed_questions_are_ranked_after_the_models_own_text_and_others_written(
    family: str, rationale: bool
) -> None:
    module = sft(family, answering="reason_then_rank", rationale=rationale)
    samples = many_questions(family)
    batch = module.collator("test")(samples)
    answers = module.answer(batch)
    assert [answer.sample.id for answer in answers] == [sample.id for sample in samples]
    *closed, count = answers[:4] + answers[5:6]
    texts = sft_module.generate_texts(module.network, module.tokenizer, batch["prompt"], 6)
    for answer, written in zip([*closed, count], texts[:4] + texts[5:6], strict=True):
        assert answer.raw in candidates_of(answer.sample, counts=True)
        assert answer.asked == ""
        assert answer.reasoning == BLOCK.after(written)
    assert count.raw in COUNTS
    for answer, text in ((answers[4], texts[4]), (answers[6], texts[6])):
        assert (answer.raw, answer.reasoning) == (text, "")
        assert answer.asked == batch["asked"][samples.index(answer.sample)]
    # What another question in the batch is cannot change an answer.
    for sample, answer in zip(samples, answers, strict=True):
        assert module.answer(module.collator("test")([sample])) == [answer]


def test_the_words_ask_for_a_reasoning_and_the_cue_follows_from_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert sft(answering="reason_then_rank").prompt == REASONED
    assert sft(answering="generate").prompt == BARE
    assert (
        PeftSft(
            "smolvlm", random_weights=True, tiny_size=SMALL, answering="reason_then_rank"
        ).maximum_new_tokens
        == 512
    )
    own = Prompt(ending="Think, then end with: Answer: X")
    batch = [letter_question(1)]
    weigh = Mock(wraps=sft_module.rank_after)
    monkeypatch.setattr(sft_module, "rank_after", weigh)
    for options, cue in (
        ({"prompt": own}, "Answer: "),
        ({"prompt": own, "rationale": True}, "\n<answer>"),
        ({"prompt": Prompt(cue="It is ({answer})")}, "\nIt is ("),
    ):
        module = sft(answering="reason_then_rank", **options)
        (answer,) = module.answer(module.collator("test")(batch))
        assert answer.reasoning.endswith(cue)
    assert [call.args[5] for call in weigh.call_args_list] == ["", "</answer>", ")"]


def test_answers_that_read_on_into_what_is_behind_them_are_weighed_with_it() -> None:
    """`],` is one token: `1]` is no beginning of what would be written."""
    conversation = open_tiny_model("smolvlm")[1].conversation
    rows = conversation.encode_candidates(["1]", "2]"], behind=", so")
    assert [conversation.processor.tokenizer.decode(row) for row in rows] == [" 1], so", " 2], so"]
    bare = conversation.encode_candidates(["1", "2"], behind="</answer>")
    assert [conversation.processor.tokenizer.decode(row) for row in bare] == [" 1", " 2"]


@pytest.mark.parametrize(
    "written", ["<think>\nThe red chair is", "", "Both are. (A) or (B)?", "<answer>none</answer>"]
)
def test_nothing_is_unreadable_that_has_a_closed_set_of_answers(
    written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut-off and undecided texts are, where they are read."""
    samples = [
        letter_question(1, task="other"),
        SpatialSample(
            "n", "How many?", image=noise_image(3), answer="2", answer_type=AnswerType.COUNT, task="count"
        ),
    ]
    monkeypatch.setattr(
        sft_module, "generate_texts", lambda *arguments: [written] * len(arguments[2]["input_ids"])
    )
    module = sft(rationale=True, answering="generate")
    unreadable = {}
    for answering in ("generate", "reason_then_rank"):
        module.answering = answering
        metric = SpaceThinkerMetric()
        metric.update(module.answer(module.collator("test")(samples)))
        unreadable[answering] = metric.compute()["unreadable"]
    assert unreadable["generate"] > 0 == unreadable["reason_then_rank"]


def test_the_likeliest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same text and answers through the model's own forward say which it is."""
    module = sft("qwen2_5_vl", answering="reason_then_rank", rationale=True)
    text = "<think>\nThe box is far.\n</think>\n<answer>A</answer>"
    monkeypatch.setattr(
        sft_module, "generate_texts", lambda *arguments: [text] * len(arguments[2]["input_ids"])
    )
    samples = [letter_question(number) for number in range(6)]
    conversation = module.vlm_collator(with_labels=False).conversation
    best = []
    for sample in samples:
        prompt = module.collator("test")([sample])["prompt"]
        scores = in_full(
            module.network, prompt, conversation, text.partition("A<")[0], list("ABC"), "</answer>"
        )
        best.append("ABC"[max(range(3), key=scores.__getitem__)])
    answers = module.answer(module.collator("test")(samples))
    assert [answer.raw for answer in answers] == best


def test_a_student_answers_so_without_its_teacher() -> None:
    options: dict[str, Any] = {
        "random_weights": True,
        "tiny_size": SMALL,
        "maximum_new_tokens": 6,
        "answering": "reason_then_rank",
    }
    torch.manual_seed(0)
    student = DistilledStudent(
        Teacher("smolvlm", random_weights=True), model="smolvlm", rationale=True, **options
    ).eval()
    samples = many_questions()
    answers = student.answer(student.collator("test")(samples))
    alone = sft(answering="reason_then_rank", rationale=True)
    assert answers == alone.answer(alone.collator("test")(samples))


REAL = ("smolvlm_500m", "qwen2_5_vl_3b", "internvl3_1b", "paligemma2_3b")


@pytest.mark.parametrize("name", REAL)
def test_real_tokenizers_weigh_the_tokens_that_are_learnt(name: str, zoo: Path) -> None:
    """What is read and what is weighed are together the tokens of the text that is trained on."""
    processor = AutoProcessor.from_pretrained(zoo / name)
    conversation = Conversation(processor, family_named(str(zoo / name)))
    for thought in ("", "The zürich lamp is 2.5 m away.", "It is 12"):
        sample = letter_question(answer="B")
        for answers in (list("ABCD"), ["left", "right"], COUNTS, ["0", "1", "2"]):
            before = BLOCK.after(answer_text(sample, thought))
            read, rests = _parted(conversation, before, answers, BLOCK.behind)
            assert all(rests) and len({tuple(rest) for rest in rests}) == len(answers)
            for answer, rest in zip(answers, rests, strict=True):
                learnt = conversation.encode_answer(answer_text(sample.replace(answer=answer), thought))
                assert learnt[: len(read) + len(rest)] == read + rest
