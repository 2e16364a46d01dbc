"""A checkpoint folder, read and checked without loading a weight (and without torch)."""

from __future__ import annotations

import hashlib
import json
import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from holdfast.core import DataMissing, SpecError, canonical_json

_BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8,
    "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4,
}  # fmt: skip
_HEADER_LIMIT = 100_000_000  # bytes; the format's own limit
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
TEXT_FILES = (
    *_TOKENIZER_FILES, "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "chat_template.jinja", "chat_template.json", "generation_config.json",
)  # fmt: skip
_NOT_IDENTITY = ("_name_or_path", "transformers_version")


@dataclass(frozen=True)
class Entry:
    """One tensor of a safetensors file: where it lies, without its bytes."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int  # bytes from the beginning of the file
    stop: int


@dataclass(frozen=True)
class Checkpoint:
    """A folder that passed every check which needs no weights.

    Attributes:
        config: config.json. about: holdfast.json, empty where there is none; it may hold
            "reference" (the never-aligned sibling) and "pretraining_flops".
        tensors: name -> entry, over all shards.
    """

    path: Path
    config: Mapping[str, Any]
    about: Mapping[str, Any]
    tensors: Mapping[str, Entry]

    @property
    def parameters(self) -> int:
        """How many numbers the files hold."""
        return sum(math.prod(entry.shape) for entry in self.tensors.values())

    @property
    def digest(self) -> str:
        """SHA-256 of tensors, configuration, tokenizer and template; not of paths or shards.

        Every byte of the weights is read, about a second per gigabyte, once for each state of
        the files.
        """
        total = hashlib.sha256()
        config = {k: v for k, v in self.config.items() if k not in _NOT_IDENTITY}
        total.update(canonical_json(config).encode())
        for name in TEXT_FILES:
            if (self.path / name).is_file():
                total.update(f"\0{name}\0".encode() + (self.path / name).read_bytes())
        entries = tuple(sorted(self.tensors.items()))
        total.update(_tensor_digest(entries, tuple(_stamp(e.file) for _, e in entries)))
        return total.hexdigest()


def read_checkpoint(folder: Path, *, chat: bool = True) -> Checkpoint:
    """Checks `folder` and reads what can be read without loading weights.

    Args:
        folder: holds config.json, safetensors files, a tokenizer.
        chat: whether a chat template must be there too.

    Raises:
        DataMissing: a file is missing, cut short or not what its name says.
        SpecError: the checkpoint asks for remote code, is pickled, quantised or has no template.
    """
    config = _json(folder / "config.json", "a model's configuration")
    settings = _json(folder / "tokenizer_config.json") if _has(folder, "tokenizer_config") else {}
    for file, content in (("config.json", config), ("tokenizer_config.json", settings)):
        if "auto_map" in content:
            raise SpecError(
                "a checkpoint whose code ships with transformers",
                found=f"'auto_map' in {str(folder / file)!r}: it asks for remote code",
                remedy="holdfast never runs a checkpoint's own code; use a converted checkpoint.",
            )
    if "quantization_config" in config:
        raise SpecError(
            "unquantised weights",
            found=f"'quantization_config' in {str(folder / 'config.json')!r}",
            remedy="Give the checkpoint in float32, bfloat16 or float16.",
        )
    files = _weight_files(folder)
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise DataMissing(
            "a tokenizer beside the weights",
            found=f"none of {', '.join(_TOKENIZER_FILES)} in {str(folder)!r}",
            remedy="Save it there with `tokenizer.save_pretrained`.",
        )
    if chat and not _has_template(folder, settings):
        raise SpecError(
            "a chat template",
            found=f"neither chat_template.jinja nor an entry in the tokenizer of {str(folder)!r}",
            remedy="Audit a chat model, or add its chat_template.jinja to the folder.",
        )
    about = _about(folder / "holdfast.json") if _has(folder, "holdfast") else {}
    tensors = {name: entry for file in files for name, entry in _header(file).items()}
    return Checkpoint(folder, config, about, tensors)


@lru_cache(maxsize=16)
def _tensor_digest(
    entries: tuple[tuple[str, Entry], ...],
    stamps: tuple[tuple[int, int], ...],  # noqa: ARG001 - a changed file is another question
) -> bytes:
    """SHA-256 of every tensor's name, dtype, shape and bytes."""
    total = hashlib.sha256()
    maps = {entry.file: _mapped(entry.file) for _, entry in entries}
    for name, entry in entries:
        total.update(f"\0{name}\0{entry.dtype}\0{entry.shape}\0".encode())
        with memoryview(maps[entry.file]) as view:
            total.update(view[entry.start : entry.stop])
    for mapping in maps.values():
        mapping.close()
    return total.digest()


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _has(folder: Path, stem: str) -> bool:
    return (folder / f"{stem}.json").is_file()


