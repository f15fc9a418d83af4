"""What a trained TinyGiant can and cannot do on rendered warehouses, in one go.

python -m benchmarks.measure_space --run runs/warehouse/real_chain/latest

Tables: the score by category; distances by the steps before the answer, and counts of pallets that no region
names; distances by band; one question an image against all of them; a mirror (`Mirrored`); noise on the depth
(`NoisyDepth`), and no depth. Intervals are of 95 %, over images. Results go to
`runs/bench/measure_space.json`. The views of the run's own training are left out. Switches are chosen by
`--split val`, which is what is measured where nothing is said.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from jsonargparse import ArgumentParser
from lightning import Trainer

from benchmarks.measuring import RESULTS
from benchmarks.space_tables import (
    Answers,
    Judged,
    Row,
    alone_against_all,
    as_markdown,
    by_category,
    by_steps,
    consistency,
    distance_bands,
    paired,
)
from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.samples import Answer
from datamodules.views import Mirrored, NoDepth, NoisyDepth, View
from experiments.errors.plain_errors import OptionParser, plain_errors
from experiments.experiment_files.class_names import whole_path
from experiments.experiment_files.registry import read_yaml
from experiments.run_folders.find_run import find_run
from experiments.run_folders.run_folder import RunError, RunFolder
from experiments.trained import load_trained
from lightning_modules.tiny_giant.module import TinyGiant

PARTS = ("none", "mirrored", "depth")
"""What can be measured: without a view, in a mirror, and with the depth spoilt."""

SIGMAS = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Noise on the depth, in steps of the 8-bit image."""

QUESTIONS_AT_ONCE = 48
"""Questions in a batch where each has an image of its own."""


CLASSES = {part: whole_path(name) for part, name in (("model", "TinyGiant"), ("data", "AiCityTrack3"))}
"""What a run has to be of."""


