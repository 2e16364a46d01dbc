"""`holdfast show`: one attack, defence, measure, domain or suite in full."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False)

Rows = Iterator[tuple[str, str]]


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(help="An attack, a defence, a measure, a domain or a suite.")
    ],
) -> None:
    """Say all there is to say of one method, domain or suite: settings, defaults, paper."""
    from rich.console import Console
    from rich.text import Text

    from holdfast.cli.list import Kind, names
    from holdfast.cli.text import safe
    from holdfast.core.registry import unknown

    known = {n: kind for kind in reversed(Kind) for n in names(kind)}
    if name not in known:
        raise unknown("attack, defence, measure, domain or suite", name, sorted(known))
    kind = known[name]
    console = Console()
    console.print(Text(f"{name}, one of the {kind.value}", style="bold"))
    for label, text in _DESCRIBE[kind](name):
        console.print(Text(f"\n{label}", style="bold dim") if label else Text())
        console.print(Text(safe(text)), soft_wrap=True)


def _method(room: Any) -> Any:
    """How an attack, a defence or a measure describes itself."""

    def rows(name: str) -> Rows:
        from holdfast.core.registry import find

        method = find(room, name)
        yield "", inspect.cleandoc(method.__doc__ or "")
        info = dataclasses.asdict(method.info)
        yield "info", "\n".join(f"{key}: {value}" for key, value in info.items())
        settings = [f for f in dataclasses.fields(method) if f.init]
        if room != "measures":
            lines = [f"{f.name}: {_type(f)} = {_default(f)}" for f in settings]
            yield "settings", "\n".join(lines) or "none"
            space = method.space()
            grid = [f"{key}: {', '.join(map(str, v))}" for key, v in space.grid.items()]
            ranges = [
                f"{key}: {low} to {high}, {k}" for key, (low, high, k) in space.ranges.items()
            ]
            yield "grid", "\n".join(grid) or "one configuration"
            yield "ranges", "\n".join(ranges) or "none"

    return rows


def _type(field: dataclasses.Field[Any]) -> str:
    return field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)


def _default(field: dataclasses.Field[Any]) -> str:
    from holdfast.core import Attack
    from holdfast.engine.settings import title

    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    if field.default_factory is dataclasses.MISSING:
        return "required"
    value = field.default_factory()
    return title(value) if isinstance(value, Attack) else repr(value)


def _domain(name: str) -> Rows:
    from holdfast.domains import load_domain

    domain = load_domain(name)
    yield "", domain.title
    yield "scorer", domain.scorer.kind
    yield "harmless", "yes: answers are stored" if domain.harmless else "no: only scores are stored"
    yield "items", "\n".join(f"{split}: {len(items)}" for split, items in domain.splits.items())
    yield "digest", domain.digest


def _suite(name: str) -> Rows:
    from holdfast.engine.suites import load_suite

    suite = load_suite(name)
    yield "", suite.title
    yield "version", str(suite.version)
    yield "seeds", str(suite.seeds)
    yield "items at most", "\n".join(f"{split}: {n}" for split, n in suite.items.items())
    for entry in suite.attacks:
        grid = "its own grid" if entry.grid is None else f"grid {dict(entry.grid)}"
        budget = "its own budget" if entry.budget is None else f"budget {entry.budget}"
        yield entry.name, f"{grid}, {budget}"


_DESCRIBE: dict[str, Any] = {
    "attacks": _method("attacks"),
    "defences": _method("defences"),
    "measures": _method("measures"),
    "domains": _domain,
    "suites": _suite,
}
