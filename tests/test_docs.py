"""The README's images are what its command makes, and its numbers are those of its tables."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from PIL import Image

from docs.figures import DOCS, README, draw_study, study_rows

LARGEST = 100_000
ROOT = DOCS.parent


def test_the_chart_is_that_of_the_table(tmp_path: Path) -> None:
    rows = study_rows(README.read_text())
    assert len(rows) == 7 and all(row.low <= row.mean <= row.high for row in rows)
    draw_study(rows, tmp_path / "chart.svg")
    shown = re.findall(r"<text[^>]*>([\d.]+)</text>", (DOCS / "distillation.svg").read_text())
    assert [row for row in rows if f"{row.mean:.1f}" not in shown] == []
    assert re.findall(r"<text[^>]*>([\d.]+)</text>", (tmp_path / "chart.svg").read_text()) == shown
    draw_study([rows[0]._replace(mean=51.3), *rows[1:]], tmp_path / "other.svg")
    assert "51.3" in (tmp_path / "other.svg").read_text() and "51.3" not in shown


def test_the_readme_shows_images_that_are_there_and_small() -> None:
    shown = re.findall(r'<img src="([^"]+)"[^>]*alt="[^"]{20,}"', README.read_text())
    assert shown == ["docs/frame.png", "docs/distillation.svg"]
    assert all(0 < (ROOT / name).stat().st_size < LARGEST for name in shown)
    with Image.open(DOCS / "frame.png") as frame:
        assert frame.width > frame.height > 300


def test_the_version_is_one() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert version is not None and citation["version"] == version[1]
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()
