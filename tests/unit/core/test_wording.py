"""Counts in sentences, and TOML that nobody should have written."""

import tomllib

import pytest

from holdfast.core import counted, read_toml, shortened


def test_one_is_not_several() -> None:
    assert [counted(n, "run") for n in (0, 1, 2, 2048)] == [
        "0 runs",
        "1 run",
        "2 runs",
        "2,048 runs",
    ]
    assert [counted(n, "query", "queries") for n in (1, 3)] == ["1 query", "3 queries"]


def test_a_number_is_shown_as_it_was_given_unless_nobody_would_read_it() -> None:
    assert [shortened(n) for n in (0, -3, 10**11)] == ["0", "-3", "100000000000"]
    assert [shortened(n) for n in (12 * 10**22, -(10**400))] == ["1.2e+23", "-1.0e+400"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("= 3", "Invalid"),
        (f"a = {'9' * 5000}", "too many digits"),
        (f"a = {'[' * 3000}", "too deep"),
    ],
)
def test_what_is_no_toml_is_a_value_error_in_few_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as fault:
        read_toml(text)
    assert len(str(fault.value)) < 80


def test_toml_is_read_as_the_library_reads_it() -> None:
    text = "a = 1\n[b]\nc = [2, 3]\n"
    assert read_toml(text) == tomllib.loads(text)
