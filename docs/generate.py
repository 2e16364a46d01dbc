"""Prints anew whatever the documents quote from a run. Called by `make docs`.

It runs the standard audit of the refusing organism and the organism's check, writes the pictures
of both, and puts what they printed between the marks of README.md and docs/organism.md.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

import holdfast
from holdfast.cli.organism import findings_table
from holdfast.organism.check import check
from holdfast.report import print_audit

DOCS = Path(__file__).resolve().parent
WIDTH = 100


def put(path: Path, mark: str, text: str) -> None:
    """Replace what stands between `<!-- mark -->` and `<!-- /mark -->`."""
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    old = path.read_text(encoding="utf-8")
    assert pattern.search(old), f"{path.name} has no mark {mark!r}"
    path.write_text(pattern.sub(lambda m: m[1] + text + m[2], old), encoding="utf-8")


def recorded(draw) -> Console:
    """A console on which `draw` has drawn."""
    console = Console(record=True, width=WIDTH, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    draw(console)
    return console


def main() -> None:
    """Run and write."""
    with tempfile.TemporaryDirectory() as out:
        priced = holdfast.audit("organism:refusing", suite="standard", out=out)
        page = (Path(out) / "report.json").read_text(encoding="utf-8")
    console = recorded(lambda c: print_audit(priced, c))
    text = "\n".join(line.rstrip() for line in console.export_text(clear=False).splitlines())
    put(
        DOCS.parent / "README.md", "audit", f"```\n$ holdfast audit --suite standard\n{text}\n```\n"
    )
    console.save_svg(str(DOCS / "audit.svg"), title="holdfast audit", theme=MONOKAI)
    (DOCS / "audit.json").write_text(
        json.dumps(json.loads(page), indent=1) + "\n", encoding="utf-8"
    )
    findings = check()
    console = recorded(lambda c: c.print(findings_table(findings)))
    put(DOCS / "organism.md", "check", f"```\n{console.export_text()}```\n")


if __name__ == "__main__":
    main()
