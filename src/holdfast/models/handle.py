"""The model under test: everything that may be asked of it or done to it, and its meter."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from holdfast.core import Completion, Seed, SpecError, Subject
from holdfast.models import gradients, hooks, passes, training
from holdfast.models.adapters import adapter_flops, low_rank, merged, settled
from holdfast.models.anatomy import Anatomy, examine
from holdfast.models.asking import Asking, check_sampling, compose, embedded, put, wanted
from holdfast.models.chat import Chat, Prompt
from holdfast.models.edits import Edits, edited
from holdfast.models.flops import Flops
from holdfast.models.generation import Choose, Sampler, greedy, write
from holdfast.models.journal import Journal
from holdfast.models.memo import Key, Memo, told_apart
from holdfast.models.meter import Meter
from holdfast.models.seeds import generator
from holdfast.models.training import Full, LowRank, Weights
from holdfast.models.writers import Writer, find_writers, orthogonalised

_PADDED = 0.15  # share of a single pass's row that may be padding; a pass more costs less than that


class Handle:
    """A causal language model with its tokenizer, chat template and meter.

    The model is in evaluation mode and none of its parameters requires a gradient, except inside
    `trainable`. Everything that changes it is a context manager which leaves it as it was, bit
    for bit, however it is left.

    Attributes:
        model: the `transformers` model. tokenizer: as loaded, never changed.
        chat: renders and encodes. meter: the bill.
        subject: what a report says of the model.
        journal: where a training run keeps its place on disk, if it shall.
    """

    def __init__(
        self, model: Any, chat: Chat, subject: Subject, anatomy: Anatomy, flops: Flops
    ) -> None:
        self.model = model
        self.chat = chat
        self.subject = subject
        self.anatomy = anatomy
        self.device: torch.device = next(model.parameters()).device
        self.dtype: torch.dtype = next(model.parameters()).dtype
        self.meter = Meter(flops, self._settle)
        self._memo: Memo | None = None
        self._asking: Asking | None = None
        self.journal: Journal | None = None

    @property
    def tokenizer(self) -> Any:
        """The tokenizer as loaded."""
        return self.chat.tokenizer

    @property
    def name(self) -> str:
        """As it was asked for."""
        return self.subject.name

    @property
    def digest(self) -> str:
        """SHA-256 of tensors, configuration, tokenizer, template and dtype."""
        return self.subject.digest

    @property
    def parameters(self) -> int:
        """How many, a tied one once."""
        return self.subject.parameters

    @property
    def layers(self) -> int:
        """Number of blocks, L."""
        return len(self.anatomy.blocks)

    @property
    def width(self) -> int:
        """Size of the residual stream, d."""
        return self.anatomy.width

    @cached_property
    def vocabulary(self) -> int:
        """Size of the output, v."""
        return self.model.get_output_embeddings().weight.shape[0]

    # --- asking -------------------------------------------------------------------------------

    def prompt_ids(self, prompt: Prompt) -> tuple[int, ...]:
        """The tokens of a prompt, put as `asking` says, up to where the answer begins."""
        return put(self.chat, prompt, self._asking)

    def encode(self, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        """Prompts up to where the answer begins: ids and mask (b, t), padded left."""
        return self._padded([self.prompt_ids(p) for p in prompts])

    @torch.no_grad()
    def logits(self, ids: Tensor, mask: Tensor, last: int | None = None) -> Tensor:
        """Logits (b, t, v), or (b, last, v) of the last positions; a query for each row."""
        batch, length = ids.shape
        self.meter.count_forward(batch, ids.numel(), ids.numel() * length, batch * (last or length))
        return passes.logits_of(self.model, ids.to(self.device), mask.to(self.device), last)

    def forward(self, ids: Tensor, mask: Tensor, keep: Tensor | None = None) -> Tensor:
        """Logits with a gradient, for training.

        Args:
            ids: (b, t) int64, padded on either side.
            mask: (b, t) int64, 1 where a token is real.
            keep: (b, t) bool, the positions whose logits are wanted.

        Returns:
            (b, t, v), or (n, v) for the n positions of `keep` in row-major order. The forward
            pass is billed at once, as queries under `no_grad`; the backward pass when it happens.
        """
        return gradients.forward(self.model, self.meter, *self._here(ids, mask, keep))

    def forward_states(
        self, ids: Tensor, mask: Tensor, keep: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """As `forward`, and the residual stream with a gradient: L + 1 states (b, t, d).

        State l < L is block l's input; L is the last block's output, before the final norm.
        """
        given = self._here(ids, mask, keep)
        return gradients.forward_states(self.model, self.anatomy, self.meter, *given)

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int,
        prefill: str = "",
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: Seed | None = None,
        batch_size: int | None = None,
    ) -> list[Completion]:
        """The model's answers, in the order of the prompts; equal ones are answered once greedily.

        Where `asking` is in force its sampling and tries hold, unless a temperature is given here.

        Args:
            prompts: chats whose last turn is the user's.
            max_new_tokens: the most tokens to an answer.
            prefill: words put into the model's mouth; not part of the completion's text.
            temperature: 0 takes the likeliest token each time; above it, `seed` decides.
            top_p: probability mass of the nucleus that is sampled from.
            seed: required where temperature is above 0.
            batch_size: rows to a batch; chosen unless given.
        """
        asking, tries = self._asking, 1
        if asking is not None and temperature == 0.0:
            temperature, top_p, seed = asking.temperature, asking.top_p, asking.seed
            tries = asking.tries if temperature > 0.0 else 1
        check_sampling(temperature, top_p, seed)
        if max_new_tokens < 1:
            found = str(max_new_tokens)
            raise SpecError("at least one new token", found=found, remedy="Correct the setting.")
        choose: Choose = greedy
        if temperature > 0.0 and seed is not None:
            choose = Sampler(temperature, top_p, generator(seed, self.device))
        settings = (max_new_tokens, prefill, temperature, top_p, seed, asking)
        times = told_apart(prompts) if temperature > 0.0 else [0] * len(prompts)
        keys = [(tuple(p), (*settings, n)) for p, n in zip(prompts, times, strict=True)]
        memo = self._memo or Memo()
        left = list(dict.fromkeys(key for key in keys if key not in memo.answers))
        for _ in range(tries):
            self._answer(left, memo, prefill, max_new_tokens, choose, batch_size)
            left = [key for key in left if not wanted(asking, memo.answers[key].text)]
        return [memo.answers[key] for key in keys]

    @torch.no_grad()
    def first_token_probs(self, prompts: Sequence[Prompt]) -> Tensor:
        """Distribution (n, v) float64, on the CPU, of the first token of each answer."""
        firsts = (self._memo or Memo()).firsts
        keys = [(tuple(p), self._asking) for p in prompts]
        missing = list(dict.fromkeys(key for key in keys if key not in firsts))
        rows = [self.prompt_ids(prompt) for prompt, _ in missing]
        for batch in passes.batches([len(r) for r in rows], self._room(), spread=_PADDED):
            logits = self.logits(*self._padded([rows[i] for i in batch]), last=1)[:, -1]
            firsts.update(zip([missing[i] for i in batch], logits.float().cpu(), strict=True))
        if not keys:
            return torch.zeros((0, self.vocabulary), dtype=torch.float64)
        return torch.stack([firsts[key] for key in keys]).double().softmax(-1)

    @torch.no_grad()
    def logprobs(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> list[Tensor]:
        """Log-probability of each token of each completion, float32 on the CPU."""
        pairs = [
            (self.prompt_ids(p), self.chat.text_ids(c))
            for p, c in zip(prompts, completions, strict=True)
        ]

        def of(batch: Sequence[int]) -> list[Tensor]:
            ids, mask = self._padded([pairs[i][0] + pairs[i][1] for i in batch])
            sizes = torch.tensor([len(pairs[i][1]) for i in batch], device=self.device)
            length = ids.shape[1]
            answer = torch.arange(length, device=self.device) >= length - sizes[:, None]
            keep = answer.roll(-1, 1)  # the logits that predict a token stand one place before it
            keep[:, -1] = False
            with passes.heading_only(self.model, keep):
                logits = passes.logits_of(self.model, ids, mask)[0]
            self.meter.count_forward(
                len(batch), ids.numel(), ids.numel() * length, int(sizes.sum())
            )
            found = logits.float().log_softmax(-1).gather(1, ids[answer][:, None])[:, 0]
            return list(found.cpu().split(sizes.tolist()))

        room = passes.room(self.device.type, self.vocabulary)
        order = passes.batches([len(a) + len(b) for a, b in pairs], room)
        return passes.in_order(order, of)

    @torch.no_grad()
    def residuals(self, prompts: Sequence[Prompt], positions: Sequence[int]) -> Tensor:
        """The residual stream (n, L+1, p, d) float32 at positions counted from the end.

        Index l < L is block l's input; L is the last block's output, before the final norm.

        Raises:
            SpecError: a position that is not negative, or before a prompt's first token.
        """
        rows = [self.prompt_ids(p) for p in prompts]
        shortest = min(map(len, rows), default=0)
        if rows and any(not -shortest <= p < 0 for p in positions):
            raise SpecError(
                f"positions from -1 back to -{shortest}, the shortest prompt's first token",
                found=str(list(positions)),
                remedy="Count from the end: -1 is the last token.",
            )

        def of(batch: Sequence[int]) -> list[Tensor]:
            found: list[Tensor] = []
            ids, mask = self._padded([rows[i] for i in batch])
            with hooks.captured(
                self.anatomy, lambda _, x: found.append(x[:, list(positions)].float())
            ):
                self.logits(ids, mask, last=1)
            return list(torch.stack(found, dim=1))

        order = passes.batches([len(r) for r in rows], self._room())
        if not rows:
            shape = (0, self.layers + 1, len(positions), self.width)
            return torch.zeros(shape, device=self.device)
        return torch.stack(passes.in_order(order, of))

    def writers(self) -> list[Writer]:
        """The matrices that write into the residual stream, embeddings first."""
        return find_writers(self.model, self.anatomy)

    def orthogonalised(self, direction: Tensor) -> dict[str, Tensor]:
        """Edits that keep every writer from writing along `direction`; see `writers`."""
        return orthogonalised(self.model, self.anatomy, direction)

    # --- changing -----------------------------------------------------------------------------

    def twin(self) -> Handle:
        """A frozen copy of the model as it is now, billed to the same meter."""
        frozen = copy.deepcopy(self.model).requires_grad_(False)
        twin = Handle(frozen, self.chat, self.subject, examine(frozen), self.meter.flops)
        twin.meter = self.meter
        return twin

    @contextmanager
    def trainable(self, spec: Full | LowRank) -> Generator[Weights]:
        """Yields the weights that `spec` allows to train; all is undone on exit."""
        with self._fresh_memo():
            if isinstance(spec, Full):
                with training.full(self.model, self.anatomy.blocks, spec) as weights:
                    yield weights
                return
            flops = adapter_flops(self.meter.flops, self.model, self.anatomy, spec)
            with low_rank(self.model, self.anatomy, spec) as weights, self.meter.adapted(flops):
                yield weights

    @contextmanager
    def edited(self, edits: Edits | Callable[[Handle], Edits]) -> Generator[None]:
        """Parameters hold other values inside: name -> tensor, or a function that finds them."""
        found = edits(self) if callable(edits) else edits
        with self._fresh_memo(), edited(self.model, found):
            yield

    @contextmanager
    def hooked(self, changes: Sequence[tuple[hooks.Site, hooks.Change]]) -> Generator[None]:
        """Applies `change(states (b, t, d), block)` at each site of every block inside."""
        with self._fresh_memo(), hooks.hooked(self.model, self.anatomy, changes):
            yield

    @contextmanager
    def asking(self, asking: Asking | None) -> Generator[None]:
        """Prompts are put in this way inside, in training as in generation; plainly for None.

        Inside another way of asking the two are combined; `asking.compose` says how.
        """
        before = self._asking
        now = asking if asking is None or before is None else compose(before, asking)
        self._asking = now
        try:
            if now is None:
                yield
            else:
                with embedded(self.model, self.chat, now, lambda: self._asking is now):
                    yield
        finally:
            self._asking = before

    @property
    def asks_plainly(self) -> bool:
        """Whether prompts are put as they are."""
        return self._asking is None

    @contextmanager
    def settled(self) -> Generator[None]:
        """Adapters in force become part of plain weights inside, as if there had been none.

        What comes on top (an edit, another adapter, a training run) then finds the structure
        that it knows. On exit everything is as before, bit for bit.
        """
        with self._fresh_memo(), settled(self.model), self.meter.adapted(self.meter.plain):
            yield

    @contextmanager
    def measuring(self) -> Generator[None]:
        """Our own looking: off the meter, and answers are remembered until exit.

        Several measures that ask for the same answers then share one generation. Nothing may
        train inside; an edit or hook inside starts with nothing remembered. Adapters of a
        float32 model are merged meanwhile, which changes a logit by rounding alone.
        """
        before, self._memo = self._memo, Memo()
        try:
            with self.meter.paused(), torch.no_grad(), merged(self.model):
                yield
        finally:
            self._memo = before

    # --- private ------------------------------------------------------------------------------

    def _answer(
        self,
        asked: Sequence[tuple[Key, Any]],
        memo: Memo,
        prefill: str,
        limit: int,
        choose: Choose,
        batch_size: int | None,
    ) -> None:
        """Write an answer to each prompt, and have `memo` remember it in place of any before."""
        suffix = self.chat.text_ids(prefill) if prefill else ()
        rows = [self.prompt_ids(prompt) + suffix for prompt, _ in asked]
        reading = self._asking.reading if self._asking is not None else None
        for batch in passes.batches([len(r) for r in rows], self._room(), batch_size, limit):
            ids, mask = self._padded([rows[i] for i in batch])
            written = write(self.model, ids, mask, self.chat.stops, limit, choose, self.meter)
            texts = self.chat.decode(written.rows)
            if reading is not None:
                texts = [reading(text) for text in texts]
            for at, (i, text, first) in enumerate(zip(batch, texts, written.first, strict=True)):
                tokens, drawn = len(written.rows[at]), tuple(written.drawn[at])
                memo.answers[asked[i]] = Completion(text, tokens, written.finished[at], drawn)
                if self._memo is not None and not prefill:
                    memo.firsts[asked[i][0], self._asking] = first.float().cpu()

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        ids, mask = self.chat.pad_left(rows)
        return ids.to(self.device), mask.to(self.device)

    def _here(
        self, ids: Tensor, mask: Tensor, keep: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        here = self.device
        return ids.to(here), mask.to(here), None if keep is None else keep.to(here)

    def _room(self) -> int:
        return passes.room(self.device.type)

    @contextmanager
    def _fresh_memo(self) -> Generator[None]:
        before, self._memo = self._memo, None if self._memo is None else Memo()
        try:
            yield
        finally:
            self._memo = before

    def _settle(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
