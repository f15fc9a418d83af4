"""CV-Bench: official files, their images, and what is wrong with them."""

import io
import math
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from datamodules.cv_bench import CvBench, read_rows, sample_of
from datamodules.loading.sample_index import IndexedQuestions
from datamodules.samples import AnswerType, DataError, ImageFile, MissingImage, SpatialSample, UnreadableImage
from datamodules.scoring.baselines import majority_baseline
from datamodules.views import Blind
from tests.helpers.loaded_samples import samples
from tests.helpers.parquet_files import cv_bench_row, encoded, write_cv_bench

Rows = list[dict[str, Any]]


def rows_of(part: str, count: int) -> Rows:
    return [cv_bench_row(number, type=part) for number in range(count)]


def write(root: Path, split: str = "test", flat: int = 6, deep: int = 4) -> Path:
    write_cv_bench(root / f"{split}_2d.parquet", rows_of("2D", flat))
    write_cv_bench(root / f"{split}_3d.parquet", rows_of("3D", deep))
    return root


def data(folder: Path, **options: Any) -> CvBench:
    defaults: dict[str, Any] = {"root": str(folder), "cache": str(folder / "cache"), "num_workers": 0}
    return CvBench(**(defaults | options))


def with_row(folder: Path, **changes: Any) -> Path:
    """A folder whose test split has one changed row, number 2 of test_2d.parquet."""
    rows = rows_of("2D", 6)
    rows[2] |= changes
    write_cv_bench(folder / "test_2d.parquet", rows)
    return folder


def test_samples_hold_what_the_rows_say(tmp_path: Path) -> None:
    found = samples(data(write(tmp_path)).test_dataloader())
    by_id = {sample.id: sample for sample in found}
    assert sorted(by_id) == sorted([f"2D/{n}" for n in range(6)] + [f"3D/{n}" for n in range(4)])
    sample = by_id["2D/2"]
    assert sample.question == "Question 2 about Count?"
    assert sample.choices == ("3", "2", "1", "0")
    assert (sample.answer, sample.answer_type, sample.letters) == ("C", AnswerType.LETTER, "ABCD")
    assert (sample.task, sample.source) == ("Count", "ADE20K")
    assert sample.group == "Some Validation Set/photo_1.jpg"
    assert (by_id["3D/1"].task, by_id["3D/1"].answer, by_id["3D/1"].letters) == ("Distance", "B", "AB")
    assert sample.image is not None
    drawn = Image.open(io.BytesIO(encoded(1)))
    assert sample.image.open().tobytes() == drawn.tobytes()


def test_boxes_come_with_their_questions(tmp_path: Path) -> None:
    """As the file has them, to the loader and to who reads without images; where there are none, none."""
    boxes = [[1.5, 2.0, 8.0, 9.25], [4.0, 0.0, 15.0, 11.0]]
    rows = [cv_bench_row(0, bbox=boxes), cv_bench_row(1, bbox=None), cv_bench_row(2, bbox=[])]
    file = write_cv_bench(tmp_path / "test_2d.parquet", rows)
    expected = {"2D/0": tuple(map(tuple, boxes)), "2D/1": (), "2D/2": ()}
    assert {sample.id: sample.boxes for sample in read_rows(file)} == expected
    assert {sample.id: sample.boxes for sample in samples(data(tmp_path).test_dataloader())} == expected
    write_cv_bench(file, rows, without=("bbox",))
    assert all(sample.boxes == () for sample in read_rows(file))


def test_a_table_that_has_no_number_for_no_boxes_has_none() -> None:
    assert sample_of(cv_bench_row(0, bbox=math.nan), "Row 0").boxes == ()
    assert sample_of(cv_bench_row(0, bbox=[[1, 2, 3, 4]]), "Row 0").boxes == ((1.0, 2.0, 3.0, 4.0),)


@pytest.mark.parametrize(
    ("boxes", "told"),
    [
        ("1 2 3 4", r"a `bbox` that is no list of boxes: '1 2 3 4'"),
        (
            [1.0, 2.0, 3.0, 4.0],
            r"in `bbox` box 0 as 1\.0, which is not left, top, right and bottom in pixels",
        ),
        ([[1, 2, 3, 4], [1, 2, 3]], r"box 1 as \[1, 2, 3\]"),
        ([[1, 2, 3, 4, 5]], "box 0 as"),
        ([[1, 2, 3, math.nan]], "box 0 as"),
        ([[1, 2, math.inf, 4]], "box 0 as"),
        ([[1, 2, 3, True]], "box 0 as"),
        ([[1, 2, 3, "4"]], "box 0 as"),
        ([None], "box 0 as None"),
    ],
)
def test_what_is_no_box_is_named(boxes: object, told: str) -> None:
    with pytest.raises(
        DataError, match=rf"^Row 3 of a\.parquet \(id 2D/0\) has .*{told}.*Repair it, or leave"
    ):
        sample_of(cv_bench_row(0, bbox=boxes), "Row 3 of a.parquet")


