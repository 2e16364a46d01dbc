"""Every method can be spelled as words and read back as it was."""

import pytest

from holdfast.core import SpecError, plain
from holdfast.core.registry import find, names
from holdfast.engine import configure, parse_method, spelled


@pytest.mark.parametrize("name", names("defences"))
def test_the_words_of_a_defence_give_the_defence_back(name: str):
    method = find("defences", name)()
    word, settings = parse_method(spelled(name, plain(method)))
    assert configure(word, settings, "defences") == method


def test_several_values_of_one_setting_become_their_types():
    made = configure(*parse_method("tar:learning_rates=1e-5|3e-4|0.1"), "defences")
    assert made.learning_rates == (1e-5, 3e-4, 0.1)


def test_one_value_among_several_that_does_not_fit_is_told():
    with pytest.raises(SpecError, match="learning_rates of tar"):
        configure(*parse_method("tar:learning_rates=1e-5|fast"), "defences")
