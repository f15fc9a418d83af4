"""Published values: one table, which the experiment files, the report and these tests read."""

from __future__ import annotations

import itertools
import re
from functools import cache
from typing import Any

import pytest
from omegaconf import OmegaConf

from datamodules.samples import AnswerType
from experiments.experiment_files.registry import (
    BASE,
    PUBLISHED,
    experiment_file,
    experiment_names,
    opening_comment,
    read_yaml,
    with_ancestors,
)
from experiments.report import published as published_module
from experiments.report.page import experiment_of, paragraph, write_report
from experiments.report.published import SCORE, PublishedValue, published_scores, published_values
from experiments.run_folders.run_folder import RunFolder
from experiments.study.study_file import find_study, read_study
from lightning_modules.vlm.prompt_template import Prompt
from lightning_modules.vlm.prompts import question_text
from tests.helpers.sample_questions import letter_question

README = BASE.parents[1] / "README.md"
ASKED = ("prompt", "answering", "maximum_new_tokens", "maximum_tokens", "image_tokens")
"""The settings that say how a vision-language model is asked."""
OF_EXAMPLES = ("maximum_tokens", "image_tokens")
"""Those of them in which rows with solved examples differ from the others of their table: they need room."""


OF_THE_SOURCES = """
tinygiant: warehouse/tinygiant_64m 66.8861; dense_phase1 25.59; dense_phase2 63.65; dense_both 65.09;
    moe_phase2 68.13; moe_both 72.52
track3_board: - 95.8638; - 91.9735; smolvlm_500m_lora 90.6772; - 73.0606
smolvlm_study: small_vlm/smolvlm_500m_zero_shot 43.18 43.10; smolvlm_500m_lora 42.04;
    smolvlm_500m_lora_choices 46.02; smolvlm_500m_lora_wider_vocabulary 45.11
cv_bench_reports: small_vlm/qwen2_5_vl_3b_zero_shot 69.3 69.6; qwen2_5_vl_7b_zero_shot 73.0;
    paligemma2_3b_zero_shot 52.2; paligemma2_3b_lora 66.8
qwen_study: distillation/qwen_3b_base 43.44; qwen_3b_sft 41.81 48.81/44.33/27.38/41.71;
    qwen_3b_sft_grayscale 42.34; qwen_3b_sft_non_colour 41.68; qwen_3b_sft_grayscale_non_colour 43.17;
    teacher_sft_7b 43.57 46.90/49.00/30.95/43.85; logit_kd 42.40 52.38/42.67/23.81/43.14;
    attention_kd 42.98 49.29/44.00/26.59/45.10; icl_naive_k3 30.59; icl_mcq_k3 43.44 51.19/52.00/23.41/42.07
"""
"""Copied by hand a second time; four values with slashes are those of TASKS."""
TASKS = ("Dynamic_Reasoning", "Spatial_Interaction", "Complex_Logic", "Perspective_Taking")
RUN_HERE: set[str] = set()
"""Experiments whose published row was run here, at its full size and on the real data."""


def of_the_sources() -> set[tuple[str, str, str, float]]:
    """Source, experiment, what, and value."""
    found, folder = set(), "warehouse"
    for line in re.sub(r"\n +", " ", OF_THE_SOURCES).strip().splitlines():
        source, _, rows = line.partition(": ")
        for row in rows.split("; "):
            named, *scores = row.split()
            folder = named.rpartition("/")[0] or folder
            name = "" if named == "-" else f"{folder}/{named.rpartition('/')[2]}"
            for score in scores:
                by_task = [
                    (f"score of {task}", one) for task, one in zip(TASKS, score.split("/"), strict=False)
                ]
                parts = by_task if "/" in score else [("score", score)]
                found |= {(source, name, what, float(one)) for what, one in parts}
    return found


