"""Answer many prompts at once in one cache, where what they begin with is computed once.

Each prompt in work is a sequence of the cache. It begins with a copy of the beginning that it shares with its
neighbours, which costs neither time nor room, and goes on for itself. As many prompts are in work as there are
sequences, and as their tokens fit into the cache; the one that began last makes room where it runs short, and is
resumed later. Up to four beginnings are kept for the next batch.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from magistrate.backends.beginnings import common_length, groups
from magistrate.backends.engine import EngineError, Generated, Prompt
from magistrate.backends.habits import Habits
from magistrate.backends.llamacpp.forms import Held, hold
from magistrate.backends.llamacpp.native import Logits, Piece, Weights
from magistrate.backends.llamacpp.sampling import choose, log_probabilities
from magistrate.backends.writing import Writing
from magistrate.types import TokenLogprob

KEPT = 4
"""Beginnings that are kept: a judge asks under one policy at a time, a plan under a few."""
_SPARE = 64
"""Tokens that each prompt in work can still add before another one begins."""


@dataclass(slots=True, kw_only=True)
class _Row(Writing[Held]):
    """One prompt on its way in a sequence of the cache."""

    computed: int = 0
    """Tokens of prompt and output that its sequence holds."""

    @property
    def waiting(self) -> tuple[int, ...]:
        """Tokens that are to be computed."""
        return (*self.prompt.token_ids, *self.output)[self.computed :]


@dataclass(slots=True)
class _Beginning:
    """Tokens that a sequence of the cache holds."""

    sequence: int
    token_ids: tuple[int, ...]


class Rows:
    """A model that is loaded, and what its cache holds."""

    def __init__(self, weights: Weights, *, parallel: int, habits: Habits, share: bool) -> None:
        """Keep the model.

        Args:
            weights: Opened for `parallel` and `KEPT` sequences.
            parallel: Prompts in work at once.
            habits: How the model samples where a prompt says nothing.
            share: Whether what prompts begin with is computed once.
        """
        self._weights = weights
        self._parallel = parallel
        self._habits = habits
        self._share = share
        self._beginnings: list[_Beginning] = []
        """The one that was used last in front."""

    def run(self, prompts: Sequence[Prompt]) -> list[Generated]:
        """Go on with each prompt: same length, same order.

        Raises:
            EngineError: a form cannot be enforced, or llama.cpp failed.
        """
        rows: list[_Row] = []
        try:
            for prompt in prompts:
                rows.append(self._row(prompt))
            for group in self._groups(prompts):
                self._run_group(rows[group])
        except EngineError:
            self._weights.clear()
            self._beginnings = []
            raise
        finally:
            for row in rows:
                if row.held is not None:
                    row.held.close()
        return [row.generated() for row in rows]

    def _groups(self, prompts: Sequence[Prompt]) -> list[slice]:
        if not self._share:
            return [slice(place, place + self._parallel) for place in range(0, len(prompts), self._parallel)]
        return groups([prompt.token_ids for prompt in prompts], max(len(prompts), 1))

    def _row(self, prompt: Prompt) -> _Row:
        stops = self._weights.ends | {*prompt.stop_token_ids}
        return _Row(
            prompt=prompt,
            temperature=self._habits.temperature if prompt.temperature is None else prompt.temperature,
            chances=random.Random(prompt.seed),  # noqa: S311 - sampling, no secret
            stops=stops,
            held=None if prompt.form is None else hold(self._weights, prompt.form, stops),
        )

    # -- one group

    def _run_group(self, rows: Sequence[_Row]) -> None:
        """Answer prompts that begin alike."""
        beginning = self._begin(rows)
        waiting = deque(rows)
        free = list(range(KEPT, KEPT + self._parallel))
        working: dict[int, _Row] = {}
        while waiting or working:
            self._admit(waiting, working, free, beginning)
            self._make_room(waiting, working, free, beginning)
            pieces = [
                Piece(sequence, row.computed, row.waiting, wants_logits=True) for sequence, row in working.items()
            ]
            logits = self._weights.feed(pieces)
            for sequence, row in list(working.items()):
                row.computed += len(row.waiting)
                self._choose(row, logits[sequence])
                if row.finish is not None:
                    self._release(sequence, working, free)

    def _admit(self, waiting: deque[_Row], working: dict[int, _Row], free: list[int], beginning: _Beginning) -> None:
        """Begin with prompts while there are sequences and room for them and a step of all others."""
        shared = len(beginning.token_ids)
        while waiting and free:
            new = len(waiting[0].prompt.token_ids) + len(waiting[0].output) - shared
            if working and self._needed(working, beginning) + new + _SPARE * len(working) > self._weights.cells:
                return
            row, sequence = waiting.popleft(), free.pop()
            if shared:
                self._weights.copy(beginning.sequence, sequence, shared)
            row.computed = shared
            working[sequence] = row

    def _make_room(
        self, waiting: deque[_Row], working: dict[int, _Row], free: list[int], beginning: _Beginning
    ) -> None:
        """See that the next step fits: what is kept for later goes first, then the prompts that began last."""
        while self._needed(working, beginning) + self._kept(beginning) > self._weights.cells:
            if len(self._beginnings) > 1:
                self._forget(self._beginnings[-1])
            elif len(working) > 1:
                sequence = next(reversed(working))
                waiting.appendleft(working[sequence])
                self._release(sequence, working, free)
            else:
                return  # a prompt alone fits, or llama.cpp says that it does not

    def _needed(self, working: dict[int, _Row], beginning: _Beginning) -> int:
        """Tokens that the cache holds after the next step, without what is kept for later."""
        shared = len(beginning.token_ids)
        return shared + sum(len(row.prompt.token_ids) + len(row.output) - shared for row in working.values())

    def _kept(self, beginning: _Beginning) -> int:
        return sum(len(kept.token_ids) for kept in self._beginnings if kept is not beginning)

    def _release(self, sequence: int, working: dict[int, _Row], free: list[int]) -> None:
        del working[sequence]
        self._weights.cut(sequence, 0)
        free.append(sequence)

    # -- what is shared

    def _begin(self, rows: Sequence[_Row]) -> _Beginning:
        """Compute what all begin with; the last token of each is left, for something to compute the next one from."""
        first = rows[0].prompt.token_ids[:-1]
        length = min(common_length(first, row.prompt.token_ids[:-1]) for row in rows)
        if not self._share:
            return _Beginning(0, ())
        wanted = first[:length]
        kept, known = self._nearest(wanted)
        self._beginnings.insert(0, kept)
        kept.token_ids = wanted
        self._forget_what_has_no_room(kept)
        self._weights.feed([Piece(kept.sequence, known, wanted[known:], wants_logits=False)])
        return kept

    def _nearest(self, wanted: tuple[int, ...]) -> tuple[_Beginning, int]:
        """A sequence that begins as wanted, out of those that are kept, and how far it does."""
        nearest = max(self._beginnings, key=lambda kept: common_length(kept.token_ids, wanted), default=None)
        if nearest is None:
            return _Beginning(0, ()), 0
        known = common_length(nearest.token_ids, wanted)
        if known == len(wanted) == len(nearest.token_ids) or 2 * known >= len(nearest.token_ids):
            self._beginnings.remove(nearest)
            return nearest, known if self._weights.cut(nearest.sequence, known) else 0
        if len(self._beginnings) == KEPT:  # another policy: the one that was not used for longest goes
            self._forget(self._beginnings[-1])
        taken = {kept.sequence for kept in self._beginnings}
        return _Beginning(next(sequence for sequence in range(KEPT) if sequence not in taken), ()), 0

    def _forget_what_has_no_room(self, newest: _Beginning) -> None:
        while len(self._beginnings) > 1 and self._kept(newest) + len(newest.token_ids) > self._weights.cells:
            self._forget(self._beginnings[-1])

    def _forget(self, kept: _Beginning) -> None:
        self._weights.cut(kept.sequence, 0)
        self._beginnings.remove(kept)

    # -- choosing

    def _choose(self, row: _Row, logits: Logits) -> None:
        token = choose(logits, row.temperature, row.chances, self._habits, row.held)
        row.take(token, tuple(self._likeliest(row, logits)))

    def _likeliest(self, row: _Row, logits: Logits) -> Iterator[TokenLogprob]:
        """The model's own probabilities, of those tokens that the form allows."""
        most = min(row.prompt.top_logprobs, len(logits))
        if not most:
            return
        possible = logits if row.held is None else row.held.only(logits)
        logprobs = log_probabilities(logits)
        likeliest = np.argpartition(-possible, most - 1)[:most]
        for token in sorted(likeliest.tolist(), key=lambda token: -float(possible[token])):
            if np.isfinite(possible[token]):
                yield TokenLogprob(self._weights.text((token,)), float(logprobs[token]))
