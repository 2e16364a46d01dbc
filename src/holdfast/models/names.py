"""From the name of a model to a folder on this machine: organism, folder or pinned hub id."""

from __future__ import annotations

import re
from pathlib import Path

from holdfast.core import DataMissing, SpecError, shipped
from holdfast.core.registry import unknown

ORGANISM = "organism:"
SIBLINGS = ("base", "filtered", "naive", "refusing")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WANTED = ["*.json", "*.jinja", "*.safetensors", "tokenizer.model", "merges.txt", "vocab.txt"]


def locate(name: str, revision: str | None = None) -> Path:
    """The checkpoint folder that `name` means, fetched first where it is a hub id.

    Args:
        name: "organism:refusing", a folder, "org/name" or "org/name@<40 hex>".
        revision: the commit of a hub id, unless the name carries it.

    Raises:
        SpecError: an unknown organism, or a hub id without a pinned commit.
        DataMissing: no such folder, or a hub that cannot be reached.
    """
    if name.startswith(ORGANISM):
        return _organism(name)
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return folder
    hub_id, _, commit = name.partition("@")
    commit = commit or revision or ""
    if folder.is_file() or not _HUB_ID.fullmatch(hub_id):
        raise DataMissing(
            "a model folder, or a hub id such as 'org/name@<commit>'",
            found="a file" if folder.is_file() else f"no folder {name!r}",
            remedy="Give the folder that holds config.json and the safetensors files.",
        )
    if not _COMMIT.fullmatch(commit):
        raise SpecError(
            "an existing folder, or a hub id with a pinned revision: 40 hexadecimal digits",
            found=repr(name) if not commit else f"{hub_id!r} at {commit!r}",
            remedy=f"Write '{hub_id}@<commit>' so that the same weights are audited every time.",
        )
    return _fetched(hub_id, commit)


def _organism(name: str) -> Path:
    sibling = name.removeprefix(ORGANISM)
    if sibling not in SIBLINGS:
        raise unknown("organism", name, [ORGANISM + s for s in SIBLINGS])
    folder = shipped("organism/weights") / sibling
    if not folder.is_dir():
        raise DataMissing(
            f"the weights of {name} in the package",
            found=f"no folder {str(folder)!r}",
            remedy="Run `holdfast organism build`, or install the package again.",
        )
    return folder


def _fetched(hub_id: str, commit: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise DataMissing(
            f"huggingface_hub, to fetch {hub_id!r}",
            found="it is not installed",
            remedy="Run `pip install 'holdfast[hub]'`, or give a local folder.",
        ) from error
    try:
        return Path(snapshot_download(hub_id, revision=commit, allow_patterns=_WANTED))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise DataMissing(
            f"{hub_id!r} at {commit[:12]} in the local cache or on the hub",
            found=_first_line(error),
            remedy="Check the id and the connection (HF_HUB_OFFLINE is honoured), or download "
            "the model to a folder and give that.",
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
