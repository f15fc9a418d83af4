"""What all tests share."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with small real samples beside the repository; they are not part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder ../shared/data with real samples is absent")
    return SHARED_DATA
