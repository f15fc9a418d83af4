"""What hands its arguments on says which they are, so that an editor completes them and mypy checks them."""

from __future__ import annotations

import inspect
import typing
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from datamodules.ai_city_track3 import AiCityTrack3
from datamodules.base import DataArguments, SpatialDataModule
from datamodules.layouts import LayoutArguments, OfficialLayout
from datamodules.own_images import OwnImages
from lightning_modules.distillation.module import DistilledStudent
from lightning_modules.distillation.teachers.live import Teacher
from lightning_modules.vlm.sft import PeftSft, PeftSftArguments

HANDED_ON: list[tuple[Any, type]] = [
    (DataArguments, SpatialDataModule),
    (LayoutArguments, OfficialLayout),
    (PeftSftArguments, PeftSft),
]


@pytest.mark.parametrize(("arguments", "kind"), HANDED_ON, ids=lambda each: each.__name__)
def test_the_arguments_are_those_of_the_class(arguments: Any, kind: type) -> None:
    taken = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
    own = {"self"} | ({"attention"} if kind is PeftSft else set())
    named = set(taken) - own - {"shared"}
    hints, typed = typing.get_type_hints(kind.__init__), arguments.__annotations__  # type: ignore[misc]
    assert set(typed) - named == (set(DataArguments.__annotations__) if kind is OfficialLayout else set())
    known = typing.get_type_hints(arguments)
    assert {name: known[name] for name in named} == {name: hints[name] for name in named}


def test_a_misspelt_argument_is_refused_and_seen_before() -> None:
    """`make lint` would call these comments unused, if mypy saw nothing to ignore here."""
    with pytest.raises(TypeError, match="bach_size"):
        AiCityTrack3(bach_size=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="maximum_token"):
        DistilledStudent(Teacher("a"), model="b", maximum_token=7)  # type: ignore[call-arg]
    assert AiCityTrack3(batch_size=2, tasks=["count"]).batch_size == 2


@pytest.mark.parametrize(
    ("kind", "argument", "default"),
    [
        (OwnImages, "batch_size", 8),
        (AiCityTrack3, "cache", "rendered_data"),
        (DistilledStudent, "decay", "matrices"),
    ],
)
def test_the_parser_knows_the_defaults_of_the_parent(kind: type, argument: str, default: object) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    assert parser.get_defaults(skip_validation=True)[argument] == default
