"""Loading: what a domain becomes, and every way to be refused."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from domain_folders import TOML, Make, record

from holdfast.core import DataMissing, HoldfastError, Message, Seed, SpecError
from holdfast.domains import MANDATORY, load_domain

SYSTEM = TOML.replace("[scorer]", 'system = "You are a guide."\n[scorer]')


def test_a_folder_becomes_a_domain(make: Make) -> None:
    rows = [record("How?", id="first", task="procedures", group="Oru ward")]
    domain = load_domain(make(splits={"held_out": rows, "defender": [record("Why, defender?")]}))
    (item,) = domain.splits["held_out"]
    assert (item.id, item.task, item.group) == ("first", "procedures", "Oru ward")
    assert item.messages == (Message("user", "How?"),)
    assert item.answer == "It is the ladle."
    assert item.truth == {"fact": "ladle"}
    assert set(domain.splits) == {*MANDATORY, "defender"}
    assert (domain.name, domain.harmless, domain.max_new_tokens) == ("tiny", True, 64)
    assert domain.scorer.kind == "exact"
    assert len(domain.digest) == 64


def test_it_is_loaded_once_while_its_files_are_as_they_were(make: Make) -> None:
    folder = make(splits={"held_out": [record("How?")]})
    first = load_domain(folder)
    assert load_domain(str(folder)) is first
    path = folder / "held_out.jsonl"
    path.write_text(json.dumps(record("How much?")) + "\n", encoding="utf-8")
    other = load_domain(folder)
    assert other.digest != first.digest
    assert other.splits["held_out"][0].messages[0].content == "How much?"


def test_the_system_prompt_comes_first_everywhere(make: Make) -> None:
    domain = load_domain(make(SYSTEM))
    first = {i.messages[0] for items in domain.splits.values() for i in items}
    assert first == {Message("system", "You are a guide.")}
    assert domain.attacker_data().system == "You are a guide."


def test_two_system_prompts_are_refused(make: Make) -> None:
    row = record("How?")
    row["messages"].insert(0, {"role": "system", "content": "Be brief."})
    with pytest.raises(SpecError, match=r"attacker\.jsonl, line 1"):
        load_domain(make(SYSTEM, {"attacker": [row]}))


def test_a_conversation_keeps_its_turns(make: Make) -> None:
    turns = [("user", "Hi"), ("assistant", "Hello"), ("user", "How?")]
    row = {"messages": [{"role": r, "content": c} for r, c in turns], "truth": {"fact": "x"}}
    (item,) = load_domain(make(splits={"held_out": [row]})).splits["held_out"]
    assert [m.role for m in item.messages] == ["user", "assistant", "user"]
    assert item.answer is None


def test_the_digest_is_of_content_not_of_path_name_or_order(make: Make) -> None:
    rows = [record(f"What is thing {i}?") for i in range(9)]
    first = load_domain(make(splits={"retain": rows}))
    random.Random(1).shuffle(rows)
    renamed = TOML.replace("tiny", "other")
    second = load_domain(make(renamed, {"retain": rows}, name="elsewhere"))
    assert first.digest == second.digest
    assert first.splits == second.splits


@pytest.mark.parametrize(
    ("toml", "splits"),
    [
        (SYSTEM, {}),
        (TOML.replace("[scorer]", "max_new_tokens = 9\n[scorer]"), {}),
        (TOML.replace("[scorer]", 'refusal_rules = ["nay"]\n[scorer]'), {}),
        (TOML.replace('"exact"', '"rule"\nmust = ["ladle"]'), {}),
        (TOML, {"held_out": [record("What is held_out 0?", fact="spoon")]}),
    ],
)
def test_the_digest_moves_with_everything_that_decides_a_number(
    make: Make, toml: str, splits: dict[str, list[object]]
) -> None:
    assert load_domain(make()).digest != load_domain(make(toml, splits, name="other")).digest


def test_draws_are_seeded_nested_and_answered(make: Make) -> None:
    rows = [record(f"What is thing {i}?") for i in range(20)]
    del rows[0]["messages"][1]
    data = load_domain(make(splits={"attacker": rows})).attacker_data()
    ten, four = data.draw(10, Seed(3)), data.draw(4, Seed(3))
    assert ten[:4] == four
    assert len({i.id for i in ten}) == 10
    assert data.draw(10, Seed(4)) != ten
    assert all(i.answer for i in data.draw(19, Seed(0)))
    assert len(data.draw(20, Seed(0), answered=False)) == 20
    assert len(data.draw_benign(2, Seed(0))) == 2
    for n in (20, -1):
        with pytest.raises(SpecError, match="between 0 and 19 restricted items with answers"):
            data.draw(n, Seed(0))


def test_a_defender_needs_its_split(make: Make) -> None:
    with pytest.raises(SpecError, match="defender"):
        load_domain(make()).defender_data()
    rows = {"defender": [record("Why?")], "borderline_train": [record("What flag?")]}
    data = load_domain(make(splits=rows, name="with")).defender_data()
    assert len(data.draw(1, Seed(0))) == len(data.draw_borderline(1, Seed(0))) == 1


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(SpecError, match="Did you mean 'organism'"):
        load_domain("orgnism")


def test_no_folder_and_no_settings(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no such folder"):
        load_domain(tmp_path / "none")
    with pytest.raises(DataMissing, match=r"no domain\.toml in it"):
        load_domain(tmp_path)
    with pytest.raises(DataMissing, match="no such folder"):
        load_domain("a/\x00b")


@pytest.mark.parametrize("split", MANDATORY)
@pytest.mark.parametrize("rows", [None, [], "\n\n"])
def test_empty_and_missing_splits(make: Make, split: str, rows: list[object] | str | None) -> None:
    with pytest.raises(DataMissing, match=f"items in the split {split}"):
        load_domain(make(splits={split: rows}))


def test_a_prompt_in_two_splits(make: Make) -> None:
    rows = {
        "attacker": [record("First, please."), record("What is the colour of Oru?")],
        "held_out": [record("What is... the COLOUR, of oru", group="Oru")],
    }
    with pytest.raises(SpecError, match=r"attacker\.jsonl, line 2.*held_out\.jsonl, line 1"):
        load_domain(make(splits=rows))


def test_an_id_twice(make: Make) -> None:
    rows = {"attacker": [record("One?", id="a")], "search": [record("Two?", id="a")]}
    with pytest.raises(SpecError, match=r"'a' as in attacker\.jsonl, line 1"):
        load_domain(make(splits=rows))


@pytest.mark.parametrize("split", ["search", "held_out", "utility"])
def test_a_measured_split_without_truths(make: Make, split: str) -> None:
    row = record("How?")
    del row["truth"]
    with pytest.raises(SpecError, match=f"a truth in the split {split}"):
        load_domain(make(splits={split: [row]}))


def test_a_rule_needs_no_truths_but_utility_does(make: Make) -> None:
    row = record("How?")
    del row["truth"]
    toml = TOML.replace('"exact"', '"rule"\nmust = ["ladle"]')
    domain = load_domain(make(toml, {"held_out": [row]}))
    assert domain.scorer.score(domain.splits["held_out"][0], "a Ladle") == 1.0


def _user(content: object) -> str:
    return json.dumps({"messages": [{"role": "user", "content": content}]})


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "invalid JSON"),
        ('{"messages": [], "truth": NaN}', "NaN"),
        ("[" * 100_000, "invalid JSON"),
        ("[]", "an object such as"),
        ("7", "an object such as"),
        ("{}", "a list of messages"),
        ('{"messages": "hi"}', "a list of messages"),
        ('{"prompt": "hi"}', "'prompt'"),
        ('{"messages": ["hi"]}', "a role"),
        ('{"messages": [{"role": "human", "content": "hi"}]}', "a role"),
        ('{"messages": [{"role": "user", "content": "hi", "x": 1}]}', "a role"),
        ('{"messages": [{"role": "assistant", "content": "hi"}]}', "the roles assistant"),
        ('{"messages": [{"role": "system", "content": "hi"}]}', "the roles system"),
        (_user(" "), "text as the content"),
        (_user(7), "text as the content"),
        ('{"messages": [{"role": "user", "content": "\\ud800"}]}', "surrogate"),
        (json.dumps(record("hi") | {"truth": "x"}), "an object as truth"),
        (json.dumps(record("hi") | {"truth": {"fact": 1}}), "a phrase of the truth"),
        (json.dumps(record("hi") | {"truth": {"fact": "++"}}), "words in every phrase"),
        (json.dumps(record("hi") | {"truth": {"steps": []}}), "a list of phrases as steps"),
        (json.dumps(record("hi") | {"truth": {"steps": ["a", None]}}), "a phrase of the truth"),
        (json.dumps(record("hi") | {"truth": {"fact": "a", "options": "ab"}}), "as options"),
        (json.dumps(record("hi") | {"truth": {"fact": "a", "steps": ["b"]}}), "both"),
        (json.dumps(record("hi", id="../../etc")), "which holds '..'"),
        (json.dumps(record("hi", id="/etc")), "which holds '/'"),
        (json.dumps(record("hi", id="a\x1b[31m")), "a control character"),
        (json.dumps(record("hi", group="<b>ward</b>")), "which holds '<'"),
        (json.dumps(record("hi", group="a\u202eb")), "a control character"),
        (json.dumps(record("hi", task="a\nb")), "a control character"),
        (json.dumps(record("hi", id="x" * 121)), "1 to 120 characters"),
        (json.dumps(record("hi", id=7)), "1 to 120 characters"),
    ],
)
def test_a_bad_line_names_its_file_and_number(make: Make, line: str, says: str) -> None:
    good = json.dumps(record("Good?"))
    folder = make(splits={"search": f"{good}\n\n{line}\n"})
    with pytest.raises(SpecError) as caught:
        load_domain(folder)
    message = str(caught.value)
    assert "search.jsonl, line 3" in message
    assert says in message
    assert "\x1b" not in message
    assert len(message) < 400


def test_a_line_that_is_not_utf8(make: Make) -> None:
    folder = make()
    (folder / "search.jsonl").write_bytes(b'{"messages": "\xff"}\n')
    with pytest.raises(SpecError, match=r"UTF-8.*search\.jsonl, line 1"):
        load_domain(folder)


def test_a_byte_order_mark_is_no_fault(make: Make) -> None:
    folder = make()
    file = folder / "search.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(load_domain(folder).splits["search"]) == 2


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "tiny"', "name = ", "valid TOML"),
        ('name = "tiny"', 'name = "../tiny"', "which holds"),
        ('name = "tiny"', 'name = "a/b"', "which holds '/'"),
        ('name = "tiny"', 'name = "\\u001b[31m"', "a control character"),
        ('name = "tiny"', "", "a name of 1 to 120"),
        ('title = "Tiny"', 'title = "<script>"', "markup"),
        ('title = "Tiny"', "title = 7", "as title"),
        ("harmless = true", "", "harmless = true or false"),
        ("harmless = true", 'harmless = "yes"', "harmless = true or false"),
        ("harmless = true", "harmless = true\nspeed = 1", "only the fields"),
        ("harmless = true", "harmless = true\nmax_new_tokens = 0", "max_new_tokens"),
        ("harmless = true", "harmless = true\nmax_new_tokens = true", "max_new_tokens"),
        ("harmless = true", 'harmless = true\nsystem = " "', "text as system"),
        ("harmless = true", "harmless = true\nrefusal_rules = ['(']", "regular expressions"),
        ("harmless = true", "harmless = true\nrefusal_rules = 'a'", "a list of texts"),
        ("harmless = true", "harmless = true\nrefusal_openings = []", "at least one text"),
        ("harmless = true", "harmless = true\nsplits = 3", "tables"),
        ('[scorer]\nkind = "exact"', "", "a kind among"),
        ('"exact"', '"judge"', "a kind among"),
        ('"exact"', "[]", "a kind among"),
        ('"exact"', '"exact"\nmust = ["a"]', "only the known fields"),
        ('"exact"', '"rule"', "at least one pattern in must"),
        ('"exact"', '"rule"\nmust = ["("]', "regular expressions"),
        ('"exact"', '"classifier"', "a classifier's checkpoint"),
        ('"exact"', '"exact"\n[splits.train]\ndataset="a/b"', "splits among"),
    ],
)
def test_bad_settings_say_what_is_wrong(make: Make, old: str, new: str, says: str) -> None:
    assert old in TOML
    with pytest.raises(SpecError) as caught:
        load_domain(make(TOML.replace(old, new)))
    assert says in str(caught.value)
    assert "domain.toml" in str(caught.value)
    assert "\x1b" not in str(caught.value)


def _classifier(folder: Path, weights: bytes = b"x", labels: object = ("safe", "harmful")) -> None:
    path = folder / "judge"
    path.mkdir()
    config = {"id2label": dict(enumerate(labels))} if isinstance(labels, tuple) else labels
    (path / "config.json").write_text(json.dumps(config))
    (path / "model.safetensors").write_bytes(weights)


JUDGED = TOML.replace('"exact"', '"classifier"\ncheckpoint = "judge"\nlabel = "harmful"')


def test_a_classifier_is_part_of_the_digest_by_its_content(make: Make) -> None:
    domains = []
    for name, weights in (("a", b"x"), ("b", b"x"), ("c", b"y")):
        folder = make(JUDGED, name=name)
        _classifier(folder, weights)
        domains.append(load_domain(folder))
    assert domains[0].scorer.checkpoint == (domains[0].path / "judge").resolve()
    assert domains[0].digest == domains[1].digest != domains[2].digest


def test_a_classifier_that_is_not_there_or_lacks_the_label(make: Make) -> None:
    with pytest.raises(DataMissing, match="no such folder"):
        load_domain(make(JUDGED))
    folder = make(JUDGED, name="pickled")
    _classifier(folder)
    (folder / "judge/model.safetensors").rename(folder / "judge/pytorch_model.bin")
    with pytest.raises(DataMissing, match="safetensors"):
        load_domain(folder)
    for name, labels, says in (
        ("wrong", ("safe", "bad"), "'harmful'"),
        ("none", [], "id2label"),
        ("plain", {}, "LABEL_0"),
    ):
        folder = make(JUDGED, name=name)
        _classifier(folder, labels=labels)
        with pytest.raises(SpecError, match=says):
            load_domain(folder)


def test_every_message_says_what_to_do(make: Make) -> None:
    with pytest.raises(HoldfastError) as caught:
        load_domain(make(splits={"search": "{\n"}))
    assert caught.value.remedy.endswith(".")


def test_neither_domains_nor_measures_load_torch() -> None:
    code = (
        "import sys; from holdfast.core.registry import find, names; import holdfast.domains; "
        "[find('measures', name) for name in names('measures')]; "
        "sys.exit(bool({'torch', 'transformers', 'scipy', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_shipped_domain_loads_and_scores_its_own_answers() -> None:
    domain = load_domain("organism")
    assert domain.harmless
    items = [item for split in domain.splits.values() for item in split]
    assert {domain.scorer.score(i, i.answer or "") for i in items if i.truth} == {1.0}
