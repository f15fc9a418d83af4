"""How fast and how small the Track 3 index is at the size of the real training set.

python -m benchmarks.track3_index

Writes 500,000 records with masks as long as the real ones into a temporary folder, indexes them, and measures
the start-up of a training loader, a worker's own memory and the records read in a second. The comparison is
`json.load`, as a plain dataset class would do it, measured on a tenth of the records and scaled.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import string
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measuring import MEGABYTE, in_fresh_process, write_result
from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.benchmarks.track3_index import index_records
from datamodules.samples import SpatialSample
from datamodules.views import View

_QUESTIONS_PER_IMAGE = 6.4
_COMPARED_PART = 10
_BATCHES = 1500


class RecordsOnly(View):
    """Leaves the images closed: this benchmark is about records."""

    def __call__(self, sample: SpatialSample) -> SpatialSample:
        """The sample with its regions but without its images."""
        return sample.replace(image=None, depth=None)


def own_memory(samples: list[SpatialSample]) -> dict[str, Any]:
    """A collator that reports its process's memory now and then (counting pages takes time), in bytes.

    `own` is what the process has written and shares with nobody. `unique` is its unique set size: that, and
    the pages of the mapped index which no other process happens to have read and the system can take back.
    """
    report: dict[str, Any] = {"questions": len(samples), "unique": 0, "own": 0}
    if samples[0].id.endswith(("00", "40", "80", "c0")):
        process = psutil.Process()
        own = sum(part.private_dirty for part in process.memory_maps())
        report |= {"unique": process.memory_full_info().uss, "own": own}
    return report


def write_records(path: Path, records: int) -> None:
    """A file in the official form: 2 to 15 masks a question, 500 to 1,900 characters a mask, images mixed."""
    generator = random.Random(0)
    letters = string.ascii_letters + string.digits + "<>=@_`"
    masks = [
        {"size": [1080, 1920], "counts": "".join(generator.choices(letters, k=generator.randint(500, 1900)))}
        for _ in range(1000)
    ]
    categories = generator.choices(
        ["mcq", "left_right", "distance", "count"], [110_055, 69_336, 245_889, 73_803], k=records
    )
    images = int(records / _QUESTIONS_PER_IMAGE)
    with path.open("w", encoding="utf-8") as file:
        for number, category in enumerate(categories):
            pair = category in ("left_right", "distance")
            chosen = generator.sample(masks, 2 if pair else min(15, 2 + int(generator.expovariate(0.55))))
            named = " and ".join(["the pallet <mask>"] * len(chosen))
            sentence = "The pallet [Region 0] stands 2.32 meters from the pallet [Region 1]."
            record = {
                "id": f"{number:032x}",
                "image": f"{generator.randrange(images):06d}.png",
                "conversations": [
                    {"from": "human", "value": f"<image>\nWhat is there to say about {named}?"},
                    {"from": "gpt", "value": sentence},
                ],
                "rle": chosen,
                "category": category,
                "normalized_answer": 2.32 if category == "distance" else str(number % 4),
                "freeform_answer": sentence,
            }
            file.write(("[" if number == 0 else ",\n") + json.dumps(record))
        file.write("]\n")


def start_loading(folder: Path) -> dict[str, float]:
    """Open an indexed folder, start two workers and read: seconds, bytes and questions a second."""
    started = time.perf_counter()
    data = AiCityTrack3(
        root=str(folder), cache=str(folder / "cache"), batch_size=8, num_workers=2, views=[RecordsOnly()]
    )
    data.collator = own_memory
    batches = iter(data.train_dataloader())
    next(batches)
    first = time.perf_counter()
    reports = [batch for batch, _ in zip(batches, range(_BATCHES), strict=False)]
    seconds = time.perf_counter() - first
    return {
        "startup_s": first - started,
        "unique_bytes": max(report["unique"] for report in reports),
        "own_bytes": max(report["own"] for report in reports),
        "questions_per_s": sum(report["questions"] for report in reports) / seconds,
    }


def load_plainly(folder: Path) -> dict[str, float]:
    """Read the whole file with `json.load`: seconds, and bytes of this process."""
    before, started = psutil.Process().memory_full_info().uss, time.perf_counter()
    with (folder / "train.json").open(encoding="utf-8") as file:
        records = json.load(file)
    seconds = time.perf_counter() - started
    memory = psutil.Process().memory_full_info().uss - before
    assert records
    return {"startup_s": seconds, "unique_bytes": memory}


MEASUREMENTS: dict[str, Callable[[Path], dict[str, float]]] = {"ours": start_loading, "plain": load_plainly}
"""What a fresh process can be asked to measure in a folder."""


def ask(measurement: str, folder: Path) -> dict[str, float]:
    """One measurement in a process of its own."""
    return in_fresh_process("track3_index", "--measure", measurement, "--folder", folder)


def compare(records: int, repeats: int) -> dict[str, Any]:
    """Generate, index and measure; the temporary files are removed."""
    with tempfile.TemporaryDirectory() as temporary:
        whole, part = Path(temporary) / "whole", Path(temporary) / "part"
        for folder, number in ((whole, records), (part, records // _COMPARED_PART)):
            folder.mkdir()
            write_records(folder / "train.json", number)
        started = time.perf_counter()
        index_records(whole / "train.json", whole / "cache" / "indexes")
        index_s = time.perf_counter() - started
        json_bytes = (whole / "train.json").stat().st_size
        ours = [ask("ours", whole) for _ in range(repeats)]
        plain = [ask("plain", part) for _ in range(repeats)]
    scaled = [_COMPARED_PART * run["startup_s"] for run in plain]
    own = [run["startup_s"] for run in ours]
    return {
        "ours": statistics.median(own),
        "other": statistics.median(scaled),
        "ratio": statistics.median(scaled) / statistics.median(own),
        "spread": [min(scaled) / max(own), max(scaled) / min(own)],
        "unit": "s until the first batch",
        "what": f"Start-up of a Track 3 loader with {records:,} records: our index against json.load "
        f"(measured on {records // _COMPARED_PART:,} records and scaled)",
        "details": {
            "records": records,
            "json_megabytes": json_bytes / MEGABYTE,
            "indexing_once_s": index_s,
            "worker_own_megabytes": max(run["own_bytes"] for run in ours) / MEGABYTE,
            "worker_unique_megabytes": max(run["unique_bytes"] for run in ours) / MEGABYTE,
            "plain_megabytes_per_process": _COMPARED_PART
            * statistics.median(run["unique_bytes"] for run in plain)
            / MEGABYTE,
            "questions_per_s_with_2_workers": statistics.median(run["questions_per_s"] for run in ours),
        },
    }


def main() -> None:
    """Run the comparison and write `runs/bench/track3_index.json`; or one measurement, for `compare`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.track3_index", description=__doc__)
    parser.add_argument("--records", type=int, default=500_000, help="how many records to generate")
    parser.add_argument("--repeats", type=int, default=3, help="how often to measure")
    parser.add_argument("--measure", choices=sorted(MEASUREMENTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(MEASUREMENTS[options.measure](options.folder)))
        return
    result = compare(options.records, options.repeats)
    write_result("track3_index", result)


if __name__ == "__main__":
    main()
