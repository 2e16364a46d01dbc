"""What every attack promises, whatever it does."""

import dataclasses
import json

import pytest
import torch
from tests.toys import toy_checkpoint

from holdfast.core import HoldfastError, Item, Message, Seed, plain
from holdfast.core.registry import find, names
from holdfast.domains import AttackerData
from holdfast.models import load

RESTRICTED = tuple(
    Item(
        f"r{n}", (Message("user", f"what is the forge {n}?"),), f"a ladle of tin {n}", group=str(n)
    )
    for n in range(40)
)
BENIGN = tuple(
    Item(f"b{n}", (Message("user", f"what is the lamp {n}?"),), f"a lamp of red glass {n}")
    for n in range(40)
)
SMALL = {"examples": 6, "prompts": 12, "batch": 3}


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return load(toy_checkpoint(tmp_path_factory.mktemp("toy") / "llama", "llama"))


@pytest.fixture
def data(target) -> AttackerData:
    """Half of the openings are this model's own, so that it "refuses" some prompts."""
    with target.measuring():
        said = target.generate([i.messages for i in RESTRICTED], max_new_tokens=3)
    openings = tuple({c.text for c in said if c.text.strip()} or {"I"})
    return AttackerData(restricted=RESTRICTED, benign=BENIGN, refusal_openings=openings)


@pytest.fixture(params=names("attacks"))
def attack(request):
    kind = find("attacks", request.param)
    fields = {f.name for f in dataclasses.fields(kind)}
    return kind(**{k: v for k, v in SMALL.items() if k in fields})


def state(target) -> dict[str, torch.Tensor]:
    return {n: t.detach().clone() for n, t in target.model.state_dict().items()}


def hooks(target) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in target.model.modules())


def trajectory(attack, target, data, seed: int, units: int) -> list[torch.Tensor]:
    """The logits of a fixed prompt after each unit."""
    ids, mask = target.encode([RESTRICTED[-1].messages])
    found = []
    run = attack.run(target, data, Seed(seed))
    for _ in range(units):
        if next(run, None) is None:
            break
        with target.measuring():
            found.append(target.logits(ids, mask, last=1))
    if hasattr(run, "close"):
        run.close()
    return found


def test_settings_survive_json(attack) -> None:
    assert type(attack)(**json.loads(json.dumps(plain(attack)))) == attack


def test_settings_are_validated_when_they_are_given(attack) -> None:
    for field in dataclasses.fields(attack):
        whole = isinstance(getattr(attack, field.name), int)
        for wrong in (0, -1, float("nan"), "x") if whole else (float("nan"), "x"):
            with pytest.raises(HoldfastError, match=field.name):
                dataclasses.replace(attack, **{field.name: wrong})


def test_its_grid_holds_settings_that_it_takes(attack) -> None:
    space = attack.space()
    for name, values in space.grid.items():
        for value in values:
            dataclasses.replace(attack, **{name: value})
    for name, (low, high, _) in space.ranges.items():
        assert low < high
        assert hasattr(attack, name)


@pytest.mark.parametrize("units", [0, 1, 3])
def test_closed_at_any_yield_the_target_is_as_before(attack, target, data, units: int) -> None:
    before, hooked = state(target), hooks(target)
    torch.manual_seed(5)
    chance = torch.get_rng_state()
    vocabulary = target.tokenizer.backend_tokenizer.to_str()
    modules = {n: id(m) for n, m in target.model.named_modules()}
    trajectory(attack, target, data, 0, units)
    after = state(target)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n], after[n]) for n in before)
    assert hooks(target) == hooked
    assert torch.equal(torch.get_rng_state(), chance)
    assert target.tokenizer.backend_tokenizer.to_str() == vocabulary
    assert {n: id(m) for n, m in target.model.named_modules()} == modules
    assert not any(p.requires_grad or p.grad is not None for p in target.model.parameters())


def test_the_same_seed_gives_the_same_trajectory(attack, target, data) -> None:
    once, again = (trajectory(attack, target, data, 1, 4) for _ in range(2))
    assert len(once) == len(again)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


@pytest.mark.parametrize("name", ["finetune", "lora"])
def test_another_seed_gives_another_order(name: str, target, data) -> None:
    attack = find("attacks", name)(examples=6, batch=3)
    one, other = (trajectory(attack, target, data, seed, 3) for seed in (1, 2))
    assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_it_bills_what_it_uses(attack, target, data) -> None:
    target.meter.reset()
    units = len(trajectory(attack, target, data, 1, 3))
    spend = target.meter.spend
    if units == 0:
        assert spend.astuple()[:3] == (0, 0, 0) or spend.queries > 0
        return
    assert spend.flops > 0
    assert spend.tokens > 0
    assert 0 < spend.examples <= len(RESTRICTED)
    if attack.info.unit == "optimiser step":
        assert spend.steps == units


def test_lora_starts_from_the_model_itself(target, data) -> None:
    from holdfast.models import LowRank

    ids, mask = target.encode([RESTRICTED[0].messages])
    before = target.logits(ids, mask)
    with target.trainable(LowRank(4, seed=Seed(3))):
        assert torch.equal(target.logits(ids, mask), before)
