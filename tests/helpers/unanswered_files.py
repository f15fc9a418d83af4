"""Small test splits in every official layout, with answers and without, written for tests."""

from __future__ import annotations

from pathlib import Path

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.cv_bench import CvBench
from datamodules.layouts import OfficialLayout
from datamodules.omni_spatial import OmniSpatial
from datamodules.space_thinker import SpaceThinker
from tests.helpers.omni_spatial_files import row, write_omni_spatial
from tests.helpers.parquet_files import (
    cv_bench_row,
    space_thinker_row,
    write_cv_bench,
    write_space_thinker,
)
from tests.helpers.track3_files import record, write_split

ROWS = 4


def track3(folder: Path, answers: bool) -> OfficialLayout:
    unknown = {} if answers else {"normalized_answer": None, "freeform_answer": None}
    records = [record(f"{number}.png", number, **unknown) for number in range(ROWS)]
    write_split(folder, "test", records)
    return AiCityTrack3(root=str(folder), cache=str(folder / "cache"), num_workers=0)


def cv_bench(folder: Path, answers: bool) -> OfficialLayout:
    rows = [cv_bench_row(number) for number in range(ROWS)]
    write_cv_bench(folder / "test_2d.parquet", rows, without=() if answers else ("answer",))
    return CvBench(root=str(folder), cache=str(folder / "cache"), num_workers=0)


def omni_spatial(folder: Path, answers: bool) -> OfficialLayout:
    rows = [row(number) for number in range(ROWS)]
    for entry in rows if not answers else ():
        del entry["answer"]
    write_omni_spatial(folder, rows)
    return OmniSpatial(root=str(folder), cache=str(folder / "cache"), num_workers=0)


def space_thinker(folder: Path, answers: bool) -> OfficialLayout:
    rows = [space_thinker_row(number) for number in range(ROWS)]
    file = folder / "data" / "test-00000-of-00001.parquet"
    write_space_thinker(file, rows, without=() if answers else ("output",))
    return SpaceThinker(root=str(folder), cache=str(folder / "cache"), num_workers=0)
