"""`report.html`: one page without anything outside of it, made from the files of a run folder alone.

`python -m experiments.report.page runs/quickstart/latest` writes it again.
"""

from __future__ import annotations

import base64
import html
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from markupsafe import Markup

from datamodules.answers import WEAK
from datamodules.files.text_files import read_json, read_text
from datamodules.samples import MASK_PLACEHOLDER, DataError
from datamodules.scoring.prediction_files import records_by_id
from experiments.errors.plain_errors import plain_errors
from experiments.experiment_files.registry import read_yaml
from experiments.report.answer_histogram import Histogram, answer_histogram
from experiments.report.published import published_scores
from experiments.report.region_images import colour_of
from experiments.report.results import (
    Results,
    further_scores,
    further_tables,
    interval,
    kind_of,
    percent,
    read_results,
)
from experiments.report.templates import rendered
from experiments.run_folders.loggers import read_rows
from experiments.run_folders.run_folder import RunError, RunFolder, write_whole

TEMPLATE = Path(__file__).with_name("report.html.jinja")
PARAGRAPH_LABELS = ("Published:", "Setting:", "Differs:", "Run:")


def write_report(folder: RunFolder) -> Path:
    """Write the report of a run that trained, tested or predicted.

    Raises:
        RunError: the folder holds no run.
    """
    if not folder.config.exists():
        raise RunError(f"{folder.path} holds no run to report on: {folder.config.name} is missing.")
    # Imported late: drawing libraries are slow to load, and most commands end before they draw.
    from experiments.report.charts import learning_curves, router_curves, score_strip

    card, config, results = folder.read_card(), read_yaml(folder.config), read_results(folder)
    table = read_rows(folder.metrics)
    drawings = (learning_curves(table), router_curves(table))
    content = {
        "name": config["name"],
        "question": question(card),
        "published": paragraph(card, "Published:"),
        "differs": paragraph(card, "Differs:"),
        "rows": list(map(str, published_scores(experiment_of(card)))),
        "card": card,
        "results": results,
        "kind": kind_of(results) if results else "",
        "further": further_scores(results) if results else {},
        "tables": tables_of(results) if results else {},
        "strip": Markup(strip) if results and (strip := score_strip(results)) else None,
        "curves": [Markup(drawing) for drawing in drawings if drawing],
        "histogram": histogram(folder),
        "gallery": gallery(folder),
        "facts": facts(config),
        "weak_forms": WEAK,
        # A file that says there is nothing to compare with names no number.
        "caveat": caveat(facts(config)) if re.search(r"\d", paragraph(card, "Published:")) else "",
        "config": read_text(folder.config),
    }
    filters = {"percent": percent, "interval": interval, "marked": marked}
    write_whole(folder.report, rendered(TEMPLATE, filters, content))
    return folder.report


def histogram(folder: RunFolder) -> Histogram:
    """Which answers are true and which were given; nothing where no answers are kept, or damaged ones."""
    with suppress(DataError):
        return answer_histogram(records_by_id(folder.predictions)) if folder.is_tested else {}
    return {}


def tables_of(results: Results) -> dict[str, dict[str, Any]]:
    """The scores by task, then those by source and the like, under the word for one of them."""
    others = {name.removesuffix("s"): scores for name, scores in further_tables(results).items()}
    return {**({"task": results["tasks"]} if results["tasks"] else {}), **others}


def question(card: dict[str, Any]) -> str:
    """What the experiment asks: the first paragraph of its file's comment."""
    return " ".join(card.get("comment", "").split("\n\n")[0].split())


def paragraph(card: dict[str, Any], label: str) -> str:
    """What the comment says behind a label such as `Published:`, up to the next label."""
    _, found, rest = card.get("comment", "").partition(label)
    others = "|".join(map(re.escape, PARAGRAPH_LABELS))
    return " ".join(re.split(others, rest)[0].replace("`", "").split()) if found else ""


def experiment_of(card: dict[str, Any]) -> str:
    """The experiment that a run is one of, by the command in its file's comment; "" where none is named."""
    named = re.search(r"NAME=(\S+)", paragraph(card, "Run:"))
    return named[1] if named else ""


