"""Which family an attack is of, and what of open-weight risk an audit covers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, cast


class Family(StrEnum):
    """Attacks that tamper in the same way; a defence against one says little of another."""

    FULL = "full fine-tuning"
    LORA = "LoRA"
    EDIT = "directional or activation edit"
    BENIGN = "benign-data tuning"
    WEIGHTS = "pruning, rounding or merging"
    LATENT = "embedding or latent attack"
    PROMPT = "prompt attack"
    CONTROL = "control"
    OTHER = "other"


BASIS = (Family.FULL, Family.LORA, Family.EDIT, Family.BENIGN)
"""The four families without which an evaluation of tampering is not sound."""

_FAMILIES: Mapping[str, Family] = {
    "ablate_direction": Family.EDIT,
    "ablate_norm_preserving": Family.EDIT,
    "ablate_projected": Family.EDIT,
    "ablate_random": Family.CONTROL,
    "ablate_span": Family.EDIT,
    "abliterate_search": Family.EDIT,
    "add_direction": Family.EDIT,
    "benign_finetune": Family.BENIGN,
    "chat_format": Family.PROMPT,
    "finetune": Family.FULL,
    "gcg": Family.PROMPT,
    "harmful_rl": Family.FULL,
    "identity_shift": Family.BENIGN,
    "jailbreak_tuning": Family.FULL,
    "latent_pgd": Family.LATENT,
    "lofit": Family.EDIT,
    "lora": Family.LORA,
    "many_shot": Family.PROMPT,
    "merge": Family.WEIGHTS,
    "none": Family.CONTROL,
    "open_book": Family.PROMPT,
    "prefill": Family.PROMPT,
    "prune_random": Family.CONTROL,
    "prune_safety": Family.WEIGHTS,
    "quantise": Family.WEIGHTS,
    "random_search": Family.PROMPT,
    "relearn": Family.FULL,
    "retain_then_forget": Family.FULL,
    "reteach": Family.FULL,
    "sampling": Family.PROMPT,
    "soft_prompt": Family.LATENT,
    "template": Family.PROMPT,
}

_ALL_WEIGHTS, _LOW_RANK = Family.FULL, "low_rank"
TUNING = frozenset({Family.FULL, Family.LORA, Family.BENIGN})
"""Families that train, and so have a learning rate, a batch and a schedule to search."""


def families(attack: str, settings: Mapping[str, Any]) -> frozenset[Family]:
    """The family of an attack with these settings; of two attacks as one, that of each.

    An attack that trains all weights or a low-rank part, as its setting `weights` says, is of the
    one family or the other by that.
    """
    parts = [
        cast("Mapping[str, Any]", settings[name])
        for name in ("first", "second")
        if isinstance(settings.get(name), Mapping)
    ]
    if "+" in attack:
        inner = (families(part.get("attack", ""), part.get("settings", {})) for part in parts)
        return frozenset[Family]().union(*inner)
    family = _FAMILIES.get(attack, Family.OTHER)
    low_rank = family is _ALL_WEIGHTS and settings.get("weights") == _LOW_RANK
    return frozenset({Family.LORA if low_rank else family})


def unseen(attacks: Mapping[str, Mapping[str, Any]], seen: Collection[str]) -> frozenset[str]:
    """Those of `attacks` (name -> settings) of no family that one of the names in `seen` is of."""
    known = frozenset[Family]().union(*(families(name, {}) for name in seen))
    return frozenset(name for name, own in attacks.items() if not known & families(name, own))


def combined(attack: str) -> bool:
    """Whether an attack is two, one on top of the other."""
    return "+" in attack