def test_the_table_says_what_the_sources_say() -> None:
    table = read_yaml(PUBLISHED)["values"]
    scores = [entry for entry in table if entry["what"].startswith("score")]
    assert {(e["source"], e["experiment"] or "", e["what"], e["value"]) for e in scores} == of_the_sources()
    assert {entry["experiment"] for entry in table if entry["run_here"]} == RUN_HERE
    rows = [[e["experiment"], e["what"], e["table"]] for e in scores if e["source"] == "tinygiant"]
    assert [row[2].rpartition(" ")[2] for row in rows[1:]] == list("12345")


def comment(name: str) -> dict[str, Any]:
    return {"comment": opening_comment(experiment_file(name))}


@cache
def resolved(name: str) -> Any:
    """An experiment's settings, merged as they lie over each other."""
    files = [read_yaml(path) for path in (BASE, *with_ancestors(experiment_file(name)))]
    layers = [{part: file[part] for part in ("model", "data") if part in file} for file in files]
    trainers = [{"trainer": {**file.get("trainer", {}), "logger": None}} for file in files]
    return OmegaConf.to_container(OmegaConf.merge(*layers, *trainers))


def setting(settings: Any, place: str) -> Any:
    for key in place.split("."):
        settings = settings[key]
    return settings


def beside_published() -> list[str]:
    """The experiments whose file names a published number."""
    folders = ("warehouse/", "small_vlm/", "distillation/")
    return [
        name
        for name in experiment_names()
        if name.startswith(folders) and re.search(r"\d", paragraph(comment(name), "Published:"))
    ]


def numbers(text: str) -> set[float]:
    """The scores that a text names: numbers with decimals."""
    return {float(found) for found in re.findall(r"\d+\.\d+", text)}


def test_the_table_is_whole() -> None:
    values = published_values()
    names = set(experiment_names())
    assert {value.experiment for value in values if value.experiment} <= names
    assert len(values) == len({(value.experiment, value.what, value.table, value.source) for value in values})
    for value in values:
        assert isinstance(value.run_here, bool)
        assert 0 < value.value < 100 or not value.is_score
        assert value.table and value.source
        assert (value.here is None) == (value.why == "")


@pytest.mark.parametrize("name", beside_published())
def test_a_header_names_the_values_of_the_table(name: str) -> None:
    """Its own score is in the header, rounded as there; and no number there is from nowhere."""
    said = numbers(paragraph(comment(name), "Published:"))
    own = {value.value for value in published_scores(name) if value.what == SCORE}
    known = {value.value for value in published_values() if value.is_score}
    known |= {value.value for value in published_values() if value.is_latency and value.experiment == name}
    for value in own:
        assert {value, round(value, 2)} & said, f"{value} stands in the table and not in the file"
    for value in said:
        assert any(value in (one, round(one, 2)) for one in known), f"{value} does not stand in the table"


def test_the_readme_names_the_values_of_the_table() -> None:
    known = {value.value for value in published_values() if value.is_score}
    rows = [line.split("|") for line in README.read_text().splitlines() if line.startswith("| `")]
    said = numbers(" ".join(cells[3] for cells in rows if len(cells) == 5))
    assert len(said) > 15
    for value in said:
        assert any(value in (one, round(one, 2)) for one in known), f"{value} does not stand in the table"


def test_files_without_published_numbers_have_none_in_the_table() -> None:
    assert {value.experiment for value in published_values() if value.experiment} <= set(beside_published())


@pytest.mark.parametrize(
    "value",
    [value for value in published_values() if not value.is_score and not value.is_latency],
    ids=lambda value: f"{value.experiment} {value.what}",
)
def test_settings_are_as_published_or_say_why_not(value: Any) -> None:
    assert value.experiment is not None
    found = setting(resolved(value.experiment), value.what)
    assert found == (value.value if value.here is None else value.here)
    assert value.here != value.value


