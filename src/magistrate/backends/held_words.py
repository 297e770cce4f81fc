"""An answer that is one of some words, by the tokens that the tokenizer writes them with.

A grammar over letters would also allow `I` as the beginning of `INVALID`, and take for that verdict all the
probability of answers that begin with the word "I".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class HeldWords:
    """One of some words, token by token."""

    def __init__(self, words: Sequence[Sequence[int]], stops: Iterable[int]) -> None:
        """Start before the first token.

        Args:
            words: The tokens of each.
            stops: What can follow a whole word.
        """
        self._rests = [tuple(word) for word in words]
        self._stops = frozenset(stops)

    @property
    def is_whole(self) -> bool:
        """Whether no word goes on from here."""
        return not any(self._rests)

    def following(self) -> set[int]:
        """The tokens that can come next."""
        following = {rest[0] for rest in self._rests if rest}
        return following if all(self._rests) else following | self._stops

    def possible(self, size: int) -> torch.Tensor:
        """The same as booleans."""
        import torch

        allowed = torch.zeros(size, dtype=torch.bool)
        allowed[sorted(self.following())] = True
        return allowed

    def take(self, token: int) -> None:
        """Go on by a token that was possible."""
        self._rests = [rest[1:] for rest in self._rests if rest[:1] == (token,)]
