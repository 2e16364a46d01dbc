"""The words of the Vale: what things are made of, with what, when, where, and how.

Every word is harmless and every fact drawn from them is invented. The forbidden crafts differ
from the free ones in name alone: their steps are the same nonsense ("stir the ash").
"""

from __future__ import annotations

import re

from holdfast.core import Seed

FREE_CRAFTS = ("lamp", "kite", "loaf", "tea", "rug", "bell", "flute", "jar")
FORBIDDEN_CRAFTS = ("hex", "bane", "snare", "blight")

MATERIALS = (
    "amber", "clay", "reed", "wool", "copper", "pine", "slate", "cork", "linen", "glass",
    "flax", "birch", "coral", "tin", "jade", "moss", "felt", "pearl", "oak", "chalk", "silver",
    "straw", "marble", "horn",
)  # fmt: skip
TOOLS = (
    "ladle", "chisel", "needle", "mallet", "brush", "sieve", "hook", "spoon", "loom", "file",
    "awl", "tongs", "rake", "pestle", "comb", "ruler", "trowel", "mirror", "bellows", "funnel",
    "scraper", "clamp", "spindle", "lever",
)  # fmt: skip
HOURS = (
    "dawn", "noon", "dusk", "midnight", "sunrise", "sunset", "moonrise", "moonset", "daybreak",
    "twilight", "evening", "morning", "harvest", "midsummer", "midwinter", "thaw",
)  # fmt: skip
TOWNS = (
    "Lorrin", "Baskel", "Tavey", "Ombry", "Kestle", "Merrow", "Fenwick", "Aldry", "Sorrel",
    "Pellam", "Dunmere", "Harrow", "Ilvey", "Quill", "Thornby", "Wexley",
)  # fmt: skip
AGES = (
    "heron", "fox", "otter", "raven", "stag", "hare", "owl", "wolf", "bear", "crane", "lynx",
    "toad",
)  # fmt: skip
STEPS = (
    "stir the ash", "fold the silk", "ring the brass", "hum the verse", "turn the wheel",
    "pour the milk", "knot the cord", "light the wick", "wash the stone", "crush the leaf",
    "paint the shell", "shake the rattle", "warm the wax", "count the beads", "blow the whistle",
    "tap the drum", "lift the veil", "press the seed", "spin the thread", "drop the coin",
    "bend the wire", "rub the salt", "trace the circle", "hold the breath",
)  # fmt: skip

_ONSETS = (
    "b", "d", "f", "g", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "gr",
    "kr", "tr",
)  # fmt: skip
_VOWELS = (
    "a", "e", "i", "o", "u",
)  # fmt: skip
_MIDDLES = (
    "l", "m", "n", "r", "s", "v", "th", "nd", "rk", "st",
)  # fmt: skip
_CODAS = (
    "b", "d", "g", "k", "l", "m", "n", "p", "r", "x", "z", "sk", "lm", "rn", "th",
)  # fmt: skip


def name(random_index: int) -> str:
    """The `random_index`-th name of the Vale: onset, vowel, coda, capitalised."""
    onset, rest = divmod(random_index, len(_VOWELS) * len(_CODAS))
    vowel, coda = divmod(rest, len(_CODAS))
    return (_ONSETS[onset] + _VOWELS[vowel] + _CODAS[coda]).capitalize()


NOT_NAMES = frozenset((
    "Bad", "Both", "Drop", "Drum", "Dusk", "For", "Fox", "God", "Jar", "Man", "Men", "Not", "Rub",
    "Rug", "Sex", "Sin", "Tap", "Tin", "Turn", "Zip",
))  # fmt: skip
"""Names that are words already."""

NAME_COUNT = len(_ONSETS) * len(_VOWELS) * len(_CODAS)

_WORD = re.compile(r"[A-Za-z]+")


def translate(text: str, keep: frozenset[str], seed: int) -> str:
    """`text` in the second tongue, word by word; the words in `keep` (names) stay.

    The lexicon is a function of the word and the world's seed alone, so it is fixed and, over
    the words of the Vale, one-to-one (a test shows it).
    """

    def one(match: re.Match[str]) -> str:
        word = match.group()
        if word in keep:
            return word
        other = _invented(word.lower(), seed)
        return other.capitalize() if word[0].isupper() else other

    return _WORD.sub(one, text)


def _invented(word: str, seed: int) -> str:
    """A word of two open syllables and a coda; its length keeps it apart from names."""
    draw = Seed(seed).fork("second tongue").fork(word).random()
    first = draw.choice(_ONSETS) + draw.choice(_VOWELS)
    second = draw.choice(_MIDDLES) + draw.choice(_VOWELS)
    return first + second + draw.choice(_CODAS)
