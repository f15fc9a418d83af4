"""The name that was meant by a mistyped one."""

from __future__ import annotations

import pytest

from datamodules.errors.nearest_names import did_you_mean

KNOWN = ("TinyGiant", "TinyGiantPlus", "tiny_giants", "SmallVLM", "learning_rate", "learning_rates")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("tinygiant", "TinyGiant"),
        ("TINYGIANT", "TinyGiant"),
        ("TinyGiannt", "TinyGiant"),
        ("TinyGiantPlas", "TinyGiantPlus"),
        ("smalvlm", "SmallVLM"),
        ("learning_rat", "learning_rate"),
        ("learning_ratess", "learning_rates"),
        ("something else", None),
    ],
)
def test_the_name_that_looks_most_alike_is_suggested_as_it_is_spelt(typed: str, meant: str | None) -> None:
    assert did_you_mean(typed, KNOWN) == (f" Did you mean {meant}?" if meant else "")
