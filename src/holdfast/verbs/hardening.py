"""Hardening: a model in, a model that should cost more to break out, with what that cost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from holdfast.core import HoldfastError, SpecError, Spend, Subject, shipped
from holdfast.engine import configure, parse_method
from holdfast.engine.harden import Advance, Hardening, Stage, check_seed, hardened
from holdfast.engine.presets import DEVELOPMENT, preset
from holdfast.verbs.places import Loader, public, writable

if TYPE_CHECKING:
    from holdfast.domains import Domain

DOMAIN = "organism"
ORGANISM = "organism:"


class HardenOptions(TypedDict, total=False):
    """What a hardening may be told besides model, defences and output.

    domain: a shipped domain's name, or a folder. seed: of every draw. device, dtype: where and in
    what precision the model is trained; it is written as it is trained. presets: settings kept
    for one kind of model, by name; what is given by hand goes before them. force: replace what
    the output folder holds. developed_against: attacks by which settings were chosen; with those
    that a defence trains against they are told in holdfast.json, for an audit to tell apart.
    """

    domain: str | Path | None
    seed: int
    device: str | None
    dtype: str | None
    preset: str | None
    force: bool
    developed_against: Sequence[str]


class Watch:
    """Hears how a hardening goes; this one shows nothing."""

    def start(self, hardening: Hardening) -> None:
        """All is checked; the base is about to be loaded."""

    def advance(self, advance: Advance) -> None:
        """A unit is done."""

    def finish(self) -> None:
        """It is over, whether to its end or not."""


@dataclass(frozen=True)
class Hardened:
    """A hardened model on disk, and what it cost.

    stages: the spend of each defence, in the order in which they ran.
    """

    folder: Path
    hardening: Hardening
    stages: tuple[Spend, ...]
    subject: Subject

    @property
    def spend(self) -> Spend:
        """Together; items that two stages both used are counted in each."""
        return sum(self.stages, Spend())


def harden(
    model: str,
    defences: Sequence[str],
    out: str | Path,
    *,
    watch: Watch | None = None,
    **options: Unpack[HardenOptions],
) -> Hardened:
    """Trains `model` by one defence after another and writes what comes of it.

    Stopped at any moment, the same call goes on and ends with the same weights.

    Args:
        model: "organism:refusing", a checkpoint folder, or a hub id pinned as "org/name@<40 hex>".
        defences: each "name" or "name:key=value,key=value", in the order in which they run.
        out: the folder of the hardened model: an ordinary Hugging Face checkpoint.
        watch: hears how it goes.
        options: see `HardenOptions`.

    Raises:
        HoldfastError: something that was asked for cannot be; before any weights are loaded.
        Diverged: a loss was not finite three times in a row.
    """
    from holdfast.models import inspect
    from holdfast.models.names import locate
    from holdfast.models.write import write_checkpoint
    from holdfast.report.model_card import hardened_card

    folder, heard = Path(out), watch or Watch()
    hardening = prepare(model, defences, **options)
    source = locate(model)
    _check_place(folder, source, force=options.get("force", False))
    work = writable(folder.with_name(folder.name + ".unfinished"))
    heard.start(hardening)
    try:
        target = Loader(hardening.base)()
        with hardened(target, hardening, work, heard.advance) as bill:
            write_checkpoint(
                target, source, folder, work,
                about=_about(hardening, bill.stages, folder, _seen(hardening, options)),
                card=hardened_card(hardening, bill.stages, public(model)),
            )  # fmt: skip
            stages = tuple(bill.stages)
    finally:
        heard.finish()
    shutil.rmtree(work)
    subject = inspect(folder, device=hardening.base.device, dtype=hardening.base.dtype)
    return Hardened(folder, hardening, stages, subject)


def prepare(model: str, defences: Sequence[str], **options: Unpack[HardenOptions]) -> Hardening:
    """Everything that can be checked before a weight is loaded.

    Raises:
        HoldfastError: an unknown name, a setting that does not fit, a domain without a defender.
    """
    from holdfast.domains import load_domain
    from holdfast.models import inspect

    domain = load_domain(options.get("domain") or DOMAIN)
    base = inspect(model, device=options.get("device"), dtype=options.get("dtype"))
    return prepared(base, domain, defences, seed=options.get("seed", 0), kept=options.get("preset"))


def prepared(
    base: Subject,
    domain: Domain,
    defences: Sequence[str],
    *,
    seed: int = 0,
    kept: str | None = None,
) -> Hardening:
    """The same for a base and a domain that are known already.

    Args:
        base: the model that is hardened.
        domain: gives the defender's data.
        defences: as `harden` takes them.
        seed: of every draw.
        kept: the presets that settings come from where they are not given.

    Raises:
        HoldfastError: as `prepare`.
    """
    if not defences:
        raise SpecError(
            "at least one defence", found="none", remedy="`holdfast list defences` names them."
        )
    check_seed(seed, "a hardening")
    stages = tuple(_stage(text, kept) for text in defences)
    domain.defender_data()
    for stage in stages:
        _check_needs(stage, base)
    return Hardening(base, domain, stages, seed)


def _check_needs(stage: Stage, base: Subject) -> None:
    """Refuse a defence that reads a sibling where none is known."""
    lacks = base.reference is None and not getattr(stage.defence, "sibling", None)
    if "sibling" in stage.defence.info.needs and lacks:
        raise SpecError(
            f"for {stage.name}: a never-aligned sibling of {public(base.name)!r}",
            found="none is known",
            remedy=f"Give {stage.name}:sibling=NAME, or name it in the model's holdfast.json.",
        )


def _stage(text: str, kept: str | None) -> Stage:
    name, settings = parse_method(text)
    defaults: Mapping[str, Any] = {} if kept is None else preset(kept, name)
    return Stage(name, configure(name, {**defaults, **settings}, "defences"))


def _check_place(folder: Path, source: Path, *, force: bool) -> None:
    """Refuse to overwrite: the base always, anything else unless told to."""
    place, base = folder.resolve(), source.resolve()
    if place == base or base in place.parents or place in base.parents:
        raise SpecError(
            "another folder than the base model's",
            found=repr(str(folder)),
            remedy="Name a folder beside it with -o.",
        )
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not force):
        raise HoldfastError(
            f"nothing at {str(folder)!r} yet",
            found="a file" if folder.is_file() else "a folder that holds files",
            remedy="Name another with -o, or replace it with --force.",
        )


def _seen(hardening: Hardening, options: HardenOptions) -> list[str]:
    """The attacks that a defence was made with: trained against, or its settings chosen by."""
    seen = set(options.get("developed_against", ()))
    for stage in hardening.stages:
        seen.update(getattr(stage.defence, "adversaries", ()))
    if options.get("preset"):
        seen.update(parse_method(text)[0] for text in DEVELOPMENT)
    return sorted(seen)


def _about(
    hardening: Hardening, bill: Sequence[Spend], folder: Path, seen: Sequence[str]
) -> dict[str, Any]:
    """holdfast.json: what an audit reads, and how the model came to be."""
    base, domain = hardening.base, hardening.domain
    return {
        "reference": _from(base.reference, folder),
        "pretraining_flops": base.pretraining_flops,
        "hardened": {
            "key": hardening.key,
            "base": public(base.name),
            "base_digest": base.digest,
            "domain": domain.name,
            "domain_digest": domain.digest,
            "seed": hardening.seed,
            "developed_against": list(seen),
            "stages": [
                {**stage.spelled, "spend": asdict(spend)}
                for stage, spend in zip(hardening.stages, bill, strict=True)
            ],
        },
    }


def _from(reference: str | None, folder: Path) -> str | None:
    """A sibling's folder as seen from `folder`, so that both can be moved together."""
    if reference is None or not Path(reference).is_dir():
        return reference
    if Path(reference).resolve().parent == shipped("organism/weights"):
        return ORGANISM + Path(reference).name
    seen = os.path.relpath(Path(reference).resolve(), folder.resolve())
    return seen if seen.startswith(".") else f"./{seen}"
