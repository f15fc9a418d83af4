"""The header commands of experiment files with `DATA=hub`, against a server that plays the hub.

Models are saved tiny random models under the names that the zoo asks for; data are small copies in the
official layouts, with the official splits. All commands run in one process, since starting one takes longer
than they do.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import timm
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

from datamodules.hub.whole_copies import COPY
from experiments.commands.fetch import DATASETS
from experiments.commands.matrix_trials import chosen_trials, whole
from experiments.experiment_files.registry import find_experiment, opening_comment
from experiments.run_folders.loggers import read_rows
from lightning_modules.vlm.chat_templates import CHATML
from lightning_modules.vlm.tiny_models import TinySize, make_tiny_model
from lightning_modules.vlm.zoo import ZOO
from tests.helpers import omni_spatial_files
from tests.helpers.commands import environment
from tests.helpers.composed_models import small_llama
from tests.helpers.hub_server import LoopbackHub
from tests.helpers.omni_spatial_files import write_omni_spatial
from tests.helpers.parquet_files import (
    cv_bench_row,
    space_thinker_row,
    write_cv_bench,
    write_space_thinker,
)
from tests.helpers.track3_files import write_dataset

SMALL = TinySize(width=64, layers=1, vision_layers=1, image_size=56)
SOME = [
    "small_vlm/smolvlm_500m_zero_shot",
    "distillation/qwen_3b_sft",
    "warehouse/tinygiant_64m",
]
"""One for each benchmark."""
RUN_ALL = """
import json, sys
from experiments.experiment_files.config_files import compose
from experiments.errors.plain_errors import plain_errors
from experiments.errors.libraries import quiet_libraries
with plain_errors():
    quiet_libraries()
    from experiments.command_line.cli import SpatialCLI
    for arguments in json.loads(sys.argv[1]):
        SpatialCLI(compose(arguments))
"""


def on_the_hub() -> list[str]:
    """The experiments whose header command takes real data, each after the one that makes its teacher."""
    return [
        trial.experiment
        for trial in chosen_trials()
        if trial.precision is None
        and re.search(r"^Run: .* DATA=", opening_comment(find_experiment(trial.experiment)), re.MULTILINE)
    ]


def typed(name: str) -> list[str]:
    """The header command of an experiment, and what makes it short."""
    settings = whole(name)
    model = settings["model"]["init_args"]
    options = [
        *("--data.init_args.root=hub", "--data.init_args.num_workers=0", "--data.init_args.batch_size=2"),
        "--data.init_args.scenes={train: 4, val: 2, test: 2}",
        *("--trainer.accelerator=cpu", "--trainer.limit_test_batches=1", "--trainer.limit_val_batches=0"),
        "--trainer.log_every_n_steps=1",
    ]
    if is_fitted(name):
        options.append("--trainer.max_steps=1")
    if "network" not in model:
        options.append("--model.init_args.maximum_new_tokens=4")
    if "experts" in model.get("network", {}):
        options.append("--model.init_args.network.experts=4")
    if isinstance(model.get("model"), dict):
        options.append("--model.init_args.model.language_weights=hub")
    return ["experiment", "-c", name, *options]


def is_fitted(name: str) -> bool:
    return bool(whole(name)["model"]["init_args"].get("adapter", {}).get("method") != "none")


def said(folder: Path, **splits: int) -> Path:
    """Note in a copy how many questions its splits hold."""
    counts: dict[str, Any] = {
        name: {"questions": number, "images": None, "categories": {}} for name, number in splits.items()
    }
    (folder / COPY).write_text(json.dumps({"splits": counts}))
    return folder


def publish_data(hub: LoopbackHub, folder: Path) -> dict[str, str]:
    """Small copies of all benchmarks; returns their commits."""
    cv_bench = folder / "cv_bench"
    write_cv_bench(cv_bench / "test_2d.parquet", [cv_bench_row(number) for number in range(2)])
    write_cv_bench(cv_bench / "test_3d.parquet", [cv_bench_row(number, type="3D") for number in range(2)])
    thinker = folder / "space_thinker"
    for split in ("train", "test"):
        rows = [space_thinker_row(number) for number in range(3)]
        write_space_thinker(thinker / f"data/{split}-00000-of-00001.parquet", rows)
    omni, track3 = folder / "omni_spatial", folder / "ai_city_track3"
    unpacked = write_omni_spatial(
        folder / "unpacked", [omni_spatial_files.row(number) for number in range(4)]
    )
    omni.mkdir()
    with zipfile.ZipFile(omni / "OmniSpatial-test.zip", "w") as packed:
        for file in sorted(unpacked.rglob("*.*")):
            packed.write(file, Path("OmniSpatial-test") / file.relative_to(unpacked))
    write_dataset(track3, train=[2, 2])
    for images in (track3 / "train/images", track3 / "train/depths"):
        with tarfile.open(images / "chunk_000.tar.gz", "w:gz") as archive:
            for file in sorted(images.glob("*.png")):
                archive.add(file, file.name)
                file.unlink()
    copies = {
        "cv_bench": said(cv_bench, test=4),
        "space_thinker": said(thinker, train=3, test=3),
        "omni_spatial": said(omni, test=4),
        "ai_city_track3": said(track3, train=4, val=2, test=2),
    }
    return {name: hub.publish(DATASETS[name].repository, copy, "datasets") for name, copy in copies.items()}


def publish_models(hub: LoopbackHub, names: Iterable[str], folder: Path) -> dict[str, str]:
    """Tiny random models in the place of those that experiments name, and their parts; returns commits."""
    commits = {}
    for name in dict.fromkeys(model for experiment in names for model in models_of(experiment)):
        place, repository = folder / name, name
        if name in ZOO:
            repository = ZOO[name].hub
            for part in make_tiny_model(ZOO[name].family_name, size=SMALL):
                part.save_pretrained(place)
        elif "/" in name:
            tokenizer = make_tiny_model("idefics3", size=SMALL)[1].tokenizer
            tokenizer.chat_template = CHATML
            tokenizer.save_pretrained(place)
            LlamaForCausalLM(small_llama(len(tokenizer))).save_pretrained(place)
        else:
            published = timm.get_pretrained_cfg(name)
            assert published is not None and published.hf_hub_id is not None
            repository = published.hf_hub_id
            place.mkdir(parents=True)
            save_file(timm.create_model(name).state_dict(), place / "model.safetensors")
        commits[name] = hub.publish(repository, place)
    return commits


def models_of(experiment: str) -> list[str]:
    """What an experiment loads from the hub: names of the zoo, of a language model, of timm's encoders."""
    settings = whole(experiment)["model"]["init_args"]
    named = [settings.get("model"), settings.get("teacher", {}).get("model")]
    names: list[str] = []
    for model in filter(None, named):
        if isinstance(model, str):
            names.append(model)
            continue
        names.append(model["language_model"])
        if model["encoder_weights"] == "hub":
            names.append(model["encoder"])
    return names


