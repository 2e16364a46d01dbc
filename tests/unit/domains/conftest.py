import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for domain_folders

import pytest
from domain_folders import TOML, Make, build
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # other work may share the machine
settings.load_profile("unhurried")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Builds `tmp_path / name` from settings and what the test changes in the splits."""
    return lambda toml=TOML, splits=None, name="d": build(tmp_path / name, toml, splits or {})
