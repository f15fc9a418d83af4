"""Files of a run are not whole, or not there."""

from __future__ import annotations

import os
from pathlib import Path

from tests.drills.drill import FILES, drill, require
from tests.drills.place import NAME, Place, require_sentence, said
from tests.drills.when_killed import killed, wait_for_checkpoint
from tests.helpers.run_ends import why_not_the_same


def interrupted(place: Place) -> Path:
    """A run that was killed when it had several checkpoints behind it; the last of them."""
    running = place.drilled()
    checkpoint = wait_for_checkpoint(place, running)
    first = checkpoint.stat().st_ino
    while running.running and checkpoint.stat().st_ino == first:
        pass
    killed(running)
    return checkpoint


def require_fallen_back(place: Place) -> None:
    """Go on, which must be from the checkpoint before, and said so."""
    finished = place.resumed()
    require("the one before" in said(finished), "it does not say that it falls back")
    place.require_as_undisturbed()


@drill("the last checkpoint is cut off", FILES)
def cut_off(place: Place) -> None:
    """The run goes on from the one before, says so, and ends as the undisturbed one."""
    checkpoint = interrupted(place)
    os.truncate(checkpoint, checkpoint.stat().st_size * 2 // 3)
    require_fallen_back(place)


@drill("the last checkpoint is empty", FILES)
def emptied(place: Place) -> None:
    """The run goes on from the one before, says so, and ends as the undisturbed one."""
    os.truncate(interrupted(place), 0)
    require_fallen_back(place)


@drill("a byte of the last checkpoint's weights has changed", FILES)
def changed_byte(place: Place) -> None:
    """The run goes on from the one before, says so, and ends as the undisturbed one."""
    checkpoint = interrupted(place)
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 0xFF
    checkpoint.write_bytes(content)
    require_fallen_back(place)


@drill("all checkpoints are cut off", FILES)
def all_cut_off(place: Place) -> None:
    """A sentence that names the file."""
    checkpoint = interrupted(place)
    for each in checkpoint.parent.glob("*.ckpt"):
        os.truncate(each, each.stat().st_size // 2)
    require_sentence(place.resumed(code=1), "last.ckpt", "not whole")


@drill("the checkpoint of another experiment in its place", FILES)
def of_another(place: Place) -> None:
    """A sentence that says what does not fit; nothing is overwritten."""
    stub = place.stub()
    place.run("fit", "-c", stub, code=0)
    checkpoint = interrupted(place)
    for each in checkpoint.parent.glob("*.ckpt"):
        each.write_bytes((place.runs / "stub/latest/checkpoints/last.ckpt").read_bytes())
    before = checkpoint.read_bytes()
    require_sentence(place.resumed(code=1), "trained tensors", "config.yaml")
    require(checkpoint.read_bytes() == before, "the checkpoint was overwritten")


@drill("`latest` points to a folder that is gone", FILES)
def pointer_to_nothing(place: Place) -> None:
    """The newest run that is there goes on."""
    interrupted(place)
    pointer = place.runs / NAME / "latest"
    pointer.unlink()
    pointer.symlink_to("gone")
    place.resumed()
    place.require_as_undisturbed()
    require(pointer.resolve() == place.run_folder.resolve(), "`latest` still points to nothing")


@drill("results.json is half written", FILES)
def half_results(place: Place) -> None:
    """What reads it names it in a sentence; resumed, the run writes it anew."""
    stub = place.stub()
    place.run("experiment", "-c", stub, code=0)
    folder = place.runs / "stub/latest"
    whole = (folder / "results.json").read_bytes()
    (folder / "results.json").write_bytes(whole[: len(whole) // 2])
    place.run("experiment", "-c", stub, "--name", "other", code=0)
    compared = place.run("stub", "other", module="experiments.commands.compare")
    if compared.returncode:
        require_sentence(compared, "results.json")
    reported = place.run(str(folder), module="experiments.report.page", code=1)
    require_sentence(reported, "results.json")
    place.run("experiment", "-c", stub, "--resume", "latest", code=0)
    wrong = why_not_the_same(folder, place.runs / "other/latest")
    require(not wrong, wrong)


@drill("run.json of an older run is half written", FILES)
def half_card(place: Place) -> None:
    """A new run starts; who looks for the newest is told of the file by name, and finds it without it."""
    stub = place.stub()
    place.run("fit", "-c", stub, code=0)
    card = (place.runs / "stub/latest/run.json").resolve()
    second = ("experiment", "-c", stub, "--name", "stub")
    card.write_text(card.read_text()[:40])
    require_sentence(place.run(*second, "--resume", "latest", code=1), str(card.relative_to(place.folder)))
    place.run(*second, code=0)
    card.unlink()
    place.run(*second, "--resume", "latest", code=0)


@drill("config.yaml is half written", FILES)
def half_configuration(place: Place) -> None:
    """A sentence that names the file."""
    interrupted(place)
    config = place.run_folder / "config.yaml"
    text = config.read_text()
    config.write_text(text[: text.index("lr:") + 3] + " [3")
    require_sentence(place.resumed(code=1), "config.yaml")


@drill("the checkpoint of a run that is exported is cut off", FILES)
def exported(place: Place) -> None:
    """A sentence that names it, and no half export."""
    typed = ("fit", "-c", "small_vlm/smolvlm_500m_lora", "--scale", "tiny", "--name", NAME)
    place.run(*typed, code=0)
    checkpoint = place.runs / NAME / "latest/checkpoints/last.ckpt"
    os.truncate(checkpoint, checkpoint.stat().st_size // 2)
    exporting = place.run("--name", NAME, "--to", "exported", module="experiments.export", code=1)
    require_sentence(exporting, "last.ckpt")
    require(not (place.folder / "exported").exists(), "half an export is left")


@drill("the training data are gone while it trains", FILES)
def data_gone(place: Place) -> None:
    """A sentence that names what is missing; with the data back, resumed, it ends as the undisturbed run."""
    place.undisturbed()
    (place.folder / "rendered_data").unlink()
    running = place.drilled()
    wait_for_checkpoint(place, running)
    (place.folder / "rendered_data").rename(place.folder / "elsewhere")
    finished = running.finished(120)
    require(finished.returncode == 1, f"status {finished.returncode}")
    require_sentence(finished, "does not exist", "rendered_data")
    (place.folder / "elsewhere").rename(place.folder / "rendered_data")
    place.resumed()
    place.require_as_undisturbed()


@drill("the data's folder is gone when it is resumed", FILES)
def data_gone_before(place: Place) -> None:
    """A sentence that names the folder, before anything of the run has changed."""
    root = place.folder / "published"
    made = place.run("fit", *track3(place, root), code=0)
    require(made.returncode == 0, "")
    folder = (place.runs / "quickstart/latest").resolve()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    root.rename(place.folder / "elsewhere")
    finished = place.run("fit", "-c", "quickstart", "--resume", "latest", code=1)
    require_sentence(finished, "published")
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    require(not changed, f"these files have changed: {changed}")


def track3(place: Place, root: Path) -> tuple[str, ...]:
    """The quick start on a folder in the benchmark's layout, a copy of what was rendered."""
    from tests.helpers.track3_files import as_published

    as_published(root)
    return ("-c", "quickstart", "--scale", "tiny", "--data.init_args.root", str(root))
