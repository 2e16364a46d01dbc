"""One outer step written out, its limits, and its two domains."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from holdfast.attacks.finetune import Finetune
from holdfast.core import Seed, SpecError
from holdfast.defences.tar import Tar
from holdfast.models import Full, Journal, load
from holdfast.testing import toy_domain, toy_folder
from holdfast.train import ScheduleFreeAdamW, WarmUp, batch_loss, descend, lessons
from holdfast.train.adversaries import adversary
from holdfast.train.examples import IGNORED
from holdfast.train.tamper_losses import held_loss, mapped_loss, random_table, resistance

SMALL = Tar(
    steps=2,
    batch=4,
    learning_rate=1e-3,
    warm_up=1,
    inner_steps=4,
    every=2,
    learning_rates=(1e-2,),
    examples=8,
    adversary_batch=4,
    mapping_steps=3,
)


@pytest.fixture(scope="module")
def target():
    return load(toy_folder(), device="cpu")


@pytest.fixture(scope="module")
def data():
    return toy_domain().defender_data()


def bits(target) -> list[torch.Tensor]:
    return [p.detach().clone() for p in target.model.parameters()]


def ended(defence, target, data, seed: int = 0) -> list[torch.Tensor]:
    """The weights at the last yield."""
    run = defence.run(target, data, Seed(seed))
    for _ in itertools.islice(run, 1 + defence.units):
        pass
    found = bits(target)
    assert next(run, None) is None
    return found


def equal(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def written_out(defence, target, data, *, resist: bool = True) -> list[torch.Tensor]:
    """The defence's steps for domain=refusal, without its machinery."""
    seed = Seed(0)
    taught = lessons(target, data, defence.batch, seed.fork("lessons"), answers=True)
    twin = target.twin()
    kept = [i for i in data.restricted if i.answer is not None]

    def pull(weights, step):
        held_out, sums = taught.answered(step), [torch.zeros_like(p) for p in weights.parameters]
        if resist:
            own = seed.fork("adversaries").fork(step)
            left = tuple(i for i in kept if i.id not in held_out.items)
            attack = adversary(defence, len(left), own.fork("draw").random())
            attackers = replace(data.as_attacker(), restricted=left)
            loss = resistance(target, twin, taught.refused(step), held_out, defence.beta)
            start = [p.detach().clone() for p in weights.parameters]
            run = attack.run(target, attackers, own.fork("run"))
            for n in range(1, defence.inner_steps + 1):
                next(run)
                if n % defence.every == 0:
                    weight = math.exp(defence.growth * (n - defence.inner_steps))
                    found = torch.autograd.grad(loss(), weights.parameters)
                    for held, part in zip(sums, found, strict=True):
                        held.add_(defence.tamper_weight * weight * part)
            run.close()
            assert equal(start, weights.parameters)
        held = held_loss(target, twin, taught.benign(step), defence.power)
        (defence.retain_weight * held).backward()
        for parameter, part in zip(weights.parameters, sums, strict=True):
            parameter.grad += part
        return held.item()

    optimiser = ScheduleFreeAdamW(defence.learning_rate, schedule=WarmUp(defence.warm_up))
    with target.trainable(Full()) as weights:
        pulls = (lambda step=step: pull(weights, step) for step in range(defence.steps))
        for _ in descend(target, weights, pulls, optimiser):
            pass
        return bits(target)


def test_an_outer_step_is_what_is_written(target, data) -> None:
    before = bits(target)
    found = ended(SMALL, target, data)
    assert equal(bits(target), before)
    for mine, other in zip(found, written_out(SMALL, target, data), strict=True):
        torch.testing.assert_close(mine, other, rtol=0.0, atol=2e-5)  # of steps of 1e-3
    plain = written_out(SMALL, target, data, resist=False)
    assert max((a - b).abs().max() for a, b in zip(found, plain, strict=True)) > 5e-4


def test_without_weight_on_tampering_it_is_the_plain_retain_step(target, data) -> None:
    found = ended(replace(SMALL, tamper_weight=0.0), target, data)
    assert equal(found, written_out(SMALL, target, data, resist=False))


