"""The bodies an organism can be raised in: small random models of known architectures."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from holdfast.core import Seed, SpecError, counted

ARCHITECTURES = {
    "llama": "llama",
    "qwen3": "qwen3",
    "gemma3": "gemma3_text",
    "gpt_neox": "gpt_neox",
}


def check_body(architecture: str, layers: int, width: int) -> None:
    """Refuse a body that cannot be.

    Raises:
        SpecError: an unknown architecture, fewer than two layers, or a width that no head fits.
    """
    if architecture not in ARCHITECTURES:
        raise SpecError(
            f"an architecture out of {', '.join(ARCHITECTURES)}",
            found=repr(architecture),
            remedy="Choose one of these.",
        )
    if layers < 2 or width < 32 or width % 32:
        raise SpecError(
            "at least 2 layers and a width that is a multiple of 32",
            found=f"{counted(layers, 'layer')} of width {width}",
            remedy="Choose, for example, 4x128.",
        )


def new_body(
    architecture: str,
    *,
    layers: int,
    width: int,
    vocabulary: int,
    tokens: dict[str, int],
    seed: Seed,
) -> PreTrainedModel:
    """A randomly initialised model, float32, untied embeddings, on the CPU."""
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 32,
        "intermediate_size": 4 * width if architecture == "gpt_neox" else 3 * width,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": False,
        **tokens,
    }
    if architecture != "gpt_neox":
        sizes |= {"num_key_value_heads": width // 32, "head_dim": 32}
    if architecture == "gemma3":
        # attend as far in every layer: a window shorter than a page would change the organism
        sizes |= {"sliding_window": 1024, "query_pre_attn_scalar": 32}
    config = AutoConfig.for_model(ARCHITECTURES[architecture], **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed.value % 2**63)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)
