"""The report, from the files of a run folder alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.samples import OpenedImage, Region, SpatialSample
from experiments.report.page import caveat, facts, marked, paragraph, write_report
from experiments.report.region_images import COLOURS, draw_question
from experiments.report.results import collect, interval, percent, write_results
from experiments.run_folders.run_folder import RunError, RunFolder
from tests.helpers.page_texts import page_texts

COMMENT = "Does it\nwork?\n\nPublished: 12.3 by `others`.\nRun:       make experiment NAME=x"
CONFIG = """
name: x
scale: full
data: {class_path: a.Data, init_args: {root: rendered, difficulty: easy, views: [{class_path: v.NoDepth}]}}
model: {class_path: a.Model, init_args: {network: {geometry: floor_fit, relations: true}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs/x/1")
    folder.write_card({"command": "python -m x", "seed": 3, "commit": "abc", "comment": COMMENT})
    folder.config.write_text(CONFIG)
    return folder


def add_results(folder: RunFolder) -> None:
    task = {"score": 50.0, "n": 4, "interval": [20.0, 80.0]}
    summary = {
        **task,
        "unreadable": 1,
        "weakly_read": 7,
        "tasks": {"count": task, "distance": {**task, "score": 25.0}},
    }
    baselines = {"majority": {"score": 31.25, "n": 4, "tasks": {"count": task}}}
    write_results(folder, collect(summary, baselines, {"data": 1.0, "fit": 2.0, "test": 3.0}, (1234, 1000)))
    header = "step,train/loss,train/word_loss,val/score,router/layer0/expert0,router/layer0/entropy\n"
    folder.metrics.write_text(header + "0,2.0,1.5,,0.5,0.7\n1,1.0,0.5,40,0.6,0.6\n")


def test_images_that_the_model_saw_otherwise_are_counted(folder: RunFolder) -> None:
    summary = {"score": 50.0, "n": 4, "interval": [20.0, 80.0], "unreadable": 0, "tasks": {}}
    for images, said in (({"scaled": 1200, "skipped": 2}, True), ({}, False)):
        write_results(folder, collect(summary, {}, {"test": 1.0}, (10, 10), images=images))
        written = json.loads(folder.results.read_text())["images"]
        assert written == {"scaled": 0, "padded": 0, "skipped": 0, **images}
        page = folder.results_page.read_text()
        assert ("Images: 1,200 scaled down to fit into maximum_tokens, 2 passed over" in page) is said
        assert ("Images:" in page) is said
        assert "| images |" not in page


def test_further_scores_of_a_benchmark_are_shown(folder: RunFolder) -> None:
    part = {"score": 61.25, "n": 8, "interval": [30.0, 90.0]}
    summary = {**part, "unreadable": 0, "tasks": {"Count": part}}
    further = {"micro": {**part, "score": 43.21}, "sources": {"Omni3D": {**part, "score": 12.34}}}
    write_results(folder, collect({**summary, **further}, {}, {"test": 1.0}, (10, 10)))
    written = json.loads(folder.results.read_text())
    assert {name: written[name] for name in further} == further
    page = folder.results_page.read_text()
    assert "| this model: micro | 43.21 | 30.0 to 90.0 | 8 |" in page
    assert "| sources | score | 95 % interval | n |" in page
    assert "| Omni3D | 12.34 |" in page
    report = write_report(folder).read_text()
    for text in ("43.21", "12.34", "By source", "By task", "Omni3D"):
        assert text in report


def test_the_page_says_by_whose_rules_the_score_is(folder: RunFolder) -> None:
    """And says it once: the official score is not shown again beside the score that it is."""
    ours = {"score": 61.25, "n": 8, "interval": [30.0, 90.0]}
    official = {"score": 43.21, "n": 8, "interval": [20.0, 70.0]}
    summary = {**ours, "unreadable": 0, "tasks": {}, "official": official, "ours": ours}
    write_results(folder, collect(summary, {}, {"test": 1.0}, (10, 10)))
    page, report = folder.results_page.read_text(), write_report(folder).read_text()
    assert "| **this model** (ours) | 61.25 |" in page
    assert "| this model: official | 43.21 |" in page
    assert "this model: ours" not in page
    assert "/ 100 (ours)" in report
    write_results(folder, collect({**summary, **official}, {}, {"test": 1.0}, (10, 10)))
    assert "| **this model** (official) | 43.21 |" in folder.results_page.read_text()
    why = {"official": None, "official_reason": "Nobody asked for it."}
    write_results(folder, collect({**summary, **why}, {}, {"test": 1.0}, (10, 10)))
    assert json.loads(folder.results.read_text())["official"] is None
    for text in (folder.results_page.read_text(), write_report(folder).read_text()):
        assert "No official score: Nobody asked for it." in text


def add_gallery(folder: RunFolder, correct: bool | None) -> None:
    folder.gallery.mkdir()
    Image.new("RGB", (8, 8)).save(folder.gallery / "000.jpg")
    entry = {
        "image": "000.jpg",
        "task": "count",
        "question": "How many <b> in <mask>?",
        "truth": "2",
        "prediction": "3",
        "raw": "3",
        "correct": correct,
        "source": "rendered",
        "id": "q1",
    }
    (folder.gallery / "gallery.json").write_text(json.dumps([entry, {**entry, "image": None}]))


def test_a_tested_run(folder: RunFolder) -> None:
    add_results(folder)
    add_gallery(folder, correct=False)
    page = write_report(folder).read_text()
    for expected in (
        *("Does it work?", "12.3 by others", "50.00", "20.0 to 80.0", "majority 31.2", "1,234", "abc"),
        *("rendered, difficulty easy", "floor_fit", "NoDepth", "Loss", "Layer 0", "python -m x"),
        *("How many &lt;b&gt; in", "no image", "✗", "1 unreadable answer", "7 read by a form"),
    ):
        assert expected in page, expected
    assert page.count("data:image/jpeg;base64,") == 1
    assert "(1 answers unreadable, 7 read by a weak form)" in folder.results_page.read_text()


@pytest.mark.parametrize("scale", ["full", "tiny"])
def test_a_run_on_rendered_scenes_is_not_held_against_published_figures(
    folder: RunFolder, scale: str
) -> None:
    folder.config.write_text(CONFIG.replace("scale: full", f"scale: {scale}"))
    add_results(folder)
    page = write_report(folder).read_text()
    assert "12.3 by others" in page
    assert ("which this run is not" in page) == (scale == "tiny")
    assert ("Published on the real data, and these are rendered" in page) == (scale == "full")


@pytest.mark.parametrize(
    ("class_path", "root", "said", "caveat_begins"),
    [
        ("datamodules.cv_bench.CvBench", None, "rendered", " on the real data"),
        ("datamodules.cv_bench.CvBench", "hub", "real, from hub", ""),
        ("datamodules.own_images.OwnImages", "photos", "your own, from photos", " on other data than yours"),
        ("mine.Kitchens", None, "your own", " on other data than yours"),
    ],
)
def test_the_report_says_whose_data_it_was(
    class_path: str, root: str | None, said: str, caveat_begins: str
) -> None:
    data = {"class_path": class_path, "init_args": {"root": root, "views": None}}
    told = facts({"data": data, "model": {"class_path": "b.Model", "init_args": {}}, "scale": "full"})
    assert told["data"] == said
    assert caveat(told)[: len(caveat_begins) or None] == caveat_begins


def test_it_needs_nothing_from_outside(folder: RunFolder) -> None:
    add_results(folder)
    add_gallery(folder, correct=True)
    page = write_report(folder).read_text()
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    assert "@import" not in page
    assert "<script" not in page


def test_a_run_that_only_predicted(folder: RunFolder) -> None:
    add_gallery(folder, correct=None)
    page = write_report(folder).read_text()
    assert "answer <b>3</b>" in page
    assert "By task" not in page
    assert "truth" not in page


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        write_report(RunFolder(tmp_path))


def test_results_as_markdown(folder: RunFolder) -> None:
    add_results(folder)
    page = folder.results_page.read_text()
    assert "| baseline: majority | 31.25 | - | 4 |" in page
    assert "| count | 50.00 | 20.0 to 80.0 | 4 |" in page


def test_regions_have_their_numbers_and_colours() -> None:
    assert marked("the <mask> & <mask>") == (
        f'the <span class="region" style="background:{COLOURS[0]}">0</span> &amp; '
        f'<span class="region" style="background:{COLOURS[1]}">1</span>'
    )
    mask = np.zeros((20, 40), dtype=bool)
    mask[5:15, 10:30] = True
    sample = SpatialSample(
        id="1",
        question="<mask>?",
        image=OpenedImage("black", Image.new("RGB", (40, 20))),
        regions=(Region.from_mask(mask),),
    )
    image = draw_question(sample, width=80)
    assert image is not None
    assert image.size == (80, 40)
    red = tuple(int(COLOURS[0][start : start + 2], 16) for start in (1, 3, 5))
    assert image.getpixel((20, 20)) == red
    assert image.getpixel((2, 2)) == (0, 0, 0)
    assert draw_question(SpatialSample(id="2", question="?")) is None


def test_every_region_has_its_own_number_and_colour_in_its_middle() -> None:
    """The second lies low and is bent: its centre of mass is no part of it."""
    first, second = np.zeros((60, 100), dtype=bool), np.zeros((60, 100), dtype=bool)
    first[5:15, 70:95] = True
    second[20:55, 5:10] = second[50:55, 5:60] = True
    regions = (Region.from_mask(first), Region.from_mask(second))
    opened = OpenedImage("black", Image.new("RGB", (100, 60)))
    sample = SpatialSample(id="1", question="<mask> <mask>?", image=opened, regions=regions)
    image = draw_question(sample, width=400)
    assert image is not None and image.size == (400, 240)
    pixels = np.asarray(image).astype(int)
    for number, (left, top, right, bottom) in enumerate([(318, 28, 342, 52), (20, 180, 90, 239)]):
        colour = [int(COLOURS[number][start : start + 2], 16) for start in (1, 3, 5)]
        label = (np.abs(pixels - colour).sum(-1) < 3)[top:bottom, left:right]
        # Filled but for the number: an outline is one pixel wide.
        filled = [(row, column) for row, column in np.argwhere(label) if label[row : row + 3, column].all()]
        assert len(filled) > 60
    alone = draw_question(sample.replace(regions=regions[1:]), width=400)
    assert alone is not None
    assert not np.array_equal(np.asarray(alone)[180:], np.asarray(image)[180:]), "another number and colour"


@pytest.mark.parametrize(
    ("score", "said"),
    [
        ({"score": 12.345, "n": 3}, "12.35"),
        ({"score": 0.0, "n": 3}, "0.00"),
        ({"score": 0.0, "n": 0}, "-"),
        ({"score": None, "n": 3}, "-"),
        ({"score": 0.123456, "n": 3, "metric": "accuracy"}, "0.1235"),
        ({"score": 1234.56, "n": 3, "metric": "words"}, "1235"),
    ],
)
def test_a_score_in_words(score: dict[str, float], said: str) -> None:
    assert percent(score) == said


@pytest.mark.parametrize(
    ("bounds", "said"),
    [([1.26, 98.76], "1.3 to 98.8"), ([0.0, 0.0], "0.0 to 0.0"), ([None, None], "-"), ([], "-"), (None, "-")],
)
def test_an_interval_in_words(bounds: list[float | None] | None, said: str) -> None:
    assert interval({"interval": bounds}) == said
    assert interval({}) == "-"


def test_a_paragraph_ends_where_the_next_label_begins() -> None:
    assert paragraph({"comment": COMMENT}, "Published:") == "12.3 by others."
    assert paragraph({}, "Published:") == ""


def test_a_tiny_model_is_called_a_tiny_model() -> None:
    data = {"class_path": "datamodules.cv_bench.CvBench", "init_args": {"root": None, "views": None}}
    arguments = {
        "model": "smolvlm_500m",
        "random_weights": True,
        "adapter": {"method": "lora"},
        "answering": "rank",
    }
    told = facts(
        {"data": data, "model": {"class_path": "b.PeftSft", "init_args": arguments}, "scale": "tiny"}
    )
    assert told["vision-language model"] == "tiny random model of smolvlm_500m, begun with random weights"
    assert (told["data"], told["trained"], told["answers"]) == ("rendered", "lora", "rank")
    assert "teacher" not in told
    arguments["teacher"] = {
        "model": "smolvlm_2b",
        "random_weights": True,
        "checkpoint": "last.ckpt",
        "cache": None,
    }
    told = facts(
        {"data": data, "model": {"class_path": "b.DistilledStudent", "init_args": arguments}, "scale": "tiny"}
    )
    assert told["teacher"] == "tiny random model of smolvlm_2b as a run has trained it"
    arguments["teacher"] = {
        "model": "qwen2_5_vl_7b",
        "random_weights": False,
        "adapter": None,
        "cache": "teacher outputs",
    }
    told = facts(
        {"data": data, "model": {"class_path": "b.DistilledStudent", "init_args": arguments}, "scale": "tiny"}
    )
    assert told["teacher"] == "qwen2_5_vl_7b as it is, from a cache"
    composed = {"encoder": "vit", "language_model": "llm"}
    told = facts(
        {"data": data, "model": {"class_path": "b", "init_args": {"model": composed}}, "scale": "full"}
    )
    assert told["vision-language model"] == "vit and llm"


@pytest.mark.parametrize(
    ("random_weights", "files", "said"),
    [
        (False, {}, "qwen as it is"),
        (False, {"adapter": "runs/x/adapter"}, "qwen as a run has trained it"),
        (False, {"checkpoint": "last.ckpt"}, "qwen as a run has trained it"),
        (False, {"adapter": "runs/x/adapter", "cache": "c"}, "qwen as a run has trained it, from a cache"),
        (True, {}, "tiny random model of qwen with random weights"),
        (True, {"adapter": "runs/x/adapter"}, "tiny random model of qwen as a run has trained it"),
    ],
)
def test_every_fact_of_a_student(random_weights: bool, files: dict[str, str], said: str) -> None:
    """What it was given, what it is made of, and what its teacher had learnt before."""
    teacher = {"adapter": None, "checkpoint": None, "cache": None, **files}
    config = {
        "scale": "tiny",
        "data": {
            "class_path": "datamodules.omni_spatial.OmniSpatial",
            "init_args": {
                "root": "rendered",
                "difficulty": "hard",
                "views": [{"class_path": "v.NoDepth"}, {"class_path": "v.Blind"}],
            },
        },
        "model": {
            "class_path": "m.DistilledStudent",
            "init_args": {
                "model": "smol",
                "random_weights": False,
                "adapter": {"method": "dora"},
                "answering": "generate",
                "teacher": {"model": "qwen", "random_weights": random_weights, **teacher},
            },
        },
    }
    assert facts(config) == {
        "data": "rendered, difficulty hard",
        "dataset": "OmniSpatial",
        "views": "NoDepth, Blind",
        "model": "DistilledStudent",
        "vision-language model": "smol",
        "teacher": said,
        "trained": "dora",
        "answers": "generate",
        "size of the run": "tiny",
    }


@pytest.mark.parametrize(("relations", "said"), [(True, "yes"), (False, "no")])
def test_every_fact_of_a_model_of_regions(relations: bool, said: str) -> None:
    config = {
        "scale": "full",
        "data": {"class_path": "datamodules.ai_city_track3.AiCityTrack3"},
        "model": {
            "class_path": "m.TinyGiant",
            "init_args": {"network": {"geometry": "mask", "relations": relations}},
        },
    }
    assert facts(config) == {
        "data": "rendered",
        "dataset": "AiCityTrack3",
        "model": "TinyGiant",
        "region geometry": "mask",
        "relations between regions": said,
        "size of the run": "full",
    }


def test_everything_that_the_page_says_of_the_scores(folder: RunFolder) -> None:
    """Two scores, another split, a table beside that of the tasks, and baselines of which one knows tasks."""
    folder.config.write_text(
        CONFIG.replace("root: rendered", "root: /data").replace("a.Data", "datamodules.A")
    )
    part = {"score": 61.25, "n": 1200, "interval": [30.04, 90.06]}
    summary = {
        **part,
        "unreadable": 3,
        "weakly_read": 0,
        "tasks": {"Count": {**part, "score": 12.5, "n": 2}, "Depth": {**part, "interval": None}},
        "official": None,
        "official_reason": "Asked otherwise.",
        "ours": part,
        "micro": {**part, "score": 43.21, "n": 1100},
        "sources": {"Omni3D": {**part, "score": 12.34, "n": 7}},
    }
    baselines = {
        "majority": {"score": 31.25, "n": 1200, "tasks": {"Depth": {"score": 99.5, "n": 4}}},
        "blind": {"score": 20.0, "n": 1200, "interval": [1.0, 2.0], "tasks": {}},
    }
    seconds = {"data": 1.234, "fit": 2.0, "test": 3.987}
    origins = {"model": "weights 1a", "data": "commit 2b"}
    results = collect(summary, baselines, seconds, (1234567, 1000), origins)
    assert results == {
        **summary,
        "baselines": baselines,
        "seconds": {"data": 1.23, "fit": 2.0, "test": 3.99},
        "parameters": {"total": 1234567, "trainable": 1000},
        "provenance": origins,
        "images": {"scaled": 0, "padded": 0, "skipped": 0},
    }
    write_results(folder, {**results, "tested": "the last checkpoint", "scored_on": "the val split"})
    assert folder.results_page.read_text().splitlines() == [
        "# x",
        "",
        "**61.25** on 1,200 questions (3 answers unreadable), 95 % interval 30.0 to 90.1, clustered by "
        "image.",
        "Scored on the val split.",
        "Tested: the last checkpoint.",
        "No official score: Asked otherwise.",
        "",
        "| | score | 95 % interval | n |",
        "|---|---|---|---|",
        "| **this model** (ours) | 61.25 | 30.0 to 90.1 | 1,200 |",
        "| this model: micro | 43.21 | 30.0 to 90.1 | 1,100 |",
        "| baseline: majority | 31.25 | - | 1,200 |",
        "| baseline: blind | 20.00 | 1.0 to 2.0 | 1,200 |",
        "",
        "| task | score | 95 % interval | n |",
        "|---|---|---|---|",
        "| Count | 12.50 | 30.0 to 90.1 | 2 |",
        "| Depth | 61.25 | - | 1,200 |",
        "",
        "| sources | score | 95 % interval | n |",
        "|---|---|---|---|",
        "| Omni3D | 12.34 | 30.0 to 90.1 | 7 |",
        "",
        "Parameters: 1,234,567, of which 1,000 trained. Seconds: data 1, fit 2, test 4. Seed 3, commit abc.",
        "Provenance: model weights 1a; data commit 2b.",
        "",
        "    python -m x",
    ]
    card = {
        **folder.read_card(),
        "started": "today",
        "machine": "2 cores",
        "versions": {"torch": "2", "z": "3"},
    }
    folder.write_card(card)
    assert page_texts(write_report(folder).read_text()) == [
        *("x · SmallSpatial", "x", "Does it work?"),
        *("data", "real, from /data", "dataset", "A", "views", "NoDepth", "model", "Model"),
        *("region geometry", "floor_fit", "relations between regions", "yes", "size of the run", "full"),
        *("61.25", "/ 100 (ours)", "95 % interval 30.0 to 90.1, clustered by image"),
        *("1,200 questions, 3 unreadable answers", "tested: the last checkpoint", "scored on the val split"),
        *("Published: 12.3 by others.", "No official score: Asked otherwise."),
        *("this model, counted otherwise", "score", "95 % interval", "n"),
        *("micro", "43.21", "30.0 to 90.1", "1,100"),
        *("By task", "task", "score", "95 % interval", "majority", "blind", "n"),
        *("Count", "12.50", "30.0 to 90.1", "-", "-", "2"),
        *("Depth", "61.25", "-", "99.50", "-", "1,200"),
        *("By source", "source", "score", "95 % interval", "n"),
        *("Omni3D", "12.34", "30.0 to 90.1", "7"),
        *("The run", "parameters", "1,234,567 in all, 1,000 trained", "seconds", "data 1, fit 2, test 4"),
        *("model", "weights 1a", "data", "commit 2b", "command", "python -m x", "seed", "3"),
        *("commit", "abc", "started", "today", "machine", "2 cores", "versions", "torch 2, z 3"),
        "the whole configuration",
    ]
