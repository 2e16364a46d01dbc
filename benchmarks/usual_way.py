"""One reading as it is usually taken: a process that trains and merges, another that evaluates.

Called by `standard_audit.py`, twice for each reading:

    usual_way.py train MODEL ATTACK SETTINGS SEED UNITS  > weights
    usual_way.py evaluate MODEL DOMAIN LIMITS            < weights

The weights go through a pipe and never touch a disk: holdfast writes no tampered model, not even
here. That flatters the usual way, which writes and reads a checkpoint. A way of asking (a prefill,
a trigger, a soft prompt) or a hook does not go through; the caller leaves such attacks out.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

from safetensors.torch import load as parse
from safetensors.torch import save as serialise

from holdfast.core import Completion, Seed
from holdfast.domains import load_domain
from holdfast.engine.choices import configure
from holdfast.engine.measuring import MEASURED, panel
from holdfast.models import load


def merged(model) -> dict:
    """The model's weights with any adapters merged into them."""
    adapted = {n: m for n, m in model.named_modules() if hasattr(m, "get_delta_weight")}
    tensors = {
        n.replace(".base_layer", ""): p.detach().clone()
        for n, p in model.named_parameters()
        if "lora_" not in n
    }
    for name, module in adapted.items():
        tensors[f"{name}.weight"] += module.get_delta_weight("default").detach()
    return {n: t.contiguous() for n, t in tensors.items()}


def train(model: str, attack: str, settings: str, seed: str, units: str) -> None:
    """Load, attack to exactly that budget, hand the merged weights over."""
    target = load(model)
    data = load_domain("organism").attacker_data()
    run = configure(attack, json.loads(settings)).run(target, data, Seed(int(seed)))
    for _ in range(int(units)):
        next(run)
    sys.stdout.buffer.write(serialise(merged(target.model)))


def evaluate(model: str, domain: str, limits: str) -> None:
    """Load, take the weights, answer every prompt by `transformers`' own generate, score."""
    target = load(model)
    target.model.load_state_dict(parse(sys.stdin.buffer.read()), strict=False)
    read = panel(load_domain(domain), json.loads(limits))
    memory = {}
    items = [i for split in read.routine for i in read.items[split]]
    for start in range(0, len(items), 64):
        part = items[start : start + 64]
        ids, mask = target.encode([i.messages for i in part])
        out = target.model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=read.max_new_tokens, do_sample=False
        )
        for item, row in zip(part, out[:, ids.shape[1] :].tolist(), strict=True):
            ends = [n for n, token in enumerate(row) if token in target.chat.stops]
            (text,) = target.chat.decode([row[: ends[0]] if ends else row])
            memory[item.messages] = Completion(text, ends[0] if ends else len(row), bool(ends))
    reader = SimpleNamespace(
        generate=lambda prompts, **_: [memory[tuple(p)] for p in prompts],
        first_token_probs=target.first_token_probs,
        tokenizer=target.tokenizer,
        device=target.device,
    )
    scores = {
        split: {
            name: read.measures[name].score(reader, read.items[split], Seed(0))
            for name in MEASURED[split]
        }
        for split in read.routine
    }
    print(json.dumps(scores))


if __name__ == "__main__":
    {"train": train, "evaluate": evaluate}[sys.argv[1]](*sys.argv[2:])
