"""Go on with a group of prompts: one pass over what they share, one over the rest, then token by token.

Rows are padded on the left, before the shared beginning: rotary positions belong to the token and not to its place in
the cache, so keys and values that were computed once can stand at another place in each row. What every model of
Transformers does with left padding then holds here too, sliding windows included.
"""

from __future__ import annotations

import importlib
import inspect
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from magistrate.backends.beginnings import common_length
from magistrate.backends.engine import EngineError, Generated, Prompt
from magistrate.backends.habits import Habits
from magistrate.backends.transformers.forms import Forms, Held
from magistrate.backends.transformers.prefix import LEAST_SHARED, Prefix, PrefixMemory
from magistrate.backends.transformers.sampling import pick
from magistrate.backends.writing import Writing
from magistrate.types import TokenLogprob

if TYPE_CHECKING:
    import torch

_PIECE = 512
"""Tokens a row in one pass. Attention without a fused kernel needs memory for each of them times the whole prompt."""


@dataclass(slots=True, kw_only=True)
class _Row(Writing[Held]):
    """One prompt on its way in a batch."""

    place: int


@dataclass(slots=True)
class _Batch:
    """What a pass goes on from."""

    cache: Any  # a DynamicCache of transformers, untyped
    seen: torch.Tensor
    """(rows, tokens) of 0 and 1: what is padding."""
    lengths: torch.Tensor
    """(rows,): tokens of each row that are not padding."""


