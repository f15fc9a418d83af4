"""Solved examples before a question: which they are, how they look, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import pickle
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules.answers.lengths import find_length
from datamodules.cv_bench import CvBench
from datamodules.in_context import InContext
from datamodules.loading.grouped import every_sample
from datamodules.loading.listed_questions import ListedQuestions
from datamodules.mixture import Mixture
from datamodules.omni_spatial import OmniSpatial
from datamodules.own_images import OwnImages
from datamodules.retrieval.example_styles import other_answers
from datamodules.retrieval.listed import sentence_of
from datamodules.retrieval.sentence_encoder import RetrievalError, SentenceEncoder
from datamodules.samples import AnswerType, DataError, ImageFile, OpenedImage, SpatialSample, UnreadableImage
from datamodules.space_thinker import SpaceThinker
from datamodules.views import AsMultipleChoice, Blind, Grayscale, Mirrored
from datamodules.views.other_pictures import GRAY
from tests.helpers import omni_spatial_files
from tests.helpers.listed_data import ListedData, opened
from tests.helpers.omni_spatial_files import write_omni_spatial
from tests.helpers.parquet_files import space_thinker_row, write_space_thinker

OBJECTS = ("chair", "lamp", "sofa", "door", "table", "shelf", "barrel", "cone", "box", "plant")


def solved(number: int, folder: Path | None = None, **changes: Any) -> SpatialSample:
    """A question for a distance, about a picture of its own where there is a folder for it."""
    image = None
    if folder is not None:
        image = ImageFile(picture(folder / f"{number}.png", number))
    one, other = OBJECTS[number % 10], OBJECTS[(number * 7 + 3) % 10]
    return SpatialSample(
        **{
            "id": f"s{number}",
            "question": f"How far is the {one} from the {other}, number {number}?",
            "image": image,
            "answer": f"{number + 1}.5 meters",
            "answer_type": AnswerType.DISTANCE,
            "rationale": f"I look at the {one}.",
            "task": "distance",
            "group": f"g{number}",
            **changes,
        }
    )


def picture(path: Path, number: int) -> Path:
    pixels = np.random.default_rng(number).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def asked(number: int = 0, **changes: Any) -> SpatialSample:
    return solved(number, **{"id": f"q{number}", "group": f"asked {number}", **changes})


def view(examples: Sequence[SpatialSample], folder: Path, **options: Any) -> InContext:
    return InContext(ListedData(examples), **{"cache": str(folder / "cache"), **options})


def shown(of: InContext, *questions: SpatialSample) -> list[list[SpatialSample]]:
    of.prepare(ListedQuestions.grouped(questions))
    return [list(of(question).examples) for question in questions]


def flat(several: list[list[SpatialSample]]) -> list[SpatialSample]:
    return [one for examples in several for one in examples]


def ids(examples: Sequence[SpatialSample]) -> list[str]:
    return [example.id for example in examples]


def by_brute_force(question: SpatialSample, pool: Sequence[SpatialSample]) -> list[str]:
    """The ids of the pool, the nearest first: plain float64, no index."""
    encoder = SentenceEncoder()
    (query,) = encoder.encode([sentence_of(question)]).vectors.astype(float)
    vectors = encoder.encode([sentence_of(one) for one in pool]).vectors.astype(float)
    distances = np.round([np.dot(row - query, row - query) for row in vectors], 12)
    order = sorted(range(len(pool)), key=lambda number: (distances[number], pool[number].id))
    return [pool[number].id for number in order]


def test_the_nearest_examples_are_shown_with_the_nearest_last(tmp_path: Path) -> None:
    pool = [solved(number) for number in range(40)]
    questions = [
        asked(number, question=pool[number].question.replace("far", "far away")) for number in (3, 17)
    ]
    four = shown(view(pool, tmp_path, k=4), *questions)
    for question, examples in zip(questions, four, strict=True):
        assert ids(examples)[::-1] == by_brute_force(question, pool)[:4]
    two = shown(view(pool, tmp_path, k=2), *questions)
    assert [ids(examples) for examples in two] == [ids(examples)[2:] for examples in four]


def test_equal_distances_are_ordered_by_id_whatever_the_order_of_the_data(tmp_path: Path) -> None:
    # The encoder reads no capitals: two texts, one vector.
    words = ("chair", "CHAIR", "Chair")
    pool = [solved(number, question=f"How far is the {words[number % 3]}?") for number in range(30)]
    expected = sorted(ids(pool))[:5]
    for number, order in enumerate((pool, pool[::-1], pool[11:] + pool[:11])):
        (examples,) = shown(view(order, tmp_path / str(number), k=5), asked())
        assert ids(examples)[::-1] == expected


@pytest.mark.parametrize("chosen", ["nearest", "random", "fixed"])
def test_a_planted_duplicate_is_never_shown(tmp_path: Path, chosen: Any) -> None:
    """The question itself: under another id, of its group, or with its picture in another file and format."""
    pool = [solved(number, tmp_path) for number in range(12)]
    question = asked(50, image=ImageFile(picture(tmp_path / "asked.png", 50)))
    copy = tmp_path / "copy.bmp"
    Image.open(tmp_path / "asked.png").save(copy)
    further = question.replace(id="twice", group="d", image=pool[0].image, further_images=(ImageFile(copy),))
    planted = [
        question,
        question.replace(id="own group", image=None),
        question.replace(id="other file", group="other", image=ImageFile(copy)),
        further,
    ]
    for seed in range(8):
        of = view([*planted, *pool], tmp_path, k=12, chosen=chosen, seed=seed)
        (examples,) = shown(of, question)
        assert sorted(ids(examples)) == sorted(ids(pool))
    (near,) = shown(view([*planted, *pool], tmp_path, k=3), question.replace(image=None, group=""))
    assert set(ids(near)) & set(ids(planted)), "without picture and group nothing says that they are the same"


def test_a_question_without_a_picture_is_not_shown_to_itself(tmp_path: Path) -> None:
    pool = [solved(number, group="") for number in range(5)]
    (examples,) = shown(view(pool, tmp_path, k=4), pool[2].replace(id="asked"))
    assert "s2" not in ids(examples)


def test_questions_of_the_training_split_are_shown_those_of_other_pictures(tmp_path: Path) -> None:
    pool = [solved(number, tmp_path, group=f"g{number // 3}") for number in range(12)]
    of = view(pool, tmp_path, k=3)
    for question, examples in zip(pool, shown(of, *pool), strict=True):
        assert question.group not in {example.group for example in examples}
        assert not any(example.examples for example in examples)


def test_chance_follows_from_the_seed_and_the_question_alone(tmp_path: Path) -> None:
    pool = [solved(number) for number in range(30)]
    questions = [asked(number) for number in range(60, 80)]
    first = shown(view(pool, tmp_path / "a", k=3, chosen="random"), *questions)
    assert first == shown(view(pool[::-1], tmp_path / "b", k=3, chosen="random"), *questions[::-1])[::-1]
    assert len({tuple(ids(examples)) for examples in first}) > 15
    other = shown(view(pool, tmp_path / "a", k=3, chosen="random", seed=1), *questions)
    assert [ids(a) for a in first] != [ids(b) for b in other]
    counts = Counter(
        one
        for seed in range(40)
        for examples in shown(view(pool, tmp_path / "a", k=3, chosen="random", seed=seed), *questions)
        for one in ids(examples)
    )
    assert set(counts) == set(ids(pool))
    assert max(counts.values()) < 2 * min(counts.values()), "every example is as likely as any other"


def test_fixed_examples_are_the_same_for_all_but_those_of_their_own_pictures(tmp_path: Path) -> None:
    pool = [solved(number) for number in range(30)]
    of = view(pool, tmp_path, k=3, chosen="fixed")
    everyone = shown(of, *(asked(number) for number in range(60, 66)))
    assert len({tuple(ids(examples)) for examples in everyone}) == 1
    (own,) = shown(of, asked(70, group=everyone[0][2].group))
    assert set(ids(own)) > set(ids(everyone[0][:2])) and everyone[0][2].id not in ids(own)


def test_styles(tmp_path: Path) -> None:
    pool = [
        solved(0),
        solved(1, answer="3", answer_type=AnswerType.COUNT, task="count", question="How many chairs?"),
        solved(2, answer="The chair is left of it.", answer_type=AnswerType.TEXT, task="relation"),
        solved(3, answer="the chair is left of it", answer_type=AnswerType.TEXT, task="relation"),
        solved(4, answer="No, it is behind.", answer_type=AnswerType.TEXT, task="relation"),
        solved(5, answer="B", answer_type=AnswerType.LETTER, choices=("one", "two"), task="letters"),
        solved(6, answer="alone", answer_type=AnswerType.TEXT, task="of its own"),
    ]
    of = {
        style: {one.id: one for one in shown(view(pool, tmp_path, k=6, style=style), asked(90))[0]}
        for style in ("naive", "reformatted", "multiple_choice")
    }
    assert len(of["naive"]) == 6
    for one in pool[:6]:
        if one.id in of["naive"]:
            assert of["naive"][one.id] == one
        if one.id in of["reformatted"]:
            assert of["reformatted"][one.id] == one.replace(rationale="")
    turned = of["multiple_choice"]
    assert set(turned) == {"s0", "s1", "s2", "s3", "s4", "s5"}, "what no other answers are known to has none"
    for number in (0, 1, 2, 3, 4, 5):
        example, plain = turned[f"s{number}"], pool[number]
        assert example.answer_type is AnswerType.LETTER and not example.rationale
        right = example.choices[example.letters.index(str(example.answer))]
        assert right == (plain.answer if not plain.choices else "two")
        assert len(set(example.choices)) == len(example.choices)
    assert set(turned["s2"].choices) == {"The chair is left of it.", "No, it is behind."}, "not itself again"
    assert all(choice.rstrip("s").endswith(" meter") for choice in turned["s0"].choices)
    assert len(turned["s0"].choices) == len(turned["s1"].choices) == 4


def test_lengths_get_the_choices_of_the_view_that_makes_them(tmp_path: Path) -> None:
    pool = [solved(number) for number in range(6)]
    (examples,) = shown(view(pool, tmp_path, k=6, style="multiple_choice"), asked(90))
    plain = {one.id: AsMultipleChoice()(one) for one in pool}
    for example in examples:
        assert (example.choices, example.answer) == (plain[example.id].choices, plain[example.id].answer)


@pytest.mark.parametrize(
    "answer",
    [
        *("66\u201372 inches", "5'10\"", "1/2 meter", "2 1/2 feet", "10,000 m", "5 feet 0 inches", "0.0 m"),
        *("Yes, it is 3 meters.", "1 to 2 meters", "2 m (6.56 ft)", "between 2 and 3 feet", "1,234.5 mm"),
    ],
)
def test_no_wrong_length_is_as_long_as_the_right_one(answer: str) -> None:
    for number in range(20):
        asked = AsMultipleChoice()(solved(number, answer=answer))
        found = [find_length(choice) for choice in asked.choices]
        lengths = [one.value for one in found if one is not None]
        assert len(lengths) == len(set(lengths)) == 4, asked.choices
        right = asked.choices[asked.letters.index(str(asked.answer))]
        own, read = find_length(answer), find_length(right)
        assert own is not None and read is not None and read.value == pytest.approx(own.value)
        units = {re.sub(r"[\d.,/]+", "", choice).strip() for choice in asked.choices}
        assert len({re.sub("s\\b|feet|foot", "", unit) for unit in units}) == 1, "all have the same unit"


def test_units_agree_with_their_own_numbers() -> None:
    choices = {
        choice
        for number in range(20)
        for choice in AsMultipleChoice()(solved(number, answer="2 feet and 1 inch")).choices
    }
    assert "1.1 feet and 0.6 inches" in choices
    assert not any("foot" in choice for choice in choices)


@pytest.mark.parametrize(
    ("right", "other"),
    [
        ("Yes, it is 3 meters.", "3 meters"),
        ("about a foot", "12 inches"),
        ("three", "3"),
        ("Left", "to the left"),
        ("The red chair is taller.", "The chair is taller"),
    ],
)
def test_an_answer_that_may_be_right_too_is_no_wrong_choice(right: str, other: str) -> None:
    given = [solved(1, answer=other), solved(2, answer="Something else.")]
    assert other_answers(solved(0, answer=right), given) == ["Something else."]
    assert other_answers(solved(0, answer="up"), [solved(1, answer=right), solved(2, answer=other)]) == [
        right
    ]


def test_images_are_shown_gray_or_left_out(tmp_path: Path) -> None:
    pool = [solved(number, tmp_path) for number in range(4)]
    (own,) = shown(view(pool, tmp_path, k=3), asked(90))
    (gray,) = shown(view(pool, tmp_path, k=3, images="gray"), asked(90))
    (none,) = shown(view(pool, tmp_path, k=3, images="none"), asked(90))
    assert ids(own) == ids(gray) == ids(none)
    assert [one.replace(image=None) for one in own] == [one.replace(image=None) for one in gray] == none
    for one, other in zip(own, gray, strict=True):
        assert other.image is not None and one.image is not None
        assert set(np.unique(np.asarray(other.image.open()))) == {GRAY}
        assert other.image.open().size == one.image.open().size


def test_shuffled_answers_are_those_of_other_questions_and_depend_on_neither_question(tmp_path: Path) -> None:
    pool = [solved(number) for number in range(40)]
    questions = [asked(number) for number in range(60, 90)]
    own = shown(view(pool, tmp_path, k=5), *questions)
    shuffled = shown(view(pool, tmp_path, k=5, answers="shuffled"), *questions)
    known = {one.answer: one.rationale for one in pool}
    for right, wrong in zip(own, shuffled, strict=True):
        assert [one.replace(answer="", rationale="") for one in right] == [
            one.replace(answer="", rationale="") for one in wrong
        ]
        assert all(known[one.answer] == one.rationale for one in wrong), "reasoning and answer go together"
    answers = [(a.answer, b.answer) for a, b in zip(flat(own), flat(shuffled), strict=True)]
    assert not any(a == b for a, b in answers), "all answers here differ, and nobody keeps his own"
    by_example: dict[str, str | None] = {}
    for one in flat(shuffled):
        assert by_example.setdefault(one.id, one.answer) == one.answer
    letters = shown(view(pool, tmp_path, k=5, answers="shuffled", style="multiple_choice"), *questions)
    plain = shown(view(pool, tmp_path, k=5, style="multiple_choice"), *questions)
    pairs = [(a.answer, b.answer) for a, b in zip(flat(plain), flat(letters), strict=True)]
    assert all(a.choices == b.choices for a, b in zip(flat(plain), flat(letters), strict=True))
    assert 0.05 < np.mean([a == b for a, b in pairs]) < 0.5, "a letter of another is right by chance"


def test_no_examples_with_k_0(tmp_path: Path) -> None:
    of = view([], tmp_path, k=0)
    assert shown(of, asked()) == [[]]
    assert of(asked()) == asked()
    assert not (tmp_path / "cache").exists()


def test_the_views_of_the_examples_act_on_them(tmp_path: Path) -> None:
    pool = [solved(number, tmp_path, question=f"Left or right, {number}?") for number in range(4)]
    of = InContext(ListedData(pool, views=[Blind()]), k=3, cache=str(tmp_path / "cache"))
    assert repr(of) != repr(view(pool, tmp_path, k=3)), "what an audit keeps is kept for these views alone"
    assert all(example.image is None for example in shown(of, asked(90))[0])


def test_which_examples_is_found_once_and_read_by_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = [solved(number, tmp_path) for number in range(12)]
    questions = [asked(number) for number in range(60, 64)]
    of = view(pool, tmp_path, k=3, style="multiple_choice", answers="shuffled")
    first = shown(of, *questions)
    (file,) = (tmp_path / "cache/retrieval").glob("examples-*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()[1:]]
    assert [[one["id"] for one in line["examples"]][::-1] for line in lines] == [ids(one) for one in first]

    def never(*_: Any) -> Any:
        raise AssertionError("nothing has to be encoded or compared again")

    monkeypatch.setattr(SentenceEncoder, "encode", never)
    monkeypatch.setattr("datamodules.retrieval.neighbours.NearestTexts", never)
    copy = pickle.loads(pickle.dumps(of))
    assert [list(copy(question).examples) for question in questions] == first
    assert len(pickle.dumps(of)) < 60_000
    assert shown(view(pool, tmp_path, k=3, style="multiple_choice", answers="shuffled"), *questions) == first
    assert [ids(one) for one in shown(view(pool, tmp_path, k=3), *questions)] == [ids(one) for one in first]


@pytest.mark.parametrize("change", ["question", "example", "picture", "k", "seed", "chosen", "encoder"])
def test_another_content_is_another_file(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = [solved(number, tmp_path) for number in range(6)]
    options: dict[str, Any] = {"k": 2, "chosen": "nearest" if change == "encoder" else "random"}
    shown(view(pool, tmp_path, **options), asked(60))
    question = asked(60)
    if change == "question":
        question = asked(60, question="How far?")
    elif change == "example":
        pool[3] = pool[3].replace(question="How far is it?")
    elif change == "picture":
        picture(tmp_path / "3.png", 400)
    elif change == "chosen":
        options["chosen"] = "fixed"
    elif change == "encoder":
        monkeypatch.setattr(SentenceEncoder, "origin", "another encoder")
    else:
        options[change] = 3
    shown(view(pool, tmp_path, **options), question)
    assert len(list((tmp_path / "cache/retrieval").glob("examples-*.jsonl"))) == 2


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    pool = [solved(number) for number in range(6)]
    shown(view(pool, tmp_path, k=2), asked(60))
    (file,) = (tmp_path / "cache/retrieval").glob("examples-*.jsonl")
    text = file.read_text()
    file.write_text(text[:-20])
    with pytest.raises(RetrievalError, match=r"cannot be read .*: delete the file"):
        shown(view(pool, tmp_path, k=2), asked(60))
    file.write_text(text.replace("q60", "q61"))
    with pytest.raises(RetrievalError, match=r"are those of other questions: delete the file"):
        shown(view(pool, tmp_path, k=2), asked(60))


def test_examples_whose_picture_cannot_be_read_are_passed_over_and_named(tmp_path: Path) -> None:
    pool = [solved(number, tmp_path) for number in range(6)]
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:60])
    (tmp_path / "4.png").unlink()
    of = view(pool, tmp_path, k=4)
    (examples,) = shown(of, asked(90))
    assert set(ids(examples)) == {"s0", "s1", "s3", "s5"}
    (found,) = of.found.values()
    assert set(found.unreadable) <= {str(tmp_path / "2.png"), str(tmp_path / "4.png")} and found.unreadable


def test_the_same_picture_is_not_shown_whatever_a_view_of_the_examples_makes_of_it(tmp_path: Path) -> None:
    pool = [solved(number, tmp_path) for number in range(6)]
    parts = Mixture([ListedData(pool, views=[Grayscale()])], ListedData(pool), num_workers=0)
    question = asked(90, image=pool[0].image, question=pool[0].question)
    (examples,) = shown(InContext(parts, k=3, cache=str(tmp_path / "cache")), question)
    assert "s0" not in ids(examples)
    with pytest.raises(RetrievalError, match=r"The `examples` of InContext have a view InContext themselves"):
        InContext(Mixture([ListedData(pool, views=[view(pool, tmp_path)])], ListedData(pool)))


def test_examples_come_from_the_images_that_are_trained_on(tmp_path: Path) -> None:
    pool = [solved(number) for number in range(20)]
    data = ListedData(pool, val_fraction=0.5, training_fraction=0.4)
    of = InContext(data, k=2, cache=str(tmp_path))
    trained, _ = data.training_images()
    seen = {one.id for one in flat(shown(of, *map(asked, range(50, 90))))}
    assert seen == {one.id for one in every_sample(trained)} and len(seen) == 4


def test_a_copy_chooses_for_other_questions_as_well(tmp_path: Path) -> None:
    pool = [solved(number) for number in range(8)]
    of = view(pool, tmp_path, k=2)
    untouched = pickle.loads(pickle.dumps(of))
    first = shown(of, asked(60))
    copy = pickle.loads(pickle.dumps(of))
    assert shown(untouched, asked(60)) == first
    assert shown(copy, asked(61)) == shown(of, asked(61)) and len(copy._of_kind) == 1


def test_a_read_only_folder_is_read_and_another_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the place of the folder, as the superuser may write into any."""
    pool = [solved(number) for number in range(6)]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    (tmp_path / "cache").write_text("")
    first = shown(view(pool, tmp_path, k=2), asked(60))
    assert len(list((tmp_path / "user/smallspatial/retrieval").glob("examples-*.jsonl"))) == 1
    assert shown(view(pool, tmp_path, k=2), asked(60)) == first


