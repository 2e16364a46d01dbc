"""The model card of a hardened model: what was done to it, with what, and at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast import __version__
from holdfast.core import Spend, counted, plain
from holdfast.engine import spelled, word
from holdfast.price.words import count, duration, flops

if TYPE_CHECKING:
    from holdfast.engine.harden import Hardening, Stage

_CARD = """---
library_name: transformers
pipeline_tag: text-generation
tags: [holdfast, hardened]
---

# {base}, hardened with {names}

Made by holdfast {version}. What a defence resists is so far its authors' word. An audit says it of
this model:

    holdfast audit PATH --domain {domain} --suite standard

| | |
|---|---|
| base | {base}, digest `{base_digest}` |
| domain | {domain}, digest `{domain_digest}` |
| restricted, benign, borderline items | {restricted}, {benign}, {borderline}; none is measured |
| dtype, device | {dtype}, {device} |
| seed | {seed} |
| key | `{key}` |

{stages}
The same command on the same machine makes the same weights:

    {command}
"""

_STAGE = """## {name}

{about} Paper: {paper}. Its authors' claim: it resists {claims}.

| setting | value |
|---|---|
{settings}

Cost: {steps}, {tokens}, {flops} FLOPs, {queries}, {examples},
{seconds}.

"""


def hardened_card(hardening: Hardening, bill: Sequence[Spend], base: str) -> str:
    """README.md of a hardened model.

    Args:
        hardening: what was done.
        bill: what each of its stages cost.
        base: the base's name, fit for others to read.
    """
    data, subject = hardening.domain.defender_data(), hardening.base
    return _CARD.format(
        base=base,
        names=", then ".join(stage.name for stage in hardening.stages),
        version=__version__,
        base_digest=subject.digest,
        domain=hardening.domain.name,
        domain_digest=hardening.domain.digest,
        restricted=len(data.restricted),
        benign=len(data.benign),
        borderline=len(data.borderline),
        dtype=subject.dtype,
        device=subject.device,
        seed=hardening.seed,
        key=hardening.key,
        command=harden_command(hardening, base),
        stages="".join(_stage(*both) for both in zip(hardening.stages, bill, strict=True)),
    )


def harden_command(hardening: Hardening, base: str) -> str:
    """The command line that asks for the same."""
    words = ["holdfast harden", base]
    for stage in hardening.stages:
        words.append(f"--with {spelled(stage.name, plain(stage.defence))}")
    return " ".join([*words, f"--domain {hardening.domain.name} --seed {hardening.seed} -o PATH"])


def _stage(stage: Stage, spend: Spend) -> str:
    kind = type(stage.defence)
    return _STAGE.format(
        name=stage.name,
        about=(kind.__doc__ or "").strip().partition("\n")[0],
        paper=kind.info.paper or "none",
        claims=kind.info.claims,
        settings="\n".join(
            f"| `{key}` | {word(value)} |" for key, value in plain(stage.defence).items()
        ),
        steps=counted(spend.steps, "optimiser step", show=count),
        tokens=counted(spend.tokens, "token", show=count),
        flops=flops(spend.flops),
        queries=counted(spend.queries, "query", "queries", show=count),
        examples=counted(spend.examples, "item", show=count),
        seconds=duration(spend.seconds),
    )
