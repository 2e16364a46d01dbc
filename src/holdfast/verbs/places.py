"""Models and folders as a user names them, and as others may read them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from holdfast.core import Subject, unwritable

if TYPE_CHECKING:
    from holdfast.models import Handle


@dataclass(frozen=True)
class Loader:
    """Loads a checked subject; fit to be sent to another process."""

    subject: Subject

    def __call__(self) -> Handle:
        """The model."""
        from holdfast.models import load

        subject = self.subject
        handle = load(subject.name, device=subject.device, dtype=subject.dtype)
        assert handle.digest == subject.digest, f"{subject.name} has changed since it was checked"
        handle.subject = subject  # its sibling may have been named by the user
        return handle


def writable(folder: Path) -> Path:
    """`folder`, made where it is missing.

    Raises:
        HoldfastError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
    except OSError as error:
        raise unwritable(folder, error) from None
    return folder


def public(name: str) -> str:
    """A model's or a domain's name without the folders of this machine."""
    return Path(name).resolve().name if Path(name).exists() else name


def made_by(model: str) -> dict[str, Any]:
    """Under "hardened", how a model was hardened, as its holdfast.json says; empty else.

    Names of folders on this machine are cut down to their last part.
    """
    from holdfast.models.names import locate

    file = locate(model) / "holdfast.json"
    if not file.is_file():
        return {}
    about: Any = json.loads(file.read_text("utf-8"))
    recipe = about.get("hardened")
    return {"hardened": _public(recipe)} if isinstance(recipe, Mapping) else {}


def _public(value: Any) -> Any:
    if isinstance(value, str):
        return public(value)
    if isinstance(value, Mapping):
        return {k: _public(v) for k, v in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_public(v) for v in cast("list[Any]", value)]
    return value
