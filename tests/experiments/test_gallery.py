"""Which questions the gallery keeps, and what it shows of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning import LightningModule
from PIL import Image

from datamodules.samples import Answer, AnswerType, ImageFile, OpenedImage, SpatialSample
from datamodules.scoring.metrics import Judgement
from experiments.callbacks import gallery
from experiments.callbacks.gallery import GalleryWriter
from experiments.run_folders.run_folder import RunFolder

FIRST_PROCESS: Any = SimpleNamespace(is_global_zero=True, datamodule=None)
MODULE = LightningModule()


def sample(number: int, image: str, **changes: Any) -> SpatialSample:
    shown = OpenedImage(image, Image.new("RGB", (8, 6), (90, 90, 90)))
    return SpatialSample(f"q{number}", "What?", image=shown, group=image, source="here", **changes)


def kept(folder: Path, batches: list[list[Answer]], trainer: Any = FIRST_PROCESS) -> list[dict[str, Any]]:
    writer = GalleryWriter()
    writer.folder = RunFolder(folder)
    for number, batch in enumerate(batches):
        writer.on_predict_batch_end(trainer, MODULE, batch, {}, number)
    writer.on_predict_end(trainer, MODULE)
    index = folder / "gallery" / "gallery.json"
    return json.loads(index.read_text()) if index.exists() else []


def test_of_what_nobody_judges_eight_of_a_task_are_kept(tmp_path: Path) -> None:
    answers = [Answer(sample(n, f"i{n}", task="ab"[n % 2]), f"says {n}") for n in range(20)]
    entries = kept(tmp_path, [answers[:7], answers[7:]])
    expected = [*range(0, 16, 2), *range(1, 17, 2)]
    assert [entry["id"] for entry in entries] == [f"q{n}" for n in expected]
    assert [entry["prediction"] for entry in entries] == [f"says {n}" for n in expected]
    assert {entry["correct"] for entry in entries} == {entry["truth"] for entry in entries} == {None}
    for entry in entries:
        assert (tmp_path / "gallery" / entry["image"]).is_file()


def test_images_are_different_ones_where_there_are_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two right and two wrong ones of a task; the first question of each image."""
    right = Judgement("x", True)
    wrong = Judgement("y", False)
    monkeypatch.setattr(gallery, "judging_metric", lambda trainer, module: None)
    monkeypatch.setattr(gallery, "judge", lambda metric, answer: right if answer.raw == "x" else wrong)
    said = {"i0": "xxy", "i1": "xyy", "i2": "xxx"}
    asked = [(image, raw) for image, raws in said.items() for raw in raws]
    answers = [Answer(sample(n, image, task="t", answer="x"), raw) for n, (image, raw) in enumerate(asked)]
    entries = kept(tmp_path, [answers])
    assert [(entry["id"], entry["correct"], entry["prediction"]) for entry in entries] == [
        ("q2", False, "y"),
        ("q4", False, "y"),
        ("q0", True, "x"),
        ("q3", True, "x"),
    ]


def test_choices_have_their_letters_and_what_cannot_be_drawn_has_no_image(tmp_path: Path) -> None:
    letters = {"answer_type": AnswerType.LETTER, "answer": "B"}
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"none")
    samples = [
        sample(0, "a", choices=("red", "blue", "green"), **letters),
        sample(1, "b", **letters),  # its choices are drawn in the image
        sample(2, "c").replace(image=None),
        sample(3, "d").replace(image=ImageFile(damaged)),
        sample(4, "e"),
    ]
    entries = kept(tmp_path, [[Answer(each, "B") for each in samples]])
    assert entries[0] == {
        "image": "000.jpg",
        "task": "",
        "question": "What?",
        "choices": ["(A) red", "(B) blue", "(C) green"],
        "truth": "B",
        "prediction": "B",
        "raw": "B",
        "correct": None,
        "source": "here",
        "id": "q0",
    }
    assert [entry["choices"] for entry in entries[1:]] == [[]] * 4
    assert [entry["image"] for entry in entries] == ["000.jpg", "001.jpg", None, None, "004.jpg"]
    assert [entry["truth"] for entry in entries] == ["B", "B", None, None, None]


def test_only_the_first_process_draws(tmp_path: Path) -> None:
    other = SimpleNamespace(is_global_zero=False, datamodule=None)
    assert kept(tmp_path, [[Answer(sample(0, "a"), "B")]], other) == []
    assert not (tmp_path / "gallery").exists()