class Decoder:
    """A model that is loaded, and what it remembers of earlier prompts."""

    def __init__(
        self, model: Any, tokenizer: Any, *, ends: Sequence[int], habits: Habits, forms: Forms, share: bool
    ) -> None:
        """Keep the model.

        Args:
            model: A causal language model of transformers, in evaluation mode.
            tokenizer: Its tokenizer.
            ends: Tokens that end an answer by the model's own settings.
            habits: How it samples where a prompt says nothing.
            forms: What holds answers to a form.
            share: Whether what prompts begin with is computed once.
        """
        self._model = model
        self._tokenizer = tokenizer
        self._ends = frozenset(ends)
        self._habits = habits
        self._forms = forms
        self._share = share
        self._memory = PrefixMemory()
        # The argument for the cache has a new name since transformers 5.2x; the old one warns.
        names = inspect.signature(model.forward).parameters
        self._cache_argument = "cache" if "cache" in names else "past_key_values"

    def forget(self) -> None:
        """Give back the memory of what prompts shared."""
        self._memory.clear()

    def run(self, prompts: Sequence[Prompt]) -> list[Generated]:
        """Go on with each prompt, all in one batch: same length, same order."""
        import torch

        rows = [self._row(place, prompt) for place, prompt in enumerate(prompts)]
        with torch.inference_mode():
            self._decode(rows)
        return [row.generated() for row in rows]

    def _row(self, place: int, prompt: Prompt) -> _Row:
        stops = self._ends | {*prompt.stop_token_ids}
        return _Row(
            place=place,
            prompt=prompt,
            temperature=self._habits.temperature if prompt.temperature is None else prompt.temperature,
            chances=random.Random(prompt.seed),  # noqa: S311 - sampling, no secret
            stops=stops,
            held=None if prompt.form is None else self._forms.hold(prompt.form, stops),
        )

    def _decode(self, rows: Sequence[_Row]) -> None:
        batch, logits = self._read([row.prompt.token_ids for row in rows])
        waiting = list(rows)
        while True:
            self._choose(waiting, logits)
            going = [place for place, row in enumerate(waiting) if row.finish is None]
            if not going:
                return
            if len(going) < len(waiting):
                waiting = [waiting[place] for place in going]
                self._drop(batch, going)
            logits = self._step(batch, [row.output[-1] for row in waiting])

    # -- reading prompts

    def _read(self, prompts: Sequence[tuple[int, ...]]) -> tuple[_Batch, torch.Tensor]:
        """Compute all prompts up to their last token; the logits of the first token to come, (rows, vocabulary)."""
        import torch

        prefix, known = self._shared(prompts)
        lengths = [len(prompt) for prompt in prompts]
        longest = max(lengths)
        new = max(length - known for length in lengths)
        pads = [longest - length for length in lengths]
        device = self._model.device
        padded = torch.tensor([[0] * pad + [*prompt] for pad, prompt in zip(pads, prompts, strict=True)], device=device)
        pad = torch.tensor(pads, device=device)[:, None]
        places = torch.arange(longest, device=device)[None]
        batch = _Batch(cache=_new_cache(), seen=(places >= pad).long(), lengths=torch.tensor(lengths, device=device))
        if prefix is not None:
            _spread(prefix, pads, longest - new, batch.cache)
        positions = (places - pad).clamp(min=0)
        logits = self._passes(padded[:, longest - new :], batch.seen, positions[:, longest - new :], batch.cache)
        return batch, logits

    def _shared(self, prompts: Sequence[tuple[int, ...]]) -> tuple[Prefix | None, int]:
        """What all prompts begin with, computed, and its length; the last token of each is always left to read."""
        first = prompts[0][:-1]
        shared = first[: min(common_length(first, other[:-1]) for other in prompts)]
        if not self._share or len(shared) < LEAST_SHARED:
            return None, 0
        best, known = self._memory.longest(shared)
        if best is not None and known >= len(shared) - LEAST_SHARED:
            self._memory.use(best)
            return best, known
        prefix = self._compute(shared, best, known)
        self._memory.keep(prefix)
        return prefix, len(shared)

    def _compute(self, tokens: tuple[int, ...], start: Prefix | None, known: int) -> Prefix:
        """Keys and values of tokens, the first of which may be known."""
        import torch

        cache = _new_cache()
        if start is not None and known:
            _spread(start, [0], known, cache)
        new = torch.tensor([tokens[known:]], device=self._model.device)
        places = torch.arange(len(tokens), device=self._model.device)[None]
        self._passes(new, torch.ones_like(places), places[:, known:], cache)
        return Prefix(tokens, tuple((layer.keys, layer.values) for layer in cache.layers))

    def _passes(self, ids: torch.Tensor, seen: torch.Tensor, positions: torch.Tensor, cache: Any) -> torch.Tensor:
        """Read tokens into the cache, a piece at a time; the logits behind the last, (rows, vocabulary)."""
        before = seen.shape[1] - ids.shape[1]
        logits: torch.Tensor | None = None
        for start in range(0, ids.shape[1], _PIECE):
            end = min(start + _PIECE, ids.shape[1])
            logits = self._forward(ids[:, start:end], seen[:, : before + end], positions[:, start:end], cache)
        if logits is None:
            raise ValueError("there is nothing to read")
        return logits

    def _forward(self, ids: torch.Tensor, seen: torch.Tensor, positions: torch.Tensor, cache: Any) -> torch.Tensor:
        output = self._model(
            input_ids=ids,
            attention_mask=seen,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,  # of a whole policy nobody needs them, and they are the largest tensor
            **{self._cache_argument: cache},
        )
        return output.logits[:, -1].float()

    # -- writing answers

    def _step(self, batch: _Batch, tokens: Sequence[int]) -> torch.Tensor:
        import torch

        ids = torch.tensor(tokens, device=self._model.device)[:, None]
        batch.seen = torch.cat((batch.seen, torch.ones_like(batch.seen[:, :1])), dim=1)
        positions = batch.lengths[:, None]
        batch.lengths = batch.lengths + 1
        return self._forward(ids, batch.seen, positions, batch.cache)

    def _drop(self, batch: _Batch, going: Sequence[int]) -> None:
        import torch

        places = torch.tensor(going, device=self._model.device)
        batch.cache.batch_select_indices(places)
        batch.seen, batch.lengths = batch.seen[places], batch.lengths[places]

    def _choose(self, rows: Sequence[_Row], logits: torch.Tensor) -> None:
        """Give each row its next token."""
        import torch

        if torch.isnan(logits).any():  # as where float16 overflows: every choice would be a choice of nothing
            raise EngineError("the model computed what is no number; choose another dtype")
        possible = logits
        if any(row.held for row in rows):
            possible = logits.clone()
            for place, row in enumerate(rows):
                if row.held is not None:
                    allowed = row.held.possible(logits.shape[-1]).to(logits.device)
                    possible[place].masked_fill_(~allowed, -float("inf"))
        chances = [row.chances.random() for row in rows]
        tokens = pick(possible, [row.temperature for row in rows], chances, self._habits)
        alternatives: list[tuple[TokenLogprob, ...]] = [()] * len(rows)
        most = max(row.prompt.top_logprobs for row in rows)
        if most:
            # The model's own probabilities, of those tokens that the form allows.
            logprobs = torch.log_softmax(logits, dim=-1).masked_fill(possible == -float("inf"), -float("inf"))
            alternatives = self._likeliest(logprobs, most)
        for row, token, others in zip(rows, tokens, alternatives, strict=True):
            row.take(token, others[: row.prompt.top_logprobs])

    def _likeliest(self, logprobs: torch.Tensor, most: int) -> list[tuple[TokenLogprob, ...]]:
        values, tokens = logprobs.topk(min(most, logprobs.shape[-1]), dim=-1)
        return [
            tuple(
                TokenLogprob(self._tokenizer.decode([token]), value)
                for token, value in zip(row_tokens, row_values, strict=True)
                if value > -float("inf")
            )
            for row_tokens, row_values in zip(tokens.tolist(), values.tolist(), strict=True)
        ]


def _new_cache() -> Any:
    """A cache that keeps everything in every layer: one that is cut to a sliding window could not be shared."""
    return importlib.import_module("transformers").DynamicCache()


def _spread(prefix: Prefix, pads: Sequence[int], width: int, cache: Any) -> None:
    """Put a beginning into an empty cache, for each row behind its padding.

    Args:
        prefix: At least `width` tokens less the least padding.
        pads: Padding of each row.
        width: Tokens of each row that are filled, padding included; what is filled in for padding is masked.
        cache: Of transformers.
    """
    import torch

    for layer, (keys, values) in enumerate(prefix.layers):
        places = torch.arange(width, device=keys.device)[None] - torch.tensor(pads, device=keys.device)[:, None]
        places = places.clamp(min=0)
        # (heads, rows, width, size) -> (rows, heads, width, size)
        cache.update(keys[0][:, places].transpose(0, 1), values[0][:, places].transpose(0, 1), layer)
