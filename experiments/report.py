"""The report."""

from __future__ import annotations

from pathlib import Path

from experiments.run_folder import RunFolder


def write_report(folder: RunFolder) -> Path:
    """Write it."""
    return folder.report
