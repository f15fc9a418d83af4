"""Own images: what people write down, and what becomes of it."""

from __future__ import annotations

import json
import pickle
import re
import unicodedata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from datamodules.cv_bench import CvBench
from datamodules.mixture import Mixture
from datamodules.own_images import OwnImages
from datamodules.samples import Answer, AnswerType, DataError, SpatialSample
from datamodules.scoring.baselines import majority_baseline
from datamodules.views import Blind, DepthAsImage, NoDepth

WIDTH, HEIGHT = 40, 20


def photo(file: Path, turned: int = 1) -> Path:
    """An image whose upper left quarter is red, stored as a camera that was held otherwise stores it."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = turned
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, exif=exif, quality=95)
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photo(tmp_path / "images" / "a.png")
    return tmp_path / "images"


def asked(
    folder: Path, text: str | bytes, name: str = "questions.csv", **options: Any
) -> list[SpatialSample]:
    """The samples of a folder with this file of questions."""
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    split = OwnImages(str(folder), num_workers=0, **options).split("test")
    return [
        sample
        for group, size in enumerate(split.group_sizes())
        for sample in split.samples(group, range(size))
    ]


def refusal(folder: Path, text: str | bytes, name: str = "questions.csv", **options: Any) -> str:
    """What is said of such a file: one line."""
    with pytest.raises(DataError) as error:
        asked(folder, text, name, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def row(**values: Any) -> str:
    """A JSON file of one question."""
    return json.dumps([{"image": "a.png", "question": "What?", **values}])


@pytest.mark.parametrize(
    "text",
    [
        "image,question\na.png,Größe?\n".encode(),
        "image,question\na.png,Größe?".encode("utf-8-sig"),
        "image;question\r\na.png;Größe?\r\n".encode("utf-8-sig"),
        "image\tquestion\na.png\tGröße?\n".encode("utf-16"),
        "sep=;\nimage;question\na.png;Größe?\n".encode(),
        '\n"Question", IMAGE ,notes\n"Größe?",a.png,mine\n,,\n\n'.encode(),
    ],
)
def test_a_table_may_be_written_by_any_program(folder: Path, text: bytes) -> None:
    (sample,) = asked(folder, text)
    assert (sample.id, sample.question, sample.group, sample.answer) == ("1", "Größe?", "a.png", None)
    assert sample.answer_type is None


def test_json_holds_the_same_as_a_table(folder: Path) -> None:
    photo(folder / "depth.png")
    boxes = [[0, 0, 10, 10], [20, 5, 40, 20]]
    values = {
        "image": "a.png",
        "question": "Is <mask>, left of <mask>?",
        "id": "x",
        "choices": ["yes", "no; never"],
        "depth": "depth.png",
        "regions": boxes,
        "answer": "yes",
    }
    table = (
        "image,question,id,choices,depth,regions,answer\n"
        f'a.png,"Is <mask>, left of <mask>?",x,yes | no; never,depth.png,"{boxes}",(a)\n'
    )
    (from_table,) = asked(folder, table)
    (from_json,) = asked(folder, json.dumps([values]), "other.json", questions="other.json")
    (from_lines,) = asked(folder, json.dumps(values) + "\n\n", "x.jsonl", questions="x.jsonl")
    assert from_table == from_json == from_lines
    assert from_table.choices == ("yes", "no; never")
    assert (from_table.answer, from_table.answer_type) == ("A", AnswerType.LETTER)
    left, right = (region.mask() for region in from_table.regions)
    assert (left.shape, left.sum(), left[:10, :10].all()) == ((HEIGHT, WIDTH), 100, True)
    assert (right.sum(), right[5:, 20:].all()) == (300, True)


def test_questions_about_one_image_are_asked_together(folder: Path) -> None:
    (folder / "within").mkdir()
    photo(folder / "within" / "b c.PNG")
    table = "image,question\na.png,One?\nwithin\\b c.PNG,Two?\n./a.png,Three?\n"
    assert [(s.group, s.question) for s in asked(folder, table)] == [
        ("a.png", "One?"),
        ("a.png", "Three?"),
        ("within/b c.PNG", "Two?"),
    ]


def test_the_number_0_is_a_value_like_others(folder: Path) -> None:
    for value, text in ((0, "0"), (0.0, "0.0"), ("0", "0"), (7, "7")):
        (sample,) = asked(folder, row(id=value, answer=value), "questions.json")
        assert (sample.id, sample.answer) == (text, text)
    (sample,) = asked(folder, row(choices=[0, 1], answer=0), "questions.json")
    assert (sample.choices, sample.answer) == (("0", "1"), "A")


def test_a_box_holds_every_pixel_that_it_touches(folder: Path) -> None:
    boxes = [[3.7, 2.2, 9.1, 5.5], [0, 0, 40, 20], [10.4, 1, 11.6, 2]]
    (sample,) = asked(folder, row(question="<mask> <mask> <mask>", regions=boxes), "questions.json")
    assert [region.box() for region in sample.regions] == [(3, 2, 7, 4), (0, 0, 40, 20), (10, 1, 2, 1)]


@pytest.mark.parametrize(
    ("size", "fits"), [((20, 10), True), ((41, 20), True), ((37, 20), False), ((43, 20), False)]
)
def test_depth_has_the_shape_of_its_image_within_5_percent(
    folder: Path, size: tuple[int, int], fits: bool
) -> None:
    Image.new("L", size).save(folder / "d.png")
    if fits:
        assert asked(folder, row(depth="d.png"), "questions.json")[0].depth is not None
    else:
        assert "its image is shown in 40x20" in refusal(folder, row(depth="d.png"), "questions.json")


def test_own_questions_are_of_the_kinds_that_their_words_say(folder: Path) -> None:
    table = "image,question\na.png,How many?\na.png,How far is it?\na.png,Why?\n"
    assert [sample.task for sample in asked(folder, table)] == ["count", "distance", "other"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_of_other_machines_are_found(folder: Path, form: Literal["NFC", "NFD"]) -> None:
    """A Mac takes umlauts apart, and Windows does not look at capitals."""
    photo(folder / unicodedata.normalize(form, "Küche") / "Größe 1.JPG")
    other = unicodedata.normalize("NFD" if form == "NFC" else "NFC", "Küche\\größe 1.jpg")
    (sample,) = asked(folder, f"image,question\n{other},What?\n")
    assert sample.image is not None and sample.image.open().size == (WIDTH, HEIGHT)
    photo(folder / "A.png")
    photo(folder / "b.png")
    photo(folder / "B.png")
    assert asked(folder, "image,question\na.png,What?\n")[0].group == "a.png"
    assert "'A.PNG'" in refusal(folder, "image,question\nA.PNG,Which of the two?\n")


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_photos_are_upright_and_so_are_their_boxes(folder: Path, turned: int, ending: str) -> None:
    """The red quarter lies where the EXIF orientation says, by its definition."""
    photo(folder / f"turned.{ending}", turned)
    right, low = turned in (2, 3, 6, 7), turned in (3, 4, 7, 8)
    size = (WIDTH, HEIGHT) if turned < 5 else (HEIGHT, WIDTH)
    x, y = (size[0] // 2 if right else 0), (size[1] // 2 if low else 0)
    box = [x, y, x + size[0] // 2, y + size[1] // 2]
    (sample,) = asked(
        folder, row(image=f"turned.{ending}", question="<mask>", regions=[box]), "questions.json"
    )
    assert sample.image is not None
    opened = sample.image.open()
    assert (opened.size, opened.mode) == (size, "RGB")
    is_red = np.asarray(opened)[..., 0] > 128
    assert (is_red == sample.regions[0].mask()).mean() > 0.9


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(np.array([[0, 100], [200, 255]], np.uint8)), [0, 100, 200, 255]),
        (Image.fromarray(np.array([[0, 16384], [32768, 65535]], np.uint16)), [0, 64, 128, 255]),
        (Image.fromarray(np.array([[0, 1028], [2056, 4112]], np.uint16)), [0, 4, 8, 16]),
        (Image.fromarray(np.array([[0, 0.25], [0.5, 1]], np.float32)), [0, 64, 128, 255]),
        (Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1"), [0, 255, 255, 0]),
        (Image.fromarray(np.full((2, 2, 4), (9, 9, 9, 0), np.uint8)), [255] * 4),
        (Image.fromarray(np.full((2, 2, 2), (9, 0), np.uint8)), [255] * 4),
        (Image.new("RGB", (2, 2), (90, 90, 90)).convert("CMYK"), [90] * 4),
    ],
    ids=["grey", "sixteen bits", "twelve of sixteen bits", "float", "one bit", "clear", "clear grey", "CMYK"],
)
def test_every_kind_of_image_becomes_rgb(folder: Path, image: Image.Image, expected: list[int]) -> None:
    name = "a.tif" if image.mode in ("F", "CMYK") else "a.png"
    image.save(folder / name)
    (sample,) = asked(folder, row(image=name), "questions.json")
    assert sample.image is not None
    opened = np.asarray(sample.image.open()).astype(int)
    assert opened.shape == (2, 2, 3)
    assert np.abs(opened - np.array(expected).reshape(2, 2, 1)).max() <= 1


def test_depth_of_sixteen_bits_keeps_its_order(folder: Path) -> None:
    Image.fromarray(np.linspace(500, 9000, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint16)).save(
        folder / "d.png"
    )
    (sample,) = asked(folder, row(depth="d.png"), "questions.json")
    assert sample.depth is not None
    depth = np.asarray(sample.depth.open()).ravel()
    assert sample.depth.open().mode == "L" and (np.diff(depth.astype(int)) >= 0).all()
    assert depth[-1] == 255 and len(np.unique(depth)) > 200


def test_masks_of_coco_are_regions(folder: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[3:7, 5:9] = 1
    packed = coco_mask.encode(np.asfortranarray(mask))
    flat = np.concatenate([[0], mask.ravel(order="F")])
    runs = np.diff(np.concatenate([np.flatnonzero(np.diff(flat)), [mask.size]]), prepend=0).tolist()
    for counts in (packed["counts"].decode(), runs):
        regions = [{"size": [HEIGHT, WIDTH], "counts": counts}]
        (sample,) = asked(folder, row(question="<mask>?", regions=regions), "questions.json")
        assert (sample.regions[0].mask() == mask).all()


def test_what_is_asked_pickles_and_opens_in_a_worker(folder: Path) -> None:
    (sample,) = asked(folder, row(), "questions.json")
    assert pickle.loads(pickle.dumps(sample)) == sample


CSV_REFUSALS = {
    "empty": ("", "holds no questions"),
    "header alone": ("image,question\n", "holds no questions"),
    "no header": ("a.png,What is this?\n", "Line 1 .* no image and no question"),
    "no question column": ("image,text\na.png,What?\n", "Line 1 .* has no question; it has image, text"),
    "column twice": ("image,question,image\na.png,What?,a.png\n", "Line 1 .* column 'image' twice"),
    "typo in a column": ("image,question,choises\na.png,What?,a|b\n", "Did you mean 'choices'"),
    "no image in a row": ("image,question\n,What?\n", "Line 2 .* has no image"),
    "no question in a row": ("image,question\na.png,What?\na.png,\n", "Line 3 .* has no question"),
    "comma in a text": ("image,question\na.png,Left, or right?\n", "Line 2 .* 3 cells for 2 columns.*quotes"),
    "open quote": ('image,question\na.png,What?\na.png,"What?\n', "line 3 .* cannot be taken apart"),
    "latin-1": (
        "image,question\na.png,What?\na.png,Größe?\n".encode("latin-1"),
        "Line 3 .* UTF-8: byte 0xf6",
    ),
    "lines in a text": (
        'image,question\na.png,"One\ntwo?"\nb.png,What?\n',
        "Line 4 .*'b.png', which does not",
    ),
    "missing image": ("image,question\na.png,What?\nb.png,What?\n", "Line 3 .*'b.png', which does not exist"),
    "folder as image": ("image,question\n.,What?\n", "Line 2 .*'.', which does not exist"),
    "id twice": (
        "image,question,id\na.png,A?,1\na.png,B?,2\na.png,C?,1\n",
        "Line 4 .* '1', which line 2 .* too",
    ),
    "id of a row without": ("image,question,id\na.png,A?,2\na.png,B?,\n", "Line 3 .* '2', which line 2 "),
    "one choice": ("image,question,choices\na.png,A?,red\n", r"Line 2 .* red \| green \| blue"),
    "choice twice": ("image,question,choices\na.png,A?,red|red\n", "Line 2 .* 'red' twice"),
    "choices not JSON": ('image,question,choices\na.png,A?,"[red, green]"\n', "Line 2 .* not JSON"),
    "regions not JSON": (
        "image,question,regions\na.png,<mask>?,1 2 3 4\n",
        r"Line 2 .* \[\[x0, y0, x1, y1\]",
    ),
}


@pytest.mark.parametrize(("text", "said"), CSV_REFUSALS.values(), ids=CSV_REFUSALS)
def test_what_is_wrong_with_a_table_is_said(folder: Path, text: str | bytes, said: str) -> None:
    message = refusal(folder, text)
    assert str(folder / "questions.csv") in message
    assert re.search(said, message), message


BOX = [0, 0, 10, 10]
JSON_REFUSALS = {
    "not JSON": ('[\n{"image": "a.png",\n', "Line 3 .* is not JSON"),
    "an object": ("{}", "JSON list of questions, but holds a dict"),
    "a list of texts": ('["a.png"]', "Record 1 .* not a JSON object"),
    "a list as question": (row(question=["What?"]), "Record 1 .* `question`"),
    "true as answer": (row(answer=True), "Record 1 .* `answer` True"),
    "above the folder": (row(image="../outside.png"), "Record 1 .*lies outside of .*--data.outside true"),
    "above by a way round": (row(image="x/../../outside.png"), "Record 1 .*lies outside of"),
    "above, as on Windows": (row(image="..\\outside.png"), "Record 1 .*lies outside of"),
    "by its whole path": (row(image="/outside.png"), "Record 1 .*lies outside of"),
    "another drive": (row(image="C:\\outside.png"), "Record 1 .*lies outside of"),
    "by a link": (row(image="link.png"), "Record 1 .*lies outside of"),
    "depth above the folder": (row(depth="../outside.png"), "Record 1 .*lies outside of"),
    "missing depth": (row(depth="d.png"), "Record 1 .*'d.png', which does not exist"),
    "depth of another shape": (row(depth="tall.png"), "Record 1 .* 20x40 pixels, but its image .* 40x20"),
    "no image": (row(image="text.jpg"), "text.jpg cannot be read.* Record 1 of .* needs it"),
    "a sentence as image": (row(image="What is this? " * 40), "Record 1 .* which does not exist"),
    "masks without regions": (
        row(question="<mask>?"),
        "Record 1 .* names 1 regions .* has 0 in the column `reg",
    ),
    "regions without masks": (row(regions=[BOX]), "Record 1 .* names 0 regions .* has 1"),
    "fewer regions": (row(question="<mask> or <mask>?", regions=[BOX]), "names 2 regions .* has 1"),
    "box beyond": (row(question="<mask>", regions=[[0, 0, 41, 9]]), "Region 0 of record 1 .*40 pixels wide"),
    "box before": (
        row(question="<mask>", regions=[[-1, 0, 9, 9]]),
        "Region 0 of record 1 .*leaves its image",
    ),
    "box backwards": (row(question="<mask>", regions=[[9, 0, 3, 9]]), "less than a pixel"),
    "box in shares": (row(question="<mask>", regions=[[0, 0, 1, 0.5]]), "not in shares"),
    "three numbers": (row(question="<mask>", regions=[[0, 0, 9]]), "neither a box nor a mask"),
    "texts in a box": (row(question="<mask>", regions=[["0", "0", "9", "9"]]), "neither a box nor a mask"),
    "not a number": (
        '[{"image": "a.png", "question": "<mask>", "regions": [[0, 0, NaN, 9]]}]',
        "neither a box",
    ),
    "mask of another size": (row(question="<mask>", regions=[{"size": [4, 4], "counts": "0"}]), "40x20"),
    "runs that do not add up": (
        row(question="<mask>", regions=[{"size": [20, 40], "counts": [5, 5]}]),
        "no run lengths",
    ),
    "a mask of nothing": (row(question="<mask>", regions=[{"size": [20, 40], "counts": [800]}]), "no pixel"),
    "answer that is no choice": (row(choices=["a b", "c d"], answer="e"), "`answer` 'e'.*A to B"),
    "answer that is two": (row(choices=["b", "a"], answer="a"), "`answer` 'a', which does not say"),
    "a side that is none": (
        row(answer="red", answer_type="side"),
        "`answer` 'red', in which there is no side",
    ),
    "a letter without choices": (row(answer_type="letter"), "has no choices and the `answer_type` letter"),
    "a count with choices": (row(answer_type="count", choices=["1", "2"]), "has choices and .* count"),
    "a list as form": (row(answer_type=["count"]), "Record 1 .* `answer_type`"),
    "unknown form": (row(answer_type="number"), "known are letter, region, side, count"),
}


@pytest.mark.parametrize(("text", "said"), JSON_REFUSALS.values(), ids=JSON_REFUSALS)
def test_what_is_wrong_with_a_record_is_said(folder: Path, text: str, said: str) -> None:
    photo(folder.parent / "outside.png")
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    (folder / "text.jpg").write_text("no image")
    Image.new("L", (HEIGHT, WIDTH)).save(folder / "tall.png")
    message = refusal(folder, text, "questions.json")
    assert re.search(said, message), message
    assert str(folder) in message


def test_images_outside_are_taken_where_that_is_wanted(folder: Path) -> None:
    outside = photo(folder.parent / "outside.png")
    (folder / "link.png").symlink_to(outside)
    for name in ("../outside.png", str(outside), "link.png"):
        (sample,) = asked(folder, row(image=name), "questions.json", outside=True)
        assert sample.image is not None and sample.image.open().size == (WIDTH, HEIGHT)


def test_an_encoding_can_be_named(folder: Path) -> None:
    text = "image;question\na.png;Größe?\n".encode("cp1252")
    assert asked(folder, text, encoding="cp1252")[0].question == "Größe?"
    assert "no `encoding` 'latin-one'" in refusal(folder, text, encoding="latin-one")


def test_it_is_clear_which_file_holds_the_questions(folder: Path) -> None:
    def refused(**options: Any) -> str:
        with pytest.raises(DataError) as error:
            OwnImages(str(folder), **options).require_split("test")
        return str(error.value)

    assert "holds no file of questions" in refused()
    (folder / "b.csv").write_text("image,question\na.png,B?\n")
    OwnImages(str(folder)).require_split("test")
    (folder / "c.json").write_text(row())
    assert "b.csv, c.json" in refused() and "--data.questions" in refused()
    OwnImages(str(folder), questions="c.json").require_split("test")
    (folder / "Questions.CSV").write_text("image,question\na.png,A?\n")
    OwnImages(str(folder)).require_split("test")
    assert "d.csv does not exist" in refused(questions="d.csv")
    for root, said in (
        (None, "--data.root FOLDER"),
        ("/nowhere", "does not exist"),
        (folder / "b.csv", "a file"),
    ):
        with pytest.raises(DataError, match=said):
            OwnImages(None if root is None else str(root)).require_split("test")


def test_nothing_is_trained_on_own_images(folder: Path) -> None:
    (folder / "questions.json").write_text(row(answer="1"))
    data, answered = OwnImages(str(folder)), OwnImages(str(folder))
    for role in ("train", "val"):
        assert not data.has_split(role)
        with pytest.raises(DataError, match=rf"no {role} split"):
            data.require_split(role)
    assert majority_baseline(answered)["n"] == 1
    assert data.origin() == OwnImages(str(folder)).origin()


def test_without_all_answers_nothing_is_scored(folder: Path) -> None:
    (folder / "questions.csv").write_text("image,question,answer\na.png,A?,1\na.png,B?,\na.png,C?,\n")
    with pytest.raises(DataError, match=r"Line 3 .* no `answer`: 2 of the 3 .*`predict`"):
        OwnImages(str(folder)).require_answers("test")


@pytest.mark.parametrize(
    ("values", "raw", "right"),
    [
        ({"choices": ["red", "green"], "answer": "green"}, "(B)", True),
        ({"choices": ["red", "green"], "answer": "A"}, "(B)", False),
        ({"answer": "3"}, "There are three.", True),
        ({"answer": "3"}, "4", False),
        ({"answer": "2 m"}, "about 3 metres", True),
        ({"answer": "2 m"}, "5 m", False),
        ({"answer": "2", "answer_type": "distance"}, "1.5", True),
        ({"answer": "left", "answer_type": "side"}, "It is on the left.", True),
        ({"answer": "1", "answer_type": "region"}, "[Region 1]", True),
        ({"answer": "1", "answer_type": "region"}, "[Region 0]", False),
        ({"answer": "A chair"}, "chair", True),
        ({"answer": "A chair"}, "a table", False),
    ],
)
def test_answers_are_judged_by_their_form(
    folder: Path, values: dict[str, Any], raw: str, right: bool
) -> None:
    (sample,) = asked(folder, row(**values), "questions.json")
    data = OwnImages(str(folder))
    data.require_answers("test")
    metric = data.metric()
    metric.update([Answer(sample, raw)])
    assert metric.compute()["score"] == 100 * right


def test_the_true_answer_does_not_shape_the_question(folder: Path) -> None:
    """With the column `answer` a model is asked as it is without."""
    (without,) = asked(folder, row(), "questions.json")
    (with_answer,) = asked(folder, row(answer="2 m"), "questions.json")
    assert with_answer.replace(answer=None) == without


class Needs:
    """A module that has always been given something."""

    def __init__(self, *needs: str) -> None:
        self.needs = frozenset(needs)


def test_what_a_module_needs_is_named_by_its_column(folder: Path) -> None:
    (folder / "questions.csv").write_text("image,question\na.png,What?\n")

    def said(module: object, *views: Any, **options: Any) -> str:
        data = OwnImages(str(folder), views=list(views), **options)
        try:
            data.require_fields(module)
        except DataError as error:
            return str(error)
        return ""

    assert said(object()) == ""
    assert "Line 2" in said(Needs("depth")) and "no depth, which Needs" in said(Needs("depth"))
    assert "column `regions`" in said(Needs("regions"))
    assert "no depth and no regions" in said(Needs("regions", "depth"))
    assert said(Needs("depth"), NoDepth()) == said(Needs("depth", "regions"), Blind()) == ""
    assert "no depth, which DepthAsImage" in said(object(), DepthAsImage())
    (folder / "questions.csv").write_text("image,question,depth\na.png,What?,a.png\na.png,Why?,\n")
    assert "Line 3" in said(Needs("depth")) and "no depth, which Needs" in said(Needs("depth"))
    assert said(object(), NoDepth(), DepthAsImage()) == ""
    assert said(Needs("regions", "depth"), DepthAsImage(), incomplete=True) == ""
    mixture = Mixture([CvBench()], OwnImages(str(folder)))
    with pytest.raises(DataError, match="column `depth`"):
        mixture.require_fields(Needs("depth"))
