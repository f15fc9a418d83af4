"""Processes that render scenes start fast: they never load torch."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["datamodules.samples", "datamodules.rendered.warehouse"])
def test_torch_is_not_imported(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