def test_several_that_choose_at_once_choose_the_same(tmp_path: Path) -> None:
    pool = [solved(number) for number in range(12)]
    with ThreadPoolExecutor(3) as several:
        chosen = list(several.map(lambda _: shown(view(pool, tmp_path, k=2), asked(60)), range(3)))
    assert chosen[0] == chosen[1] == chosen[2]
    assert len(list((tmp_path / "cache/retrieval").glob("examples-*.jsonl"))) == 1


def test_questions_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    pool = [solved(number) for number in range(6)]
    of = view(pool, tmp_path, k=1)
    shown(of, asked(1))
    with pytest.raises(RetrievalError, match=r"Several questions have the id 'q1', the same group"):
        shown(of, asked(1, question=pool[3].question))


def test_examples_of_a_mixture_and_of_its_part_are_refused_together(tmp_path: Path) -> None:
    pool = [solved(number) for number in range(6)]
    part = ListedData(pool, views=[view(pool, tmp_path)])
    with pytest.raises(DataError, match=r"2 views of ListedData show solved examples"):
        Mixture([ListedData(pool)], part, views=[view(pool, tmp_path, k=0)]).require_examples()


def test_the_only_one_of_its_task_gets_the_answer_of_another_task_when_shuffled(tmp_path: Path) -> None:
    form: dict[str, Any] = {"answer_type": AnswerType.TEXT, "rationale": ""}
    pool = [
        solved(0, answer="alone", task="of its own", **form),
        solved(1, answer="behind", task="relation", **form),
        solved(2, answer="in front", task="relation", **form),
        solved(3),
    ]
    (examples,) = shown(view(pool, tmp_path, k=4, answers="shuffled"), asked(90))
    given = {one.id: one.answer for one in examples}
    assert given["s0"] in ("behind", "in front") and (given["s1"], given["s2"]) == ("in front", "behind")
    assert given["s3"] == pool[3].answer, "no other has an answer of its form"