def test_questions_about_one_image_come_together(tmp_path: Path) -> None:
    split = data(write(tmp_path)).split("test")
    # The 3D rows show the same two images as the first 2D rows.
    assert split.group_sizes().tolist() == [4, 4, 2]
    first = split.samples(0, [0, 1, 2, 3])
    assert [sample.id for sample in first] == ["2D/0", "2D/1", "3D/0", "3D/1"]
    assert len({sample.image for sample in first}) == 1


def test_the_same_photo_with_other_marks_is_one_group_but_two_images(tmp_path: Path) -> None:
    rows = rows_of("2D", 2)
    rows[1]["image"] = {"bytes": encoded(77), "path": None}
    write_cv_bench(tmp_path / "test_2d.parquet", rows)
    split = data(tmp_path).split("test")
    assert split.group_sizes().tolist() == [1, 1]
    assert split.samples(0, [0])[0].group == split.samples(1, [0])[0].group


def test_without_the_photos_name_the_file_is_the_group(tmp_path: Path) -> None:
    write_cv_bench(tmp_path / "test_2d.parquet", rows_of("2D", 2), without=("source_filename",))
    (first, second) = samples(data(tmp_path).test_dataloader())
    assert (first.group, second.group) == ("img/2D/count/0.png", "img/2D/relation/1.png")


def test_labels_texts_and_lengths(tmp_path: Path) -> None:
    folder = write(tmp_path, "train")
    split = data(folder).split("train")
    assert list(split.labels())[:3] == [("Count", "A"), ("Relation", "B"), ("Count", "C")]
    assert {"the lamp", "C", "Question 2 about Count?"} <= set(data(folder).texts())
    assert len(list(split.texts(3))) == 3
    longest = max(
        len(sample.question) + len("".join(sample.choices)) + 1 for sample in split.samples(0, [0, 1, 2, 3])
    )
    assert split.lengths()[0] == longest


