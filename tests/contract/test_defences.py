"""Every registered defence keeps the public contract. `-k NAME` runs it for one."""

import dataclasses

import pytest

from holdfast.core.registry import find, names
from holdfast.testing import DefenceContract

SMALL = {"steps": 3, "batch": 2, "rank": 2, "inner_steps": 2}
"""Settings that keep a unit of work on the toys within milliseconds, by name of field."""


class TestEveryDefence(DefenceContract):
    @pytest.fixture(autouse=True, params=names("defences"))
    def one(self, request):
        kind = find("defences", request.param)
        fields = {f.name for f in dataclasses.fields(kind)}
        self.defence = kind(**{k: v for k, v in SMALL.items() if k in fields})