@pytest.mark.parametrize("name", beside_published())
def test_a_header_says_how_it_is_asked_and_what_differs(name: str) -> None:
    """In numbers that are those of the settings."""
    said, settings = paragraph(comment(name), "Setting:"), resolved(name)
    assert paragraph(comment(name), "Differs:"), "where does it differ from the publication?"
    for word in ("prompt", "image", "token", "batch"):
        assert word in said
    data, model = settings["data"]["init_args"], settings["model"]["init_args"]
    if "network" in model:
        wide, high = model["network"]["image_size"]
        assert f"{wide}x{high}" in said
        assert f"batches of {data['batch_size']} images" in said
        return
    assert f"{data['evaluation_batch_size']} images" in said
    if model["adapter"]["method"] != "none":
        steps = settings["trainer"].get("accumulate_grad_batches") or 1
        assert f"batches of {data['batch_size']} x {steps} to train" in said
    if model["answering"] == "generate":
        assert f"at most {model['maximum_new_tokens']:,} new tokens" in said
    if window := model.get("maximum_tokens"):
        assert f"within {window:,} tokens" in said
    if most := model.get("image_tokens"):
        assert f"images of at most {most} tokens" in said
    own = model["prompt"]["question"] == "{prompt}" and not name.startswith("warehouse/")
    assert ("CV-Bench's own column" in said) == own
    assert ("official last line" in said) == ("Answer: X" in model["prompt"]["ending"]["letter"])


def tables() -> dict[str, list[str]]:
    """The experiments of one table: those that start from one file and are tested on one benchmark."""
    grouped: dict[str, list[str]] = {}
    for name in experiment_names():
        settings = resolved(name)
        data = settings["data"]
        if "prompt" in settings["model"]["init_args"]:
            evaluation = data["init_args"].get("evaluation", data)["class_path"]
            root = with_ancestors(experiment_file(name))[0].stem
            grouped.setdefault(f"{root} on {evaluation.rpartition('.')[2]}", []).append(name)
    return {table: names for table, names in grouped.items() if len(names) > 1}


def test_base_and_fine_tuned_models_of_one_table_are_asked_alike() -> None:
    found = tables()
    study = ["qwen_3b_base", "qwen_3b_sft", "attention_kd"]
    rows = [f"distillation/{name}{way}" for name in study for way in ("", "_reason_then_rank")]
    assert set(rows) <= set(found["qwen_3b_base on OmniSpatial"])
    assert {"small_vlm/smolvlm_500m_zero_shot", "small_vlm/smolvlm_500m_lora"} <= set(
        found["smolvlm_500m_zero_shot on CvBench"]
    )
    for names in found.values():
        asked = {name: resolved(name)["model"]["init_args"] for name in names}
        # Encoders that train a connector from nothing rank: without training they write nothing to be read.
        written = [name for name in names if "encoder_" not in name]
        for first, other in itertools.pairwise(written):
            for key in ASKED:
                if key == "answering" or (key in OF_EXAMPLES and ("/icl_" in first) != ("/icl_" in other)):
                    continue
                assert asked[first].get(key) == asked[other].get(key), (first, other, key)
        # Rows whose answers are ranked after the reasoning stand beside those that are read.
        ranked = [name for name in written if name.endswith("_reason_then_rank")]
        assert len({asked[name]["answering"] for name in written if name not in ranked}) == 1
        for name in ranked:
            assert asked[name]["answering"] == "reason_then_rank"
            beside = resolved(name.removesuffix("_reason_then_rank"))
            beside["model"]["init_args"]["answering"] = "reason_then_rank"
            assert resolved(name) == beside
        for name in names:
            assert asked[name]["prompt"] == asked[names[0]]["prompt"]


def test_every_vision_language_experiment_has_its_words_in_its_file() -> None:
    for name in experiment_names():
        model = resolved(name)["model"]
        if "tiny_giant" not in model["class_path"]:
            assert set(model["init_args"]["prompt"]) - {"reply"} == {
                "system",
                "question",
                "options",
                "ending",
            }


