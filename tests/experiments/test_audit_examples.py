"""The audit of solved examples: who copies them is found, who does not need them is cleared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamodules.in_context import InContext
from datamodules.samples import AnswerType, ImageFile, SpatialSample
from datamodules.scoring.choice_metrics import CvBenchMetric
from datamodules.views import Grayscale
from experiments.audits.asking import Questioner
from experiments.audits.auditing import Auditing, Result
from experiments.audits.passes import audits_named
from experiments.run_folders.run_folder import RunFolder
from tests.helpers.cheats import Cheat, CopiesTheLastExample, Knows
from tests.helpers.listed_data import ListedData

KINDS = ("chair", "lamp", "table", "sofa", "shelf", "plant", "bench", "crate")


class Rooms(ListedData):
    def metric(self, stage: str = "test") -> CvBenchMetric:  # type: ignore[override]
        return CvBenchMetric()


def rooms(folder: Path, images: int, first: int = 0) -> list[SpatialSample]:
    """Questions of which the words decide on the answer: those that are asked alike are answered alike."""
    random = np.random.default_rng(first)
    samples = []
    for number in range(first, first + images):
        file, pixels = folder / f"{number}.png", random.integers(140, 256, (12, 16, 3), dtype=np.uint8)
        if not file.exists():
            Image.fromarray(pixels).save(file)
        kind = KINDS[number % len(KINDS)]
        samples.append(
            SpatialSample(
                id=f"room {number}",
                question=f"Where is the {kind}?",
                image=ImageFile(file),
                choices=("at the door", "in a corner", "by the wall", "in the middle"),
                answer="ABCD"[KINDS.index(kind) % 4],
                answer_type=AnswerType.LETTER,
                task="Relation",
                source="ADE20K",
                group=f"{number}.png",
            )
        )
    return samples


def audited(model: Cheat, folder: Path, *names: str, examples: bool = True) -> tuple[Result, list[str]]:
    said: list[str] = []
    pool = ListedData(rooms(folder, 24, first=1_000))
    views: list[Any] = [InContext(pool, k=2, cache=str(folder / "cache"))] if examples else []
    data = Rooms(rooms(folder, 64), views=[*views, Grayscale()], batch_size=16)
    trainer = {"accelerator": "cpu", "devices": 1}
    questioner = Questioner(model, data, folder / "audit", "test", trainer)
    auditing = Auditing(questioner, RunFolder(folder), {"name": "test"})
    return auditing.audit(audits_named(names or ["examples"]), said=said.append), said


def test_who_copies_the_last_example_is_found(tmp_path: Path) -> None:
    result, said = audited(CopiesTheLastExample(), tmp_path)
    passes = result["audits"]["examples"]["passes"]
    assert result["base"]["score"] == 100, "the nearest example asks the same"
    assert passes["no_examples"]["after"]["score"] == 25
    assert "copied" not in passes["no_examples"]
    for name in ("random_examples", "fixed_examples", "shuffled_answers"):
        assert passes[name]["copied"]["score"] == 100
        assert passes[name]["after"]["score"] == passes[name]["last_correct"]["score"] < 60
    for name in ("examples_in_gray", "examples_without_pictures"):
        assert passes[name]["after"]["score"] == 100
    assert "Of 100.0 behind its own examples it keeps 25.0 with no examples, " in " ".join(result["in_short"])
    assert len(said) == 6
    assert "With no examples 25.0 [" in said[0] and "of 100.0 are left" in said[0]
    assert "The last example's answer is given to 100.0 % [" in said[1]
    assert said[4].endswith("of the questions, and right for 100.0 %.")
    assert "so that nothing shows that it uses them so" in said[4]


def test_who_knows_needs_no_examples(tmp_path: Path) -> None:
    result, _ = audited(Knows(), tmp_path)
    for each in result["audits"]["examples"]["passes"].values():
        assert each["after"]["score"] == 100 and each["answers_changed"] == 0
    shuffled = result["audits"]["examples"]["passes"]["shuffled_answers"]
    assert shuffled["copied"]["score"] == shuffled["last_correct"]["score"] < 60


def test_other_audits_act_behind_the_examples(tmp_path: Path) -> None:
    """Pictures are taken from the examples as well, after these were chosen."""
    result, _ = audited(CopiesTheLastExample(), tmp_path, "blindfolded", "mirrored", "rotated_choices")
    blind = result["audits"]["blindfolded"]["passes"]
    assert {each["after"]["score"] for each in blind.values()} == {100.0}
    assert "error" not in result["audits"]["blindfolded"]
    # The choices of the question move, those of its examples do not.
    assert result["audits"]["rotated_choices"]["passes"]["rotated_1"]["after"]["score"] == 0


def test_without_examples_there_is_nothing_to_ask(tmp_path: Path) -> None:
    result, said = audited(Knows(), tmp_path, examples=False)
    assert result["audits"]["examples"]["error"].startswith(
        "The questions of this run are asked without exam"
    )
    assert len(said) == 1


def test_answers_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = audited(CopiesTheLastExample(), tmp_path)
    monkeypatch.setattr(Questioner, "_ask_anew", lambda *_: pytest.fail("they were asked before"))
    again, _ = audited(CopiesTheLastExample(), tmp_path)
    assert again["audits"] == first["audits"]
