"""Runs with solved examples before each question, at the tiny size and on copies in the official layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.run_folders.run_folder import RunFolder
from tests.helpers import omni_spatial_files
from tests.helpers.cli_in_process import run
from tests.helpers.omni_spatial_files import write_omni_spatial
from tests.helpers.parquet_files import space_thinker_row, write_space_thinker

SMALL = (
    "--data.init_args.size=[96,64]",
    '--data.init_args.scenes={"train":8,"val":1,"test":3}',
    "--model.init_args.maximum_new_tokens=2",
    "--baselines={chance: false, majority: false, words: false}",
)


def lines(folder: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in folder.predictions.read_text().splitlines()]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_row_says_which_examples_were_shown_and_what_they_give_away(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = run("experiment", "-c", "distillation/icl_mcq_k3", "--scale=tiny", *SMALL)
    results = json.loads(folder.results.read_text())
    table = results["in_context"]
    assert next(iter(table)) == "asked with 3" and table["asked with 3"]["score"] == 100
    answered = lines(folder)
    assert results["n"] == len(answered) and all(len(line["examples"]) == 3 for line in answered)
    assert all(set(line["example_answers"]) <= set("ABCD") for line in answered)
    voted = 100 * sum(line["vote_correct"] for line in answered) / len(answered)
    vote = results["baselines"]["vote of the examples"]
    assert vote["score"] == table["vote of the examples"]["score"] == pytest.approx(voted)
    assert results["official"] is not None, "the last line is asked for in the official form"
    assert "with examples of rendered space-thinker" in results["provenance"]["data"]
    said = capsys.readouterr().out
    assert "vote of the examples" in said
    assert f"audit --run {folder.path}" in said, "a model that is asked as it begins can be audited"
    assert "InContext (3, nearest, multiple_choice)" in folder.report.read_text()
    assert "| in context | score |" in folder.results_page.read_text()


def test_what_does_not_fit_is_counted_and_what_never_fits_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.warns(UserWarning, match=r"None of the 3 examples before question .* raise maximum_tokens"):
        folder = run(
            *("experiment", "-c", "distillation/icl_mcq_k3", "--scale=tiny", *SMALL),
            "--model.init_args.maximum_tokens=130",
            "--model.init_args.image_tokens=null",
        )
    results = json.loads(folder.results.read_text())
    shares = {name: line["score"] for name, line in results["in_context"].items() if name.startswith("asked")}
    assert sum(shares.values()) == pytest.approx(100) and shares["asked with 0"] > 0
    assert {len(line["examples"]) for line in lines(folder)} == {int(name.split()[-1]) for name in shares}
    never = "No question was asked with an example, since none ever fit"
    assert (never in capsys.readouterr().out) == (shares["asked with 0"] == 100)


def test_a_row_runs_on_copies_in_the_official_layouts(tmp_path: Path) -> None:
    rows = [space_thinker_row(number) for number in range(12)]
    write_space_thinker(tmp_path / "space_thinker/data/train-00000-of-00001.parquet", rows)
    write_omni_spatial(tmp_path / "omni_spatial", [omni_spatial_files.row(number) for number in range(8)])
    folder = run(
        *("experiment", "-c", "distillation/icl_naive_k3", "--data.init_args.root", str(tmp_path)),
        *(
            "--model.init_args.random_weights=true",
            "--trainer.accelerator=cpu",
            "--data.init_args.num_workers=0",
        ),
        *SMALL[2:],
    )
    assert [len(line["examples"]) for line in lines(folder)] == [3] * 8
    assert {name for line in lines(folder) for name in line["examples"]} <= {str(n) for n in range(12)}
