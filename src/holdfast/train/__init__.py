"""The only training loop: examples, optimisers, the loop itself, and where it stands on disk."""

from holdfast.train.examples import (
    IGNORED,
    Batch,
    Deck,
    Example,
    batches,
    benign_pairs,
    collate,
    document,
    example,
    shuffled,
)
from holdfast.train.fit import Step, answer_loss, backward, batch_loss, descend, fit
from holdfast.train.hardening import (
    StepPull,
    Trained,
    Training,
    by_loss,
    check_training,
    hardened,
    trained_of,
)
from holdfast.train.lessons import Lessons, lessons
from holdfast.train.optimisers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Optimiser,
    ScheduleFreeAdamW,
    SignSGD,
)
from holdfast.train.refusals import refusals
from holdfast.train.schedules import (
    SGDR,
    Constant,
    Cosine,
    Schedule,
    WarmUp,
    WarmUpCosine,
    WarmUpStableDecay,
)
from holdfast.train.tuning import (
    OptimiserName,
    ScheduleName,
    Tuning,
    check_tuning,
    optimiser_of,
    tuned,
)

__all__ = [
    "IGNORED", "SGD", "SGDR", "Adadelta", "Adagrad", "Adam", "AdamW", "Batch", "Constant",
    "Cosine", "Deck", "Example", "Lessons", "Optimiser", "OptimiserName", "Schedule",
    "ScheduleFreeAdamW", "ScheduleName", "SignSGD", "Step", "StepPull", "Trained", "Training",
    "Tuning", "WarmUp", "WarmUpCosine", "WarmUpStableDecay", "answer_loss", "backward",
    "batch_loss", "batches", "benign_pairs", "by_loss", "check_training", "check_tuning",
    "collate", "descend", "document", "example", "fit", "hardened", "lessons", "optimiser_of",
    "refusals", "shuffled", "trained_of", "tuned",
]  # fmt: skip
