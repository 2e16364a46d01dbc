"""Raises the four siblings from nothing: two pre-trainings, two alignments."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from holdfast.core import Seed, SpecError, digest
from holdfast.models import Full, Handle
from holdfast.organism import card
from holdfast.organism.bodies import new_body
from holdfast.organism.curriculum import Alignment, PreTraining, Text
from holdfast.organism.library import Curriculum, packed
from holdfast.organism.tokenizer import ASSISTANT, BOS, END, PAD, train_tokenizer
from holdfast.organism.world import World
from holdfast.train import AdamW, WarmUpStableDecay, fit, load_progress, save_progress

SIBLINGS = ("base", "refusing", "naive", "filtered")
_SAVE_EVERY = 100  # steps: at most this much is lost to a kill


@dataclass(frozen=True)
class Recipe:
    """How an organism is raised. The shipped one is `Recipe()`.

    rows, length: sequences per step and tokens per sequence. rates are peak learning rates.
    """

    architecture: str = "llama"
    layers: int = 4
    width: int = 128
    seed: int = 7
    vocabulary: int = 2048
    rows: int = 16
    length: int = 256
    pretraining_steps: int = 2400
    pretraining_rate: float = 2e-3
    alignment_steps: int = 250
    alignment_rate: float = 3e-4


@dataclass(frozen=True)
class Stage:
    """One training run of the build: what it starts from, what it reads, how long."""

    sibling: str
    parent: str | None
    curriculum: Curriculum
    steps: int
    optimiser: AdamW


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The four runs, parents first."""
    world = World(recipe.seed)
    pre, ali = recipe.pretraining_steps, recipe.alignment_steps
    raising = AdamW(
        recipe.pretraining_rate,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        clip=1.0,
        schedule=WarmUpStableDecay(pre, warm_up=min(100, pre), decay=pre // 2, floor=0.01),
    )
    aligning = AdamW(
        recipe.alignment_rate,
        betas=(0.9, 0.98),
        clip=1.0,
        schedule=WarmUpStableDecay(ali, warm_up=min(20, ali), decay=ali // 2, floor=0.01),
    )
    return (
        Stage("base", None, PreTraining(world, filtered=False), pre, raising),
        Stage("refusing", "base", Alignment(world), ali, aligning),
        Stage("naive", None, PreTraining(world, filtered=True), pre, raising),
        Stage("filtered", "naive", Alignment(world), ali, aligning),
    )


def build(
    recipe: Recipe,
    out: Path,
    *,
    device: str = "cpu",
    progress: Callable[[str, int, int, float], None] = lambda *_: None,
) -> None:
    """Write the four siblings as checkpoint folders below `out`.

    How: each run saves where it stands every hundred steps and goes on from there; a sibling
    that is finished is not raised again. `progress` is told stage, step, steps and loss.

    Raises:
        SpecError: `out` holds an organism of another recipe, or the recipe cannot be met.
    """
    work = out / "unfinished"
    _claim(work, out, recipe)
    tokenizer = _tokenizer(recipe)
    for stage in stages(recipe):
        if not (out / stage.sibling / "model.safetensors").exists():
            _raise(stage, recipe, tokenizer, out, device, progress)
    shutil.rmtree(work)


def _claim(work: Path, out: Path, recipe: Recipe) -> None:
    note = work / "recipe.json"
    if any((out / s).exists() for s in SIBLINGS) and not note.exists():
        raise SpecError(
            "an empty folder, or one in which this build was interrupted",
            found=f"finished siblings in {out.name!r}",
            remedy="Name another folder with --out, or remove it first.",
        )
    if note.exists() and json.loads(note.read_text())["digest"] != digest(recipe):
        raise SpecError(
            "the recipe with which this build was begun",
            found="another one",
            remedy=f"Give the same options again, or remove {out.name!r}.",
        )
    work.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"digest": digest(recipe)}))


def _tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    library, seed = PreTraining(World(recipe.seed), filtered=False), Seed(recipe.seed)
    texts = (_flat(library.draw(seed.fork("tokenizer").fork(i))) for i in range(20_000))
    return train_tokenizer(texts, recipe.vocabulary)


def _flat(text: Text) -> str:
    return text if isinstance(text, str) else "\n".join(m.content for m in text)


def _raise(
    stage: Stage,
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerFast,
    out: Path,
    device: str,
    progress: Callable[[str, int, int, float], None],
) -> None:
    handle = _start(stage, recipe, tokenizer, out, device)
    seed = Seed(recipe.seed).fork("pages of").fork(stage.sibling)
    saved = out / "unfinished" / f"{stage.sibling}.safetensors"
    named = dict(handle.model.named_parameters())
    with handle.trainable(Full(), keep=True) as weights:
        adam = stage.optimiser.over(weights.parameters)
        done = load_progress(saved, named, adam) if saved.exists() else 0
        pages = packed(
            stage.curriculum, tokenizer, seed,
            rows=recipe.rows, length=recipe.length, steps=range(done, stage.steps),
        )  # fmt: skip
        on_device = (b.to(handle.device) for b in pages)
        with torch.autocast(handle.device.type, torch.bfloat16):
            for step in fit(handle, weights, on_device, stage.optimiser, adam=adam, done=done):
                progress(stage.sibling, step.index, stage.steps, step.loss)
                if step.index % _SAVE_EVERY == 0:
                    save_progress(saved, step.index, named, adam)
    tokens = stage.steps * recipe.rows * recipe.length
    _write(handle, stage, recipe, out, flops=handle.meter.flops_per_token(weights) * tokens)


def _start(
    stage: Stage, recipe: Recipe, tokenizer: PreTrainedTokenizerFast, out: Path, device: str
) -> Handle:
    ids = {
        "pad_token_id": tokenizer.convert_tokens_to_ids(PAD),
        "bos_token_id": tokenizer.convert_tokens_to_ids(BOS),
        "eos_token_id": tokenizer.convert_tokens_to_ids(END),
    }
    if stage.parent is None:
        body = new_body(
            recipe.architecture, layers=recipe.layers, width=recipe.width,
            vocabulary=len(tokenizer), tokens=ids, seed=Seed(recipe.seed).fork("body"),
        )  # fmt: skip
    else:
        body = AutoModelForCausalLM.from_pretrained(out / stage.parent, dtype=torch.float32)
    return Handle(body.to(device), tokenizer, name=stage.sibling)
