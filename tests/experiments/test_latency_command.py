"""`make latency`: from a run's folder to figures and page, and what cannot be measured is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from markupsafe import escape

from experiments.commands.latency import main
from experiments.latency.asking import Timing
from experiments.latency.figures import FEWEST_FOR_P95, figure, refused, row
from experiments.latency.kept import kept
from experiments.latency.measuring import Timings
from experiments.latency.notes import EXAMPLES_CHOSEN_BEFORE, busy, notes
from experiments.run_folders.alone import alone_in
from experiments.run_folders.run_folder import RunFolder
from lightning_modules.answering_parts import PromptTokens
from tests.helpers.plain_halves import PlainModule

PLAIN = "tests.helpers.plain_halves.PlainModule"
ALLOWED = ["--allow", "tests.helpers"]


def latency(*typed: str) -> dict[str, Any]:
    main([*typed, *ALLOWED])
    result: dict[str, Any] = json.loads(Path("runs/stub/latest/latency/latency.json").read_text())
    return result


def test_a_run_is_measured_by_its_name_and_keeps_its_place(
    trained: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.path.rglob("*") if path.is_file()}
    result = latency("--run", "stub", "--questions", "60")
    said = capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert Path("runs/stub/latest").resolve() == trained.path.resolve()
    assert {path.name for path in (trained.path / "latency").iterdir()} == {
        *(".lock", "latency.json", "latency.html")
    }
    # The test has 22 questions, and the stub does not tell its parts.
    assert result["questions_of_test"] == result["over_the_set"]["n"] == 22
    assert result["one_question"]["n"] == result["of"]["questions"] == 60
    assert result["stages"] == ["decode", "preprocess", "answer"] and result["divided"] is False
    assert result["one_question"]["p95_refused"] is None
    assert result["one_question"]["rows"]["end_to_end"]["p95"] > 0
    assert result["over_the_set"]["rows"]["end_to_end"]["p95"] is None
    assert "no p95 of 22 timings" in result["over_the_set"]["p95_refused"]
    assert result["images_shared"] is False and "asked alone" in result["images_shared_why"]
    assert result["answering"] is None
    machine = result["machine"]
    assert machine["threads"] >= 1 and machine["precision"] == "32-true" and machine["dtype"] == "float32"
    assert set(machine["versions"]) == {"python", "torch", "torchvision", "transformers", "pillow"}
    assert len(machine["load_before"]) == len(machine["load_after"]) == 3
    assert result["memory"]["peak_gb"] > 0.1 and "resident" in result["memory"]["of"]
    for timing in result["over_the_set"]["timings"]:
        assert sum(timing[stage] for stage in result["stages"]) == pytest.approx(timing["end_to_end"])
    page = (trained.path / "latency/latency.html").read_text()
    assert result["busy"] == busy(machine)
    assert (result["busy"] or "") in page and (result["busy"] or "") in said
    for text in (said, page):
        assert "The same question 60 times" in text and "no p95 of 22 timings" in text
    assert all(str(escape(sentence)) in page for sentence in result["notes"])
    assert page.count("<svg") == 2 and "http" not in page
    assert "one question: answer 60 of 60" in said
    assert said.rstrip().endswith(f"Page: {trained.path / 'latency' / 'latency.html'}")


def test_what_was_measured_is_known_again(trained: RunFolder) -> None:
    assert kept(trained, 2) is None
    result = latency("--run", str(trained.path), "--questions", "2")
    assert kept(trained, 2) == result
    assert kept(trained, 3) is None
    trained.checkpoint.write_bytes(trained.checkpoint.read_bytes() + b" ")
    assert kept(trained, 2) is None
    (trained.path / "latency" / "latency.json").write_text("{")
    assert kept(trained, 2) is None


def test_what_cannot_be_measured_is_said(
    trained: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused_with(*typed: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*typed, *ALLOWED])
        assert ended.value.code == 1
        said = capsys.readouterr().err.strip()
        sentence, how = said.splitlines()
        assert how == "(TRACEBACK=1 shows where it was raised.)"
        return sentence

    assert "There is no run of 'nothing'" in refused_with("--run", "nothing")
    for number in ("0", "-3"):
        assert f"is {number}, but must be at least 1" in refused_with(
            "--run", "stub", f"--questions={number}"
        )
    with alone_in(RunFolder(trained.path / "latency")):
        assert "another run is at work" in refused_with("--run", "stub")
    config = yaml.safe_load(trained.config.read_text())
    whole = trained.checkpoint.read_bytes()
    # Its own module, in the place of the stub's.
    trained.config.write_text(yaml.safe_dump({**config, "model": {"class_path": PLAIN}}))
    torch.save({"state_dict": PlainModule().state_dict()}, trained.checkpoint)
    assert "no SpatialModule" in refused_with("--run", str(trained.path))
    trained.config.write_text(yaml.safe_dump(config))
    trained.checkpoint.write_bytes(whole)
    trained.checkpoint.unlink()
    assert "nothing was trained" in refused_with("--run", str(trained.path))
    trained.results.unlink()
    assert "was not tested" in refused_with("--run", str(trained.path))
    assert "invalid int value: 'many'" in refused_with("--run", "stub", "--questions", "many")


def test_no_p95_is_given_of_fewer_than_60() -> None:
    seconds = [float(number) for number in range(1, 61)]
    assert row(seconds)["p95"] == 57 and row(seconds)["p95_interval"] == (52, 60)
    assert row(seconds[:59])["p95"] is row(seconds[:59])["p95_interval"] is None
    assert row(seconds[:59])["p50"] == 30
    assert row([2.0]) == {"mean": 2, "p50": 2, "p50_interval": None, "p95": None, "p95_interval": None}
    assert refused(FEWEST_FOR_P95) is None
    assert "no p95 of 59 timings: with fewer than 59" in str(refused(59))


def test_a_machine_that_others_use_is_said_to_be_busy() -> None:
    assert busy({"load_before": [0.9, 3.0, 3.0], "cores": 2}) is None
    assert busy({"load_before": None, "cores": 2}) is None
    said = str(busy({"load_before": [4.7, 0.0, 0.0], "cores": 2}))
    assert "a load average of 4.7 on 2 cores" in said


def test_it_is_said_that_examples_were_found_before(trained: RunFolder) -> None:
    result = latency("--run", "stub", "--questions", "1")
    assert EXAMPLES_CHOSEN_BEFORE not in result["notes"]
    result["over_the_set"]["examples"]["most"] = 3
    assert EXAMPLES_CHOSEN_BEFORE in notes(result)


def test_figures_are_counted_by_hand() -> None:
    timings = [
        Timing("a", {"answer": 1.0}, 1.0, PromptTokens(10, 4), 3, 0),
        Timing("b", {"answer": 3.0}, 3.0, PromptTokens(30, 16), None, 2),
    ]
    found = figure(Timings(timings, 2))
    assert found["tokens_in"] == {"mean": 20, "least": 10, "most": 30}
    assert found["image_share"] == 0.5
    assert found["tokens_out"] == {"mean": 3, "least": 3, "most": 3}
    assert found["examples"] == {"mean": 1, "least": 0, "most": 2}
    assert found["rows"]["end_to_end"]["mean"] == 2 and found["rows"]["end_to_end"]["p50"] == 1
    assert found["timings"][1] == {"question": "b", "answer": 3.0, "end_to_end": 3.0}
