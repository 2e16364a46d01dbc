from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def locks() -> ModuleType:
    """Locks with a known breaking cost."""
    path = Path(__file__).parents[2] / "golden" / "locks.py"
    spec = importlib.util.spec_from_file_location("holdfast_test_locks", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules.setdefault(spec.name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module