@dataclasses.dataclass
class Measured:
    """A run's module, and the data that it is asked about.

    Attributes:
        run: the run's folder.
        module: its network, as its last checkpoint has it.
        data: the arguments of its data, with the split to measure as the one that is tested.
    """

    run: RunFolder
    module: TinyGiant
    data: dict[str, Any]

    def answers(self, *views: View, alone: bool = False) -> Answers:
        """Every question of the split, answered by the module and judged by the benchmark's rules.

        Args:
            views: what the questions are seen through.
            alone: whether each question has an image of its own.
        """
        data = made_data({**self.data, **(asked_alone() if alone else {})})
        data.views = views
        trainer = Trainer(
            accelerator="auto",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        written: list[list[Answer]] = trainer.predict(self.module, datamodule=data) or []
        metric = data.metric("test")
        judged: dict[str, Judged] = {}
        for answer in (answer for batch in written for answer in batch):
            judgement = metric.judge(answer)
            judged[answer.sample.id] = Judged(answer.sample, judgement.prediction, judgement.correct)
        return judged


def asked_alone() -> dict[str, Any]:
    """The arguments of data by which every question is asked with an image of its own."""
    return {"questions_per_image": 1, "evaluation_batch_size": QUESTIONS_AT_ONCE}


def opened(named: str, split: str) -> Measured:
    """A run, ready to answer the questions of a split.

    Raises:
        RunError: there is no such run, it has trained nothing, or no TinyGiant on Track 3.
    """
    run = find_run(named, "trained")
    settings = read_yaml(run.config)
    classes = {part: settings[part].get("class_path") for part in CLASSES}
    if classes != CLASSES:
        raise RunError(
            f"{run.path} is no run of TinyGiant on AiCityTrack3, for which these tables are. Name another."
        )
    module = load_trained(run.path)
    assert isinstance(module, TinyGiant)
    return Measured(run, module, arguments_for(settings["data"]["init_args"], split))


def arguments_for(trained_with: dict[str, Any], split: str) -> dict[str, Any]:
    """The arguments of data that test a split ("val" or "test"), from those of a training.

    What is kept of images for trainings is neither read nor added to.
    """
    named = (trained_with.get("splits") or {}).get(split, split)
    changed = {"splits": {**(trained_with.get("splits") or {}), "test": named}}
    return {**trained_with, **changed, "views": None, "kept_images_gb": 0.0, "num_workers": 0}


def made_data(arguments: dict[str, Any]) -> AiCityTrack3:
    """The data, their arguments read as the command line reads them."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(AiCityTrack3, "data")
    made: AiCityTrack3 = parser.instantiate_classes(parser.parse_object({"data": arguments})).data
    return made


def tables(measured: Measured, parts: Sequence[str], other: Measured | None = None) -> dict[str, list[Row]]:
    """All tables by their titles.

    Args:
        measured: the run.
        parts: which of `PARTS` to measure.
        other: a run to compare with.
    """
    plain = measured.answers()
    made: dict[str, list[Row]] = {}
    if "none" in parts:
        made["Score by category"] = by_category(plain)
        made["Steps before the answer, and bare counts"] = by_steps(plain)
        made["Distances by band"] = distance_bands(plain)
        made["One question an image"] = alone_against_all(plain, measured.answers(alone=True))
    if "mirrored" in parts:
        made["Mirrored"] = consistency(plain, measured.answers(Mirrored()))
    if "depth" in parts:
        views: list[tuple[str, View]] = [(f"noise of {sigma:g} steps", NoisyDepth(sigma)) for sigma in SIGMAS]
        views.append(("no depth", NoDepth()))
        made["Depth"] = [depth_row(name, measured.answers(view)) for name, view in views]
    if other is not None:
        made["Against the other run"] = paired(plain, other.answers())
    return made


def depth_row(what: str, answers: Answers) -> Row:
    """The score with its interval, and that of each category, in one row."""
    total, *categories = by_category(answers)
    return {**total, "what": what, **{str(row["what"]): row["score"] for row in categories}}


def main(arguments: list[str] | None = None) -> None:
    """Measure a run, print the tables and write `runs/bench/measure_space.json`."""
    parser = OptionParser(prog="python -m benchmarks.measure_space", description=__doc__)
    parser.add_argument("--run", required=True, help="a run's folder, for example runs/NAME/latest")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="whose questions are asked")
    parser.add_argument("--views", default=",".join(PARTS), help=f"parts to measure, of {','.join(PARTS)}")
    parser.add_argument("--pair", help="another run's folder, to compare with on the same questions")
    parser.add_argument("--difficulty", help="of the scenes to ask about; that of the training left out")
    parser.add_argument("--crowding", help="by_split, few or many: how full these are; likewise")
    with plain_errors():
        options = parser.parse_args(arguments)
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # else each prediction says hello
        scenes = {name: getattr(options, name) for name in ("difficulty", "crowding")}
        asked = {name: value for name, value in scenes.items() if value is not None}
        _measure(options.run, options.pair, options.split, options.views.split(","), asked)


def _measure(
    named: str, pair: str | None, split: str, parts: Sequence[str], asked: Mapping[str, Any]
) -> None:
    """Measure a run, print and write what was found."""
    if unknown := set(parts) - set(PARTS):
        raise RunError(f"--views knows {', '.join(PARTS)}, not {', '.join(sorted(unknown))}.")
    started = time.perf_counter()
    measured = opened(named, split)
    if asked:
        # Other scenes are rendered for this alone: no more of them than are asked about.
        given = measured.data.get("scenes") or {}
        scenes = {role: number if role == split else 1 for role, number in given.items()}
        measured.data.update(asked, scenes=scenes or None)
    other = dataclasses.replace(opened(pair, split), data=measured.data) if pair else None
    made = tables(measured, parts, other)
    result = {
        "run": str(measured.run.path),
        "pair": None if other is None else str(other.run.path),
        "split": split,
        "asked": dict(asked),
        "seconds": time.perf_counter() - started,
        "tables": made,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "measure_space.json").write_text(json.dumps(result, indent=2) + "\n")
    print("\n\n".join(as_markdown(title, rows) for title, rows in made.items()))


if __name__ == "__main__":
    main()
