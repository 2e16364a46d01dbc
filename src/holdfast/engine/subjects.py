"""What a plan needs to know of a model, read from its files before any weights are loaded."""

from __future__ import annotations

from typing import cast

from holdfast.core import Subject, digest


def inspect(name: str, *, device: str | None = None, dtype: str | None = None) -> Subject:
    """The subject that `models.load` with the same arguments would be, without loading it.

    Raises:
        SpecError, DataMissing: no such model, device or dtype, or files that may not be loaded.
    """
    from holdfast.models.checkpoint import read_checkpoint
    from holdfast.models.load import pick_device, pick_dtype
    from holdfast.models.names import ORGANISM, locate

    place = pick_device(device)
    checkpoint = read_checkpoint(locate(name))
    kind = str(pick_dtype(dtype, place, checkpoint)).removeprefix("torch.")
    reference = cast("str | None", checkpoint.about.get("reference"))
    if reference is not None and reference.startswith("."):
        reference = str((checkpoint.path / reference).resolve())
    if reference is None and name.startswith(ORGANISM) and name != ORGANISM + "base":
        reference = ORGANISM + "base"
    return Subject(
        name=name,
        digest=digest([checkpoint.digest, kind]),
        parameters=checkpoint.parameters,
        dtype=kind,
        device=str(place),
        architecture=str(checkpoint.config.get("model_type")),
        pretraining_flops=checkpoint.about.get("pretraining_flops"),
        reference=reference,
    )
