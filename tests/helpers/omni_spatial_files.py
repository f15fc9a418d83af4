"""Small folders in OmniSpatial's official layout, written for tests."""

import json
from pathlib import Path
from typing import Any

from datamodules.omni_spatial import TASKS
from tests.helpers.parquet_files import encoded


def row(number: int, /, **changes: Any) -> dict[str, Any]:
    """One official row; four rows show the images `0.png` of the four task types."""
    return {
        "id": f"{number // 8}_{number // 4 % 2}",
        "question": f"Question {number} about space?",
        "options": ["can not determine", "left", "right", "can not determine"],
        "answer": number % 4,
        "task_type": TASKS[number % 4],
        "sub_task_type": "Localization",
    } | changes


def write_omni_spatial(folder: Path, rows: list[dict[str, Any]], images: bool = True) -> Path:
    """`data.json` and, unless they are unwanted, the images it names; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.json").write_text(json.dumps(rows, indent=1))
    for entry in rows if images else ():
        image = folder / entry["task_type"] / f"{entry['id'].split('_')[0]}.png"
        image.parent.mkdir(exist_ok=True)
        image.write_bytes(encoded(len(entry["task_type"])))
    return folder
