import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made_up_episodes import FOREIGN, FOREIGN_MAP, SAMPLE  # noqa: E402


@pytest.fixture
def sample(tmp_path):
    """A copy of what the LeRobot library wrote, to be damaged."""
    return shutil.copytree(SAMPLE, tmp_path / "sample")


@pytest.fixture
def foreign(tmp_path):
    """A copy of what it wrote of another robot at 50 frames a second."""
    return shutil.copytree(FOREIGN, tmp_path / "foreign")


@pytest.fixture
def foreign_map(tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text(FOREIGN_MAP)
    return path
