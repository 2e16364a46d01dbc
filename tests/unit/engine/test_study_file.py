"""Study files: what they may hold, and one clear sentence for everything that they may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.core import HoldfastError, shipped
from holdfast.engine.study import RESISTANCES, STATISTICS, Selection, flat
from holdfast.engine.study_file import read_study

DOCS = Path(__file__).parents[3] / "docs"

WHOLE = """
title = "T"
suite = "quick"
seeds = 3
budget = "2x"
reference = "organism:base"
tau = 0.9
delta = 0.05
presets = "organism"

[models.a]
model = "organism:refusing"

[models.b]
base = "organism:refusing"
defence = ["refusal_sft:steps=2", "lox"]
seed = [0, 4]
suite = "standard"
seeds = 7

[models.c]
model = "organism:filtered"
budget = 8
reference = "organism:naive"
attacks = ["lora:rank=8"]
group = "others"

[[comparisons]]
a = "a"
b = "b"
attack = ["finetune:examples=10", "lora"]

[[comparisons]]
name = "prices"
a = "a"
b = "c"
price = true

[[relations]]
resistance = "defence_flops"
attacks = ["lora"]
models = ["b", "a"]

[[hypotheses]]
id = "h"
statement = "S."
statistic = "factor"
models = "b"
against = "a"
attack = "finetune+prefill:tokens=3"
at_least = 2.0
minimum_n = 4
"""


def read(tmp_path: Path, text: str):
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    return read_study(path)


def complaint(tmp_path: Path, text: str) -> str:
    with pytest.raises(HoldfastError) as fault:
        read(tmp_path, text)
    said = str(fault.value)
    assert said.startswith("expected ")
    assert "found" in said
    assert "Traceback" not in said
    assert "instance of" not in said and "dictionary" not in said
    return said


def test_everything_that_is_written_is_read(tmp_path: Path) -> None:
    study = read(tmp_path, WHOLE)
    assert (study.title, study.tau, study.delta) == ("T", 0.9, 0.05)
    assert [m.name for m in study.members] == ["a", "b-0", "b-4", "c"]
    a, first, second, c = study.members
    assert (a.suite, a.seeds, a.defences, a.kept) == ("quick", 3, (), "organism")
    assert (first.group, first.defences) == ("b", ("refusal_sft:steps=2", "lox"))
    assert (first.seed, second.seed, second.suite, second.seeds) == (0, 4, "standard", 7)
    assert (a.budget, a.reference) == ("2x", "organism:base")
    assert (c.budget, c.reference) == (8, "organism:naive")
    assert (c.attacks, c.group) == (("lora:rank=8",), "others")
    assert [one.name for one in study.comparisons] == [
        "a against b, finetune:examples=10", "a against b, lora", "prices",
    ]  # fmt: skip
    assert study.comparisons[0].attack == Selection("finetune", {"examples": 10})
    assert study.comparisons[2].attack is None
    (relation,) = study.relations
    assert (relation.resistance, relation.models) == ("defence_flops", ("b", "a"))
    (h,) = study.hypotheses
    assert (h.threshold, h.minimum, h.against) == (2.0, 4, "a")
    assert h.attacks[0].settings == {"second.tokens": 3}
    assert {m.name for m in study.named("b")} == {"b-0", "b-4"}
    assert study.chosen(()) == study.members


def test_what_would_be_silently_ignored_is_refused(tmp_path: Path) -> None:
    said = complaint(tmp_path, WHOLE.replace('presets = "organism"', 'presets = "organsm"'))
    assert "Did you mean 'organism'" in said
    said = complaint(tmp_path, WHOLE.replace('attacks = ["lora:rank=8"]', "attacks = []"))
    assert "at least one attack" in said
    said = complaint(tmp_path, WHOLE.replace('against = "a"', 'against = "b-0"'))
    assert "another model as against" in said
    share = WHOLE.replace('statistic = "factor"', 'statistic = "broken"')
    assert "a share as the threshold" in complaint(tmp_path, share.replace("2.0", "50.0"))


def test_several_domains_give_a_model_in_each(tmp_path: Path) -> None:
    other = tmp_path / "other"
    from holdfast.domains import init_domain

    init_domain(other)
    text = 'domains = ["organism", "other"]\n[models.a]\nmodel = "organism:refusing"\n'
    study = read(tmp_path, text)
    assert [m.name for m in study.members] == ["a@organism", "a@other"]
    assert study.members[1].domain == str(other)  # beside the file
    assert study.named("a") == study.members


def test_a_selection_holds_for_the_settings_that_it_names() -> None:
    one = Selection.of("finetune+prefill:tokens=3")
    nested = {
        "first": {"attack": "finetune", "settings": {"examples": 10}},
        "second": {"attack": "prefill", "settings": {"tokens": 3}},
        "first_units": 1,
    }
    assert one.holds("finetune+prefill", nested)
    assert dict(flat(nested))["first.examples"] == 10
    assert not one.holds("prefill", nested)
    assert not Selection.of("finetune:examples=10").holds("finetune", {"examples": 100})
    assert Selection.of("finetune").holds("finetune", {"examples": 100})
    assert Selection.of("finetune:examples=10").text == "finetune:examples=10"


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("seeds = 3", "sedes = 3", "Did you mean 'seeds'"),
        ('defence = ["refusal_sft:steps=2", "lox"]', "", "model, or base and defence, or ledger"),
        ("seed = [0, 4]", "sed = [0, 4]", "Did you mean 'seed'"),
        ("seed = [0, 4]", "seed = [0, 0]", "different seeds in [models.b]"),
        ("seed = [0, 4]", "seed = []", "different seeds in [models.b]"),
        ("seed = [0, 4]", 'seed = "0"',
         "a whole number or a list of whole numbers as 'seed' of [models.b]"),
        ("seed = [0, 4]", "seed = [0, 0.5]", "a list of whole numbers as 'seed' of [models.b]"),
        ("seed = [0, 4]", "seed = -1", "a seed from 0 to 2^63 - 1 in [models.b]"),
        ("seed = [0, 4]", "seed = [3, -2]", "found -2"),
        ("seed = [0, 4]", f"seed = {2**63}", "found 9.2e+18"),
        ("[models.b]", "seed = 1\n[models.b]", "found 'seed' beside 'model'"),
        ('model = "organism:filtered"', 'ledger = "x"', "found 'attacks' beside 'ledger'"),
        ("seed = [0, 4]", "seed = [0, 4]\nmodel = 'organism:base'", "found model, base, defence"),
        ("[models.a]", '[models."a/b"]', "a model's name of letters"),
        ("[models.c]", "[models.a]", "TOML in study.toml"),
        ("price = true", "price = true\nattack = 'lora'", "found both"),
        ("price = true", "", "found neither"),
        ('b = "c"', 'b = "d"', "name of a known model of the study"),
        ('b = "c"', 'b = "a"', "two different models"),
        ('b = "c"', "", "a value as 'b' of [[comparisons]] number 2"),
        ('attack = ["finetune:examples=10", "lora"]', 'attack = "lra"', "Did you mean 'lora'"),
        ('attack = ["finetune:examples=10", "lora"]', 'attack = "lora:rnk=3"', "'rank'"),
        ('attack = ["finetune:examples=10", "lora"]', 'attack = ["lora", "lora"]', "twice"),
        ('resistance = "defence_flops"', 'resistance = "cost"', "one of 'refusal_margin'"),
        ('statistic = "factor"', 'statistic = "p_value"', "one of 'broken'"),
        ("at_least = 2.0", "", "found neither"),
        ("at_least = 2.0", "at_least = 2.0\nat_most = 3", "found both"),
        ('against = "a"', "", "against or against_attack"),
        ('against = "a"', 'against = "b"', "one model as against"),
        ('models = "b"\nagainst', "against", "models in the hypothesis 'h'"),
        ("at_least = 2.0", "at_least = nan", "a finite threshold"),
        ("minimum_n = 4", "minimum_n = 0", "minimum_n of at least 1"),
        ('suite = "quick"', 'suite = "quik"', "Did you mean 'quick'"),
        ("suite = \"standard\"", "suite = \"standrd\"", "Did you mean 'standard'"),
        ("title", "domain = 'organsm'\ntitle", "Did you mean 'organism'"),
        ("title", "domain = 'organism'\ndomains = ['organism']\ntitle", "found both"),
        ("title", "from = 'nowhere'\ntitle", "a folder that `holdfast study defences` wrote"),
        ("tau = 0.9", 'tau = "high"', "a number as 'tau' of study.toml; found 'high'"),
        ("tau = 0.9", "tau = true", "found true"),
        ("seeds = 3", "seeds = 1e23", "a whole number as 'seeds' of study.toml; found 1e+23"),
        ("seeds = 3", "seeds = 2020-01-01", "found 2020-01-01"),
        ("seeds = 3", f"seeds = {'9' * 5000}", "found a number with too many digits"),
        ("seeds = 3", f"seeds = {'[' * 3000}", "found lists or tables nested too deep"),
        ('budget = "2x"', "budget = 1.5", "a whole number or a text as 'budget'"),
        ('attacks = ["lora:rank=8"]', "attacks = [8]",
         "a list of texts as 'attacks' of [models.c] in study.toml; found 8 in a list"),
        ("price = true", 'price = "yes"', "true or false as 'price' of [[comparisons]] number 2"),
        ('id = "h"', "id = { a = 1 }", "a text as 'id' of [[hypotheses]] number 1"),
        ("[[relations]]", "[[relation]]", "Did you mean 'relations'"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused_in_one_sentence(tmp_path: Path, was, now, said) -> None:
    assert was in WHOLE
    assert said in complaint(tmp_path, WHOLE.replace(was, now, 1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least one model"),
        ("= 3", "TOML in study.toml"),
        ('[[hypotheses]]\nid = "h"\n', "a value as 'statement'"),
        ("models = 3", "tables [models.NAME] as 'models' of study.toml; found 3"),
        (
            "[models]\na = 'organism:base'",
            "a table [models.a] in study.toml; found 'organism:base'",
        ),
        ("[[models]]\na = 1", "tables [models.NAME] as 'models'"),
        ("relations = 3", "tables [[relations]] as 'relations' of study.toml; found 3"),
        ("comparisons = [3]", "a table [[comparisons]] in study.toml; found 3 as number 1"),
    ],
)
def test_empty_and_broken_files(tmp_path: Path, text: str, said: str) -> None:
    assert said in complaint(tmp_path, text)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="No such file"):
        read_study(tmp_path / "no.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HoldfastError, match="UTF-8"):
        read_study(tmp_path / "binary.toml")


def test_the_example_in_the_docs_is_one() -> None:
    study = read_study(DOCS / "study.toml")
    assert len(study.members) == 5
    assert {one.attack.attack for one in study.comparisons if one.attack} == {"finetune", "lora"}
    assert study.hypotheses[0].source == "2405.14577"


def test_the_page_explains_every_key_statistic_and_resistance() -> None:
    page = (DOCS / "studies.md").read_text()
    from holdfast.engine import study_file

    tables = (study_file._File, study_file._Model, study_file._Comparison, study_file._Relation,
              study_file._Hypothesis)  # fmt: skip
    keys = {f.alias or name for table in tables for name, f in table.model_fields.items()}
    missing = {word for word in (*keys, *STATISTICS, *RESISTANCES) if f"`{word}`" not in page}
    assert not missing


def test_every_claim_has_its_source_threshold_and_minimum() -> None:
    study = read_study(shipped("engine/claims.toml"))
    assert len(study.hypotheses) >= 11
    for h in study.hypotheses:
        assert h.source and h.statement.endswith(".") and h.minimum >= 5
        assert h.threshold >= 0
    assert {m.group for m in study.chosen(study.hypotheses[-4].models)} >= {"control", "tar"}
    defended = {m.group for m in study.members if m.defences}
    from holdfast.core.registry import names

    assert defended == {n for n in names("defences") if (shipped("defences") / f"{n}.py").exists()}
