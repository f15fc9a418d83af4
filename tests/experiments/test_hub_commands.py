"""The header commands of experiment files with `DATA=hub`, against a server that plays the hub.

Models are saved twins under the names that the zoo asks for; data are small copies in the official layouts,
with the official splits. All commands run in one process, since starting one takes longer than they do.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from datamodules.hub_datasets import DATASETS
from datamodules.official_layout import COPY
from experiments.loggers import read_rows
from lightning_modules.vlm.twins import TwinSize, make_twin
from lightning_modules.vlm.zoo import ZOO
from tests.datamodules import omni_spatial_files
from tests.datamodules.omni_spatial_files import write_omni_spatial
from tests.datamodules.parquet_files import (
    cv_bench_row,
    space_thinker_row,
    write_cv_bench,
    write_space_thinker,
)
from tests.datamodules.track3_files import write_dataset
from tests.experiments.conftest import environment
from tests.hub_server import LoopbackHub

SMALL = TwinSize(width=64, layers=1, vision_layers=1, image_size=56)
SHORT = ["--trainer.accelerator=cpu", "--trainer.limit_test_batches=1", "--data.init_args.num_workers=0"]
FIT = [*SHORT, "--trainer.max_steps=1", "--trainer.limit_val_batches=0", "--trainer.log_every_n_steps=1"]
COMMANDS: dict[str, list[str]] = {
    "small_vlm/smolvlm_500m_zero_shot": SHORT,
    "small_vlm/smolvlm_500m_lora": FIT,
    "distillation/qwen_3b_sft": [*FIT, "--model.init_args.maximum_new_tokens=4"],
    "warehouse/tinygiant_64m": [*FIT, "--data.init_args.batch_size=2", "--model.init_args.network.experts=4"],
}
RUN_ALL = """
import json, sys
from experiments.composition import compose
from experiments.errors import plain_errors, quiet_libraries
with plain_errors():
    quiet_libraries()
    from experiments.command_line import SpatialCLI
    for arguments in json.loads(sys.argv[1]):
        SpatialCLI(compose(arguments))
"""


def said(folder: Path, **splits: int) -> Path:
    """Note in a copy how many questions its splits hold."""
    counts = {
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
    for pictures in (track3 / "train/images", track3 / "train/depths"):
        with tarfile.open(pictures / "chunk_000.tar.gz", "w:gz") as archive:
            for file in sorted(pictures.glob("*.png")):
                archive.add(file, file.name)
                file.unlink()
    copies = {
        "cv_bench": said(cv_bench, test=4),
        "space_thinker": said(thinker, train=3, test=3),
        "omni_spatial": said(omni, test=4),
        "ai_city_track3": said(track3, train=4, val=2, test=2),
    }
    return {name: hub.publish(DATASETS[name].repository, copy, "datasets") for name, copy in copies.items()}


def publish_models(hub: LoopbackHub, folder: Path) -> dict[str, str]:
    """Twins in the place of models; returns their commits."""
    commits = {}
    for name in ("smolvlm_500m", "qwen2_5_vl_3b"):
        model, processor = make_twin(ZOO[name].family_name, size=SMALL)
        model.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
        commits[name] = hub.publish(ZOO[name].hub, folder / name)
    return commits


@pytest.mark.slow
def test_header_commands_reach_the_first_step_on_what_the_hub_gives(tmp_path: Path) -> None:
    with LoopbackHub() as hub:
        data, models = publish_data(hub, tmp_path / "data"), publish_models(hub, tmp_path / "models")
        typed = [
            ["experiment", "-c", name, "--data.init_args.root=hub", *options]
            for name, options in COMMANDS.items()
        ]
        place = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
        finished = subprocess.run(
            [sys.executable, "-c", RUN_ALL, json.dumps(typed)],
            cwd=tmp_path,
            env=environment(**place, XDG_CACHE_HOME=str(tmp_path / "cache")),
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-3000:]
    mixed = f"space_thinker {data['space_thinker']} + "
    wanted = {
        "small_vlm/smolvlm_500m_zero_shot": (models["smolvlm_500m"], data["cv_bench"]),
        "small_vlm/smolvlm_500m_lora": (models["smolvlm_500m"], f"{mixed}cv_bench {data['cv_bench']}"),
        "distillation/qwen_3b_sft": (models["qwen2_5_vl_3b"], f"{mixed}omni_spatial {data['omni_spatial']}"),
        "warehouse/tinygiant_64m": (None, data["ai_city_track3"]),
    }
    for name, (model, origin) in wanted.items():
        run = tmp_path / "runs" / name / "latest"
        results: dict[str, Any] = json.loads((run / "results.json").read_text())
        assert results["n"] > 0
        assert results["provenance"]["data"] == origin
        assert model is None or results["provenance"]["model"] == model
        page = (run / "results.md").read_text()
        assert all(each in page for each in results["provenance"].values())
        assert origin in (run / "report.html").read_text()
        if COMMANDS[name] is not SHORT:
            assert any(row.get("train/loss") for row in read_rows(run / "metrics.csv")), name
    backbones = json.loads((tmp_path / "runs/warehouse/tinygiant_64m/latest/results.json").read_text())
    assert backbones["provenance"]["model"].startswith("rgb backbone ")
    shutil.rmtree(tmp_path / "home")
