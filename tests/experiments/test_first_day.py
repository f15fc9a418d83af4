"""The first day of a newcomer: one command after the other, as the README shows them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.commands import ROOT, environment
from tests.helpers.forked_make import ForkedPython

ABOUT_OWN_IMAGES = "about your own images."
SAYS_LAST = {
    "quick start": ["Score", "blind", "Report: runs/quickstart/", ABOUT_OWN_IMAGES],
    "predict": ["Answers: runs/quickstart/", "Report: runs/quickstart/"],
    "predict again": ["Answers: runs/quickstart/", "Report: runs/quickstart/"],
    "test": ["Score", "Report: runs/quickstart/"],
    "a training is killed": ["It was killed."],
    "resume": ["goes on in epoch", "Score", "Report: runs/quickstart/", ABOUT_OWN_IMAGES],
    "train longer": ["stretched from 10 to 12 steps", "Score", ABOUT_OWN_IMAGES],
    "compare": ["points, 95 % interval of B - A"],
    "fine-tune": ["Score", "Report: runs/small_vlm/smolvlm_500m_lora/", ABOUT_OWN_IMAGES],
    "export": ["Adapter: runs/small_vlm/smolvlm_500m_lora/", "adapter/README.md has all of the code"],
    "own images": ["Answers: runs/small_vlm/smolvlm_500m_lora/", "Report: runs/"],
}
"""What each step prints, in this order, the last of it at its end."""


@pytest.mark.slow
def test_a_first_day(tmp_path: Path, rendered_once: Path) -> None:
    (tmp_path / "rendered_data").symlink_to(rendered_once)
    with ForkedPython(tmp_path) as python:
        day = python.shell(["sh", str(ROOT / "tests/first_day.sh")], environment(), 600)
    said = re.sub(r"[\s│]+", " ", day.stdout)
    assert day.returncode == 0, said + day.stderr
    assert "Traceback" not in day.stderr and "Error" not in day.stderr
    names = re.findall(r"== (.*)", day.stdout)
    assert names == list(SAYS_LAST)
    for name, step in zip(names, re.split(r"== .*", day.stdout)[1:], strict=True):
        words = re.sub(r"[\s│]+", " ", step)
        for expected in SAYS_LAST[name]:
            assert expected in words, (name, step)
            words = words.partition(expected)[2]
        assert len(words) < 300, (name, step)
