"""Settings suggested from a history: the same for the same, inside the space, away from the floor."""

from holdfast.core import Seed, Space
from holdfast.engine.suggest import Tried, suggest


class Method:
    @classmethod
    def space(cls):
        return Space(
            grid={"form": ("a", "b"), "x": (0.25,)},
            ranges={"x": (0.0, 1.0, "linear"), "n": (1, 9, "int")},
        )


def history(n: int, bad) -> list[Tried]:
    """`n` points: x itself is what is to be low; those that `bad` says are below the floor."""
    tried: list[Tried] = []
    for _ in range(n):
        point = suggest(Method, tried, Seed(3))
        tried.append(Tried(point, point["x"], 1.0 if bad(point["x"]) else -0.1))
    return tried


def test_points_lie_in_the_space_and_follow_from_the_history_alone() -> None:
    tried = history(8, lambda _: False)
    for one in tried:
        assert 0.0 <= one.settings["x"] <= 1.0
        assert one.settings["n"] in range(1, 10)
        assert one.settings["form"] in ("a", "b")
    assert history(8, lambda _: False) == tried
    assert suggest(Method, tried[:5], Seed(3)) == tried[5].settings


def test_it_goes_where_the_value_is_low() -> None:
    tried = history(40, lambda _: False)
    late = [t.value for t in tried[20:]]
    assert sum(late) / len(late) < 0.25


def test_it_keeps_to_what_did_not_fall_below_the_floor() -> None:
    late = [t.settings["x"] for t in history(40, lambda x: x < 0.5)[20:]]
    assert sum(late) / len(late) > 0.4  # without the floor it goes below 0.25


def test_settings_from_outside_the_space_are_passed_over() -> None:
    assert suggest(Method, [], Seed(0), ("x", "form")).keys() == {"n"}
    odd = [Tried({"other": 1}, 0.0, -1.0)]
    assert suggest(Method, odd, Seed(0)).keys() == {"form", "x", "n"}
