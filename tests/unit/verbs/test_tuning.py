"""Tuning: chosen on search by some attacks, reported on held-out prompts by others."""

import json

import pytest

from holdfast import verbs
from holdfast.core import HoldfastError, SpecError
from holdfast.engine import parse_method
from holdfast.models import inspect
from holdfast.verbs import tuning

FIXED = "refusal_sft:steps=4,batch=4"


@pytest.fixture
def cheap(monkeypatch):
    """Attacks of one family each, so that it takes seconds."""
    monkeypatch.setattr(tuning, "DEVELOPMENT", ("finetune:examples=4,batch=4,steps=4",))
    monkeypatch.setattr(tuning, "held_out_attacks", lambda: ["prefill"])


def test_held_out_attacks_share_no_family_with_those_of_development() -> None:
    near = {parse_method(text)[0] for text in tuning.DEVELOPMENT}
    others = tuning.held_out_attacks()
    assert near == {"finetune", "ablate_direction"}
    assert others
    assert not any(near & set(name.split("+")) for name in others)
    assert "abliterate_search" not in others


def test_the_best_of_those_that_keep_usefulness_is_written(cheap, model, domain, tmp_path) -> None:
    found = verbs.tune(model, FIXED, 2, tmp_path / "out", domain=domain, workers=1)
    assert [t.number for t in found.trials] == [0, 1]
    kept = [t for t in found.trials if t.shortfall <= 0]
    assert found.winner == min(kept, key=lambda t: (t.exposure, t.flops))
    assert found.trials[0].settings["learning_rate"] == 1e-4  # the defaults come first
    assert all(t.settings["steps"] == 4 for t in found.trials)  # what is fixed stays
    assert found.trials[1].settings["learning_rate"] != 1e-4
    about = json.loads((tmp_path / "out" / "holdfast.json").read_text())
    assert about["hardened"]["stages"][0]["settings"] == dict(found.winner.settings)
    # reported by other attacks, on prompts that nothing was chosen by
    assert {a.attack for a in found.reported.attacks} == {"prefill"}
    assert {a.attack for a in found.reported_base.attacks} == {"prefill"}
    # nothing that was tried is left on disk but the winner
    assert not list((tmp_path / "out.tuning").rglob("*.safetensors"))


def test_it_goes_on_where_it_was_stopped(cheap, model, domain, tmp_path, monkeypatch) -> None:
    whole = verbs.tune(model, FIXED, 2, tmp_path / "whole", domain=domain, workers=1)
    verbs.tune(model, FIXED, 1, tmp_path / "part", domain=domain, workers=1)
    counted = []
    real = tuning.harden

    def counting(model, defences, out, **more):
        counted.append(out)
        return real(model, defences, out, **more)

    monkeypatch.setattr(tuning, "harden", counting)
    again = verbs.tune(model, FIXED, 2, tmp_path / "part", domain=domain, workers=1, force=True)
    assert len(counted) == 2  # the second point, and the winner
    assert [t.settings for t in again.trials] == [t.settings for t in whole.trials]
    assert [t.exposure for t in again.trials] == [t.exposure for t in whole.trials]
    assert inspect(tmp_path / "part").digest == inspect(tmp_path / "whole").digest


def test_where_nothing_keeps_usefulness_that_is_said(
    cheap, model, domain, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(tuning, "FLOOR", 1.5)
    with pytest.raises(HoldfastError, match="none among 1"):
        verbs.tune(model, FIXED, 1, tmp_path / "out", domain=domain, workers=1)
    assert not (tmp_path / "out").exists()


def test_wrong_use_comes_before_work(model, domain, tmp_path) -> None:
    with pytest.raises(SpecError, match="at least 1 trial"):
        verbs.tune(model, FIXED, 0, tmp_path / "out", domain=domain)
    with pytest.raises(SpecError, match="Did you mean"):
        verbs.tune(model, "refusal_stf", 1, tmp_path / "out", domain=domain)
    assert list(tmp_path.iterdir()) == []
