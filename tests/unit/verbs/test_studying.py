"""A study of defences: in parts, and the same table as in one go."""

import json

import pytest

from holdfast import verbs
from holdfast.cli import run
from holdfast.core import SpecError

WITH = ["refusal_sft:steps=2,batch=2", "refusal_sft:steps=3,batch=2,learning_rate=1e-3"]


def planned(model, domain, out, **more):
    return verbs.plan_defences(
        model, WITH, out, suite="quick", seeds=1, defence_seeds=1, domain=domain, **more
    )


@pytest.fixture(scope="module")
def study(model, domain, tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    asked = planned(model, domain, out)
    part = verbs.study_defences(asked, workers=1, most=2)  # the control and the first
    return asked, part, verbs.study_defences(asked, workers=1), out


def test_it_can_be_run_in_parts(study) -> None:
    asked, part, whole, _ = study
    assert [row.defence for row in part.rows] == WITH[:1]
    assert sorted(row.defence for row in whole.rows) == sorted(WITH)
    assert list(verbs.finished(asked)) == list(asked.parts)
    assert part.rows[0] == next(r for r in whole.rows if r.defence == WITH[0])


def test_a_row_says_what_was_bought_and_what_it_cost(study) -> None:
    _, _, whole, _ = study
    row = next(r for r in whole.rows if r.defence == WITH[0])
    assert row.spend.steps == 2
    assert row.spend.flops > 0
    assert {a.attack for a in row.attacks} == set(whole.attacks)
    assert row.models == len(row.worst) == 1
    for attack in row.attacks:
        (cost,) = attack.costs
        control = whole.control.attack(attack.attack).price
        if attack.factor is not None:
            assert attack.factor == pytest.approx(cost.flops / control.median.spend.flops)


def test_what_is_written_is_what_was_found(study) -> None:
    _, _, whole, out = study
    data = json.loads((out / "study.json").read_text())
    assert [row["defence"] for row in data["defences"]] == [row.defence for row in whole.rows]
    page = (out / "study.md").read_text()
    assert all(name in page for name in WITH)
    assert "nan" not in page.lower()
    assert (out / "study.svg").read_text().startswith("<svg")


def test_the_command_line_plans_and_prints(study, model, domain, capsys) -> None:
    _, _, _, out = study
    words = ["study", "defences", model, "--suite", "quick", "--seeds", "1", "--domain", domain]
    words += ["--defence-seeds", "1", "--out", str(out)]
    words += [word for name in WITH for word in ("--with", name)]
    assert run([*words, "--plan"]) == 0
    assert "0 models to go" in capsys.readouterr().out
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "holdfast.study.defences"
    assert run(words) == 0
    assert "refusal_sft" in capsys.readouterr().out


def test_wrong_use_comes_before_work(model, domain, tmp_path) -> None:
    with pytest.raises(SpecError, match="Did you mean"):
        verbs.plan_defences(model, ["refusal_stf"], tmp_path, domain=domain)
    with pytest.raises(SpecError, match="at least 1 seed"):
        verbs.plan_defences(model, WITH, tmp_path, domain=domain, defence_seeds=0)
    with pytest.raises(SpecError, match=r"at most 1,000 models.*2 defences x 1.0e\+20 seeds"):
        verbs.plan_defences(model, WITH, tmp_path, domain=domain, defence_seeds=10**20)
    asked = planned(model, domain, tmp_path)
    with pytest.raises(SpecError, match="0 or more models"):
        verbs.study_defences(asked, most=-1)
    with pytest.raises(SpecError, match="a finished audit of the control"):
        verbs.study_defences(asked, most=0)