def test_what_was_cut_and_what_cannot_be_read_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = [solved(number, tmp_path) for number in range(3)]
    pool[1] = pool[1].replace(question="How far is the chair from the table? " * 60)
    (tmp_path / "2.png").unlink()
    shown(view(pool, tmp_path, k=2), asked(90))
    said = capsys.readouterr().out
    assert "1 texts of questions and examples are longer than the encoder reads" in said
    assert "1 images of examples cannot be read" in said and "2.png" in said


def test_bad_input_is_a_sentence(tmp_path: Path) -> None:
    pool = [solved(number) for number in range(6)]
    with pytest.raises(RetrievalError, match=r"`k` of InContext is -1; it must be at least 0"):
        view(pool, tmp_path, k=-1)
    with pytest.raises(DataError, match=r"`seed` of InContext is -1"):
        view(pool, tmp_path, seed=-1)
    with pytest.raises(
        RetrievalError, match=r"`k` of InContext is 7, but .* has 6 questions to show solved: lo"
    ):
        shown(view(pool, tmp_path, k=7), asked(90))
    unanswered = [one.replace(answer=None) for one in pool[:4]]
    with pytest.raises(
        RetrievalError, match=r"has 2 questions to show solved \(4 more have no answer that can"
    ):
        shown(view([*unanswered, *pool[4:]], tmp_path, k=3), asked(90))
    together = [one.replace(group="one image") for one in pool[:4]]
    with pytest.raises(
        RetrievalError, match=r"Question 'q90' is to be shown k = 3 examples, but only 2 of the 6"
    ):
        shown(view([*together, *pool[4:]], tmp_path, k=3), asked(90, group="one image"))
    with pytest.raises(RetrievalError, match=r"The `examples` of InContext have a view InContext themselves"):
        InContext(ListedData(pool, views=[view(pool, tmp_path)]))
    with pytest.raises(RetrievalError, match=r"No examples were chosen for question 'q91'"):
        prepared = view(pool, tmp_path, k=2)
        shown(prepared, asked(90))
        prepared(asked(91))


