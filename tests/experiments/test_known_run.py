"""One whole run of a model whose answers are known: everything that it says and writes, told beforehand."""

from __future__ import annotations

import base64
import io
import json
import platform
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from experiments.callbacks import progress, stopwatch
from experiments.run_folders.run_folder import RunFolder
from tests.helpers.cli_in_process import run
from tests.helpers.commands import ROOT, SETTINGS_OF_THE_CALLER
from tests.helpers.known_answers import CLOCK, COLOURS, KnownAnswers, experiment
from tests.helpers.page_texts import page_texts

COUNT, DISTANCE = "How many boxes? Look!", "How far is it? Look!"
SIDE, REGION = "On which side is it? Look!", "Which is nearest, <mask>? Look!"

ANSWERED: list[tuple[str, str, str, str, str | None, bool, str, str | None]] = [
    ("test-0", "count", COUNT, "2", "2", True, "there are two boxes", "stated"),
    ("test-0", "distance", DISTANCE, "1.05", "1.1", True, "1.1 m", "bare"),
    ("test-0", "left_right", SIDE, "left", "left", True, "left", "bare"),
    ("test-0", "mcq", REGION, "1", "1", True, "Region 1", "bare"),
    ("test-1", "count", COUNT, "3", "2", False, "2", "bare"),
    ("test-1", "distance", DISTANCE, "7.0", "3", False, "about 3 m", "bare"),
    ("test-1", "left_right", SIDE, "right", "left", False, "Left", "bare"),
    ("test-1", "mcq", REGION, "3", "2", False, "Region 2", "bare"),
    ("test-2", "count", COUNT, "2", "2", True, "2", "bare"),
    ("test-2", "distance", DISTANCE, "1.0", None, False, "no idea", None),
    ("test-2", "left_right", SIDE, "left", "right", False, "right", "bare"),
    ("test-2", "mcq", REGION, "0", "0", True, "0", "bare"),
]
"""Image, task, question, truth, what was read, right, what was written, and by which form it was read."""

TASKS = ("left_right", "mcq", "distance", "count")
"""In the order of the challenge."""

THIRDS = {0: 0.0, 1: 100 / 3, 2: 200 / 3}


def of_tasks(*right: int) -> dict[str, Any]:
    """The scores of the tasks, of three questions each; drawn anew, three images show anything."""
    none_right = [0.0, pytest.approx(100 * (1 - 0.025 ** (1 / 3)))]
    return {
        task: {
            "score": pytest.approx(THIRDS[count]),
            "n": 3,
            "interval": [0.0, 100.0] if count else none_right,
        }
        for task, count in zip(TASKS, right, strict=True)
    }


TYPED = (
    "python -m experiments.run experiment -c known.yaml --baselines.blind=true --seed_everything=4 "
    "--allow tests.helpers"
)


