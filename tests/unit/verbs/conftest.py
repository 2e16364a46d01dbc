"""The toy with its lock as a user would give it: a checkpoint folder and a domain folder."""

from __future__ import annotations

import pytest
import torch

from holdfast.domains import write_domain
from holdfast.testing import toy_domain, toy_folder
from holdfast.testing.lock import REFUSAL


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def model() -> str:
    return str(toy_folder())


@pytest.fixture(scope="session")
def domain(tmp_path_factory: pytest.TempPathFactory) -> str:
    fields = {
        "name": "toy", "title": "A toy with a planted lock", "harmless": True,
        "refusal_openings": [REFUSAL], "max_new_tokens": 40, "scorer": {"kind": "exact"},
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("domain") / "toy"
    return str(write_domain(folder, fields, toy_domain(aids=False).splits))