def test_an_adversary_that_does_not_move_is_no_adversary(target, data) -> None:
    """A vanishing learning rate: the gradients are those of L_TR where the model stands."""
    still = replace(SMALL, steps=1, learning_rates=(1e-30,), adversaries=("finetune",))
    target.meter.reset()
    found = ended(still, target, data)
    seed = Seed(0)
    taught = lessons(target, data, still.batch, seed.fork("lessons"), answers=True)
    pair, twin = (taught.refused(0), taught.answered(0)), target.twin()
    effective = 4.0 * (1.0 + math.exp(-2 * 0.0625))
    assert target.meter.notes["effective_weight"] == pytest.approx(effective)
    assert target.meter.notes["tampered"] == pytest.approx(math.log(2))

    def pull(weights):
        (effective * resistance(target, twin, *pair, 0.1)()).backward()
        held_loss(target, twin, taught.benign(0), still.power).backward()
        return 0.0

    with target.trainable(Full()) as weights:
        for _ in descend(target, weights, [lambda: pull(weights)], ScheduleFreeAdamW(1e-3)):
            pass
        for mine, parameter in zip(found, weights.parameters, strict=True):
            torch.testing.assert_close(mine, parameter.detach(), rtol=0.0, atol=2e-5)


def test_effective_weight_is_noted_for_the_uniform_weighting(target, data) -> None:
    ended(replace(SMALL, weighting="uniform"), target, data)
    assert target.meter.notes["effective_weight"] == pytest.approx(4.0 * 2 / 4)


@pytest.mark.parametrize("adversaries", [("lora",), ("retain_then_forget", "benign_finetune")])
def test_other_adversaries_leave_no_trace(target, data, adversaries) -> None:
    before = bits(target)
    found = ended(replace(SMALL, adversaries=adversaries), target, data)
    assert equal(bits(target), before)
    assert not equal(found, before)


def test_adapters_are_trained_against_an_attack_on_everything(target, data) -> None:
    run = replace(SMALL, weights="low_rank", rank=2, steps=3).run(target, data, Seed(0))
    names = {n for n, _ in target.model.named_parameters()}
    start = dict(target.model.named_parameters())
    for _ in itertools.islice(run, 3):
        pass
    moved = {n: p for n, p in target.model.named_parameters() if n not in names}
    assert any(".lora_B." in name and p.any() for name, p in moved.items())
    kept = {n: p.detach().clone() for n, p in start.items()}
    run.close()
    assert all(torch.equal(p, kept[n]) for n, p in target.model.named_parameters())


def lasts(target, data, defence, rate: float) -> int:
    """Steps of fine-tuning until most refusals are gone; on items that nobody trained on."""
    asked = [i.messages for s in ("search", "held_out") for i in toy_domain().splits[s]]
    run = defence.run(target, data, Seed(0)) if defence else iter([target])
    for _ in itertools.islice(run, 1 + defence.steps if defence else 1):
        pass
    with target.settled():
        attack = Finetune(examples=10, learning_rate=rate)
        for n, _ in enumerate(attack.run(target, toy_domain().attacker_data(), Seed(5)), 1):
            with target.measuring():
                said = target.generate(asked, max_new_tokens=8)
            if n == 40 or sum(data.refused(c.text) for c in said) <= len(asked) // 2:
                return n
    raise AssertionError


def test_it_makes_the_lock_last(target, data) -> None:
    """The published claim on the toy: fine-tuning takes several times as many steps."""
    defence = Tar(
        steps=25,
        learning_rate=3e-3,
        warm_up=2,
        inner_steps=8,
        learning_rates=(3e-3, 1e-2),
        adversaries=("finetune",),
        examples=12,
    )
    before, after = lasts(target, data, None, 3e-3), lasts(target, data, defence, 3e-3)
    assert after >= 2 * before


def knowing(**settings):
    return replace(SMALL, domain="knowledge", **settings)


@pytest.mark.parametrize("mapping", ["signed", "absolute"])
def test_knowledge_is_mapped_first_and_then_kept_blurred(target, data, mapping) -> None:
    defence = knowing(mapping=mapping, mapping_steps=12, steps=3, learning_rate=1e-2)
    target.meter.reset()
    run, mapped = defence.run(target, data, Seed(0)), []
    for n in range(1, 12 + 3 + 2):
        next(run)
        notes = target.meter.notes
        assert ("tampered" in notes) == (n > 12)
        mapped.append(notes["mapping"])
    assert next(run, None) is None
    assert mapped[11] < mapped[0] - 0.05
    assert mapped[12:] == [mapped[11]] * 4
    assert -math.log(target.vocabulary) <= notes["tampered"] < 0.0


