"""What a test set gives away to who sees no picture: `bias --benchmark omni_spatial --truth FOLDER`.

Chance, every fixed answer, and the best of three predictors of words alone that learn from four fifths of the
test and answer the rest, five times over, with the questions of a picture apart or together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from datamodules import cv_bench, omni_spatial
from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.loading.grouped import every_sample
from datamodules.samples import SpatialSample
from datamodules.scoring.answer_bias import Rung, ladder, right_letters
from datamodules.scoring.choice_metrics import CvBenchMetric, OmniSpatialMetric
from datamodules.scoring.metrics import SpatialMetric, Track3Metric
from datamodules.views import Blind
from experiments.errors.plain_errors import OptionParser, plain_errors
from experiments.program import program

Reader = Callable[[Path], Iterable[SpatialSample]]


def track3_validation(folder: Path) -> Iterable[SpatialSample]:
    """The questions of Track 3 that have answers, in the folder of its official layout."""
    data = AiCityTrack3(root=str(folder), views=[Blind()])
    return every_sample(data.split(data.scored if data.has_split("test") else "val"))


BENCHMARKS: dict[str, tuple[Reader, Callable[[], SpatialMetric]]] = {
    "ai_city_track3": (track3_validation, Track3Metric),
    "cv_bench": (cv_bench.read_rows, CvBenchMetric),
    "omni_spatial": (omni_spatial.read_rows, OmniSpatialMetric),
}
"""How to read a benchmark's questions, and who judges their answers. SpaceThinker's are free texts."""


def main(arguments: list[str] | None = None) -> None:
    """Print the ladder."""
    parser = OptionParser(prog=program("bias"), description=__doc__)
    parser.add_argument("--benchmark", required=True, choices=sorted(BENCHMARKS), help="whose test set it is")
    parser.add_argument("--truth", required=True, type=Path, help="the folder that holds its test split")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    with plain_errors(only_prints=True):
        options = parser.parse_args(arguments)
        read, metric = BENCHMARKS[options.benchmark]
        samples = list(read(options.truth))
        rungs = ladder(samples, metric().judge)
        print(json.dumps([vars(rung) for rung in rungs]) if options.json else as_text(samples, rungs))


def as_text(samples: list[SpatialSample], rungs: list[Rung]) -> str:
    """The ladder as a table to read, and what it means."""
    pictures = len({sample.group or sample.id for sample in samples})
    letters = ", ".join(f"{letter} {count:,}" for letter, count in sorted(right_letters(samples).items()))
    width = max(len(rung.name) for rung in rungs)
    lines = [
        f"{len(samples):,} questions about {pictures:,} pictures"
        + (f"; right letters: {letters}" if letters else ""),
        "",
        f"{'without a picture':{width}}  accuracy   95 % interval  fold seeds",
        *(_line(rung, width) for rung in rungs),
        "",
        "Fixed answers are the best ones of this very test. What words reach above them is no understanding",
        "of space; a model's score is to be read beside it, and beside the same model's without pictures. It",
        "is a lower bound: another predictor may find more.",
    ]
    return "\n".join(lines)


def _line(rung: Rung, width: int) -> str:
    between = "" if rung.interval is None else "{:.2f} to {:.2f}".format(*rung.interval)
    seeds = f"{min(rung.by_seed):.2f} to {max(rung.by_seed):.2f}" if rung.by_seed else ""
    return f"{rung.name:{width}}  {rung.accuracy:8.2f}  {between:>14}  {seeds}".rstrip()


if __name__ == "__main__":
    main()
