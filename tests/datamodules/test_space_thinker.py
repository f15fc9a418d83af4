"""SpaceThinker: its texts taken apart, the three real rows, and what is wrong with files."""

from pathlib import Path
from typing import Any

import pytest

from datamodules.benchmarks.space_thinker_text import answer_type_of, task_of
from datamodules.samples import AnswerType, DataError, MissingImage, SpatialSample
from datamodules.space_thinker import SpaceThinker, read_rows
from datamodules.views import Blind
from tests.helpers.loaded_samples import samples
from tests.helpers.parquet_files import WRAPPER, encoded, space_thinker_row, write_space_thinker

ONE_SHARD = "00000-of-00001.parquet"


def write(folder: Path, *rows: dict[str, Any], split: str = "test", name: str = ONE_SHARD) -> Path:
    write_space_thinker(folder / "data" / f"{split}-{name}", list(rows))
    return folder


def data(folder: Path, **options: Any) -> SpaceThinker:
    defaults: dict[str, Any] = {"root": str(folder), "cache": str(folder / "cache"), "num_workers": 0}
    return SpaceThinker(**(defaults | options))


def only(folder: Path) -> SpatialSample:
    (sample,) = samples(data(folder).test_dataloader())
    return sample


def test_a_row_is_unwrapped(tmp_path: Path) -> None:
    sample = only(write(tmp_path, space_thinker_row(3)))
    assert sample.question == "How far is chair 3 from the shelf?"
    assert (sample.answer, sample.rationale) == ("4-5 feet", "Chair 3 stands near.")
    assert (sample.answer_type, sample.task) == (AnswerType.DISTANCE, "distance")
    assert (sample.id, sample.source, sample.choices) == ("0", "space_thinker", ())
    assert sample.image is not None
    assert sample.image.open().size == (16, 12)


def test_the_real_rows_load_for_training_and_test(shared_data: Path, tmp_path: Path) -> None:
    real = SpaceThinker(
        root=str(shared_data / "space_thinker"),
        splits={"train": "test", "val": "test"},
        cache=str(tmp_path),
        num_workers=0,
    )
    for loader in (real.train_dataloader(), real.val_dataloader(), real.test_dataloader()):
        found = sorted(samples(loader), key=lambda sample: sample.id)
        assert [sample.answer for sample in found] == ["2\u20133 feet", "10\u201315 meters", "1 meter"]
    assert found[0].question == "How far is the man in the red hat from the pallet of boxes in feet?"
    assert found[2].rationale.startswith("To determine the distance between the chair")
    assert found[2].rationale.endswith("approximately 1 meter apart.")
    assert {sample.task for sample in found} == {"distance"}
    sizes = [sample.image.open().size for sample in found if sample.image]
    assert sizes == [(640, 426), (1000, 667), (1340, 670)]
    assert len({sample.group for sample in found}) == 3
    rows = list(read_rows(shared_data / "space_thinker" / f"test-{ONE_SHARD}"))
    assert (
        [row.replace(image=None) for row in found] == rows == list(read_rows(shared_data / "space_thinker"))
    )


def turns(question: Any, reply: Any) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": question},
        {"role": "assistant", "content": reply},
    ]


def test_the_messages_form(tmp_path: Path) -> None:
    row = {
        "messages": turns("<image>How tall is the lamp?", "<think>Tall.</think><answer>1.5 m</answer>"),
        "images": [{"bytes": encoded(1), "path": None}],
    }
    sample = only(write(tmp_path, row))
    assert (sample.question, sample.rationale) == ("How tall is the lamp?", "Tall.")
    assert (sample.answer, sample.task) == ("1.5 m", "size")


def test_messages_of_parts(tmp_path: Path) -> None:
    parts = [
        [{"type": "image", "text": None}, {"type": "text", "text": text}]
        for text in ("How many boxes are there?", "<think>Two.</think><answer>2</answer>")
    ]
    row = {"messages": turns(*parts)[1:], "images": [{"bytes": encoded(1), "path": None}]}
    sample = only(write(tmp_path, row))
    assert (sample.question, sample.answer, sample.answer_type, sample.task) == (
        "How many boxes are there?",
        "2",
        AnswerType.COUNT,
        "count",
    )