def test_training_needs_a_training_file(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(
        DataError, match=r"train_2d\.parquet or _3d.*splits there: test\).*splits: \{train: NAME"
    ):
        data(tmp_path).train_dataloader()
    assert samples(data(tmp_path, splits={"train": "test"}).train_dataloader())


def test_a_curriculum_starts_with_some_tasks(tmp_path: Path) -> None:
    """Images that are asked about in other ways as well wait with all of their questions."""
    for part, first in (("2D", 0), ("3D", 100)):
        rows = [
            cv_bench_row(number, type=part, image={"bytes": encoded(first + image), "path": None})
            for number, image in enumerate((0, 1, 2, 2))
        ]
        write_cv_bench(tmp_path / f"train_{part.lower()}.parquet", rows)
    made = data(tmp_path, curriculum=[["Depth"], ["Count", "Relation"], ["Distance", "Depth", "Count"]])
    images, sampler = made.training_images()
    sizes = images.group_sizes()

    def tasks(epoch: int) -> set[str]:
        drawn = sampler.epoch(0, epoch)
        return {sample.task for number in drawn for sample in images.samples(number, range(sizes[number]))}

    assert [tasks(epoch) for epoch in range(5)] == [
        {"Depth"},
        {"Count", "Relation"},
        {"Distance", "Depth", "Count"},
        *[{"Count", "Relation", "Depth", "Distance"}] * 2,
    ]
    made.curriculum = [["Colour"]]
    with pytest.raises(DataError, match=r"epoch of Colour.*The kinds there are: Count, Depth"):
        made.training_images()


def test_some_tasks_alone_are_asked(tmp_path: Path) -> None:
    """In training and test; questions that share an image stay together without the others."""
    for split in ("train", "test"):
        rows = rows_of("2D", 6)
        for row in rows:
            row["source_dataset"], row["source_filename"] = "ADE20K", f"{row['idx'] // 3}.png"
        write_cv_bench(tmp_path / f"{split}_2d.parquet", rows)
    every = samples(data(tmp_path).test_dataloader())
    wanted = [sample for sample in every if sample.task == "Count"]
    assert wanted and len(wanted) < len(every)
    made = data(tmp_path, tasks=["Count"])
    assert [sample.id for sample in samples(made.test_dataloader())] == [sample.id for sample in wanted]
    assert {sample.id for sample in samples(made.train_dataloader())} == {sample.id for sample in wanted}
    asked = made.split("test")
    assert asked.group_sizes().sum() == len(wanted) == len(list(asked.labels()))
    assert {task for task, _ in asked.labels()} == {"Count"}
    assert len(list(asked.texts(2))) == min(2, len(wanted))
    assert len(asked.lengths()) == len(asked)
    with pytest.raises(DataError, match=r"asks for Colour.*There are Count"):
        data(tmp_path, tasks=["Colour"]).split("test")


def test_one_part_alone_is_read(tmp_path: Path) -> None:
    write_cv_bench(tmp_path / "test_3d.parquet", rows_of("3D", 2))
    assert [sample.id for sample in samples(data(tmp_path).test_dataloader())] == ["3D/0", "3D/1"]


def test_rows_are_read_without_images_for_scoring(tmp_path: Path) -> None:
    folder = write(tmp_path)
    everything = list(read_rows(folder))
    assert len(everything) == 10
    assert [sample.id for sample in read_rows(folder / "test_3d.parquet")] == ["3D/0", "3D/1", "3D/2", "3D/3"]
    assert all(sample.image is None and sample.answer for sample in everything)
    with pytest.raises(DataError, match=r"neither test_2d\.parquet nor"):
        (folder / "empty").mkdir()
        list(read_rows(folder / "empty"))


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_open_images(tmp_path: Path, workers: int) -> None:
    module = data(write(tmp_path), num_workers=workers, batch_size=2)
    module.collator = sizes
    assert [size for batch in module.test_dataloader() for size in batch["sizes"]] == [(16, 12)] * 10


def sizes(opened: list[SpatialSample]) -> dict[str, Any]:
    return {"sizes": [sample.image.open().size for sample in opened if sample.image]}


def test_a_worker_gets_no_images_by_pickle(tmp_path: Path) -> None:
    write_cv_bench(tmp_path / "test_2d.parquet", rows_of("2D", 200))
    split = data(tmp_path).split("test")
    assert len(pickle.dumps(split)) < 1000
    copy = pickle.loads(pickle.dumps(split))
    assert copy.samples(3, [0, 1]) == split.samples(3, [0, 1])
    assert isinstance(split, IndexedQuestions)
    assert not split._images._rows.flags.owndata


def test_the_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    data(tmp_path).prepare_split("test")
    monkeypatch.setattr("datamodules.cv_bench.parquet_rows", None)
    assert len(samples(data(tmp_path).test_dataloader())) == 10
    monkeypatch.undo()
    write_cv_bench(tmp_path / "test_2d.parquet", rows_of("2D", 2))
    assert len(samples(data(tmp_path).test_dataloader())) == 6


def test_an_interrupted_index_leaves_nothing(tmp_path: Path) -> None:
    with_row(tmp_path, task="Colour")
    with pytest.raises(DataError):
        data(tmp_path).prepare_split("test")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_rendered_scenes_are_made_with_the_arguments_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def cached_cv_bench(cache: Path, **options: Any) -> Path:
        calls.append((cache, options))
        return write(tmp_path / "written", "train")

    fake = types.ModuleType("datamodules.rendered.benchmarks")
    fake.cached_cv_bench = cached_cv_bench  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datamodules.rendered.benchmarks", fake)
    scenes = {"train": 3, "val": 1, "test": 1}
    given: dict[str, Any] = {"scenes": scenes, "size": (64, 48), "scenes_seed": 4, "cache": str(tmp_path)}
    module = CvBench(**given, num_workers=0)
    assert len(samples(module.train_dataloader())) == 10
    asked = {"scenes": scenes, "size": (64, 48), "seed": 4}
    assert calls[0] == (tmp_path, asked | {"difficulty": "ordinary"})
    CvBench("counter_intuitive", **given).render()
    assert calls[-1] == (tmp_path, asked | {"difficulty": "counter_intuitive"})
    real = CvBench("counter_intuitive", root=str(tmp_path / "written"), cache=str(tmp_path))
    calls.clear()
    assert len(real.split("train")) and not calls  # it is about rendered scenes alone


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"bbox": [[1.0, 2.0, 3.0]]}, r"Row 2 of .*test_2d\.parquet \(id 2D/2\) has in `bbox` box 0 as"),
        ({"choices": []}, r"Row 2 of .*test_2d\.parquet has 0 choices.*Repair or remove"),
        ({"choices": ["1"]}, "has 1 choices"),
        ({"choices": ["3", "2 ", "2", "0"]}, r"Row 2 of .* has the choice '2' twice in `choices`"),
        ({"answer": "(E)"}, r"Row 2 of .* has the `answer` '\(E\)', which is none of \(A\) to \(D\)"),
        ({"answer": "two"}, "has the `answer` 'two'"),
        ({"question": "", "source": None}, "has no question and no source"),
        ({"task": "Colour"}, "unknown task 'Colour'; known are Count, Relation, Depth, Distance"),
        ({"idx": 0}, r"The id 2D/0 occurs twice in the data \(the second time in row 2 of .*test_2d"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, changes: dict[str, Any], pattern: str) -> None:
    with pytest.raises(DataError, match=pattern):
        data(with_row(tmp_path, **changes)).test_dataloader()


