"""OmniSpatial: the 1,533 real questions, written folders, and what is wrong with them."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from datamodules.omni_spatial import COLOUR_TERMS, OmniSpatial, depends_on_colour, read_rows
from datamodules.samples import AnswerType, DataError, ImageFile, MissingImage
from datamodules.views import Blind
from tests.helpers.loaded_samples import samples
from tests.helpers.omni_spatial_files import row, write_omni_spatial


def data(folder: Path, **options: Any) -> OmniSpatial:
    defaults: dict[str, Any] = {"root": str(folder), "num_workers": 0}
    return OmniSpatial(**(defaults | options))


def written(folder: Path, **changes: Any) -> Path:
    """A folder of twelve questions, of which number 5 is changed."""
    rows = [row(number) for number in range(12)]
    rows[5] |= changes
    return write_omni_spatial(folder, rows)


def test_the_real_questions(shared_data: Path) -> None:
    found = samples(data(shared_data / "omni_spatial", views=[Blind()]).test_dataloader())
    assert len(found) == len({sample.id for sample in found}) == 1533
    assert Counter(sample.task for sample in found) == {
        "Perspective_Taking": 561,
        "Dynamic_Reasoning": 420,
        "Spatial_Interaction": 300,
        "Complex_Logic": 252,
    }
    assert Counter(sample.answer for sample in found) == {"A": 437, "B": 377, "C": 370, "D": 349}
    assert Counter(sample.source for sample in found)["Allocentric"] == 376
    assert sum(not sample.choices for sample in found) == 229
    assert Counter(len(sample.letters) for sample in found) == {4: 1531, 2: 2}
    assert sum(len(set(sample.choices)) < len(sample.choices) for sample in found) == 476
    assert sum(depends_on_colour(sample.question) for sample in found) == 259
    assert all(sample.answer_type is AnswerType.LETTER for sample in found)


def test_the_real_questions_without_their_images(shared_data: Path) -> None:
    with pytest.raises(
        DataError, match=r"omni_spatial/Dynamic_Reasoning with the images .*make data.*views\.Blind"
    ):
        data(shared_data / "omni_spatial").test_dataloader()


def test_samples_hold_what_the_rows_say(tmp_path: Path) -> None:
    found = {sample.id: sample for sample in samples(data(written(tmp_path)).test_dataloader())}
    assert len(found) == 12
    sample = found["Spatial_Interaction/0_1"]
    assert sample.question == "Question 5 about space?"
    assert sample.choices == ("can not determine", "left", "right", "can not determine")
    assert (sample.answer, sample.task, sample.source) == ("B", "Spatial_Interaction", "Localization")
    assert sample.image == ImageFile(tmp_path / "Spatial_Interaction" / "0.png")
    assert sample.group == "Spatial_Interaction/0.png"
    assert found["Dynamic_Reasoning/0_1"].group != sample.group


def test_choices_that_are_drawn(tmp_path: Path) -> None:
    (sample,) = samples(data(write_omni_spatial(tmp_path, [row(0, options=[], answer=3)])).test_dataloader())
    assert (sample.choices, sample.letters, sample.answer) == ((), "ABCD", "D")


def test_questions_of_one_image_come_together(tmp_path: Path) -> None:
    split = data(written(tmp_path)).split("test")
    assert split.group_sizes().tolist() == [2, 2, 2, 2, 1, 1, 1, 1]
    assert [sample.id for sample in split.samples(0, [0, 1])] == [
        "Dynamic_Reasoning/0_0",
        "Dynamic_Reasoning/0_1",
    ]
    assert len(list(split.labels())) == 12
    assert (
        split.lengths().tolist()
        == [len("Question 0 about space?can not determine" * 1) + 9 + 17 + 1] * 6
        + [len("Question 10 about space?can not determine") + 9 + 17 + 1] * 2
    )
    assert {"left", "right", "can not determine"} <= set(next(iter(split.texts(1))))


@pytest.mark.parametrize("place", ["train", "OmniSpatial-train"])
def test_other_splits_have_their_own_folder(tmp_path: Path, place: str) -> None:
    written(tmp_path)
    with pytest.raises(DataError, match=r"train split needs .*splits there: test\)"):
        data(tmp_path).train_dataloader()
    write_omni_spatial(tmp_path / place, [row(0), row(1)])
    assert len(samples(data(tmp_path).train_dataloader())) == 2
    assert len(samples(data(tmp_path).test_dataloader())) == 12
    assert len(samples(data(tmp_path, splits={"val": "train"}).val_dataloader())) == 2


def test_rows_are_read_without_opening_images(tmp_path: Path) -> None:
    folder = write_omni_spatial(tmp_path, [row(0), row(1)], images=False)
    assert list(read_rows(folder)) == list(read_rows(folder / "data.json"))


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Which way does the red car go?", True),
        ("What COLOUR is it?", True),
        ("Is the silver-grey van parked?", True),
        ("Is the reddish car covered?", False),
        ("Where is the Blackboard?", False),
        ("What lies between the goldfish and me?", False),
        ("Is it 3red?", True),
    ],
)
def test_colour(question: str, expected: bool) -> None:
    assert depends_on_colour(question) is expected


def test_the_names_of_colours() -> None:
    """Those of the benchmark's own evaluation."""
    named = (
        "color colour red blue green yellow orange purple pink brown black white gray grey cyan magenta "
        "beige maroon navy teal violet indigo gold silver"
    )
    assert sorted(COLOUR_TERMS) == sorted(named.split())
    assert all(depends_on_colour(f"the {term}, please") for term in COLOUR_TERMS)