def facts(config: dict[str, Any]) -> dict[str, str]:
    """What the model was given and what it was made of, as far as the configuration tells."""
    data, model = config["data"], config["model"]
    arguments, shape = data.get("init_args") or {}, dict(model.get("init_args") or {})
    if isinstance(shape.get("network"), dict):
        shape |= shape["network"]
    known = {
        "data": _data(data),
        "dataset": data["class_path"].rpartition(".")[2],
        "views": ", ".join(_views(arguments)),
        "model": model["class_path"].rpartition(".")[2],
        "vision-language model": _vlm(shape),
        "teacher": _teacher(shape.get("teacher")),
        "trained": str((shape.get("adapter") or {}).get("method", "")),
        "answers": str(shape.get("answering", "")),
        "region geometry": str(shape["geometry"]) if "geometry" in shape else "",
        "relations between regions": {"True": "yes", "False": "no"}.get(str(shape.get("relations")), ""),
        "size of the run": config["scale"],
    }
    return {name: value for name, value in known.items() if value}


def _views(arguments: dict[str, Any]) -> list[str]:
    """The views of the data, and of what a mixture is tested on; with how examples are shown."""
    tested_on = (arguments.get("evaluation") or {}).get("init_args") or {}
    return [_view(view) for settings in (tested_on, arguments) for view in settings.get("views") or []]


def _view(view: dict[str, Any]) -> str:
    name, given = view["class_path"].rpartition(".")[2], view.get("init_args") or {}
    if "examples" not in given:
        return name
    usual = {"images": "shown", "answers": "right"}
    others = [f"{key} {given[key]}" for key, value in usual.items() if given.get(key, value) != value]
    return f"{name} ({', '.join([str(given['k']), str(given['chosen']), str(given['style']), *others])})"


def _data(settings: dict[str, Any]) -> str:
    """Whether the data are rendered or real, and from where; own ones may be anything."""
    arguments, place = settings.get("init_args") or {}, settings["class_path"]
    root = arguments.get("root")
    ours = place.startswith("datamodules.") and not place.endswith(".OwnImages")
    if not ours and root != "rendered":
        return f"your own, from {root}" if root else "your own"
    if root not in (None, "rendered"):
        return f"real, from {root}"
    difficulty = arguments.get("difficulty")
    return f"rendered, difficulty {difficulty}" if difficulty else "rendered"


def caveat(facts: dict[str, str]) -> str:
    """Why a published number cannot be held against this run; "" where it can."""
    if facts["size of the run"] != "full":
        return " for the models and data of the full size, which this run is not"
    if facts["data"].startswith("rendered"):
        return " on the real data, and these are rendered"
    return " on other data than yours" if facts["data"].startswith("your own") else ""


def _vlm(shape: dict[str, Any]) -> str:
    """Which vision-language model ran, or that it was only a tiny random model of it."""
    name = shape.get("model", "")
    if isinstance(name, dict):
        name = f"{name['encoder']} and {name['language_model']}"
    return f"tiny random model of {name}, begun with random weights" if shape.get("random_weights") else name


def _teacher(settings: dict[str, Any] | None) -> str:
    """Which model taught, and what it had learnt itself."""
    if not settings:
        return ""
    random_weights = settings.get("random_weights")
    if settings.get("adapter") or settings.get("checkpoint"):
        learnt = "as a run has trained it"
    else:
        learnt = "with random weights" if random_weights else "as it is"
    name = f"tiny random model of {settings['model']}" if random_weights else settings["model"]
    return f"{name} {learnt}" + (", from a cache" if settings.get("cache") else "")


def gallery(folder: RunFolder) -> list[dict[str, Any]]:
    """The kept questions, their images as data addresses."""
    index = folder.gallery / "gallery.json"
    entries = read_json(index) if index.exists() else []
    for entry in entries:
        if entry["image"]:
            content = base64.b64encode((folder.gallery / entry["image"]).read_bytes()).decode()
            entry["image"] = f"data:image/jpeg;base64,{content}"
    return entries


def marked(text: str) -> Markup:
    """A question with its `<mask>` placeholders as numbers in the colours of the image."""
    parts = html.escape(text).split(html.escape(MASK_PLACEHOLDER))
    marks = (
        f'<span class="region" style="background:{colour_of(index)}">{index}</span>'
        for index in range(len(parts) - 1)
    )
    return Markup("".join(piece for pair in zip(parts, [*marks, ""], strict=True) for piece in pair))


def main() -> None:
    """Write the report of the run folder that the command line names."""
    with plain_errors():
        if len(sys.argv) != 2:
            raise RunError("Name one run folder: python -m experiments.report.page runs/quickstart/latest")
        print(write_report(RunFolder(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
