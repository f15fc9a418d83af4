"""What all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.hub_server import LoopbackHub
from tests.helpers.zoo_folders import pytest_sessionfinish, zoo  # noqa: F401 - a hook and a fixture of all tests

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with small real samples beside the repository; they are not part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder ../shared/data with real samples is absent")
    return SHARED_DATA


@pytest.fixture(scope="session")
def rendered_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where commands find the scenes that another one, of whichever test, has rendered."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers
    (folder / "rendered").mkdir(exist_ok=True)
    return folder / "rendered"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A hub on this machine, where this process looks for the hub, with empty caches."""
    from huggingface_hub import constants

    with LoopbackHub() as server:
        address = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
        monkeypatch.setattr("transformers.utils.hub._hf_api", None)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user_cache"))
        yield server
