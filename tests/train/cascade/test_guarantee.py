from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.errors import UsageError
from magistrate.train.cascade.guarantee import allowed_misses, clearance, miss_p_value, smallest_positives


def binomial(misses: int, positives: int, share: float) -> float:
    """P(at most so many misses), summed term by term."""
    return sum(math.comb(positives, k) * share**k * (1 - share) ** (positives - k) for k in range(misses + 1))


@given(st.integers(1, 60), st.integers(0, 60), st.floats(0.5, 0.99))
def test_the_p_value_is_the_binomial_tail(positives: int, missed: int, recall: float) -> None:
    missed = min(missed, positives)
    assert miss_p_value(missed, positives, recall) == pytest.approx(binomial(missed, positives, 1 - recall), abs=1e-9)


@pytest.mark.parametrize(
    ("recall", "confidence", "needed"),
    [(0.95, 0.9, 45), (0.95, 0.95, 59), (0.9, 0.9, 22), (0.99, 0.95, 299), (0.5, 0.5, 1)],
)
def test_the_smallest_sample_of_a_promise(recall: float, confidence: float, needed: int) -> None:
    assert smallest_positives(recall, confidence) == needed
    assert allowed_misses(needed, recall, confidence) == 0
    assert needed == 1 or allowed_misses(needed - 1, recall, confidence) is None


@given(st.integers(1, 400), st.floats(0.6, 0.99), st.floats(0.5, 0.99))
def test_allowed_misses_are_the_most_that_keep_the_promise(positives: int, recall: float, confidence: float) -> None:
    allowed = allowed_misses(positives, recall, confidence)
    if allowed is not None:
        assert miss_p_value(allowed, positives, recall) <= 1 - confidence
    more = 0 if allowed is None else allowed + 1
    assert more >= positives or miss_p_value(more, positives, recall) > 1 - confidence


def test_a_sample_too_small_clears_nothing_and_says_what_is_lacking() -> None:
    found = clearance(np.linspace(0.1, 0.9, 40), recall=0.95, confidence=0.9)
    assert (found.below, found.missed, found.lacking) == (None, 0, 5)


def test_ties_are_cleared_together_or_not_at_all() -> None:
    scores = np.array([0.2] * 30 + [0.8] * 70)
    found = clearance(scores, recall=0.9, confidence=0.9)
    assert (found.below, found.missed) == (0.2, 0)


def test_the_promise_holds_whatever_the_sample() -> None:
    generator = np.random.default_rng(0)
    # For uniform scores the share that is truly lost is the threshold itself.
    lost = [clearance(generator.random(120), recall=0.95, confidence=0.8).below or 0.0 for _ in range(2000)]
    broken = float(np.mean(np.array(lost) > 0.05))
    assert 0.05 < broken < 0.2 + 3 * math.sqrt(0.2 * 0.8 / 2000)


@pytest.mark.parametrize(
    ("recall", "confidence"), [(0.0, 0.9), (1.0, 0.9), (0.9, 1.0), (float("nan"), 0.9), (0.9, 0.0)]
)
def test_a_promise_that_nobody_can_keep_is_refused(recall: float, confidence: float) -> None:
    with pytest.raises(UsageError, match=r"must be in \(0, 1\)"):
        clearance(np.ones(100), recall=recall, confidence=confidence)


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="NaN"):
        clearance(np.array([0.2, np.nan]), recall=0.9, confidence=0.9)
