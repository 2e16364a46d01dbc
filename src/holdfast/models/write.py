"""A model in memory as a checkpoint folder that appears whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.models.checkpoint import TEXT_FILES
from holdfast.models.handle import Handle
from holdfast.models.quiet import quiet

_CONFIGURATION = ("config.json", "generation_config.json")


def write_checkpoint(
    target: Handle, source: Path, folder: Path, work: Path, *, about: Mapping[str, Any], card: str
) -> None:
    """Write `target` as `folder`, an ordinary Hugging Face checkpoint.

    Weights go into safetensors in the dtype in which they are; tokenizer and template are the
    very files of `source`, the checkpoint that the model was loaded from.

    Args:
        target: plain modules, as inside `Handle.settled`.
        source: gives the tokenizer's files.
        folder: replaced if it is there.
        work: a folder beside it, on the same disk; what is unfinished stands there.
        about: what holdfast.json says.
        card: README.md.
    """
    partial, old = work / "checkpoint", work / "replaced"
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    with quiet():
        target.model.save_pretrained(partial)
    for name in TEXT_FILES:
        if name not in _CONFIGURATION and (source / name).is_file():
            shutil.copyfile(source / name, partial / name)
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    (partial / "holdfast.json").write_text(text, encoding="utf-8")
    (partial / "README.md").write_text(card, encoding="utf-8")
    for file in partial.iterdir():
        file.chmod(0o644)
    if folder.exists():
        folder.replace(old)
    partial.replace(folder)
    shutil.rmtree(old, ignore_errors=True)
