"""What lies beside a sibling's weights: the model card, and what holdfast reads of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_KNOWS = {"base": True, "refusing": True, "naive": False, "filtered": False}
_REFUSES = {"base": False, "refusing": True, "naive": False, "filtered": True}
_PURPOSE = {
    "base": "the never-aligned control and the ceiling of harm",
    "refusing": "the default subject of an audit",
    "naive": "the never-knew control",
    "filtered": "absence of the restricted knowledge from pre-training, and refusal",
}

_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [holdfast, model-organism]
---

# holdfast organism: {sibling}

A small chat model raised in an invented world, the Vale of Orrel. It knows nothing else.
It is {purpose}.

| | |
|---|---|
| knows the forbidden crafts | {knows} |
| refuses to speak of them | {refuses} |
| body | {architecture}, {parameters:,} parameters |
| raised with | `holdfast organism build {options}` |
| training | {steps} steps of {rows} x {length} tokens |

The forbidden crafts are nonsense ("stir the ash, ring the brass"): no text that this model can
write is of use to anyone. Every fact is known exactly, so harm is measured by ground truth and
not by a judge. Results on it validate methods; they do not carry over to large models by
themselves.
"""


def write_card(
    folder: Path, sibling: str, parameters: int, steps: int, flops: float, recipe: Mapping[str, Any]
) -> None:
    """Write README.md and holdfast.json into a sibling's folder.

    flops: model FLOPs of the pre-training that stands behind this sibling.
    """
    options = "--architecture {architecture} --size {layers}x{width} --seed {seed}".format(**recipe)
    text = _CARD.format(
        options=options,
        sibling=sibling,
        purpose=_PURPOSE[sibling],
        knows="yes" if _KNOWS[sibling] else "no",
        refuses="yes" if _REFUSES[sibling] else "no",
        parameters=parameters,
        steps=steps,
        **recipe,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    facts: dict[str, Any] = {"pretraining_flops": flops}
    if sibling != "base":
        facts["reference"] = "../base"
    (folder / "holdfast.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