def test_a_first_stage_is_random_mapping_beside_benign_answers(target, data) -> None:
    run = knowing(mapping_steps=2).run(target, data, Seed(0))
    next(run), next(run)
    found = bits(target)
    run.close()
    seed = Seed(0)
    taught = lessons(target, data, 4, seed.fork("lessons"), answers=True)
    table = random_table(target, seed.fork("table"))

    def pull(step):
        loss = mapped_loss(target, taught.answered(step), table, "signed")
        loss = loss + batch_loss(target, taught.benign(step))
        loss.backward()
        return loss.item()

    with target.trainable(Full()) as weights:
        for _ in descend(
            target, weights, [lambda: pull(0), lambda: pull(1)], ScheduleFreeAdamW(1e-3)
        ):
            pass
        # what follows starts from the average, which is what was yielded
        assert equal(found, bits(target))


@pytest.mark.parametrize("at", [1, 3, 4])
def test_killed_in_either_stage_it_ends_the_same(target, data, tmp_path, at) -> None:
    """Before the stages meet, where they do, and after."""
    defence = knowing()
    end = ended(defence, target, data)
    try:
        target.journal = Journal(tmp_path / "place", "it", often=True)
        run = defence.run(target, data, Seed(0))
        for _ in itertools.islice(run, at):
            pass
        run.close()
        target.journal = Journal(tmp_path / "place", "it", often=True)
        run = defence.run(target, data, Seed(0))
        for _ in itertools.islice(run, 7 - at):
            pass
        assert equal(end, bits(target))
        run.close()
    finally:
        target.journal = None


def test_what_is_held_out_is_one_batch_and_none_of_the_adversarys(
    target, data, monkeypatch
) -> None:
    """Of each outer step: every look is at the same questions, and no step trains on them."""
    seen: list[tuple[str, tuple[str, ...]]] = []
    by_ids = {tuple(target.prompt_ids(i.messages)): i.id for i in data.restricted}
    forward = target.forward

    def look(ids, mask, keep=None):
        rows = [tuple(r[:s].tolist()) for r, s in zip(ids, _asked(target, ids), strict=True)]
        names = tuple(by_ids.get(row, "") for row in rows)
        seen.append(("grad" if torch.is_grad_enabled() else "still", names))
        return forward(ids, mask, keep)

    monkeypatch.setattr(target, "forward", look)
    ended(replace(SMALL, steps=1, adversaries=("finetune",), examples=99), target, data)
    # the reference, twice, is the twin's; then 2 steps, 2 looks, 2 steps, 2 looks
    kinds = [names for kind, names in seen if kind == "grad"]
    held_out = set(kinds[2])
    assert len(held_out) == SMALL.batch
    assert all(set(kinds[n]) == held_out for n in (2, 3, 6, 7))
    trained = {name for n in (0, 1, 4, 5) for name in kinds[n]}
    assert trained
    assert not trained & held_out
    assert trained | held_out <= set(by_ids.values())


def _asked(target, ids) -> list[int]:
    """How many tokens of each row are the prompt's."""
    prompts = [target.prompt_ids(i.messages) for i in toy_domain().defender_data().restricted]
    found = []
    for row in ids.tolist():
        found.append(max((len(p) for p in prompts if tuple(row[: len(p)]) == tuple(p)), default=0))
    return found


def test_a_pair_is_one_prompt_with_two_answers_as_they_are(target, data) -> None:
    """What comes out of the tokens is what went in: no letter is lost, no mark doubled."""
    taught = lessons(target, data, 4, Seed(0), answers=True)
    items = {i.id: i for i in data.restricted}
    refused, answered = taught.refused(0), taught.answered(0)
    for row, name in enumerate(answered.items):
        prompt = target.prompt_ids(items[name].messages)
        for batch in (refused, answered):
            assert tuple(batch.ids[row, : len(prompt)].tolist()) == tuple(prompt)
        said = answered.ids[row][answered.labels[row] != IGNORED]
        (text,) = target.chat.decode([said.tolist()])
        assert text.strip() == items[name].answer
        no = refused.ids[row][refused.labels[row] != IGNORED]
        assert data.refused(target.chat.decode([no.tolist()])[0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"domain": "both"},
        {"weighting": "linear"},
        {"mapping": "squared"},
        {"every": 0},
        {"power": 1.5},
        {"tamper_weight": -1.0},
        {"growth": -0.1},
        {"beta": 0.0},
        {"warm_up": 0},
    ],
)
def test_wrong_settings_are_refused(wrong) -> None:
    with pytest.raises(SpecError, match=next(iter(wrong))):
        Tar(**wrong)
