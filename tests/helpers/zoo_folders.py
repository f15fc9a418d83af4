"""Model folders as a hub has them, built once a run from the real small files beside the checkout.

Tokenizers, templates, processor settings and weight names are the real ones; layers are few and narrow.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

BUILD = Path(__file__).resolve().parents[3] / "shared" / "zoo" / "build.py"
FOLDERS = (
    "smolvlm_500m",
    "smolvlm_2b",
    "qwen2_5_vl_3b",
    "qwen2_5_vl_7b",
    "internvl3_1b",
    "paligemma2_3b",
)
"""One of each family, and Qwen's larger sister; SmolVLM-256M's folder is that of the 500M."""


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds one for each of `FOLDERS`, built by the first process that asks for it."""
    if not BUILD.exists():
        pytest.skip("the folder ../shared/zoo with the models' real small files is absent")
    base = tmp_path_factory.getbasetemp()
    target = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "zoo"
    with FileLock(f"{target}.lock"):
        if not (target / "built").exists():
            command = [sys.executable, str(BUILD), str(target), *FOLDERS]
            finished = subprocess.run(command, capture_output=True, text=True, timeout=300)
            assert finished.returncode == 0, finished.stderr
            (target / "built").touch()
    return target


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the folders, which pytest would keep for the next runs: they are some hundred megabytes."""
    if "PYTEST_XDIST_WORKER" not in os.environ and hasattr(session.config, "_tmp_path_factory"):
        shutil.rmtree(session.config._tmp_path_factory.getbasetemp() / "zoo", ignore_errors=True)