def _has_template(folder: Path, settings: Mapping[str, Any]) -> bool:
    files = ("chat_template.jinja", "chat_template.json")
    return bool(settings.get("chat_template")) or any((folder / f).is_file() for f in files)


def _json(path: Path, what: str = "a JSON object") -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataMissing(
            f"{what} in {path.name}",
            found=f"no such file in {str(path.parent)!r}",
            remedy="Give a checkpoint folder as `save_pretrained` writes it.",
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise DataMissing(
            f"readable JSON in {str(path)!r}", found=str(error), remedy="Fetch the file again."
        ) from error
    if not isinstance(content, dict):
        raise DataMissing(
            f"a JSON object in {str(path)!r}",
            found=f"a {type(content).__name__}",
            remedy="Fetch the file again.",
        )
    return cast("dict[str, Any]", content)


def _about(path: Path) -> dict[str, Any]:
    """holdfast.json, its two fields of the right type."""
    about = _json(path)
    reference, flops = about.get("reference"), about.get("pretraining_flops")
    if not isinstance(reference, str | None) or not isinstance(flops, int | float | None):
        raise DataMissing(
            f"a name as 'reference' and a number as 'pretraining_flops' in {str(path)!r}",
            found=f"{reference!r} and {flops!r}",
            remedy="Correct or remove the file.",
        )
    return about


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files in use, every one present."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        places = _json(index).get("weight_map")
        named = (
            sorted({str(f) for f in cast("dict[str, Any]", places).values()})
            if isinstance(places, dict)
            else []
        )
        missing = [n for n in named if Path(n).name != n or not (folder / n).is_file()]
        if missing or not named:
            raise DataMissing(
                f"every shard that {index.name} names",
                found=f"no {', '.join(missing[:3]) or 'shards at all'} in {str(folder)!r}",
                remedy="Finish the download.",
            )
        return [folder / name for name in named]
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    pickled = sorted(p.name for pattern in _PICKLES for p in folder.glob(pattern))
    if pickled:
        raise SpecError(
            "weights in safetensors files",
            found=f"only pickled ones: {', '.join(pickled[:3])}",
            remedy="holdfast loads no pickles, which can run code; convert them to safetensors.",
        )
    raise DataMissing(
        f"model.safetensors (or its shards) in {str(folder)!r}",
        found="none",
        remedy="Give a checkpoint folder as `save_pretrained` writes it.",
    )


def _header(file: Path) -> dict[str, Entry]:
    """The tensors that a safetensors file says it holds, checked against its length."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, _HEADER_LIMIT):
            raise _corrupt(file, f"{size} bytes, too short for its own header")
        raw = stream.read(length)
    try:
        content = cast("dict[str, dict[str, Any]]", json.loads(raw))
        content.pop("__metadata__", None)
        entries = {name: _entry(file, 8 + length, fields) for name, fields in content.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _corrupt(file, "a header that is not valid") from error
    position = 8 + length
    for entry in sorted(entries.values(), key=lambda e: (e.start, e.stop)):
        bits = math.prod(entry.shape) * _BITS[entry.dtype]
        if entry.start != position or (entry.stop - entry.start) * 8 != bits:
            raise _corrupt(file, "a header whose offsets do not fit its shapes")
        position = entry.stop
    if position != size:
        raise _corrupt(file, f"{size} bytes where its header says {position}")
    return entries


def _entry(file: Path, offset: int, fields: Mapping[str, Any]) -> Entry:
    start, stop = fields["data_offsets"]
    if fields["dtype"] not in _BITS:
        raise KeyError(fields["dtype"])
    return Entry(file, fields["dtype"], tuple(fields["shape"]), offset + start, offset + stop)


def _corrupt(file: Path, found: str) -> DataMissing:
    return DataMissing(
        f"a whole safetensors file at {str(file)!r}",
        found=found,
        remedy="It is cut short or corrupt: fetch it again.",
    )


def _mapped(file: Path) -> mmap.mmap:
    with file.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