@dataclass(frozen=True)
class Known:
    """The run: its folder, what it has printed, and the models that it has made."""

    folder: RunFolder
    said: str
    models: list[KnownAnswers]

    @property
    def results(self) -> dict[str, Any]:
        results: dict[str, Any] = json.loads(self.folder.results.read_text())
        return results

    @property
    def gallery(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = json.loads((self.folder.gallery / "gallery.json").read_text())
        return entries


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in SETTINGS_OF_THE_CALLER:
            patch.delenv(variable, raising=False)
        patch.setenv("COLUMNS", "200")
        patch.chdir(tmp_path_factory.mktemp("known"))
        patch.setattr(KnownAnswers, "made", [])
        for module in (stopwatch, progress):
            patch.setattr(module, "time", CLOCK)
        Path("known.yaml").write_text(
            f"# Is it known?\n{yaml.safe_dump(experiment(baselines={'chance': False}))}"
        )
        printed = io.StringIO()
        with redirect_stdout(printed):
            folder = run("experiment", "-c", "known.yaml", "--baselines.blind=true", "--seed_everything=4")
        yield Known(folder, printed.getvalue(), KnownAnswers.made)


def commit() -> str:
    """Git's own word."""
    answers = []
    for asked in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        finished = subprocess.run(["git", *asked], cwd=ROOT, capture_output=True, text=True)
        answers.append(finished.stdout.strip() if finished.returncode == 0 else "")
    return answers[0] + " with local changes" * bool(answers[1]) if answers[0] else "unknown"


def test_every_line_of_the_predictions(known: Known) -> None:
    lines = [json.loads(line) for line in known.folder.predictions.read_text().splitlines()]
    assert lines == [
        {
            "id": f"{image}-{task}",
            "group": image,
            "task": task,
            "question": question,
            "answer": truth,
            "prediction": prediction,
            "correct": correct,
            "raw": raw,
            **({"read_by": form} if form else {}),
        }
        for image, task, question, truth, prediction, correct, raw, form in ANSWERED
    ]


def test_every_figure_of_the_results(known: Known) -> None:
    """The score is the mean over tasks; what a fixed answer or a blind model scores is counted by hand."""
    main = {"score": pytest.approx(50), "n": 12, "interval": [0.0, 100.0]}
    assert known.results == {
        **main,
        "official": main,
        "ours": main,
        "unreadable": 1,
        "weakly_read": 1,
        "tasks": of_tasks(1, 2, 1, 2),
        "baselines": {
            "majority": {"score": pytest.approx(175 / 3), "n": 12, "tasks": of_tasks(2, 1, 2, 2)},
            "blind": {
                "score": pytest.approx(125 / 3),
                "n": 12,
                "interval": [25.0, 50.0],
                "tasks": of_tasks(2, 0, 2, 1),
            },
        },
        # A batch is trained on in a quarter of a second and answered in half a second.
        "seconds": {"data": 100.0, "fit": 1.5, "test": 1.0},
        "parameters": {"total": 43, "trainable": 15},
        "provenance": {
            "model": "a table of replies",
            "tokenizer": "none",
            "data": "written by hand",
            "torchvision": version("torchvision"),
        },
        "images": {"scaled": 1, "padded": 2, "skipped": 0},
        "tested": "the last checkpoint, of epoch 2",
    }


def test_every_line_of_the_results_page(known: Known) -> None:
    assert known.folder.results_page.read_text().splitlines() == [
        "# known",
        "",
        "**50.00** on 12 questions (1 answers unreadable, 1 read by a weak form), 95 % interval 0.0 to "
        "100.0, clustered by image.",
        "Tested: the last checkpoint, of epoch 2.",
        "",
        "| | score | 95 % interval | n |",
        "|---|---|---|---|",
        "| **this model** (official) | 50.00 | 0.0 to 100.0 | 12 |",
        "| baseline: majority | 58.33 | - | 12 |",
        "| baseline: blind | 41.67 | 25.0 to 50.0 | 12 |",
        "",
        "| task | score | 95 % interval | n |",
        "|---|---|---|---|",
        "| left_right | 33.33 | 0.0 to 100.0 | 3 |",
        "| mcq | 66.67 | 0.0 to 100.0 | 3 |",
        "| distance | 33.33 | 0.0 to 100.0 | 3 |",
        "| count | 66.67 | 0.0 to 100.0 | 3 |",
        "",
        f"Parameters: 43, of which 15 trained. Seconds: data 100, fit 2, test 1. Seed 4, commit {commit()}.",
        "Provenance: model a table of replies; tokenizer none; data written by hand; torchvision "
        f"{version('torchvision')}.",
        "Images: 1 scaled down to fit into maximum_tokens, 2 padded because their sides are too unequal for "
        "the model.",
        "",
        f"    {TYPED}",
    ]


def kept() -> list[tuple[Any, ...]]:
    """The answers of the gallery: by task, first the wrong ones, not more than two of a kind."""
    by_task = sorted({task for _, task, *_ in ANSWERED})
    return [
        answered
        for task in by_task
        for right in (False, True)
        for answered in [each for each in ANSWERED if (each[1], each[5]) == (task, right)][:2]
    ]


def test_every_entry_of_the_gallery(known: Known) -> None:
    assert known.gallery == [
        {
            "image": f"{number:03d}.jpg",
            "task": task,
            "question": question,
            "choices": [],
            "truth": truth,
            "prediction": prediction,
            "raw": raw,
            "correct": correct,
            "source": "by hand",
            "id": f"{image}-{task}",
        }
        for number, (image, task, question, truth, prediction, correct, raw, _) in enumerate(kept())
    ]


def test_every_image_of_the_gallery_is_its_questions(known: Known) -> None:
    """In the folder, and in the page beside the question."""
    page = known.folder.report.read_text()
    inlined = re.findall(r'src="data:image/jpeg;base64,([^"]+)" alt="([^":]+):', page)
    assert len(inlined) == len(known.gallery) == 12
    for entry, (content, name) in zip(known.gallery, inlined, strict=True):
        assert name == entry["id"]
        colour = COLOURS[entry["id"].rpartition("-")[0]]
        file = known.folder.gallery / entry["image"]
        for source in (file, io.BytesIO(base64.b64decode(content))):
            with Image.open(source) as image:
                assert image.size == (560, 420)
                assert image.getpixel((500, 400)) == pytest.approx(colour, abs=6)


def histogram(task: str) -> list[str]:
    """The table of a task's answers: how often each is true, and how often it was given."""
    of_task = [(truth, given or "unreadable") for _, name, _, truth, given, *_ in ANSWERED if name == task]
    answers = sorted({answer for pair in of_task for answer in pair})
    counted = (
        (
            answer,
            str([true for true, _ in of_task].count(answer)),
            str([got for _, got in of_task].count(answer)),
        )
        for answer in answers
    )
    return [task, "true", "answered", *(text for row in counted for text in row)]


def test_every_text_of_the_report(known: Known) -> None:
    def shown(answered: tuple[Any, ...]) -> list[str]:
        _, task, question, truth, prediction, correct, raw, _ = answered
        before, mask, behind = question.partition("<mask>")
        read = prediction if prediction is not None else f"unreadable: {raw}"
        words = [before.strip(), "0", behind] if mask else [question]
        return [f"{task} · by hand", *words, "✓" if correct else "✗", read, "truth", truth]

    card = known.folder.read_card()
    assert page_texts(known.folder.report.read_text()) == [
        *("known · SmallSpatial", "known", "Is it known?"),
        *("data", "your own", "dataset", "KnownData", "views", "Urged", "model", "KnownAnswers"),
        *("size of the run", "full"),
        *("50.00", "/ 100 (official)", "95 % interval 0.0 to 100.0, clustered by image"),
        "12 questions, 1 unreadable answer",
        *("1 read by a form that a person may read otherwise (", "read_by"),
        "in predictions.jsonl: framed, stated, compared, named)",
        "tested: the last checkpoint, of epoch 2",
        *("By task", "task", "score", "95 % interval", "majority", "blind", "n"),
        *("left_right", "33.33", "0.0 to 100.0", "66.67", "66.67", "3"),
        *("mcq", "66.67", "0.0 to 100.0", "33.33", "0.00", "3"),
        *("distance", "33.33", "0.0 to 100.0", "66.67", "66.67", "3"),
        *("count", "66.67", "0.0 to 100.0", "66.67", "33.33", "3"),
        "What is true, and what it answers",
        *(text for task in sorted({task for _, task, *_ in ANSWERED}) for text in histogram(task)),
        "Of tasks with few answers. A model that prefers an answer gives it more often than it is true.",
        *("Over the training", "Questions and answers"),
        *(text for answered in kept() for text in shown(answered)),
        *("The run", "parameters", "43 in all, 15 trained", "seconds", "data 100, fit 2, test 1"),
        *("model", "a table of replies", "tokenizer", "none", "data", "written by hand"),
        *("torchvision", version("torchvision"), "command", card["command"], "seed", "4"),
        *("commit", card["commit"], "started", card["started"], "machine", card["machine"]),
        "versions",
        ", ".join(f"{package} {number}" for package, number in card["versions"].items()),
        "the whole configuration",
    ]


def test_the_reports_drawings(known: Known) -> None:
    """The strip from 14 to 546 pixels; bars as wide as their scores are."""
    page = known.folder.report.read_text()
    strip = page.partition('<svg class="strip"')[2].partition("</svg>")[0]
    places = {"majority": 14 + 532 * 175 / 300, "blind": 14 + 532 * 125 / 300}
    lines = [float(x) for x in re.findall(r'<line x1="([\d.]+)"', strip)]
    assert lines == pytest.approx(sorted(places.values()), abs=0.06)
    names = re.findall(r">(majority|blind) ([\d.]+)</text>", strip)
    assert names == [("blind", "41.7"), ("majority", "58.3")]
    assert re.findall(r'class="tick">(\d+)<', strip) == ["0", "25", "50", "75", "100"]
    ticks = [float(x) for x in re.findall(r'<text x="([\d.]+)" y="70" class="tick"', strip)]
    assert ticks == pytest.approx([14, 147, 280, 413, 546])
    interval = re.search(r'<rect x="([\d.]+)" y="39" width="([\d.]+)"', strip)
    assert interval and [float(x) for x in interval.groups()] == pytest.approx([14, 532])
    assert re.findall(r'<circle cx="([\d.]+)"', strip) == ["280.0"]
    widths = [float(width) for width in re.findall(r'class="value" style="width:([\d.]+)%"', page)]
    assert widths == pytest.approx([100 / 3, 200 / 3, 100 / 3, 200 / 3])
    assert re.findall(r'class="range" style="left:([\d.]+)%;width:([\d.]+)%"', page) == [("0.0", "100.0")] * 4


def test_everything_that_is_remembered_of_the_start(known: Known) -> None:
    card = known.folder.read_card()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", card.pop("started"))
    assert re.fullmatch(r"\d+ cores, .+", card.pop("machine"))
    assert card == {
        "name": "known",
        "comment": "Is it known?",
        "command": TYPED,
        "allowed": ["tests.helpers"],
        "number": 1,
        "subcommand": "experiment",
        "seed": 4,
        "data_seed": 4,
        "commit": commit(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": version("torchvision"),
            "lightning": version("lightning"),
        },
        "steps": 6,
    }


def test_every_row_of_the_start_card(known: Known) -> None:
    rows = [line.strip("│ ") for line in known.said.splitlines() if line.startswith("│")]
    assert {row.split()[0]: " ".join(row.split()[1:]) for row in rows} == {
        "model": "KnownAnswers, 43 parameters: 15 trainable, 28 frozen",
        "data": "KnownData, 24 questions on 6 images, 3 batches an epoch, 2 epochs",
        "step": "up to 8 questions on 2 images at once",
        "tested": "the last checkpoint",
        "device": "1 x cpu, precision 32-true",
        "seed": "4",
        "commit": commit(),
        "logs": "MetricsTable",
        "allow": "tests.helpers",
        "folder": str(known.folder.path),
    }
    assert re.findall("╭─ (.*?) ─", known.said) == ["known"]


def test_every_line_that_is_said_meanwhile_and_at_the_end(known: Known) -> None:
    behind = known.said.partition("╯")[2]
    lines = [re.sub(r"memory \d+\.\d GB", "memory", line) for line in behind.splitlines() if line]
    lines = [line for line in lines if not line.startswith(("GPU", "TPU"))]
    assert lines == [
        f"To go on after an interruption: python -m experiments.run experiment --resume {known.folder.path} "
        "--allow tests.helpers",
        "epoch 1/2, batch 1/3  train/loss 3  questions/s 32  memory",
        "epoch 2/2, batch 3/3  train/loss 3  val/loss 3  val/score 100  questions/s 32  memory",
        "test, batch 2/2  questions/s 12  memory",
        "1 images were scaled down to the model's window.",
        "2 images were padded.",
        "blind baseline: epoch 1/2, batch 1/1  train/loss 3  questions/s 32  memory",
        "blind baseline: epoch 2/2, batch 1/1  train/loss 3  val/loss 3  val/score 100  questions/s 32  "
        "memory",
        "blind baseline: test, batch 2/2  questions/s 12  memory",
        "1 images were scaled down to the model's window.",
        "2 images were padded.",
        "Score 50.00 on 12 questions, majority 58.33, blind 41.67.",
        f"Report: {known.folder.report}",
        f"Next: python -m experiments.run audit --run {known.folder.path} --allow tests.helpers",
        "tells whether it understands or guesses: the same test, each time with one thing changed.",
        f"Next: python -m experiments.run predict -c {known.folder.config} --ckpt_path "
        f"{known.folder.checkpoint} --data OwnImages --data.root FOLDER --allow tests.helpers",
        "answers the questions of FOLDER/questions.csv (columns image, question; see the README) about your "
        "own images.",
    ]


def test_the_blind_model_is_another_one_that_never_sees(known: Known) -> None:
    """It is asked the same questions through the same views, and trained on a third of the images."""
    seeing, blind = known.models
    assert torch.equal(seeing.begins, blind.begins), "the run's seed is that of both"
    for model, sees, images in ((seeing, True, 6), (blind, False, 2)):
        seen = Counter(sample.id for sample in model.trained_on)
        assert set(seen.values()) == {2}, "once an epoch"
        assert len(seen) == 4 * images
        assert [sample.id for sample in model.tested_on] == [f"{i}-{task}" for i, task, *_ in ANSWERED]
        for sample in (*model.trained_on, *model.tested_on):
            assert (sample.image is not None) == sees
            assert bool(sample.regions) == (sees and sample.task == "mcq")
            assert sample.question.endswith(" Look!")


def test_the_blind_model_gets_a_third_of_what_the_experiment_trains_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of half of the six images it gets one, and one of those that the seeing model has seen."""
    for variable in SETTINGS_OF_THE_CALLER:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(KnownAnswers, "made", [])
    Path("half.yaml").write_text(yaml.safe_dump(experiment(name="half")))
    run("experiment", "-c", "half.yaml", "--baselines.blind=true", "--data.training_fraction=0.5")
    seeing, blind = ({sample.group for sample in model.trained_on} for model in KnownAnswers.made)
    assert (len(seeing), len(blind)) == (3, 1)
    assert blind < seeing


def test_the_files_that_it_leaves(known: Known) -> None:
    assert {path.name for path in known.folder.path.iterdir()} == {
        *("config.yaml", "metrics.csv", "predictions.jsonl", "results.json", "results.md", "report.html"),
        *("checkpoints", "gallery", "run.json", ".lock"),
    }
    assert {path.name for path in known.folder.gallery.iterdir()} == {
        "gallery.json",
        *(f"{number:03d}.jpg" for number in range(12)),
    }
