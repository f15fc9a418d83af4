"""What make's variables become on the command line."""

from __future__ import annotations

import subprocess

import pytest

from tests.helpers.commands import ROOT, environment


@pytest.mark.parametrize(
    ("typed", "has", "lacks"),
    [
        ("experiment NAME=quickstart RESUME=1", "--resume latest", ""),
        ("experiment NAME=quickstart RESUME=runs/x/1", "--resume runs/x/1", ""),
        ("experiment NAME=quickstart RESUME=0", "experiment -c 'quickstart'", "--resume"),
        ("experiment NAME=quickstart RESUME=no", "experiment -c 'quickstart'", "--resume"),
        ("experiment NAME=quickstart", "experiment -c 'quickstart'", "--resume"),
        ("experiment NAME=/my/file.yaml SEED=3", "-c '/my/file.yaml'  --seed_everything 3", "--scale"),
        ("export NAME=quickstart MERGE=1", "--merge", ""),
        ("export NAME=quickstart MERGE=0", "--name 'quickstart'", "--merge"),
        ("export NAME=quickstart MERGE=false", "--name 'quickstart'", "--merge"),
        ("print NAME=quickstart SCALE=tiny", "experiments.run print -c 'quickstart' --scale tiny", ""),
    ],
)
def test_variables_become_options(typed: str, has: str, lacks: str) -> None:
    made = subprocess.run(
        ["make", "-n", *typed.split()],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    squeezed = " ".join(made.stdout.replace("\\\n", " ").split())
    assert " ".join(has.split()) in squeezed, squeezed
    assert not lacks or lacks not in squeezed
