"""Experiment files, study files and what is typed, from the text to the parsed configuration."""

from __future__ import annotations

import importlib
import io
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import yaml

from experiments.command_line.cli import SpatialCLI
from experiments.commands.print import annotated
from experiments.experiment_files.config_files import compose
from experiments.experiment_files.registry import experiment_file
from experiments.experiment_files.typed_options import as_tree
from experiments.lightning_internals import PreparedCLI
from experiments.report.published import table_of
from experiments.run_folders.run_folder import RunFolder
from experiments.study.study_file import read_study
from experiments.study.study_run import seeded_runs
from tests.fuzz.mutations import mutated_text, mutated_yaml
from tests.fuzz.trials import Target
from tests.fuzz.watching import STRANGER

BOMB = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9) if n else '1'}]" for n in range(12))
SNIPPETS = (
    *(
        "!!python/object/apply:os.system ['touch /tmp/ran']",
        "!!python/name:os.system",
        "!!python/module:stranger",
    ),
    *("!!binary aGVsbG8=", "!!set {a, b}", "!!timestamp 2001-01-01", "!unknown 1", "&a [*a]", "&b {c: *b}"),
    *(
        BOMB,
        "<<: *x3",
        "<<: {a: 1}",
        "*nowhere",
        "? [a, b]",
        "\t- x",
        "---",
        "...",
        "%YAML 9.9",
        "@",
        "`",
        "key: : 1",
    ),
    *(f"{{class_path: {STRANGER}.Network}}", f"{STRANGER}.Network", f"class_path: {STRANGER}.Network"),
    *(
        "starts_from: mine.yaml",
        "starts_from: [a]",
        "starts_from: quickstart",
        'starts_from: "\\ud800"',
    ),
    *("tiny: 3", "tiny: [a]", "tiny: {trainer: 3}", "tiny: {a: null}", "name: ../outside", "name: /tmp/x"),
    *(
        "${name}",
        "${oc.env:HOME}",
        "${oc.decode:x}",
        "${a.b.c}",
        "${",
        "${${name}}",
        "${x:1}",
        "0x7fffffff",
        "1_000",
    ),
    *(
        "yes",
        "1e400",
        ".nan",
        "2001-13-99",
        "0o9",
        "[" * 50,
        "{" * 50,
        "'",
        '"',
        "\\x00",
        "\ud800",
        "~",
        "null",
    ),
    *("weights_only: false", "resume: latest", "ckpt_path: leads_out/secret.json", "allow: [stranger]"),
)
SHIPPED = [
    yaml.safe_load(experiment_file(name).read_text())
    for name in (
        "quickstart",
        "small_vlm/smolvlm_500m_lora",
        "distillation/attention_kd",
        "warehouse/moe_both",
    )
]
OWN = [
    {"starts_from": "quickstart", "name": "own", "tiny": {"data": {"init_args": {"batch_size": 2}}}},
    {
        "starts_from": "quickstart",
        "name": "own",
        "trainer": {
            "max_epochs": 1,
            "callbacks": [
                {"class_path": "EarlyStopping", "init_args": {"monitor": "val/loss", "mode": "min"}}
            ],
            "logger": [{"class_path": "experiments.run_folders.loggers.wandb_when_asked"}],
        },
        "model": {"init_args": {"optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.1}}}},
        "data": {
            "init_args": {"views": [{"class_path": "NoDepth"}], "scenes": {"train": 2, "val": 1, "test": 1}}
        },
    },
]
STUDY = {
    "name": "s",
    "seeds": [0, 1],
    "settings": {"trainer": {"max_epochs": 1}},
    "runs": {
        "a": {"experiment": "quickstart"},
        "b": {
            "experiment": "distillation/attention_kd",
            "needs": ["a"],
            "settings": {"model": {"init_args": {"teacher": {"checkpoint": "{folder:a}/x"}}}},
        },
    },
    "baseline": "a",
    "compare": [["a", "b"]],
    "tiny": {"settings": {"trainer": {"max_epochs": 1}}, "runs": {"b": {"settings": {"tested": "last"}}}},
}
PUBLISHED = {
    "sources": {"a": {"title": "A paper", "where": "https://example.org"}},
    "values": [
        {"experiment": None, "what": "score", "value": 3.5, "source": "a", "table": "1", "run_here": False}
    ],
}
TYPED = (
    *(
        "--trainer.max_epochs=1",
        "--model.init_args.optimizer.lr 0.1",
        "--data.views=[NoDepth]",
        "--scale tiny",
    ),
    *(
        "--name x",
        "-c quickstart",
        "--data CvBench",
        "--model TinyGiant",
        "--seed_everything 3",
        "--resume latest",
    ),
)
PIECES = (
    *(
        " ",
        "=",
        "--",
        "-c",
        "[",
        "]",
        "{",
        "}",
        "null",
        "stranger.Network",
        "\0",
        "'",
        "\ud800",
        ".",
        "+=",
        "1e999",
    ),
    *("--allow", "--allow=os", "${name}", "!!python/name:os.system", "&a [*a]", "--model", "--scale"),
)


class Parsed(PreparedCLI, SpatialCLI):
    """Parses a command line, and makes nothing."""

    def instantiate_classes(self) -> None:
        """Nothing."""


def _load_wandb(folder: Path) -> None:
    """It makes a folder for itself when it is imported."""
    importlib.import_module("wandb")


def _composed(content: bytes, folder: Path) -> list[str]:
    (folder / "mine.yaml").write_bytes(content)
    for scale in ("full", "tiny"):
        composition = compose(["fit", "-c", "mine.yaml", "--scale", scale])
    return composition.arguments


def _parsed(content: bytes, folder: Path) -> None:
    (folder / "mine.yaml").write_bytes(content)
    _parse(["fit", "-c", "mine.yaml", "--scale", "tiny"])


def _parse(typed: list[str]) -> None:
    shown = io.StringIO()
    with redirect_stdout(shown), redirect_stderr(shown), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            Parsed(compose(typed))
        except SystemExit as error:  # a help or a version was asked for
            assert error.code in (0, None), shown.getvalue()


def _typed(text: str, folder: Path) -> None:
    words = text.split(" ")
    list(annotated(as_tree(words), [("typed", as_tree(words))]))
    compose(["fit", *words])


def _parsed_words(text: str, folder: Path) -> None:
    _parse(["fit", "-c", "quickstart", *text.split(" ")])


def _study(content: bytes, folder: Path) -> None:
    (folder / "study.yaml").write_bytes(content)
    for scale in ("full", "tiny"):
        study = read_study(folder / "study.yaml", scale)
        assert study.folder.resolve().is_relative_to(folder.resolve()), study.folder
        for run in seeded_runs(study):
            assert run.file.resolve().is_relative_to(folder.resolve()), run.file


def _resumed(content: bytes, folder: Path) -> None:
    run = RunFolder(folder / "runs" / "x" / "1")
    run.path.mkdir(parents=True, exist_ok=True)
    run.config.write_bytes(content)
    run.card.write_text("{}")
    compose(["fit", "--resume", str(run.path)])
    assert run.asked.parent.parent == run.path


def _card(content: bytes, folder: Path) -> None:
    run = RunFolder(folder / "runs" / "x" / "2")
    run.path.mkdir(parents=True, exist_ok=True)
    run.config.write_text("name: x\n")
    run.card.write_bytes(content)
    compose(["fit", "--resume", str(run.path)])
    compose(["fit", "-c", str(run.config)])


def _published(content: bytes, folder: Path) -> None:
    (folder / "published.yaml").write_bytes(content)
    table_of(folder / "published.yaml")


FILES: Any = mutated_yaml([*SHIPPED, *OWN], SNIPPETS)

TARGETS = (
    Target("experiment files, composed", FILES, _composed),
    Target("experiment files, parsed", mutated_yaml(OWN, SNIPPETS), _parsed, _load_wandb, cost=20),
    Target("what is typed", mutated_text(TYPED, PIECES), _typed),
    Target("what is typed, parsed", mutated_text(TYPED, PIECES), _parsed_words, _load_wandb, cost=20),
    Target("a run's config.yaml", FILES, _resumed),
    Target("study files", mutated_yaml([STUDY], SNIPPETS), _study),
    Target("published values", mutated_yaml([PUBLISHED], SNIPPETS), _published),
)
"""All of them."""
