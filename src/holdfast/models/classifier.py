"""A local sequence classifier as a judge: how likely a completion carries a label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch

from holdfast.core import SpecError
from holdfast.core.registry import unknown
from holdfast.models.checkpoint import read_checkpoint
from holdfast.models.load import DTYPES, check_memory, pick_device, pick_dtype, read_model
from holdfast.models.names import locate
from holdfast.models.passes import batches, room

_LONGEST = 4_096  # tokens read where neither tokenizer nor model names a limit


class Classifier:
    """Reads (prompt, completion) as its tokenizer joins a pair of texts.

    A pair that is too long loses the prompt's beginning first. Texts of one length share a
    batch, so nothing is padded and no model needs a padding token.
    """

    def __init__(self, model: Any, tokenizer: Any, label: int) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._label = label
        places = getattr(model.config, "max_position_embeddings", None) or _LONGEST
        self._longest = min(places, tokenizer.model_max_length, _LONGEST)

    @torch.no_grad()
    def probability(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        """The label's probability for each pair.

        How: softmax over the labels, or a sigmoid where the model has one output or says that
        labels do not exclude each other.
        """
        rows = [self._encoded(*pair) for pair in zip(prompts, completions, strict=True)]
        device = next(self._model.parameters()).device
        found = [0.0] * len(rows)
        sizes = sorted({len(row["input_ids"]) for row in rows})
        for size in sizes:
            alike = [i for i, row in enumerate(rows) if len(row["input_ids"]) == size]
            for batch in batches([size] * len(alike), room(device.type)):
                chosen = [alike[i] for i in batch]
                inputs = {
                    name: torch.tensor([rows[i][name] for i in chosen], device=device)
                    for name in rows[chosen[0]]
                }
                scores = self._probabilities(self._model(**inputs).logits.float())
                for i, score in zip(chosen, scores.tolist(), strict=True):
                    found[i] = score
        return found

    def _encoded(self, prompt: str, completion: str) -> dict[str, list[int]]:
        def joined(text: str) -> dict[str, list[int]]:
            return dict(self._tokenizer(text, completion))

        row = joined(prompt)
        while prompt and len(row["input_ids"]) > self._longest:
            prompt = prompt[1 + len(prompt) // 8 :]
            row = joined(prompt)
        return {name: values[: self._longest] for name, values in row.items()}

    def _probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Of the label, (b,), from logits (b, labels)."""
        exclusive = self._model.config.problem_type != "multi_label_classification"
        if exclusive and logits.shape[-1] > 1:
            return logits.softmax(-1)[:, self._label]
        return logits.sigmoid()[:, self._label]


def load_classifier(
    checkpoint: str | Path, label: str, device: str | None = None, dtype: str | None = None
) -> Classifier:
    """Loads a sequence-classification checkpoint: a folder, or a pinned hub id.

    Args:
        checkpoint: safetensors only, remote code off.
        label: the name, in its configuration, of the label that means "harmful".
        device: as in `load`.
        dtype: as in `load`.

    Raises:
        SpecError, DataMissing: as `load`; a label that the checkpoint does not have, or a
            checkpoint that is no classifier.
    """
    place = pick_device(device)
    files = read_checkpoint(locate(str(checkpoint)), chat=False)
    kind = pick_dtype(dtype, place, files)
    architectures = cast("list[str]", files.config.get("architectures") or [])
    if not any(name.endswith("ForSequenceClassification") for name in architectures):
        raise SpecError(
            "a sequence-classification checkpoint",
            found=f"{', '.join(architectures) or 'no architecture'} in {str(files.path)!r}",
            remedy="Give the folder of a classifier.",
        )
    labels = cast(
        "dict[str, str]", files.config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    )
    if label not in labels.values():
        raise unknown("label of this classifier", label, sorted(labels.values()))
    check_memory(files, place, kind)
    model, tokenizer = read_model(
        "AutoModelForSequenceClassification", files, place, DTYPES[str(kind).removeprefix("torch.")]
    )
    return Classifier(model, tokenizer, int(next(i for i, n in labels.items() if n == label)))
