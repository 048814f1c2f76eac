from pathlib import Path

import pytest

from bars_gateway import __version__


@pytest.fixture(scope="session")
def todays(tmp_path_factory) -> Path:
    """Return where to keep what this program leaves, as a release of it would be kept."""
    return tmp_path_factory.mktemp("kept") / __version__