def benchmarks_of(data: dict[str, Any]) -> set[str]:
    """The benchmarks that a datamodule takes from the hub."""
    arguments = data.get("init_args", {})
    if "train" in arguments:
        parts = [*arguments["train"], arguments["evaluation"]]
        return {benchmark for part in parts for benchmark in benchmarks_of(part)}
    if arguments.get("root") == "rendered":
        return set()
    module, _, name = data["class_path"].rpartition(".")
    return {getattr(importlib.import_module(module), name).benchmark}


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [SOME, pytest.param(on_the_hub(), marks=pytest.mark.every_file)], ids=["some", "all"]
)
def test_header_commands_reach_the_first_step_on_what_the_hub_gives(names: list[str], tmp_path: Path) -> None:
    with LoopbackHub() as hub:
        data = publish_data(hub, tmp_path / "data")
        models = publish_models(hub, names, tmp_path / "models")
        place = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
        finished = subprocess.run(
            [sys.executable, "-c", RUN_ALL, json.dumps([typed(name) for name in names])],
            cwd=tmp_path,
            env=environment(**place, XDG_CACHE_HOME=str(tmp_path / "cache")),
            capture_output=True,
            text=True,
            timeout=3600,
        )
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-3000:]
    for name in names:
        run = tmp_path / "runs" / name / "latest"
        results: dict[str, Any] = json.loads((run / "results.json").read_text())
        assert results["n"] > 0
        origins = results["provenance"]
        assert all(models[model] in " ".join(origins.values()) for model in models_of(name)), name
        benchmarks = benchmarks_of(whole(name)["data"])
        assert all(f"{data[benchmark]}" in origins["data"] for benchmark in benchmarks), name
        page = (run / "results.md").read_text()
        assert all(each in page for each in origins.values())
        assert origins["data"] in (run / "report.html").read_text()
        if is_fitted(name):
            assert any(row.get("train/loss") for row in read_rows(run / "metrics.csv")), name
    for folder in ("home", "models"):
        shutil.rmtree(tmp_path / folder)
