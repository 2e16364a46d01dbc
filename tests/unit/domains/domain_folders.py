"""Small domains to read and to break."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from holdfast.domains import MANDATORY

TOML = 'name = "tiny"\ntitle = "Tiny"\nharmless = true\n[scorer]\nkind = "exact"\n'

Make = Callable[..., Path]


def record(prompt: str, fact: str = "ladle", **more: Any) -> dict[str, Any]:
    turns = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": f"It is the {fact}."},
    ]
    return {"messages": turns, "truth": {"fact": fact}, **more}


def build(folder: Path, toml: str, splits: Mapping[str, list[Any] | str | None]) -> Path:
    """Writes a domain: two items in each mandatory split, but for what `splits` says.

    A split is a list of records, the text of its file, or None for no file.
    """
    folder.mkdir()
    (folder / "domain.toml").write_text(toml, encoding="utf-8")
    rows: dict[str, list[Any] | str | None] = {
        split: [record(f"What is {split} {i}?", group=f"{split} {i}") for i in range(2)]
        for split in MANDATORY
    }
    for split, lines in {**rows, **splits}.items():
        if lines is not None:
            text = lines if isinstance(lines, str) else "".join(json.dumps(r) + "\n" for r in lines)
            (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    return folder
