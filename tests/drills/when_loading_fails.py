"""What loads the data dies, hangs, or meets what it cannot read."""

from __future__ import annotations

from pathlib import Path
from subprocess import TimeoutExpired

import numpy as np
from PIL import Image

from tests.drills.drill import FILES, INJECTED, MOUNT, drill, require
from tests.drills.place import NAME, QUICKSTART, Place, ended, require_sentence, said

IMAGES, CORRUPT = 1000, 137


def image_in(note: Path) -> str:
    """The name of the image that a worker opened last, which its depth shares."""
    return Path(note.read_text()).stem.removesuffix("_depth")


@drill("a loading worker is killed, as by a machine without memory", INJECTED)
def worker_killed(place: Place) -> None:
    """A sentence that names the image it read and its questions, and says what needs less memory."""
    note = place.folder / "note"
    finished = ended(place.drilled(fault="worker_killed", NOTE=str(note)), 1)
    require_sentence(finished, image_in(note), "memory", "num_workers")
    place.run("experiment", "--resume", str(place.run_folder.relative_to(place.folder)), code=0)
    place.require_as_undisturbed()


@drill("a loading worker hangs", INJECTED)
def worker_hangs(place: Place) -> None:
    """After the time that was set, a sentence that names the image, /dev/shm and the limit of open files."""
    note, waited = place.folder / "note", "--data.init_args.loading_timeout_s=4"
    running = place.start(*QUICKSTART, waited, "--name", NAME, fault="worker_hangs", NOTE=str(note))
    try:
        finished = running.finished(60)
    except TimeoutExpired:
        require(False, "it hangs for ever")
    require(finished.returncode == 1, f"status {finished.returncode}")
    require_sentence(finished, "4 seconds", "/dev/shm", "ulimit -n", image_in(note))


@drill("40 file descriptors", INJECTED)
def few_descriptors(place: Place) -> None:
    """The run works, or ends in a sentence that says how to raise the limit."""
    finished = place.run(*QUICKSTART, "--name", NAME, module="tests.drills.few_descriptors")
    if finished.returncode == 0:
        place.require_as_undisturbed()
    else:
        require_sentence(finished, "ulimit -n")


@drill("/dev/shm is full", MOUNT)
def no_shared_memory(place: Place) -> None:
    """The run works, or ends in a sentence that names /dev/shm."""
    place.mount(Path("/dev/shm"), "64k")
    finished = ended(place.drilled())
    if finished.returncode == 0:
        place.require_as_undisturbed()
    else:
        require(finished.returncode == 1, f"status {finished.returncode}")
        require_sentence(finished, "/dev/shm")


def own_images(place: Place) -> Path:
    """A thousand images with a question each, one of which is no image."""
    folder = place.folder / "own"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (IMAGES, 8, 8, 3), np.uint8)
    for number in range(IMAGES):
        Image.fromarray(pixels[number]).resize((64, 64)).save(folder / f"{number}.png")
    (folder / f"{CORRUPT}.png").write_bytes((folder / f"{CORRUPT}.png").read_bytes()[:60])
    rows = "".join(f"{number}.png,How many are there?,{number % 3}\n" for number in range(IMAGES))
    (folder / "questions.csv").write_text("image,question,answer\n" + rows)
    return folder


@drill("a corrupt image among 1,000 that are asked about", FILES)
def corrupt_image_asked(place: Place) -> None:
    """A sentence that names the image and says how to leave it out; told to, the others are answered."""
    folder = own_images(place)
    place.run("fit", "-c", "small_vlm/smolvlm_500m_lora", "--scale", "tiny", "--name", NAME, code=0)
    config = place.runs / NAME / "latest/config.yaml"
    asked = (
        *("predict", "-c", str(config), "--data", "OwnImages", "--data.root", str(folder)),
        *("--trainer.limit_predict_batches", "1.0", "--data.evaluation_batch_size", "64"),
    )
    require_sentence(place.run(*asked, code=1), f"{CORRUPT}.png")
    finished = place.run(*asked, "--data.on_bad_image", "answer_blind", code=0)
    require(f"{CORRUPT}" in said(finished), "the image is not named")


@drill("a corrupt image among 1,000 that are trained on", FILES)
def corrupt_image_trained_on(place: Place) -> None:
    """The next image takes its place, its name is said, and the run ends well."""
    folder = own_images(place)
    data = {"class_path": "tests.drills.thousand_images.ThousandImages", "init_args": {"root": str(folder)}}
    finished = place.run("experiment", "-c", place.stub(data=data), code=0)
    require("1 images could not be read and were replaced" in said(finished), "it does not say so")
    require(f"{CORRUPT}" in said(finished), "the image is not named")