def test_a_split_lies_in_the_folder_of_its_name_before_any_other(tmp_path: Path) -> None:
    for place, questions in (("", 1), ("OmniSpatial-test", 2), ("test", 3)):
        write_omni_spatial(tmp_path / place, [row(number) for number in range(questions)])
        assert len(samples(data(tmp_path).test_dataloader())) == questions


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"answer": 4}, r"Row 5 of .*data\.json \(id 0_1\) has the `answer` 4, .* 0 to 3"),
        ({"answer": -1}, "has the `answer` -1"),
        ({"answer": "B"}, "has the `answer` 'B', which is not the index of an option"),
        ({"options": ["a", "b"], "answer": 2}, "has the `answer` 2, .* 0 to 1"),
        ({"options": ["a"]}, r"has 1 options; it needs 2 to 26, or none where they are drawn"),
        ({"options": "abc"}, "`options` that are not a list"),
        ({"options": [["a"], "b"]}, "`options` that are not a list of texts"),
        ({"question": ""}, r"Row 5 .* has no question"),
        ({"task_type": "Colours"}, r"unknown task_type 'Colours'; known are Dynamic_Reasoning"),
        ({"id": "../../secret_0"}, "an id that names no image"),
        ({"id": "0_0"}, r"Row 5 of .* has the id Spatial_Interaction/0_0, which an earlier row has too"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, changes: dict[str, Any], pattern: str) -> None:
    rows = [row(number) for number in range(12)]
    rows[5] |= changes
    with pytest.raises(DataError, match=pattern):
        data(write_omni_spatial(tmp_path, rows, images=False), views=[Blind()]).test_dataloader()


def test_missing_keys(tmp_path: Path) -> None:
    rows = [{key: value for key, value in row(0).items() if key not in ("options", "question")}]
    with pytest.raises(DataError, match="has no question and no options"):
        data(write_omni_spatial(tmp_path, rows)).test_dataloader()


def test_malformed_and_empty_files(tmp_path: Path) -> None:
    file = written(tmp_path) / "data.json"
    file.write_text(file.read_text()[:-20])
    with pytest.raises(DataError, match=r"data\.json is not well-formed JSON"):
        data(tmp_path).test_dataloader()
    file.write_text("[]")
    with pytest.raises(DataError, match=r"data\.json holds no questions"):
        data(tmp_path).test_dataloader()
    file.write_text("[7]")
    with pytest.raises(DataError, match=r"Row 0 .* is not a JSON object but int"):
        data(tmp_path).test_dataloader()


def test_one_missing_image(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "Complex_Logic" / "0.png").unlink()
    with pytest.raises(MissingImage, match=r"Complex_Logic/0\.png does not exist.*Record Complex_Logic/0_"):
        samples(data(folder).test_dataloader())


def test_questions_that_name_no_colour_can_be_asked_alone(shared_data: Path) -> None:
    folder = shared_data / "omni_spatial"
    for questions, count in (("all", 1533), ("without_colour", 1274)):
        opened = data(folder, questions=questions, views=[Blind()]).open_split("test")
        assert int(opened.group_sizes().sum()) == count


def test_a_set_with_colours_alone_leaves_nothing_to_ask(tmp_path: Path) -> None:
    folder = write_omni_spatial(
        tmp_path, [row(number) | {"question": "Which is red?"} for number in range(3)]
    )
    with pytest.raises(DataError, match=r"Every question of .* names a colour"):
        data(folder, questions="without_colour", views=[Blind()]).open_split("test")
