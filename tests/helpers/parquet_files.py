"""Small Parquet files in the layouts of CV-Bench and SpaceThinker, written for tests."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from PIL import Image

HUB_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
WRAPPER = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\ndetailed thinking on<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)


def encoded(seed: int, width: int = 16, height: int = 12) -> bytes:
    """A PNG of noise, another one for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def cv_bench_row(number: int, /, **changes: Any) -> dict[str, Any]:
    """One official row; two rows in a row show the same image."""
    part = changes.get("type", "2D")
    task = {"2D": ("Count", "Relation"), "3D": ("Depth", "Distance")}[part][number % 2]
    choices = ["3", "2", "1", "0"] if task == "Count" else ["the lamp", "the table"]
    letter = "ABCD"[number % len(choices)]
    question = f"Question {number} about {task}?"
    lettered = "\n".join(f"({name}) {text}" for name, text in zip("ABCD", choices, strict=False))
    row = {
        "idx": number,
        "type": part,
        "task": task,
        "image": {"bytes": encoded(number // 2), "path": None},
        "question": question,
        "choices": choices,
        "answer": f"({letter})",
        "prompt": f"{question} Select from the following choices.\n{lettered}",
        "filename": f"img/{part}/{task.lower()}/{number}.png",
        "source": "Omni3D" if part == "3D" else ("ADE20K", "COCO")[number % 2],
        "source_dataset": "Some Validation Set",
        "source_filename": f"photo_{number // 2}.jpg",
        "target_class": None,
        "target_size": None,
        "bbox": None,
    }
    return row | changes


def write_cv_bench(path: Path, rows: list[dict[str, Any]], without: tuple[str, ...] = ()) -> Path:
    """A Parquet file of such rows, lacking the columns in `without`."""
    types = {
        "idx": pa.int64(),
        "image": HUB_IMAGE,
        "choices": pa.list_(pa.string()),
        "bbox": pa.list_(pa.list_(pa.float64())),
    }
    return _write(path, rows, list(cv_bench_row(0)), types, without)


def space_thinker_row(number: int, /, **changes: Any) -> dict[str, Any]:
    """One official row."""
    row = {
        "input": WRAPPER.format(f"How far is chair {number} from the shelf?"),
        "output": (
            f"<think>Chair {number} stands near.</think>\n<answer>{number + 1}-{number + 2} feet</answer>"
        ),
        "reasoning": "on",
        "images": [{"bytes": encoded(number), "path": None}],
    }
    return row | changes


def write_space_thinker(path: Path, rows: list[dict[str, Any]], without: tuple[str, ...] = ()) -> Path:
    """A Parquet file of such rows, lacking the columns in `without`."""
    return _write(
        path, rows, list(rows[0] if rows else space_thinker_row(0)), {"images": pa.list_(HUB_IMAGE)}, without
    )


def _write(
    path: Path, rows: list[dict[str, Any]], names: list[str], types: dict[str, Any], without: tuple[str, ...]
) -> Path:
    kept = [name for name in names if name not in without]
    arrays = [pa.array([row[name] for row in rows], types.get(name)) for name in kept]
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(arrays, names=kept), path)
    return path
