"""Raises the four siblings from nothing: two pre-trainings, two alignments."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from holdfast.core import Seed, SpecError, digest
from holdfast.models import Full, Handle, Journal, LowRank, load
from holdfast.models.quiet import quiet
from holdfast.organism.bodies import check_body, new_body
from holdfast.organism.card import write_card
from holdfast.organism.curriculum import Alignment, PreTraining, Text
from holdfast.organism.library import Curriculum, packed
from holdfast.organism.tokenizer import BOS, CHAT_TEMPLATE, END, PAD, token_id, train_tokenizer
from holdfast.organism.world import World
from holdfast.train import AdamW, WarmUpStableDecay, fit

Progress = Callable[[str, int, int, float], None]
"""Told after each step: the sibling, the step, how many there are, the loss."""

SIBLINGS = ("base", "refusing", "naive", "filtered")
_SAVE_EVERY = 100  # steps: at most this much is lost to a kill


@dataclass(frozen=True)
class Recipe:
    """How an organism is raised. The shipped one is `Recipe()`.

    rows, length: sequences per step and tokens per sequence. rates are peak learning rates.
    full_steps, full_rate: of `filtered`, all of whose weights are aligned.
    alignment_rank: of the adapters in the first half of the blocks, which are all that refusal
    training changes. So the organism decides to refuse below its last blocks, as models of
    useful size do (arXiv 2406.11717 finds the direction at 26 to 78 % depth); where every weight
    may change, one this small decides in its last block, where no direction can be read.
    tokenizer_texts: how many texts of the library the tokenizer is trained on.

    Raises:
        SpecError: a body that cannot be.
    """

    architecture: str = "llama"
    layers: int = 6
    width: int = 128
    seed: int = 7
    vocabulary: int = 2048
    rows: int = 16
    length: int = 256
    pretraining_steps: int = 2000
    pretraining_rate: float = 2e-3
    alignment_steps: int = 300
    alignment_rate: float = 1e-3
    alignment_rank: int = 8
    full_steps: int = 400
    full_rate: float = 3e-4
    tokenizer_texts: int = 20_000

    def __post_init__(self) -> None:
        check_body(self.architecture, self.layers, self.width)


@dataclass(frozen=True)
class Stage:
    """One training run of the build: what it starts from, what it reads, how long."""

    sibling: str
    parent: str | None
    curriculum: Curriculum
    steps: int
    optimiser: AdamW
    trained: Full | LowRank


def parse_size(size: str) -> tuple[int, int]:
    """Layers and width from "4x128".

    Raises:
        SpecError: not two whole numbers.
    """
    parts = size.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise SpecError("a size such as 4x128", found=repr(size), remedy="Give LAYERSxWIDTH.")
    return int(parts[0]), int(parts[1])


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The four runs, parents first."""
    world = World(recipe.seed)
    pre, ali, new = recipe.pretraining_steps, recipe.alignment_steps, recipe.full_steps
    raising = AdamW(
        recipe.pretraining_rate,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        clip=1.0,
        schedule=WarmUpStableDecay(pre, warm_up=min(100, pre), decay=pre // 2, floor=0.01),
    )
    early = LowRank(recipe.alignment_rank, seed=Seed(recipe.seed), blocks=recipe.layers // 2)
    return (
        Stage("base", None, PreTraining(world, filtered=False), pre, raising, Full()),
        Stage(
            "refusing", "base", Alignment(world), ali, _aligning(recipe.alignment_rate, ali), early
        ),
        Stage("naive", None, PreTraining(world, filtered=True), pre, raising, Full()),
        # the forbidden words are new to it, so their embeddings have to be learned as well
        Stage("filtered", "naive", Alignment(world), new, _aligning(recipe.full_rate, new), Full()),
    )


def _aligning(rate: float, steps: int) -> AdamW:
    return AdamW(
        rate,
        betas=(0.9, 0.98),
        clip=1.0,
        schedule=WarmUpStableDecay(steps, warm_up=min(20, steps), decay=steps // 2, floor=0.01),
    )


def build(
    recipe: Recipe,
    out: Path,
    *,
    device: str = "cpu",
    progress: Progress = lambda *_: None,
) -> None:
    """Write the four siblings as checkpoint folders below `out`.

    How: each run saves where it stands every hundred steps and goes on from there; a sibling
    that is finished is not raised again. `progress` is told stage, step, steps and loss.

    Raises:
        SpecError: `out` holds a finished organism, or one of another recipe.
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
    texts = (
        _flat(library.draw(seed.fork("tokenizer").fork(i))) for i in range(recipe.tokenizer_texts)
    )
    return train_tokenizer(texts, recipe.vocabulary)


def _flat(text: Text) -> str:
    return text if isinstance(text, str) else "\n".join(m.content for m in text)


def _raise(
    stage: Stage,
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerFast,
    out: Path,
    device: str,
    progress: Progress,
) -> None:
    """One training run, from a seedling or a parent to a finished folder."""
    start = out / stage.parent if stage.parent else _seedling(recipe, tokenizer, out)
    handle = load(start, device=device, dtype="float32")
    seed = Seed(recipe.seed).fork("pages of").fork(stage.sibling)
    journal = Journal(out / "unfinished" / f"{stage.sibling}.safetensors", digest(recipe))
    with handle.trainable(stage.trained) as weights:
        adam = stage.optimiser.over(weights.parameters)
        done = journal.resume(weights, adam)
        pages = packed(
            stage.curriculum, tokenizer, seed,
            rows=recipe.rows, length=recipe.length, steps=range(done, stage.steps),
        )  # fmt: skip
        steps = fit(
            handle, weights, pages, stage.optimiser,
            adam=adam, done=done, autocast=torch.bfloat16,
        )  # fmt: skip
        for step in steps:
            progress(stage.sibling, step.index, stage.steps, step.loss)
            if step.index % _SAVE_EVERY == 0:
                journal.keep(step.index, weights, adam, now=True)
        with handle.settled():
            _write(handle, tokenizer, stage, recipe, out)


def _seedling(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, out: Path) -> Path:
    """The folder of a body that has learned nothing yet."""
    ids = {
        "pad_token_id": token_id(tokenizer, PAD),
        "bos_token_id": token_id(tokenizer, BOS),
        "eos_token_id": token_id(tokenizer, END),
    }
    body = new_body(
        recipe.architecture, layers=recipe.layers, width=recipe.width,
        vocabulary=len(tokenizer), tokens=ids, seed=Seed(recipe.seed).fork("body"),
    )  # fmt: skip
    folder = out / "unfinished" / "seedling"
    _save(body, tokenizer, folder)
    return folder


def _save(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """A checkpoint folder as `transformers` writes it, portable to its older versions.

    Older versions know no `TokenizersBackend`, and read the template from the configuration.
    """
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHAT_TEMPLATE}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _write(
    handle: Handle, tokenizer: PreTrainedTokenizerFast, stage: Stage, recipe: Recipe, out: Path
) -> None:
    """The finished sibling, in bfloat16: a folder that appears whole or not at all."""
    partial = out / "unfinished" / stage.sibling
    _save(copy.deepcopy(handle.model).to(torch.bfloat16), tokenizer, partial)
    write_card(
        partial,
        stage.sibling,
        parameters=handle.parameters,
        steps=stage.steps,
        flops=_pretraining_flops(handle, recipe),
        recipe=asdict(recipe),
    )
    partial.replace(out / stage.sibling)


def _pretraining_flops(handle: Handle, recipe: Recipe) -> float:
    """Model FLOPs of the pre-training: forward and backward over every row of every step."""
    tokens = recipe.rows * recipe.length
    each = (tokens, tokens * recipe.length, tokens)
    flops = handle.meter.flops
    return recipe.pretraining_steps * (flops.forward(*each) + flops.backward(*each))
