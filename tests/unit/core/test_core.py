"""The vocabulary: one spelling for a value, forked seeds, a registry that finds and suggests."""

import dataclasses
import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import (
    Seed,
    SpecError,
    Spend,
    TrialSpec,
    canonical_json,
    digest,
    digest_file,
)
from holdfast.core.checks import require_positive, require_whole
from holdfast.core.registry import find, names, unknown

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_canonical_json_is_json_and_stable(value) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_order_of_keys_does_not_matter(value) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_has_no_digest(value) -> None:
    with pytest.raises(ValueError):
        digest({"x": value})


def test_a_file_has_the_digest_of_its_bytes(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_file(tmp_path / "a").startswith("ba7816bf")


@given(st.integers(0, 2**62), st.text(), st.text())
def test_forks_are_functions_of_seed_and_name(value, one, other) -> None:
    assert Seed(value).fork(one) == Seed(value).fork(one)
    assert (Seed(value).fork(one) == Seed(value).fork(other)) == (one == other)
    assert 0 <= Seed(value).fork(one).value < 2**63


def test_drawing_leaves_the_global_generator_alone() -> None:
    import random

    random.seed(0)
    before = random.getstate()
    Seed(1).random().random()
    assert random.getstate() == before


SPEC = TrialSpec("m", "d", "a", 1, {"x": 1}, 0, 8, {"tau": 0.5})


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(TrialSpec)])
def test_every_field_of_a_spec_is_in_its_key(field: str) -> None:
    other = {"x": 2} if field in ("settings", "protocol") else 77
    changed = dataclasses.replace(SPEC, **{field: other})
    assert changed.key != SPEC.key


def test_spends_add_and_subtract() -> None:
    a, b = Spend(1, 2, 3, 4.0, 5, 6.0), Spend(10, 20, 30, 40.0, 50, 60.0)
    assert (a + b) - b == a
    assert a + Spend() == a


def test_names_are_files_and_find_their_class() -> None:
    assert {"none", "finetune", "lora", "ablate_direction"} <= set(names("attacks"))
    assert {"refusal", "harm", "utility", "over_refusal", "coherence"} <= set(names("measures"))
    assert find("attacks", "finetune").info.version >= 1


def test_an_unknown_name_comes_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="Did you mean 'finetune'"):
        find("attacks", "fintune")
    assert "Known: a, b" in str(unknown("thing", "zzzz", ["a", "b"]))


@dataclasses.dataclass(frozen=True)
class Settings:
    n: object = 1

    def __post_init__(self) -> None:
        require_whole(self, "n")


@pytest.mark.parametrize("wrong", [0, -3, 1.5, math.nan, "2", None, True])
def test_what_is_not_a_whole_number_above_zero_is_refused(wrong) -> None:
    with pytest.raises(SpecError, match="'n'"):
        Settings(wrong)


def test_positive_numbers_may_be_broken() -> None:
    require_positive(Settings(1), "n")
    assert Settings(2).n == 2


def test_core_loads_neither_torch_nor_transformers() -> None:
    code = "import sys, holdfast, holdfast.core, holdfast.core.registry; print(sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "'torch'" not in loaded.stdout
    assert "'transformers'" not in loaded.stdout
