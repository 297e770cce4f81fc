"""The keys and values of beginnings, computed once for the prompts that share them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from magistrate.backends.beginnings import common_length

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
