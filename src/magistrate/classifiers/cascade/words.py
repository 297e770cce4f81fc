"""How the words of a reasoning speak for a violation: a number for a calibrator.

A reasoner that writes "explicit", "insult" or "disallowed" on its way to "no violation" is less sure than one that
writes "greeting". The weights are fitted per policy and kept in the calibrator.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import pairwise

WORDS_FEATURE = "reasoning_words"
CHARACTERS = 20_000
"""Of a reasoning, the first ones are read: no reasoner in use writes so much, and a loop of one must cost nothing."""
_WORD = re.compile(r"[^\W\d_]{2,30}")


def words_of(reasoning: str) -> frozenset[str]:
    """The distinct words and pairs of neighbouring words, in small letters."""
    words = _WORD.findall(reasoning[:CHARACTERS].lower())
    return frozenset(words) | {f"{first} {second}" for first, second in pairwise(words)}


def word_score(weights: Mapping[str, float], words: frozenset[str]) -> float:
    """Sum of the weights of the known words, over the root of their number, so that length alone adds nothing."""
    # Sorted, so that the sum is the same in every process.
    known = sorted(weights[word] for word in words if word in weights)
    return sum(known) / math.sqrt(len(known)) if known else 0.0
