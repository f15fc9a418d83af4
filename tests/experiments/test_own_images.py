"""Images of one's own through the command line, as the closing line of a run says."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.helpers.commands import Command
from tests.helpers.unanswered_files import ROWS, cv_bench, omni_spatial, space_thinker, track3

LAYOUTS = {
    "AiCityTrack3": track3,
    "CvBench": cv_bench,
    "OmniSpatial": omni_spatial,
    "SpaceThinker": space_thinker,
}
FOLDER = "my photos"
UNTRAINED = "--ckpt_path=none"


def own(folder: Path, table: str) -> Path:
    """A folder of images with this table of questions."""
    within = folder / FOLDER / "küche"
    within.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels).save(within / "IMG 1.JPG", format="JPEG", exif=turned)
    Image.fromarray(pixels[..., 0].T.astype(np.uint16) * 200).save(within / "depth.png")
    Image.fromarray(pixels).convert("CMYK").save(folder / FOLDER / "b.jpeg")
    (folder / FOLDER / "questions.csv").write_text(table, encoding="utf-8-sig")
    return folder / FOLDER


def predictions(folder: Path, name: str) -> list[dict[str, object]]:
    """What the newest run of this name has answered."""
    runs = (folder / "runs" / name).glob("*/predictions.jsonl")
    newest = max(runs, key=lambda file: file.stat().st_mtime)
    return [json.loads(line) for line in newest.read_text().splitlines()]


def typed(closing: str) -> list[str]:
    """The command of a run's closing line, without the program."""
    (line,) = [line for line in closing.splitlines() if line.startswith("Next: ")]
    words = shlex.split(line.removeprefix("Next: "))
    assert words[:3] == ["python", "-m", "experiments.run"]
    return [FOLDER if word == "FOLDER" else word for word in words[3:]]


@pytest.mark.slow
def test_the_closing_line_of_a_run_keeps_its_promise(tmp_path: Path, command: Command) -> None:
    fitted = command(
        *("fit", "-c", "quickstart", "--scale", "tiny", "--trainer.limit_train_batches", "1"),
        *("--data.init_args.scenes", "{train: 4, val: 1, test: 1}", "--data.init_args.num_workers", "0"),
    )
    next_command = typed(fitted.stdout)
    box = '"[[1, 1, 20, 20]]"'
    complete = (
        "image,question,regions,depth,answer\n"
        f"küche/IMG 1.JPG,Is the pallet <mask> on the left?,{box},küche/depth.png,yes\n"
    )
    own(tmp_path, complete)
    answered = command(*next_command)
    assert "predictions.jsonl" in answered.stdout
    (line,) = predictions(tmp_path, "quickstart")
    assert (line["id"], line["group"], line["correct"]) == ("1", "küche/IMG 1.JPG", None)

    tested = command("test", *next_command[1:])
    assert "on 1 questions" in tested.stdout
    saved = max((tmp_path / "runs/quickstart").glob("*/results.json"), key=lambda file: file.stat().st_mtime)
    data = yaml.safe_load((saved.parent / "config.yaml").read_text())["data"]
    assert data["class_path"] == "datamodules.own_images.OwnImages"
    assert "difficulty" not in data["init_args"] and data["init_args"]["batch_size"] == 6

    own(tmp_path, complete.replace(",küche/depth.png,", ",,"))
    refused = command(*next_command, code=1).stderr
    assert "Line 2 of" in refused and "no depth, which TinyGiant" in refused and "`depth`" in refused
    assert refused.count("\n") <= 4


@pytest.mark.slow
def test_every_vision_language_model_takes_own_images(tmp_path: Path, command: Command) -> None:
    """A student's teacher is not looked for; the mixture it was trained on does not get in the way."""
    own(
        tmp_path,
        "image;question;choices;regions\nküche/IMG 1.JPG;Is <mask> red?;yes | no;[[1,1,20,20]]\n"
        "b.jpeg;What is this?;;\n",
    )
    images = ("--data", "OwnImages", "--data.root", FOLDER)
    for name, options in (
        ("small_vlm/smolvlm_500m_zero_shot", ()),
        (
            "distillation/logit_kd",
            (
                "--model.init_args.adapter={method: none, target_modules: null}",
                "--model.init_args.teacher.model=/nowhere",
            ),
        ),
    ):
        command("predict", "-c", name, "--scale", "tiny", *options, *images)
        first, second = predictions(tmp_path, name)
        assert (first["id"], second["id"], second["group"]) == ("1", "2", "b.jpeg")
    refused = command(
        "test", "-c", "small_vlm/smolvlm_500m_zero_shot", "--scale", "tiny", *images, code=1
    ).stderr
    assert "Line 2 of" in refused and "2 of the 2 questions cannot be scored" in refused
    refused = command(
        "predict", "-c", "warehouse/smolvlm_500m_lora", "--scale", "tiny", UNTRAINED, *images, code=1
    ).stderr
    assert "no depth, which DepthAsImage" in refused


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_benchmark_without_answers_is_predicted(
    tmp_path: Path, stub: Path, command: Command, name: str
) -> None:
    LAYOUTS[name](tmp_path / "data", False)
    # Only asked: there is nothing to train in it.
    data = ("--data", name, "--data.root", "data", "--data.num_workers", "0")
    command("predict", "-c", str(stub), UNTRAINED, *data)
    answered = predictions(tmp_path, "stub")
    assert len(answered) == ROWS and {line["answer"] for line in answered} == {None}
    if name == "CvBench":
        assert "4 of the 4 questions" in command("test", "-c", str(stub), UNTRAINED, *data, code=1).stderr


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("image,question\n../stub.yaml,What?\n", "Line 2"),
        ("image,question\nnot there.jpg,What?\n", "Line 2"),
        ("image,text\nb.jpeg,What?\n", "Line 1"),
    ],
)
def test_a_bad_table_is_one_sentence_before_anything_runs(
    tmp_path: Path, stub: Path, command: Command, table: str, said: str
) -> None:
    own(tmp_path, table)
    refused = command(
        "predict", "-c", str(stub), UNTRAINED, "--data", "OwnImages", "--data.root", FOLDER, code=1
    )
    assert said in refused.stderr and f"{FOLDER}/questions.csv" in refused.stderr
    assert "Traceback" not in refused.stderr and refused.stderr.count("\n") <= 4
    assert not (tmp_path / "runs").exists()