def test_the_tiny_study_asks_in_the_words_that_its_table_was_measured_with() -> None:
    """Those of `Prompt()`: what it says of letters has not moved."""
    study = read_study(find_study("distillation"), "tiny")
    for run in study.runs.values():
        settings = OmegaConf.merge(
            resolved(run.experiment)["model"]["init_args"], run.settings["model"]["init_args"]
        )
        words = Prompt(**{**settings.prompt, "ending": settings.prompt.ending})
        sample = letter_question()
        assert question_text(sample, prompt=words) == question_text(sample)
        assert words.system == "" and not settings.rationale


@pytest.mark.parametrize("name", ["small_vlm/smolvlm_from_scratch", "warehouse/smolvlm_500m_lora"])
def test_words_that_numbers_were_measured_with_have_not_moved(name: str) -> None:
    """Written down in the file, they are what they were as defaults; no record here has words of its own."""
    words = Prompt(**resolved(name)["model"]["init_args"]["prompt"])
    for form in (*AnswerType, None):
        sample = letter_question(answer_type=form, choices=("x", "y") if form == "letter" else ())
        assert question_text(sample, prompt=words) == question_text(sample)
    own = letter_question(prompt="own words")
    assert ("own words" in question_text(own, prompt=words)) == name.startswith("warehouse/")


@pytest.mark.parametrize(
    ("what", "value", "run_here", "said"),
    [
        ("score", 66.8861, False, "66.8861, Title (place), row 1 (never run here)"),
        ("score", 43.1, True, "43.10, Title (place), row 1 (run here)"),
        ("score", 73.0, False, "73.00, Title (place), row 1 (never run here)"),
        ("score of Count", 5.125, False, "score of Count: 5.1250, Title (place), row 1 (never run here)"),
        ("trainer.max_epochs", 3, False, "trainer.max_epochs: 3, Title (place), row 1 (never run here)"),
        ("model.lr", 0.0002, False, "model.lr: 0.0002, Title (place), row 1 (never run here)"),
        ("latency", 9.24, False, "latency: 9.24 s, Title (place), row 1 (never run here)"),
    ],
)
def test_a_published_value_in_a_line(what: str, value: float, run_here: bool, said: str) -> None:
    published = PublishedValue("x", what, value, "Title (place)", "row 1", run_here)
    assert str(published) == said
    assert published.is_score == what.startswith("score")


def test_the_score_of_all_questions_stands_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order of the table; settings are none of the scores, nor are other experiments'."""
    whats = ("score of A", "model.lr", "score of B", "score", "score of C")
    table = [PublishedValue("mine", what, 1.0, "s", "t", False) for what in whats]
    table.insert(0, PublishedValue("other", "score", 2.0, "s", "t", False))
    monkeypatch.setattr(published_module, "published_values", lambda: tuple(table))
    assert [value.what for value in published_scores("mine")] == [
        *("score", "score of A", "score of B", "score of C"),
    ]


def test_the_report_shows_the_rows_of_the_table(tmp_path: Any) -> None:
    folder = RunFolder(tmp_path / "runs/another name/1")
    name = "distillation/logit_kd"
    folder.write_card({"command": "python -m x", **comment(name)})
    folder.config.write_text(
        "name: another name\nscale: full\ndata: {class_path: a.Data}\nmodel: {class_path: a.Model}\n"
    )
    folder.results.write_text(
        '{"score": 1.0, "n": 4, "interval": [0, 2], "unreadable": 0, "tasks": {}, "baselines": {}, '
        '"seconds": {}, "parameters": {"total": 1, "trainable": 1}}'
    )
    assert experiment_of(folder.read_card()) == name
    page = write_report(folder).read_text()
    for row in published_scores(name):
        assert f"{row.value:.2f}, Improving Spatial Reasoning" in page
    assert "(never run here)" in page
    assert "Where this run differs from the publication" in page
    assert experiment_of({}) == ""