def test_nothing_is_retrieved_where_it_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = [solved(number) for number in range(6)]
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if "faiss" in name else found(name, *rest)
    )
    with pytest.raises(
        RetrievalError, match=r"needs faiss-cpu, .* the extra `retrieval` .* `chosen: random`"
    ):
        shown(view(pool, tmp_path, k=2), asked(90))
    assert len(shown(view(pool, tmp_path, k=2, chosen="random"), asked(90))[0]) == 2


# In datamodules


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copies in the official layouts: twelve questions of SpaceThinker, and OmniSpatial to test on."""
    rows = [space_thinker_row(number) for number in range(12)]
    write_space_thinker(tmp_path / "space_thinker/data/train-00000-of-00001.parquet", rows)
    write_omni_spatial(tmp_path / "omni_spatial", [omni_spatial_files.row(number) for number in range(8)])
    return tmp_path


def in_context(folder: Path, **options: Any) -> InContext:
    return InContext(SpaceThinker(cache=str(folder / "cache")), cache=str(folder / "cache"), **options)


def mixture(folder: Path, *views: Any, **options: Any) -> Mixture:
    cache = str(folder / "cache")
    asked = OmniSpatial(cache=cache, views=list(views))
    return Mixture([SpaceThinker(cache=cache)], asked, root=str(folder), num_workers=0, **options)


def test_a_mixture_says_where_the_examples_lie_and_opens_their_images(folder: Path) -> None:
    data = mixture(folder, in_context(folder, k=2))
    samples = opened(data, data.test_dataloader)
    assert len(samples) == 8
    for sample in samples:
        assert len(sample.examples) == 2
        for example in sample.examples:
            assert isinstance(example.image, OpenedImage) and example.image.name.startswith("row ")
    assert "with examples of" in data.origin()


def test_a_view_behind_acts_on_the_examples_as_well(folder: Path) -> None:
    data = mixture(folder, in_context(folder, k=2), Grayscale())
    for sample in opened(data, data.test_dataloader):
        for example in sample.examples:
            assert isinstance(example.image, OpenedImage)
            red, green, blue = (np.asarray(band) for band in example.image.image.split())
            assert np.array_equal(red, green) and np.array_equal(green, blue)


def test_a_view_before_that_takes_images_away_is_refused(folder: Path) -> None:
    data = mixture(folder, Blind(), in_context(folder, k=2))
    with pytest.raises(RetrievalError, match=r"stand before views that take images away"):
        opened(data, data.test_dataloader)


def test_splits_whose_ids_are_the_same_have_examples_of_their_own(tmp_path: Path) -> None:
    """Rendered OmniSpatial calls its images 0.png in every split."""
    scenes, size = {"train": 4, "val": 2, "test": 2}, (96, 64)
    options: dict[str, Any] = {"scenes": scenes, "size": size, "cache": str(tmp_path)}
    of = InContext(OmniSpatial(**options), k=2, cache=str(tmp_path))
    data = OmniSpatial(**options, views=[of])
    for role in ("test", "val"):
        data.prepare_split(role)
    test, val = (list(every_sample(data.split(role))) for role in ("test", "val"))
    assert {one.id for one in test} & {one.id for one in val}
    before = {one.id: ids(of(one).examples) for one in test}
    fresh = InContext(OmniSpatial(**options), k=2, cache=str(tmp_path))
    fresh.prepare(ListedQuestions.grouped(test))
    assert before == {one.id: ids(fresh(one).examples) for one in test}
    assert all(of(one).examples for one in val)
    # Scenes and their size are those of the data that are asked.
    handed = InContext(OmniSpatial(cache=str(tmp_path)), k=2)
    OmniSpatial(**options, views=[handed])
    assert (handed.examples.scenes, handed.examples.size) == (scenes, size)


def test_examples_without_a_training_split_are_refused_before_anything_is_loaded(folder: Path) -> None:
    examples = OmniSpatial(root=str(folder / "omni_spatial"), cache=str(folder / "cache"))
    data = mixture(folder, InContext(examples, cache=str(folder / "cache")))
    with pytest.raises(DataError, match=r"OmniSpatial has no train split: it is there to be tested on"):
        data.require_examples()
    with pytest.raises(
        RetrievalError, match=r"takes its examples from a training split\. OmniSpatial has no"
    ):
        data.split("test")
    CvBench(views=[in_context(folder)]).require_examples()


def test_rendered_examples_before_real_questions_have_to_be_asked_for(folder: Path) -> None:
    with pytest.raises(
        DataError, match=r"come from the folder .*, but the view InContext does not say where its"
    ):
        OmniSpatial(root=str(folder / "omni_spatial"), views=[in_context(folder)])
    mixed = Mixture([SpaceThinker()], SpaceThinker())
    with pytest.raises(DataError, match=r"does not say where its `examples` of SpaceThinker lie"):
        OmniSpatial(root=str(folder / "omni_spatial"), views=[InContext(mixed)])
    Mixture([CvBench()], OmniSpatial(views=[InContext(mixed)]), root=str(folder))
    assert isinstance(mixed.parts[0], SpaceThinker) and mixed.parts[0].root == str(folder / "space_thinker")
    own = OmniSpatial()
    OmniSpatial(root=str(folder / "omni_spatial"), views=[InContext(own)])
    assert own.root == str(folder / "omni_spatial"), "its own benchmark lies where it lies"
    rendered = SpaceThinker(root="rendered")
    OmniSpatial(root=str(folder / "omni_spatial"), views=[InContext(rendered)])
    with pytest.raises(DataError, match=r"are about your own images, but the view InContext does not say"):
        OwnImages(root=str(folder), views=[in_context(folder)])
    OwnImages(root=str(folder), views=[InContext(rendered)])
    unsaid = SpaceThinker()
    OmniSpatial(root="hub", views=[InContext(unsaid)])
    assert unsaid.root == "hub" and rendered.root == "rendered"


def test_a_picture_that_goes_afterwards_is_named_with_its_example(tmp_path: Path) -> None:
    pool = [solved(number, tmp_path) for number in range(4)]
    of = view(pool, tmp_path, k=3)
    data = ListedData([asked(90)], views=[of])
    (examples,) = shown(of, asked(90))
    assert isinstance(examples[0].image, ImageFile)
    examples[0].image.path.unlink()
    with pytest.raises(UnreadableImage, match=rf"Record {examples[0].id} needs it"):
        opened(data, data.test_dataloader)
    lenient = ListedData([asked(90)], views=[of], on_bad_image="answer_blind")
    (seen,) = opened(lenient, lenient.test_dataloader)
    assert ids(seen.examples) == ids(examples[1:]), "the others are still shown"
    (batch,) = lenient.test_dataloader()
    assert ids(batch["samples"][0].examples) == ids(examples[1:]) and examples[0].group in batch["skipped"]


def test_mirrored_examples_are_mirrored_with_their_answers(tmp_path: Path) -> None:
    sides: dict[str, Any] = {"answer_type": AnswerType.SIDE, "task": "side", "rationale": ""}
    pool = [
        solved(n, tmp_path, question=f"Is box {n} left or right?", answer="left", **sides) for n in range(3)
    ]
    question = asked(90, image=ImageFile(picture(tmp_path / "q.png", 90)), question="Is it left or right?")
    of = view(pool, tmp_path, k=3)
    shown(of, question.replace(answer="left", answer_type=AnswerType.SIDE))
    seen = Mirrored()(of(question.replace(answer="left", answer_type=AnswerType.SIDE)))
    assert [one.answer for one in seen.examples] == ["right"] * 3


def test_training_questions_get_examples_where_they_are_trained_on_and_not_where_they_are_counted(
    folder: Path,
) -> None:
    """The majority baseline counts the answers of a training split that may be large."""
    for data in (
        mixture(folder, in_context(folder, k=2)),
        Mixture(
            [SpaceThinker(cache=str(folder / "cache"))],
            OmniSpatial(),
            views=[in_context(folder, k=2)],
            root=str(folder),
            num_workers=0,
        ),
    ):
        (of,) = (view for view in data.evaluation.views if isinstance(view, InContext))
        assert len(list(data.split("train").labels())) == 12 and not of.found
    samples = opened(data, data.train_dataloader)
    assert len(samples) == 12
    for sample in samples:
        assert len(sample.examples) == 2
        assert sample.group not in {example.group for example in sample.examples}
    alone = SpaceThinker(
        root=str(folder / "space_thinker"),
        cache=str(folder / "cache"),
        num_workers=0,
        views=[in_context(folder, k=2)],
    )
    assert len(list(alone.split("train").labels())) == 12 and not alone.views[0].found  # type: ignore[attr-defined]
    assert all(len(sample.examples) == 2 for sample in opened(alone, alone.train_dataloader))
