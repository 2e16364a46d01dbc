"""How far refusal is spread: one direction counts as one, and what is kept is of one model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.planted import DATA, planted

from holdfast.core import Seed
from holdfast.engine.dispersal import (
    FILE,
    Dispersal,
    Draw,
    bounded,
    disperse,
    read_dispersal,
    write_dispersal,
)
from holdfast.testing import toy_domain


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory):
    target, _ = planted(tmp_path_factory.mktemp("planted") / "toy")
    bare = toy_domain(aids=False)
    splits = {**bare.splits, "attacker": DATA.restricted, "retain": DATA.benign}
    domain = replace(bare, splits=splits, refusal_openings=DATA.refusal_openings)
    return target, domain, disperse(target, domain, Seed(0), draws=2)


def test_a_planted_direction_is_one(measured) -> None:
    target, domain, found = measured
    assert (found.model, found.domain) == (target.digest, domain.digest)
    assert [draw.directions for draw in found.draws] == [1, 1]
    assert found.directions == 1.0
    assert 1.0 <= found.rank < 8.0


def test_the_same_seed_gives_the_same_and_another_draws_others(measured) -> None:
    target, domain, found = measured
    again = disperse(target, domain, Seed(0), draws=1)
    assert again.draws[0] == found.draws[0]
    assert disperse(target, domain, Seed(1), draws=1).draws[0].rank != found.draws[0].rank


def test_what_is_kept_is_read_back_for_this_model_and_domain_alone(tmp_path: Path) -> None:
    found = Dispersal("m", "d", (Draw(2.5, None, 8), Draw(3.5, 2, 2)))
    write_dispersal(found, tmp_path)
    assert read_dispersal(tmp_path, "m", "d") == found
    assert read_dispersal(tmp_path, "other", "d") is None
    assert read_dispersal(tmp_path, "m", "other") is None
    (tmp_path / FILE).write_text("{}")
    assert read_dispersal(tmp_path, "m", "d") is None
    assert read_dispersal(tmp_path / "nowhere", "m", "d") is None


def test_directions_that_were_not_enough_count_as_one_more() -> None:
    assert bounded(Draw(1.0, None, 8)) == 9.0
    assert bounded(Draw(1.0, 3, 3)) == 3.0
    found = Dispersal("m", "d", (Draw(2.0, None, 8), Draw(4.0, 3, 3)))
    assert (found.rank, found.directions) == (3.0, 6.0)