@pytest.mark.parametrize(
    ("output", "rationale", "answer"),
    [
        ("<think>a\nb</think>\n<answer> 1 m </answer>", "a\nb", "1 m"),
        ("<answer>1 m</answer>", "", "1 m"),
        ("<think>near</think> 1 m", "near", "1 m"),
        ("<think>near <answer>1 m</answer>", "near", "1 m"),
        ("<think>near</think><answer>1 m", "near", "1 m"),
        ("1 m", "", "1 m"),
    ],
)
def test_replies_with_and_without_tags(tmp_path: Path, output: str, rationale: str, answer: str) -> None:
    sample = only(write(tmp_path, space_thinker_row(0, output=output)))
    assert (sample.rationale, sample.answer) == (rationale, answer)


def test_a_plain_question_without_template(tmp_path: Path) -> None:
    sample = only(write(tmp_path, space_thinker_row(0, input="<image>\nHow wide is the door?")))
    assert sample.question == "How wide is the door?"


def test_shards_are_numbered_through(tmp_path: Path) -> None:
    write(tmp_path, space_thinker_row(0), space_thinker_row(1), split="train", name="00000-of-00002.parquet")
    write(tmp_path, space_thinker_row(2), split="train", name="00001-of-00002.parquet")
    found = {sample.id: sample.question for sample in samples(data(tmp_path).train_dataloader())}
    assert sorted(found) == ["0", "1", "2"]
    assert found["2"] == "How far is chair 2 from the shelf?"
    (tmp_path / "data" / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(DataError, match="divided into 2 files, of which 1 are there"):
        data(tmp_path).train_dataloader()


COMPARED = (
    "left of,right of,above,below,under,beneath,behind,in front of,facing,closer than,nearer than,"
    "farther than,further than,taller than,shorter than,wider than,narrower than,bigger than,"
    "larger than,smaller than,higher than,lower than,longer than,thinner than,next to,"
    "relative to,in relation to"
)
COMPARED_ALONE = (
    "closer,closest,nearer,nearest,farther,farthest,further,furthest,taller,tallest,shorter,shortest,wider,"
    "widest,narrower,bigger,biggest,larger,largest,smaller,smallest,higher,highest,lower,lowest,longer,longest,"
    "thinner"
)
UNITS = (
    "m,cm,mm,km,meter,meters,metre,metres,centimeter,centimetres,millimeters,kilometres,"
    "ft,foot,feet,in,inch,inches,yd,yard,yards"
)
NUMBERS = "zero,one,two,three,four,five,six,seven,eight,nine,ten,Three.,3,1.5"
KINDS = {
    "relation": [
        *(f"Is the box {words} the shelf?" for words in COMPARED.split(",")),
        *(f"Which box is {word}?" for word in COMPARED_ALONE.split(",")),
    ],
    "distance": [
        *(f"How {word} is the box to the shelf?" for word in ("far", "close", "near")),
        *("How much room is between them?", "How much space between them?", "What is the clearance?"),
        *("What is the gap?", "How many feet apart are they?", "How much separates them?", "How long away?"),
        *(f"How many {unit} away is it?" for unit in UNITS.split(",")),
        *("What are the distances?", "Give me the separation."),
    ],
    "size": [
        *(f"How {word} is it?" for word in ["tall", "wide", "high", "long", "big", "large", "deep", "thick"]),
        *(f"What is its {word}?" for word in ["height", "width", "length", "depth", "size", "thickness"]),
        *(f"Tell me the {word}." for word in ["diameter", "radius", "dimensions", "dimension", "measure"]),
    ],
    "count": ["How many boxes are there?", "What is the number of boxes?", "Count the boxes."],
    "other": ["What is this?", "Describe the room."],
}
"""Questions in which one word tells of which kind they are."""


def test_the_words_that_tell_kinds_of_question_apart() -> None:
    wanted = {question: task for task, questions in KINDS.items() for question in questions}
    assert {question: task_of(question) for question in wanted} == wanted


def test_the_words_that_tell_forms_of_answer_apart() -> None:
    for unit in [*UNITS.split(","), "'", '"', "\u2032", "\u2033", "\u2019", "\u201d"]:
        for answer in (f"3 {unit}", f"about 1.5{unit} more", f"3 {unit.upper()}"):
            assert answer_type_of(answer, "size") is AnswerType.DISTANCE, answer
    for word in NUMBERS.split(","):
        assert answer_type_of(word, "other") is AnswerType.COUNT


@pytest.mark.parametrize(
    ("question", "reply", "form"),
    [
        ("How far is it?", "Quite near.", AnswerType.TEXT),
        ("How far is it?", "2", AnswerType.COUNT),
        ("How far is it?", "2 m", AnswerType.DISTANCE),
        ("Is it left of me?", "2", AnswerType.COUNT),
        ("How far is it?", "", AnswerType.DISTANCE),
        ("How tall is it?", "", AnswerType.DISTANCE),
        ("How many are there?", "", AnswerType.COUNT),
        ("Is it left of me?", "", AnswerType.TEXT),
    ],
)
def test_the_form_follows_from_the_answer_and_without_one_from_the_question(
    tmp_path: Path, question: str, reply: str, form: AnswerType
) -> None:
    row = space_thinker_row(0, input=question, output=reply and f"<answer>{reply}</answer>")
    sample = next(read_rows(write_space_thinker(tmp_path / "a.parquet", [row])))
    assert (sample.answer_type, sample.answer) == (form, reply or None)


@pytest.mark.parametrize(
    ("question", "task"),
    [
        ("How many meters lie between the bed and the door?", "distance"),
        ("What is the horizontal distance between the man and the dog?", "distance"),
        ("How wide is the gap between the shelves?", "distance"),
        ("How close is the cup to the edge?", "distance"),
        ("How tall is the man in the red hat?", "size"),
        ("Could you measure the width of the table?", "size"),
        ("What is the height of the shelf in feet?", "size"),
        ("How much taller is the shelf than the chair?", "size"),
        ("How many boxes are on the pallet?", "count"),
        ("What is the number of people?", "count"),
        ("Is the chair taller than the table?", "relation"),
        ("Which is closer to the camera, the dog or the cat?", "relation"),
        ("Does the box appear on the left side of the lamp?", "relation"),
        ("Where is the lamp in relation to the bed?", "relation"),
    ],
)
def test_the_kind_of_question(question: str, task: str) -> None:
    assert task_of(question) == task


@pytest.mark.parametrize(
    ("answer", "task", "form"),
    [
        ("2\u20133 feet", "distance", AnswerType.DISTANCE),
        ("about 1.5 meters", "size", AnswerType.DISTANCE),
        ('12"', "size", AnswerType.DISTANCE),
        ("5'11\"", "size", AnswerType.DISTANCE),
        ("80 cm", "other", AnswerType.DISTANCE),
        ("3", "count", AnswerType.COUNT),
        ("Three.", "count", AnswerType.COUNT),
        ("3 boxes", "count", AnswerType.TEXT),
        ("Yes, it is 2 meters taller.", "relation", AnswerType.TEXT),
        ("the left one", "relation", AnswerType.TEXT),
        ("3 men", "other", AnswerType.TEXT),
    ],
)
def test_the_form_of_the_answer(answer: str, task: str, form: AnswerType) -> None:
    assert answer_type_of(answer, task) is form


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        (
            {"output": "<think>Hm.</think><answer> </answer>"},
            r"Row 1 of .*reply without an answer in `<answer>`",
        ),
        ({"input": ""}, r"Row 1 of .*test-00000.* has no question: it needs `input`, or `messages`"),
        ({"input": "<|begin_of_text|><|eot_id|>"}, "no user's question can be found"),
        ({"input": WRAPPER.format(" ")}, "no user's question can be found"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, changes: dict[str, Any], pattern: str) -> None:
    folder = write(tmp_path, space_thinker_row(0), space_thinker_row(1, **changes))
    with pytest.raises(DataError, match=pattern):
        data(folder).test_dataloader()


@pytest.mark.parametrize("images", [[], None, [None], [{"bytes": None, "path": "a.png"}]])
def test_a_row_without_image(tmp_path: Path, images: Any) -> None:
    folder = write(tmp_path, space_thinker_row(0), space_thinker_row(1, images=images))
    with pytest.raises(MissingImage, match=r"no image in row 1 of .*test-00000.*Record 1 needs it.*`Blind`"):
        samples(data(folder).test_dataloader())
    assert len(samples(data(folder, views=[Blind()]).test_dataloader())) == 2


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, space_thinker_row(0))
    with pytest.raises(DataError, match=r"val split needs .*splits there: test\).*`splits: \{val: NAME\}`"):
        data(tmp_path).val_dataloader()


def test_a_file_of_another_data_set(tmp_path: Path) -> None:
    write_space_thinker(tmp_path / "data" / f"test-{ONE_SHARD}", [space_thinker_row(0)], without=("images",))
    with pytest.raises(DataError, match=r"has no column images; it has input, output, reasoning"):
        data(tmp_path).test_dataloader()


def test_damaged_and_empty_files(tmp_path: Path) -> None:
    file = write_space_thinker(tmp_path / "data" / f"test-{ONE_SHARD}", [])
    with pytest.raises(DataError, match="holds no rows"):
        data(tmp_path).test_dataloader()
    file.write_bytes(b"PAR1 nothing more")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        data(tmp_path).test_dataloader()
