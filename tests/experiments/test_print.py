"""`print`: the whole configuration, and behind each value the file that set it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from experiments.commands import print as print_command
from experiments.commands.print import annotated, as_tree, set_by
from tests.helpers.commands import Command

CONFIG = {
    "name": "x",
    "model": {"class_path": "mine.Model", "init_args": {"width": 3, "deep": {"rank": 4, "left": None}}},
    "data": {"class_path": "mine.Data", "init_args": {"views": [{"class_path": "mine.View"}]}},
}
SOURCES: list[tuple[str, dict[str, Any]]] = [
    ("base", {"name": "x", "model": {"class_path": "mine.Model", "init_args": {"width": 1}}}),
    ("own", {"model": {"init_args": {"width": 2, "deep": {"rank": 4}}}, "data": "mine.Data"}),
    ("typed", {"model": {"width": 3}}),
]


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("name", "base"),
        ("model.class_path", "base"),
        ("model.init_args.width", "typed"),
        ("model.init_args.deep.rank", "own"),
        ("model.init_args.deep.left", ""),
        ("data.class_path", "own"),
        ("data.init_args.views", ""),
    ],
)
def test_the_last_that_says_it_has_set_it(place: str, source: str) -> None:
    assert set_by(place.split("."), SOURCES) == source


def test_what_is_printed_is_yaml_again() -> None:
    lines = list(annotated(CONFIG, SOURCES))
    assert yaml.safe_load("\n".join(lines)) == CONFIG
    assert [line.partition("# ")[2] for line in lines if "rank:" in line] == ["own"]


def test_every_line_that_is_printed() -> None:
    """Names of sources stand below each other; sections, and defaults of the code, have none."""
    wide = {**CONFIG, "words": "x" * 60, "empty": {}, "odd": "a: b", "numbers": [1, 2.5, None, True]}
    sources = [*SOURCES, ("late", {"words": "", "empty": {}, "odd": 1, "data": {"class_path": "mine.Data"}})]
    expected = [
        ("name: x", "base"),
        ("model:", ""),
        ("  class_path: mine.Model", "base"),
        ("  init_args:", ""),
        ("    width: 3", "typed"),
        ("    deep:", ""),
        ("      rank: 4", "own"),
        ("      left: null", ""),
        ("data:", ""),
        ("  class_path: mine.Data", "late"),
        ("  init_args:", ""),
        ("    views: [{class_path: mine.View}]", ""),
        (f"words: {'x' * 60}", "late"),
        ("empty: {}", "late"),
        ("odd: 'a: b'", "late"),
        ("numbers: [1, 2.5, null, true]", ""),
    ]
    assert list(annotated(wide, sources)) == [
        f"{line.ljust(60)}  # {source}" if source else line for line, source in expected
    ]


def test_typed_options_are_a_tree() -> None:
    typed = ["--a.b", "1", "--a.c=[2]", "--d=x", "--e.f+=g", "-c", "name"]
    assert as_tree(typed) == {"a": {"b": 1, "c": [2]}, "d": "x", "e": {"f": "g"}}


def test_an_experiment_says_where_its_settings_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    print_command.main(["-c", "warehouse/moe_both", "--scale", "tiny", "--data.init_args.batch_size", "3"])
    printed = capsys.readouterr().out
    config = yaml.safe_load(printed)
    assert config["data"]["init_args"]["batch_size"] == 3
    found: dict[str, str] = {}
    for line in printed.splitlines():  # the first of a name, since `tiny:` has some of them again
        found.setdefault(line.split(":")[0].strip(), line.partition("# ")[2])
    expected = {"batch_size": "typed", "width": "tiny", "experts": "tinygiant_64m", "vocabulary_size": ""}
    assert {key: found[key].rpartition("/")[2].removesuffix(".yaml") for key in expected} == expected
    assert found["weights_only"].endswith("experiments/base.yaml")
    assert found["starts_from"].endswith("warehouse/moe_both.yaml")


@pytest.mark.parametrize(
    "typed",
    [
        ("--model.network.depth_backbone=null",),
        ("--model.network.depth_backbone", "null"),
        ("--model.network.depth_backbone=None",),
        ("--model.init_args.network.depth_backbone=null",),
    ],
)
def test_an_argument_of_an_argument_may_be_empty(typed: tuple[str, ...], command: Command) -> None:
    said = command("print", "-c", "quickstart", *typed, "--model.network.width=48").stdout
    network = yaml.safe_load(said)["model"]["init_args"]["network"]
    assert network["depth_backbone"] is None
    assert network["width"] == 48 and network["geometry"] == "containment"
