"""The templates of a report, with what is the same for a page and for a card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from holdfast.core import shipped


def environment(
    finalise: Callable[[Any], Any], filters: Mapping[str, Callable[..., Any]], *, escape: bool
) -> Environment:
    """Where templates are found and how what they print is made safe; a missing name is a fault.

    Args:
        finalise: what becomes of every value before it is printed.
        filters: by name, those that templates may use.
        escape: whether what is printed is escaped as HTML.
    """
    env = Environment(
        loader=FileSystemLoader(shipped("report")),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalise,
    )
    env.filters.update(filters)
    return env
