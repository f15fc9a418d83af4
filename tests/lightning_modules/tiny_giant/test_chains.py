"""Chains: which regions lead to an answer, what may be written, and what is made of it."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.samples import Answer, AnswerType, Region, SpatialSample
from lightning_modules.phases import Phase
from lightning_modules.tiny_giant.chain_grammar import LONGEST_CHAIN, ChainGrammar
from lightning_modules.tiny_giant.chain_scores import ChainScores, true_chains
from lightning_modules.tiny_giant.chains import (
    ANSWER,
    CHAIN_WORDS,
    FILLER,
    MOST_REGIONS,
    Chain,
    Control,
    CountForm,
    steps_of,
    written_regions,
)
from lightning_modules.tiny_giant.collator import TinyGiantCollator
from lightning_modules.tiny_giant.module import ModelError, TinyGiant
from lightning_modules.tiny_giant.vocabulary import END, NUMBER, START, Vocabulary
from tests.helpers.scenes import questions
from tests.helpers.small_tiny_giant import CONFIG, collator_for

KINDS = {
    "distance": AnswerType.DISTANCE,
    "count": AnswerType.COUNT,
    "mcq": AnswerType.REGION,
    "left_right": AnswerType.SIDE,
}


def asked(task: str, rationale: str, answer: str | None, regions: int = 16, name: str = "q") -> SpatialSample:
    return SpatialSample(
        id=name,
        question="which? " + "<mask> " * regions,
        regions=(Region(1, 1, "1"),) * regions,
        answer=answer,
        answer_type=KINDS[task],
        rationale=rationale,
        task=task,
    )


SENTENCES: list[tuple[str, str, str, tuple[tuple[int, ...], ...]]] = [
    (
        "distance",
        "The pallet [Region 0] and the pallet [Region 1] are 3.04 meters apart.",
        "3.04",
        ((0,), (1,)),
    ),
    (
        "distance",
        "The buffer region [Region 1] is the one on the right. [Region 0] is the leftmost buffer region. The "
        "buffer region [Region 1] and the buffer region [Region 0] are 4.90 meters apart.",
        "4.9",
        ((1,), (0,)),
    ),
    ("left_right", "The pallet [Region 5] is to the left of the shelf [Region 2].", "left", ((5,), (2,))),
    ("mcq", "The pallet [Region 1] is the leftmost object from this viewpoint.", "1", ()),
    ("mcq", "The [Region 3] is on the left. The shelf [Region 0] is closest to [Region 3].", "0", ((3,),)),
    (
        "mcq",
        "Pallets [Region 4], [Region 2] and [Region 1] are there; [region 2] is nearest to [Region 7].",
        "2",
        ((1, 4), (7,)),
    ),
    (
        "mcq",
        "[Region 5] is the closest to the shelf [Region 6]. [Region 2] is the closest to [Region 5].",
        "2",
        ((6,), (5,)),
    ),
    (
        "distance",
        "[Region 4] is the leftmost. [Region 0] is the closest to [Region 4]. [Region 9] is 3.0 meters from "
        "[Region 0].",
        "3.0",
        ((4,), (9,), (0,)),
    ),
    ("mcq", "[Region 3] and then [Region 1] lead to [Region 1].", "9", ((3,), (1,))),
]

FOUND_FIRST = (
    "The buffer region [Region 1] is the closest to the shelf [Region 5]. I see pallets [Region 2] "
    "[Region 0] in the buffer region [Region 1]. So there are exactly two pallets."
)
COUNTED = (
    "The transporter [Region 8] stands there. I see pallets [Region 6] [Region 3] [Region 2] in the buffer "
)
COUNTED += "region [Region 7]. So there are exactly three pallets."


@pytest.mark.parametrize(("task", "rationale", "answer", "steps"), SENTENCES)
def test_steps_are_the_regions_in_the_order_of_their_last_mention(
    task: str, rationale: str, answer: str, steps: tuple[tuple[int, ...], ...]
) -> None:
    for form in ("container", "set_and_container", "set"):
        assert steps_of(asked(task, rationale, answer), form) == steps


@pytest.mark.parametrize(
    ("rationale", "answer", "container", "set_and_container", "alone"),
    [
        (FOUND_FIRST, "2", ((5,), (1,)), ((5,), (0, 2), (1,)), ((0, 2),)),
        (COUNTED, "3", ((8,), (7,)), ((8,), (2, 3, 6), (7,)), ((2, 3, 6),)),
        ("I see pallet [Region 3] in the buffer region [Region 4].", "1", ((4,),), ((3,), (4,)), ((3,),)),
        ("So there are two pallets in the buffer region [Region 0].", "2", ((0,),), ((0,),), ((0,),)),
        ("I see [Region 1] [Region 2] in [Region 0].", "3", ((1, 2), (0,)), ((1, 2), (0,)), ((1, 2), (0,))),
        ("There is none in [Region 0].", "0", ((0,),), ((0,),), ((0,),)),
        ("Seven.", "7", (), (), ()),
    ],
)
def test_of_a_count_three_forms_are_written(
    rationale: str, answer: str, container: Any, set_and_container: Any, alone: Any
) -> None:
    sample = asked("count", rationale, answer)
    assert steps_of(sample, "container") == container
    assert steps_of(sample, "set_and_container") == set_and_container
    assert steps_of(sample, "set") == alone


texts = st.lists(
    st.sampled_from(["[Region {}]", " ", ", ", " and ", " the pallet ", ". ", " or ", "[region {}]"]),
    max_size=40,
)


@given(texts, st.data(), st.sampled_from(["distance", "mcq", "count"]))
def test_steps_follow_their_regions_when_these_are_numbered_anew(
    pieces: list[str], data: st.DataObject, task: str
) -> None:
    regions = 16
    numbers = [data.draw(st.integers(0, regions + 2)) for _ in pieces]
    order = data.draw(st.permutations(range(regions)))
    moved = {**{n: n for n in range(regions, regions + 3)}, **dict(enumerate(order))}
    answer = data.draw(st.integers(0, regions - 1))
    first = asked(task, "".join(p.format(n) for p, n in zip(pieces, numbers, strict=True)), str(answer))
    other = asked(
        task,
        "".join(p.format(moved[n]) for p, n in zip(pieces, numbers, strict=True)),
        str(moved[answer]) if task == "mcq" else str(answer),
    )
    steps, renumbered = steps_of(first), steps_of(other)
    named = [region for step in steps for region in step]
    assert len(named) == len(set(named)) <= MOST_REGIONS and all(0 <= region < regions for region in named)
    assert all(list(step) == sorted(step) for step in steps)
    if len(named) < MOST_REGIONS:
        assert [{moved[region] for region in step} for step in steps] == [set(step) for step in renumbered]
    if task == "mcq":
        assert answer not in named


def vocabulary() -> Vocabulary:
    made = Vocabulary(96)
    made.build(["where is it"], CHAIN_WORDS)
    return made


def is_begun(text: str, form: CountForm) -> bool:
    """Whether a text of letters can become a chain: R region, A the word, N number, D digit, S side."""
    behind = "(?:R|N|D|DD|S)" + ("?" if form == "set" else "")
    whole = re.compile(f"(?:R{{0,{MOST_REGIONS}}})A{behind}E")
    return any(
        whole.fullmatch(text + rest) for rest in ("", "E", "RE", "ARE", "AE" if form == "set" else "ARE")
    )


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(["container", "set"]))
def test_what_may_follow_is_what_a_chain_can_go_on_with(data: st.DataObject, form: CountForm) -> None:
    words = vocabulary()
    named = torch.tensor([[True] * 15 + [False]])
    letters = {words.number_of(ANSWER): "A", NUMBER: "N", END: "E"}
    letters |= {words.number_of(digit): "D" for digit in "0123456789"}
    letters |= {words.number_of(side): "S" for side in ("left", "right")}
    letters |= {96 + region: "R" for region in range(15)}
    grammar = ChainGrammar(words, Chain(form))
    tokens: list[int] = []
    for _ in range(LONGEST_CHAIN):
        allowed = grammar.allowed(torch.tensor([[START, *tokens]]), named)[0].nonzero().flatten().tolist()
        text = "".join(letters[token] for token in tokens)
        before = "A" not in text
        expected = {
            token
            for token, letter in letters.items()
            if is_begun(text + letter, form) and not (before and letter == "R" and token in tokens)
        }
        assert set(allowed) == expected
        tokens.append(data.draw(st.sampled_from(allowed)))
        if tokens[-1] == END:
            return
    raise AssertionError(f"{tokens} does not end")


def batch_for(chain: Chain, samples: list[SpatialSample]) -> tuple[TinyGiantCollator, dict[str, Any]]:
    collator = dataclasses.replace(collator_for(), chain=chain, vocabulary=Vocabulary(CONFIG.vocabulary_size))
    collator.vocabulary.build((sample.question for sample in samples), CHAIN_WORDS)
    return collator, collator(samples)


def with_chains(count: int = 6) -> list[SpatialSample]:
    """Questions about one image whose rationale leads from one region over another to the answer."""
    asked_of = questions(0, count)
    made = []
    for number, sample in enumerate(asked_of):
        regions = (*asked_of[0].regions, *asked_of[1].regions)[:3]
        rationale = f"[Region {number % 3}] is there. From [Region {(number + 1) % 3}] it is 2.50 meters."
        made.append(
            sample.replace(
                question=f"what of <mask> <mask> <mask> number {number}",
                regions=regions,
                answer="2.5",
                answer_type=AnswerType.DISTANCE,
                rationale=rationale,
            )
        )
    return made


def test_a_chain_stands_before_the_answer() -> None:
    samples = with_chains()
    collator, batch = batch_for(Chain(), samples)
    size, answer = collator.vocabulary.size, collator.vocabulary.number_of(ANSWER)
    for number, row in enumerate(batch["chain"].tolist()):
        assert row == [START, size + number % 3, size + (number + 1) % 3, answer, NUMBER, END]
    assert batch["chain_values"].tolist() == [[0, 0, 0, 0, 2.5, 0]] * len(samples)
    assert batch["answer_words"]["chain"] == 5 * len(samples)


def test_a_count_is_written_unless_all_that_is_counted_is_named() -> None:
    seen = "I see [Region 1] [Region 0] in [Region 2]."
    told = "So there is one pallet in [Region 2]."
    samples = [
        sample.replace(answer_type=AnswerType.COUNT, answer=answer, rationale=rationale)
        for sample, answer, rationale in zip(with_chains(3), ("2", "1", "3"), (seen, told, seen), strict=True)
    ]
    for form, counted in (("set", True), ("container", False)):
        collator, batch = batch_for(Chain(form), samples)  # type: ignore[arg-type]
        word = collator.vocabulary.number_of(ANSWER)
        behind = [row[row.index(word) + 1 :] for row in batch["chain"].tolist()]
        assert [row[0] == END for row in behind] == [counted, False, False]


@pytest.mark.parametrize("control", ["none", "shuffled", "other_record", "filler"])
def test_a_control_changes_the_chain_and_not_the_answer(control: Control) -> None:
    samples = [sample.replace(id=f"{n}") for n, sample in enumerate(with_chains(12))]
    samples[3] = samples[3].replace(rationale="[Region 2] it is.")
    collator, batch = batch_for(Chain(control=control), samples)
    size = collator.vocabulary.size
    _, plain = batch_for(Chain(), samples)
    chains = [[token - size for token in row if token >= size] for row in batch["chain"].tolist()]
    true = [[token - size for token in row if token >= size] for row in plain["chain"].tolist()]
    assert [
        row[row.index(collator.vocabulary.number_of(ANSWER)) :][:3] for row in batch["chain"].tolist()
    ] == [[collator.vocabulary.number_of(ANSWER), NUMBER, END]] * len(samples)
    if control == "none":
        assert chains == true
    elif control == "shuffled":
        assert [sorted(chain) for chain in chains] == [sorted(chain) for chain in true] and chains != true
    elif control == "other_record":
        assert chains == [*true[1:], *true[:1]]
    else:
        assert chains == [[]] * len(samples)
        filler = collator.vocabulary.number_of(FILLER)
        assert (batch["chain"] == filler).sum(1).tolist() == [2] * len(samples)
        learnt = collator.vocabulary.learnt(batch["chain"])
        assert not learnt[batch["chain"] == filler].any() and learnt[batch["chain"] == NUMBER].all()
        assert batch["answer_words"]["chain"] == 3 * len(samples)


def test_the_regions_of_another_question_exist_in_this_one() -> None:
    small = asked("distance", "[Region 0] [Region 1]", "1.5", regions=2)
    large = asked("distance", "[Region 9] is. [Region 4] is. [Region 7] is.", "1.5", regions=12)
    assert written_regions(small, Chain(control="other_record"), large) == [1, 0]
    assert written_regions(small.replace(regions=()), Chain(control="other_record"), large) == []


def module_for(chain: Chain, samples: list[SpatialSample]) -> tuple[TinyGiant, dict[str, Any]]:
    torch.manual_seed(1)
    module = TinyGiant(CONFIG, [Phase("chain", 1)], chain=chain)
    collator, batch = batch_for(chain, samples)
    module.vocabulary.load(collator.vocabulary.words)

    class Idle:
        training = False

    module._trainer = Idle()  # type: ignore[assignment]
    return module.eval(), batch


@pytest.mark.parametrize("form", ["container", "set"])
@pytest.mark.parametrize("control", ["none", "filler"])
def test_what_an_untrained_network_writes_is_a_chain(form: CountForm, control: Control) -> None:
    module, batch = module_for(Chain(form, control), with_chains())
    for answer in module.answer(batch):
        assert re.fullmatch(r"(\[Region [012]\] ?)*", answer.reasoning)
        assert re.fullmatch(r"[012]|\d{1,2}|\d+\.\d\d|0|left|right", answer.raw), answer.raw
        assert len(set(answer.reasoning.split())) <= 4


def test_without_a_chain_written_regions_of_a_set_are_counted() -> None:
    module, _ = module_for(Chain("set"), with_chains())
    size, word = module.vocabulary.size, module.vocabulary.number_of(ANSWER)
    sample = with_chains()[0]
    assert module._answer(sample, [size + 2, size, word, END], [0.0] * 4).raw == "2"
    assert module._answer(sample, [size + 2, word, size + 1, END], [0.0] * 4).raw == "1"
    spoken = module._answer(sample, [size + 2, word, NUMBER, END], [0.0, 0.0, 3.2, 0.0])
    assert (spoken.raw, spoken.reasoning) == ("3.20", "[Region 2]")


def test_true_chains_are_written_as_they_are_given() -> None:
    samples = with_chains()
    samples[2] = samples[2].replace(rationale="")
    module, batch = module_for(Chain(), samples)
    encoded, _ = module.network.encode(batch)
    own = module._written(encoded, batch)
    led = module._written(encoded, batch, true_chains(samples, module.chain, module.vocabulary))
    for number, answer in enumerate(led):
        wanted = f"[Region {number % 3}] [Region {(number + 1) % 3}]"
        assert answer.reasoning == (own[2].reasoning if number == 2 else wanted)
    assert led[2].raw == own[2].raw


def test_shares_of_right_chains_and_answers_are_counted() -> None:
    samples = [sample.replace(id=str(n)) for n, sample in enumerate(with_chains(5))]
    samples[4] = samples[4].replace(rationale="")
    right = [
        "[Region 0] [Region 1]",
        "[Region 1] [Region 2]",
        "[Region 2] [Region 0]",
        "[Region 0] [Region 1]",
    ]
    own = [
        Answer(s, "2.50", reasoning=r)
        for s, r in zip(samples, [*right[:2], "[Region 1]", "", ""], strict=True)
    ]
    own[1] = dataclasses.replace(own[1], raw="9.00")
    led = [Answer(s, "2.50" if n != 3 else "7") for n, s in enumerate(samples)]

    class Said:
        def __init__(self, answer: Answer) -> None:
            self.correct = answer.raw == "2.50"

    scores = ChainScores()
    scores.update(own[:2], led[:2], Chain(), Said)
    scores.update(own[2:], led[2:], Chain(), Said)
    assert scores.compute() == {"chain": 50, "answer": 75, "both": 25, "answer_behind_true_chain": 75}
    assert scores.compute() == {}


def test_digits_behind_a_chain_are_refused() -> None:
    with pytest.raises(ModelError, match="numbers to value"):
        TinyGiant(CONFIG, [Phase("chain", 1)], numbers="digits")


def test_the_words_of_chains_are_known_to_no_other_model() -> None:
    assert TinyGiant(CONFIG, [Phase("normalized", 1)]).writes_chains is False
    words = Vocabulary(96)
    words.build(["where is it"])
    assert not set(CHAIN_WORDS) & set(words.words)
