import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for engine_fakes, which slow_run.py shares

import engine_fakes
import pytest

import holdfast.attacks


@pytest.fixture(autouse=True)
def methods(monkeypatch):
    monkeypatch.setattr(
        holdfast.attacks, "__path__", [engine_fakes.METHODS, *holdfast.attacks.__path__]
    )
