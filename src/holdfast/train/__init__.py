"""The only training loop: examples, optimisers, the loop itself, and where it stands on disk."""

from holdfast.train.checkpoints import load_progress, save_progress
from holdfast.train.examples import IGNORED, Batch, Example, batches, collate, example
from holdfast.train.fit import Step, answer_loss, fit
from holdfast.train.optimisers import AdamW, Constant, Schedule, WarmUpStableDecay

__all__ = [
    "IGNORED", "AdamW", "Batch", "Constant", "Example", "Schedule", "Step", "WarmUpStableDecay",
    "answer_loss", "batches", "collate", "example", "fit", "load_progress", "save_progress",
]  # fmt: skip
