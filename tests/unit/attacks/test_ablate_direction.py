"""Where there is no refusal there is no direction, and the attack says so."""

from dataclasses import replace

import pytest
from tests.planted import DATA, planted

from holdfast.attacks.ablate_direction import AblateDirection
from holdfast.core import Seed


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("toy") / "llama")[0]


@pytest.mark.parametrize(
    ("restricted", "benign", "refused", "answered"),
    [("lamp", "lamp", 0, 24), ("forge", "forge", 24, 0)],
)
def test_without_both_refusals_and_answers_it_ends_before_it_begins(
    target, restricted: str, benign: str, refused: int, answered: int
) -> None:
    items = {"forge": DATA.restricted, "lamp": DATA.benign}
    data = replace(DATA, restricted=items[restricted], benign=items[benign])
    target.meter.reset()
    assert list(AblateDirection(prompts=24).run(target, data, Seed(0))) == []
    assert target.meter.notes == {
        "restricted_prompts_refused": refused, "harmless_prompts_answered": answered
    }  # fmt: skip


def test_where_there_are_both_it_notes_nothing(target) -> None:
    target.meter.reset()
    assert len(list(AblateDirection(prompts=24, induce=-1e9).run(target, DATA, Seed(0)))) > 1
    assert target.meter.notes == {}
