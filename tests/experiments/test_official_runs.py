"""A run's official score: there where the run was asked for the official form, else null with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer

from datamodules.omni_spatial import OmniSpatial
from datamodules.samples import Answer
from experiments.callbacks.predictions import PredictionsWriter
from experiments.commands.score import SCORERS
from experiments.experiment_files.registry import experiment_file, read_yaml
from experiments.report.results import collect
from experiments.run_folders.run_folder import RunFolder
from lightning_modules.vlm.prompt_template import Prompt
from lightning_modules.vlm.sft import PeftSft
from lightning_modules.vlm.tiny_models import TinySize
from tests.helpers.omni_spatial_files import row, write_omni_spatial

OFFICIAL = Prompt(**read_yaml(experiment_file("distillation/qwen_3b_base"))["model"]["init_args"]["prompt"])


class Writing(PeftSft):
    """A model that writes what it is told to."""

    written = "It stands left. Answer: B"

    def answer(self, batch: Any) -> list[Answer]:
        answers = super().answer(batch)
        return [
            Answer(answer.sample, self.written, answer.asked) if answer.asked else answer
            for answer in answers
        ]


@pytest.mark.parametrize(
    ("prompt", "answering", "official"),
    [
        (OFFICIAL, "generate", 25.0),
        (OFFICIAL, "rank", None),
        (OFFICIAL, "reason_then_rank", None),
        (None, "generate", None),
    ],
    ids=["asked for the form", "asked, but ranked", "asked, but ranked in the end", "asked for a letter"],
)
def test_official_is_null_unless_the_run_was_asked_for_the_form(
    tmp_path: Path, prompt: Prompt | None, answering: Any, official: float | None
) -> None:
    """And `make score` says the same of the run's predictions."""
    torch.manual_seed(0)
    truth = write_omni_spatial(tmp_path / "omni", [row(number) for number in range(8)])
    size = TinySize(width=64, layers=2, vision_layers=2)
    module = Writing(
        "smolvlm_500m", True, answering=answering, prompt=prompt, maximum_new_tokens=1, tiny_size=size
    )
    run = RunFolder(tmp_path / "run")
    trainer = Trainer(
        default_root_dir=run.path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[PredictionsWriter()],
    )
    trainer.test(module, OmniSpatial(root=str(truth), batch_size=4, num_workers=0), verbose=False)
    assert module.summary is not None
    results = collect(module.summary, {}, {}, (1, 1))
    assert results["ours"] == {key: results[key] for key in ("score", "n", "interval")}
    if official is None:
        assert results["official"] is None
        assert results["official_reason"].endswith("set `answering: generate`.")
    else:
        assert results["official"]["score"] == official
        assert "official_reason" not in results
    scored = SCORERS["omni_spatial"](truth, run.predictions)
    assert scored["official"] == results["official"]
    assert scored["score"] == results["score"]
    lines = [json.loads(line) for line in run.predictions.read_text().splitlines()]
    assert all(("asked" in line) == (answering == "generate") for line in lines)
    # The model's own text stands beside the letter that was taken after it, and is not read.
    reasoned = answering == "reason_then_rank"
    assert all(("reasoning" in line) == reasoned for line in lines)
    if reasoned:
        assert results["unreadable"] == 0
        assert all(line["raw"] == line["prediction"] and line["raw"] in "ABCD" for line in lines)
        assert all(line["reasoning"].endswith("Answer: ") for line in lines)
