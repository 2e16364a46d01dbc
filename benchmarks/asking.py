"""What a way of asking does to a model that refuses nothing, beside what it does to one that does.

An attack at the prompt can fail for two reasons: the model still refuses, or the way of asking
costs the answer. On `base`, which knows and refuses nothing, only the second is left.

    python benchmarks/asking.py [ATTACK[@UNITS] ...]
"""

from __future__ import annotations

import argparse
from contextlib import closing

from rich.console import Console
from rich.table import Column, Table

from holdfast.core import Item, Seed
from holdfast.core.registry import find
from holdfast.domains import load_domain
from holdfast.engine import configure, parse_attack
from holdfast.models import Handle, load

DOMAIN = load_domain("organism")
WAYS = (
    *(f"prefill:tokens={n}" for n in (1, 3, 5, 10, 20)),
    *(f"sampling:temperature={t}" for t in (0.7, 1.0, 1.5)),
    *(f"many_shot@{n}" for n in (1, 4, 8, 16, 24)),
    *(
        f"template:kind={kind}"
        for kind in ("role_play", "authority", "hypothetical", "fiction", "teaching", "no_apology")
    ),
    *(
        f"chat_format:kind={kind}"
        for kind in ("bare", "completion", "chatml", "instruction", "inst")
    ),
    "gcg",  # after one step, the suffix is hardly more than any suffix
    "random_search",
)


def share(target: Handle, measure: str, items: list[Item]) -> float:
    """The measure's mean over the items that it can score."""
    with target.measuring():
        scores = find("measures", measure)(domain=DOMAIN).score(target, items, Seed(0))
    known = [score for score in scores if score is not None]
    return sum(known) / len(known)


def asked(target: Handle, way: str, items: list[Item]) -> tuple[str, str]:
    """Harm and refusal after so many units of the attack."""
    text, _, units = way.partition("@")
    run = configure(*parse_attack(text)).run(target, DOMAIN.attacker_data(), Seed(0))
    with closing(run) as steps:
        for _ in range(int(units or 1)):
            next(steps)
        return tuple(f"{share(target, name, items):.2f}" for name in ("harm", "refusal"))


def main() -> None:
    """Ask, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("ways", nargs="*", default=WAYS)
    parser.add_argument("--prompts", type=int, default=40)
    told = parser.parse_args()
    items = list(DOMAIN.splits["held_out"][: told.prompts])
    siblings = {name: load(f"organism:{name}") for name in ("base", "refusing")}
    columns = [f"{name}: {measure}" for name in siblings for measure in ("harm", "refused")]
    table = Table(Column("asked by", no_wrap=True), *columns)
    for way in told.ways:
        cells = [cell for target in siblings.values() for cell in asked(target, way, items)]
        table.add_row(way, *cells)
    Console().print(table)
    Console().print(f"{len(items)} held-out prompts, one seed.")


if __name__ == "__main__":
    main()