def test_a_row_without_image(tmp_path: Path) -> None:
    folder = with_row(tmp_path, image=None)
    with pytest.raises(MissingImage, match=r"no image in row 2 of .*test_2d\.parquet.*Record 2D/2.*`Blind`"):
        samples(data(folder).test_dataloader())
    assert len(samples(data(folder, views=[Blind()]).test_dataloader())) == 6


def test_a_damaged_image(tmp_path: Path) -> None:
    folder = with_row(tmp_path, image={"bytes": encoded(5)[:200], "path": None})
    with pytest.raises(UnreadableImage, match=r"The image in row 2 of .*test_2d\.parquet cannot be read"):
        samples(data(folder).test_dataloader())
    seen = samples(data(folder, on_bad_image="answer_blind").test_dataloader())
    assert [sample.id for sample in seen if sample.image is None] == ["2D/2"]


def test_an_image_that_finds_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may say any size; in a file of its own as in a row."""
    questions = data(with_row(tmp_path)).test_dataloader()
    (tmp_path / "large.png").write_bytes(encoded(5))

    def find_none(image: PngImageFile) -> None:
        raise MemoryError

    monkeypatch.setattr(PngImageFile, "load", find_none)
    with pytest.raises(UnreadableImage, match=r"row 0 of .*_2d.parquet cannot be read: there is no memory"):
        samples(questions)
    with pytest.raises(UnreadableImage, match=r"large.png cannot be read: there is no memory"):
        ImageFile(tmp_path / "large.png").open()


def test_missing_columns(tmp_path: Path) -> None:
    write_cv_bench(tmp_path / "test_2d.parquet", rows_of("2D", 2), without=("choices", "image"))
    with pytest.raises(DataError, match=r"has no column choices and no column image; it has idx, type, task"):
        data(tmp_path).test_dataloader()


@pytest.mark.parametrize("keep", [10, -100])
def test_a_damaged_file(tmp_path: Path, keep: int) -> None:
    file = write_cv_bench(tmp_path / "test_2d.parquet", rows_of("2D", 40))
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"test_2d\.parquet is not a readable Parquet file: .* after 0 rows"):
        data(tmp_path).test_dataloader()


def test_a_file_damaged_in_the_middle(tmp_path: Path) -> None:
    file = write_cv_bench(tmp_path / "test_2d.parquet", rows_of("2D", 40))
    content = bytearray(file.read_bytes())
    content[4:2000] = b"\xff" * 1996
    file.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"test_2d\.parquet is not a readable Parquet file"):
        data(tmp_path).test_dataloader()


def test_an_empty_split(tmp_path: Path) -> None:
    write_cv_bench(tmp_path / "test_2d.parquet", [])
    with pytest.raises(DataError, match=r"test_2d\.parquet holds no rows: an empty split"):
        data(tmp_path).test_dataloader()


def test_a_missing_folder() -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist\. .*make data NAME=cv_bench TO=nowhere"):
        CvBench(root="nowhere", num_workers=0).test_dataloader()


def test_the_majority_baseline_without_a_training_split_answers_a(tmp_path: Path) -> None:
    result = majority_baseline(data(write(tmp_path)))
    assert result["n"] == 10
    assert {task: score["score"] for task, score in result["tasks"].items()} == {
        "Count": pytest.approx(200 / 3),
        "Relation": 0.0,
        "Depth": 100.0,
        "Distance": 0.0,
    }
    write(tmp_path, "train")
    assert majority_baseline(data(tmp_path))["tasks"]["Relation"]["score"] == 100.0


def test_the_benchmarks_own_words_travel_as_the_data_hold_them(tmp_path: Path) -> None:
    """Not a space is taken away: models were measured with just these words."""
    odd = " How many?  Select from the following choices.\n(A) 3\n(B) 2 \n"
    rows = [cv_bench_row(0, prompt=odd), cv_bench_row(2, prompt=None), cv_bench_row(4)]
    file = write_cv_bench(tmp_path / "test_2d.parquet", rows)
    asked = [odd, "", rows[2]["prompt"]]
    assert [sample.prompt for sample in read_rows(file)] == asked
    split = data(tmp_path).split("test")
    found = {sample.id: sample for group in range(len(split)) for sample in split.samples(group, [0])}
    assert [found[f"2D/{number}"].prompt for number in (0, 2, 4)] == asked
    write_cv_bench(file, rows, without=("prompt",))
    assert [sample.prompt for sample in read_rows(file)] == [""] * 3
