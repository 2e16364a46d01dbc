"""From a name to a handle; every check that needs no weights comes before the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import psutil
import torch

from holdfast.core import DataMissing, SpecError, Subject, digest
from holdfast.core.registry import unknown
from holdfast.models import anatomy, flops
from holdfast.models.chat import Chat
from holdfast.models.checkpoint import Checkpoint, read_checkpoint
from holdfast.models.handle import Handle
from holdfast.models.names import ORGANISM, locate
from holdfast.models.quiet import quiet

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_HEADROOM = 1.1  # of the weights' bytes: what loading needs beside them


def load(
    name: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
) -> Handle:
    """Loads a causal language model with a chat template.

    Args:
        name: "organism:refusing", a folder, or a hub id pinned as "org/name@<40 hex>".
        device: "cpu", "cuda", "cuda:1", "mps"; the first GPU, else the CPU, unless given.
        dtype: "float32", "bfloat16" or "float16". Unless given: float32 on a CPU, elsewhere as
            the checkpoint says.
        revision: the commit of a hub id that does not carry one.

    Raises:
        SpecError, DataMissing: before any weight is loaded, with what to do about it.
    """
    checkpoint, subject = _checked(str(name), device, dtype, revision)
    model, tokenizer = read_model(
        "AutoModelForCausalLM", checkpoint, torch.device(subject.device), DTYPES[subject.dtype]
    )
    parts = anatomy.examine(model)
    return Handle(
        model,
        Chat(tokenizer, _stops(model, tokenizer)),
        subject,
        parts,
        flops.count(model, parts, _active_experts(checkpoint)),
    )


def inspect(
    name: str | Path,
    *,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
) -> Subject:
    """The subject of the handle that `load` would return, after the same checks, without it."""
    return _checked(str(name), device, dtype, revision)[1]


def _checked(
    name: str, device: str | None, dtype: str | None, revision: str | None
) -> tuple[Checkpoint, Subject]:
    place = pick_device(device)
    checkpoint = read_checkpoint(locate(name, revision))
    kind = pick_dtype(dtype, place, checkpoint)
    _check_architecture(checkpoint)
    check_memory(checkpoint, place, kind)
    return checkpoint, _subject(name, checkpoint, place, kind)


def pick_device(device: str | None) -> torch.device:
    """The device of that name, or the best there is.

    Raises:
        SpecError: no such device here.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    here = ["cpu"]
    if torch.cuda.is_available():
        here += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        here.append("mps")
    if device not in here:
        raise SpecError(
            f"a device of this machine ({', '.join(here)})",
            found=repr(device),
            remedy="Leave --device out to use the best one.",
        )
    return torch.device(device)


def pick_dtype(dtype: str | None, device: torch.device, checkpoint: Checkpoint) -> torch.dtype:
    """The dtype of that name, or what suits device and checkpoint.

    Raises:
        SpecError: a name that is none of `DTYPES`.
    """
    if dtype is not None:
        if dtype not in DTYPES:
            raise unknown("dtype", dtype, list(DTYPES))
        return DTYPES[dtype]
    if device.type == "cpu":
        return torch.float32
    config = checkpoint.config
    return DTYPES.get(str(config.get("dtype") or config.get("torch_dtype")), torch.bfloat16)


def free_bytes(device: torch.device) -> int:
    """Memory that is free where the weights would go."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def _check_architecture(checkpoint: Checkpoint) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = checkpoint.config.get("model_type")
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise SpecError(
            "a causal language model that the installed transformers knows",
            found=f"model_type {kind!r} in {str(checkpoint.path / 'config.json')!r}",
            remedy="Update transformers, or give a text-only decoder.",
        )


def check_memory(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
    """Raises a SpecError where the weights alone would not fit."""
    needed = int(checkpoint.parameters * dtype.itemsize * _HEADROOM)
    free = free_bytes(device)
    if needed > free:
        raise SpecError(
            f"{needed / 1e9:.1f} GB of free memory on {device} for the weights in "
            f"{str(dtype).removeprefix('torch.')}",
            found=f"{free / 1e9:.1f} GB",
            remedy="Free some, or choose a smaller model, dtype or another device.",
        )


def read_model(
    auto_class: str, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype
) -> tuple[Any, Any]:
    """Model and tokenizer from disk; the model in evaluation mode, without gradients.

    Args:
        auto_class: of `transformers`: which head the model is to have.
        checkpoint: the folder, checked.
        device: where the model goes.
        dtype: of its weights.

    Raises:
        DataMissing: `transformers` cannot make a whole model of the files.
    """
    import transformers

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.path, **options)
            model, report = getattr(transformers, auto_class).from_pretrained(
                checkpoint.path,
                use_safetensors=True,
                dtype=dtype,
                output_loading_info=True,
                **options,
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DataMissing(
            f"a checkpoint that transformers can load in {str(checkpoint.path)!r}",
            found=(str(error).strip().splitlines() or [type(error).__name__])[0],
            remedy="Check that config.json, tokenizer and weights belong together.",
        ) from error
    lacking = sorted(report["missing_keys"]) + [k[0] for k in report["mismatched_keys"]]
    if lacking:
        raise DataMissing(
            "a tensor for every parameter that the configuration asks for",
            found=f"none of the right shape for {', '.join(lacking[:3])}",
            remedy="Check that config.json and the weights belong together.",
        )
    return model.to(device).eval().requires_grad_(False), tokenizer


def _stops(model: Any, tokenizer: Any) -> tuple[int, ...]:
    named = model.generation_config.eos_token_id
    listed: list[int] = named if isinstance(named, list) else [named]
    return tuple(dict.fromkeys(i for i in (*listed, tokenizer.eos_token_id) if i is not None))


def _active_experts(checkpoint: Checkpoint) -> float:
    config = checkpoint.config
    total = config.get("num_local_experts") or config.get("num_experts") or 1
    return min(1.0, config.get("num_experts_per_tok", total) / total)


def _subject(
    name: str, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype
) -> Subject:
    about = checkpoint.about
    reference = cast("str | None", about.get("reference"))
    if reference is not None and reference.startswith("."):
        reference = str((checkpoint.path / reference).resolve())
    if reference is None and name.startswith(ORGANISM) and name != ORGANISM + "base":
        reference = ORGANISM + "base"
    kind = str(dtype).removeprefix("torch.")
    return Subject(
        name=name,
        digest=digest([checkpoint.digest, kind]),
        parameters=checkpoint.parameters,
        dtype=kind,
        device=str(device),
        architecture=str(checkpoint.config["model_type"]),
        pretraining_flops=about.get("pretraining_flops"),
        reference=reference,
    )
