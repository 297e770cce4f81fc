"""What is computed once for prompts that begin alike: where they part, and the keys and values up to there."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LEAST_SHARED = 32
"""Tokens; a shorter beginning is not worth a pass of its own."""
_KEPT_AT_MOST = 4
"""Beginnings: a judge asks under one policy at a time, a plan under a few."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """Tokens with what each layer made of them."""

    tokens: tuple[int, ...]
    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    """Keys and values of each layer, (1, heads, tokens, head size)."""


@dataclass(slots=True)
class PrefixMemory:
    """The beginnings that were used last."""

    _kept: list[Prefix] = field(default_factory=list[Prefix])

    def longest(self, tokens: Sequence[int]) -> tuple[Prefix | None, int]:
        """The beginning that shares most tokens with these, and how many."""
        best = max(self._kept, key=lambda kept: common_length(kept.tokens, tokens), default=None)
        return best, 0 if best is None else common_length(best.tokens, tokens)

    def keep(self, prefix: Prefix) -> None:
        """Put one in front; dropped is what it mostly says too, as under the same policy, and what is used least."""
        others = [kept for kept in self._kept if 2 * common_length(kept.tokens, prefix.tokens) < len(kept.tokens)]
        self._kept = [prefix, *others][:_KEPT_AT_MOST]

    def use(self, prefix: Prefix) -> None:
        """Put one that is kept in front."""
        self._kept = [prefix, *(kept for kept in self._kept if kept is not prefix)]

    def clear(self) -> None:
        """Give the memory back."""
        self._kept = []


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences share at their beginning."""
    least = min(len(one), len(other))
    if one[:least] == other[:least]:
        return least
    low, high = 0, least  # equal up to low, different up to high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def groups(prompts: Sequence[tuple[int, ...]], most: int) -> list[slice]:
    """Cut neighbours into groups of at most `most` that begin alike.

    A cut falls where the next prompt shares less than half of what the group shares, as between two policies, which
    have only the system message in common.
    """
    cuts: list[slice] = []
    start = 0
    steps = [common_length(one, other) for one, other in itertools.pairwise(prompts)]
    for place in range(1, len(prompts) + 1):
        ends = place == len(prompts) or place - start == most or _parts(steps, start, place)
        if ends:
            cuts.append(slice(start, place))
            start = place
    return cuts


def _parts(steps: Sequence[int], start: int, place: int) -> bool:
    """Whether the prompt at `place` is unlike those from `start` on. `steps[i]` is what i and i + 1 share."""
    inside = min(steps[start : place - 1], default=None)
    if inside is None:  # the group is one prompt, which goes with whom it shares more
        inside = steps[place] if place < len(steps) else 0
    return 2 * steps[place - 1] < inside
