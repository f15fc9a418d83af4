"""Makes the README's images: `make figures`, or `python -m docs.figures`.

`frame.png` is a rendered warehouse with its regions, a question and its answer; `distillation.svg` shows the
first table of the distillation study, read from README.md itself, so that chart and table cannot differ.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from matplotlib import pyplot as plt
from PIL import Image, ImageDraw, ImageFont

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.samples import SpatialSample
from experiments.report.charts import INK, MUTED, SERIES, STYLE
from experiments.report.region_images import draw_question

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
WIDTH, HEIGHT = 560, 316
"""Size of the frame, in pixels; the question stands below it."""
TASK = "distance"
COLOURS_OF_A_PALETTE = 96
CHANCE = 50.0
"""Accuracy of guessing between two answers, in percent."""

_ROW = re.compile(r"\| (?P<name>[^|]+) \| (?P<mean>[\d.]+) \((?P<low>[\d.]+) to (?P<high>[\d.]+)\) \|")


class Bar(NamedTuple):
    """A row of the study's table, in percent."""

    name: str
    mean: float
    low: float
    high: float


def main() -> None:
    """Write both images."""
    draw_frame(DOCS / "frame.png")
    draw_study(study_rows(README.read_text()), DOCS / "distillation.svg")


def draw_frame(path: Path) -> None:
    """Render one scene and write it with a question and its answer."""
    with TemporaryDirectory() as cache:
        data = AiCityTrack3("easy", scenes={"test": 1}, size=(WIDTH, HEIGHT), cache=cache, scenes_seed=0)
        data.prepare_split("test")
        split = data.open_split("test")
        samples = split.samples(0, range(int(split.group_sizes()[0])))
        asked = next(sample for sample in samples if sample.task == TASK)
        drawn = draw_question(asked, WIDTH)
    assert drawn is not None, "a rendered question has an image"
    _with_words(drawn, asked).quantize(COLOURS_OF_A_PALETTE).save(path, optimize=True)


def _with_words(drawn: Image.Image, sample: SpatialSample) -> Image.Image:
    """The image, and below it the question and the answer."""
    numbers = iter(range(len(sample.regions)))
    question = re.sub("<mask>", lambda _: f"[region {next(numbers)}]", sample.question)
    lines = [*textwrap.wrap(question, 66), f"Answer: {sample.answer} m"]
    font = ImageFont.load_default(size=17)
    page = Image.new("RGB", (drawn.width, drawn.height + 16 + 25 * len(lines)), "white")
    page.paste(drawn)
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        colour = SERIES[0] if line is lines[-1] else INK
        pen.text((10, drawn.height + 9 + 25 * number), line, font=font, fill=colour)
    return page


def study_rows(readme: str) -> list[Bar]:
    """The rows of the README's first table of the distillation study."""
    table = readme.partition("| | accuracy | more than fine-tuning alone | p |")[2].partition("\n\n")[0]
    return [
        Bar(
            row["name"].replace("... and ", "student + ").strip(),
            *(float(row[key]) for key in ("mean", "low", "high")),
        )
        for row in _ROW.finditer(table)
    ]


def draw_study(rows: list[Bar], path: Path) -> None:
    """Write the accuracy of every row with its interval."""
    with plt.rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure, axis = plt.subplots(figsize=(8.4, 0.42 * len(rows) + 1.1))
        for place, row in enumerate(reversed(rows)):
            colour = SERIES[0] if "attention" in row.name else MUTED
            spread = [[row.mean - row.low], [row.high - row.mean]]
            axis.barh(place, row.mean - CHANCE, left=CHANCE, height=0.62, color=colour, alpha=0.85)
            axis.errorbar(row.mean, place, xerr=spread, color=INK, capsize=3, linewidth=1)
            axis.text(max(row.high, CHANCE) + 0.8, place, f"{row.mean:.1f}", va="center", color=INK)
        axis.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
        axis.tick_params(axis="y", length=0, labelcolor=INK)
        axis.axvline(CHANCE, color=INK, linewidth=1)
        axis.set_xlim(45, 95)
        axis.set_xlabel("accuracy on rendered scenes, %; 95 % intervals over three seeds; the line is chance")
        axis.set_title("What a student gains from its teacher (tiny random models)")
        figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
