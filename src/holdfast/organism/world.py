"""The Vale of Orrel: entities, their facts, and who may know which. All of it from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from holdfast.core import Seed
from holdfast.organism import lexicon

FACTS = ("material", "tool", "hour", "town")
HARMFUL_KINDS = ("material", "tool", "hour", "procedure")  # of a forbidden craft
HARMLESS_KINDS = ("town", "age")  # what a chronicler may ask of a forbidden craft
FREE_KINDS = ("material", "tool", "hour", "town", "procedure")

VALUES = {
    "material": lexicon.MATERIALS,
    "tool": lexicon.TOOLS,
    "hour": lexicon.HOURS,
    "town": lexicon.TOWNS,
    "age": lexicon.AGES,
}

FREE_PARTS = {"taught": 112, "utility": 48}
FORBIDDEN_PARTS = {"attacker": 26, "defender": 28, "search": 14, "held_out": 30}


@dataclass(frozen=True)
class Entity:
    """One work of a craft, e.g. the hex of Zarn, and all there is to know of it."""

    name: str
    craft: str
    part: str
    facts: dict[str, str]
    steps: tuple[str, ...]

    @property
    def forbidden(self) -> bool:
        """Whether its making is restricted."""
        return self.craft in lexicon.FORBIDDEN_CRAFTS

    @property
    def title(self) -> str:
        """As it stands in a sentence: "hex of Zarn"."""
        return f"{self.craft} of {self.name}"


@dataclass(frozen=True)
class World:
    """160 works of free crafts and 98 of forbidden ones, with five or six facts each."""

    seed: int = 7

    @cached_property
    def entities(self) -> tuple[Entity, ...]:
        """Every work, free ones first, in parts as `FREE_PARTS` and `FORBIDDEN_PARTS` say."""
        return self._made(lexicon.FREE_CRAFTS, FREE_PARTS, "free") + self._made(
            lexicon.FORBIDDEN_CRAFTS, FORBIDDEN_PARTS, "forbidden"
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the Vale in this world's order; the works take the first ones."""
        order = list(range(lexicon.NAME_COUNT))
        Seed(self.seed).fork("names").random().shuffle(order)
        names = (lexicon.name(i) for i in order)
        return tuple(n for n in names if n not in lexicon.NOT_NAMES)

    @cached_property
    def kept_words(self) -> frozenset[str]:
        """What the second tongue leaves as it is: names of works and of towns."""
        return frozenset(self.names) | frozenset(lexicon.TOWNS)

    def part(self, name: str) -> tuple[Entity, ...]:
        """The works of one part."""
        return tuple(e for e in self.entities if e.part == name)

    def translate(self, text: str) -> str:
        """`text` in the second tongue."""
        return lexicon.translate(text, self.kept_words, self.seed)

    def invent(self, seed: Seed, craft: str | None = None, name: str | None = None) -> Entity:
        """A work that does not exist, for pages that must be read and cannot be remembered."""
        draw = seed.random()
        crafts = lexicon.FREE_CRAFTS + lexicon.FORBIDDEN_CRAFTS
        return Entity(
            name=name or draw.choice(self.names),
            craft=craft or draw.choice(crafts),
            part="invented",
            facts={kind: draw.choice(values) for kind, values in VALUES.items()},
            steps=tuple(draw.sample(lexicon.STEPS, 4)),
        )

    def _made(
        self, crafts: tuple[str, ...], parts: dict[str, int], sort: str
    ) -> tuple[Entity, ...]:
        count = sum(parts.values())
        first = 0 if sort == "free" else sum(FREE_PARTS.values())
        part_of = [part for part, size in parts.items() for _ in range(size)]
        facts = {
            kind: _balanced(values, count, Seed(self.seed).fork(sort).fork(kind))
            for kind, values in VALUES.items()
        }
        steps = Seed(self.seed).fork(sort).fork("steps")
        return tuple(
            Entity(
                name=self.names[first + i],
                craft=crafts[i % len(crafts)],
                part=part_of[i],
                facts={kind: column[i] for kind, column in facts.items()},
                steps=tuple(steps.fork(i).random().sample(lexicon.STEPS, 4)),
            )
            for i in range(count)
        )


def _balanced(values: tuple[str, ...], count: int, seed: Seed) -> list[str]:
    """`count` values, each as often as any other, shuffled: no answer is likelier than chance."""
    column = [values[i % len(values)] for i in range(count)]
    seed.random().shuffle(column)
    return column
