"""Choose the next token of an answer, by its own temperature and its own chance."""

from __future__ import annotations

import random

import numpy as np

from magistrate.backends.habits import Habits
from magistrate.backends.llamacpp.forms import NEVER, Held
from magistrate.backends.llamacpp.native import Logits


def choose(logits: Logits, temperature: float, chances: random.Random, habits: Habits, held: Held | None) -> int:
    """Choose a token that the form allows.

    A draw that the form refuses is drawn again from what it allows, by a new chance: together that is a draw from what
    it allows, and most often a single question to the form.

    Args:
        logits: (vocabulary,).
        temperature: 0 takes the likeliest token.
        chances: Of this answer alone, so that a seed gives the same answer in any company.
        habits: For top_k and top_p.
        held: The form, if there is one.
    """
    if held is None:
        return draw(logits, temperature, chances.random(), habits)
    token = draw(held.likely(logits), temperature, chances.random(), habits)
    return token if held.allows(token) else draw(held.only(logits), temperature, chances.random(), habits)


def draw(logits: Logits, temperature: float, chance: float, habits: Habits) -> int:
    """Draw a token: the same chance on the same logits is the same token.

    Args:
        logits: (vocabulary,); impossible tokens are minus infinity.
        temperature: 0 takes the likeliest token.
        chance: In [0, 1).
        habits: For top_k and top_p.
    """
    if temperature == 0:
        return int(logits.argmax())
    possible = np.flatnonzero(logits > NEVER)
    if habits.top_k is not None and habits.top_k < len(possible):
        possible = np.sort(possible[np.argpartition(-logits[possible], habits.top_k)[: habits.top_k]])
    heated = logits[possible].astype(np.float64) / temperature
    weights = np.exp(heated - heated.max())
    if habits.top_p is not None:
        weights = _nucleus(weights, habits.top_p)
    summed = np.cumsum(weights)
    place = int(np.searchsorted(summed, chance * summed[-1], side="right"))
    return int(possible[min(place, len(possible) - 1)])


def _nucleus(
    weights: np.ndarray[tuple[int], np.dtype[np.float64]], top_p: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Leave the likeliest that together have this share; the one that crosses the line stays in."""
    order = np.argsort(-weights, kind="stable")
    before = np.cumsum(weights[order]) - weights[order]
    kept = weights.copy()
    kept[order[before >= top_p * weights.sum()]] = 0.0
    return kept


def log_probabilities(logits: Logits) -> Logits:
    """The model's own probabilities, (vocabulary,)."""
    shifted = logits - logits.max()
    result: Logits = shifted - np.log(np.exp(shifted, dtype=np.float64).sum()).astype(np.float32)
    return result
