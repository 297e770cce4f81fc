"""A threshold below which cases are cleared, with a promise: of violating cases, at least a share is not cleared.

The promise is that of Learn-then-Test (Angelopoulos et al. 2021, arXiv 2110.01052) with an exact binomial p-value,
tested in a fixed sequence from the lowest threshold up, so that nothing is paid for trying many: see
docs/decisions/007-cascade.md. It holds for a score that was chosen without the cases that it is promised on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from magistrate.errors import UsageError
from magistrate.evaluate.distribution import beta_cumulative, checked_confidence
from magistrate.evaluate.metrics import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearance:
    """What may be cleared under a promise."""

    below: float | None
    """Cases that score below are cleared; None where the sample is too small to clear any."""
    missed: int
    """Violating cases of the sample that are cleared."""
    positives: int
    """Violating cases that the promise rests on."""
    needed: int
    """Violating cases that any promise of this kind rests on at least."""

    @property
    def lacking(self) -> int:
        """How many more violating cases must be labelled before anything may be cleared; 0 where enough are."""
        return max(0, self.needed - self.positives)


def miss_p_value(missed: int, positives: int, recall: float) -> float:
    """P(at most `missed` of `positives` are lost) if a share 1 - recall of all is: small where recall is better.

    Args:
        missed: 0 to positives.
        positives: Independent violating cases, at least 1.
        recall: The bound that is tested, in (0, 1).

    Raises:
        UsageError: a count or recall is out of range.
    """
    if positives < 1 or not 0 <= missed <= positives:
        raise UsageError(f"missed must be in 0..positives and positives at least 1, got {missed!r} of {positives!r}")
    if missed == positives:
        return 1.0
    # P(X <= k) for X ~ Binomial(n, p) is P(B <= 1 - p) for B ~ Beta(n - k, k + 1).
    return beta_cumulative(checked_recall(recall), positives - missed, missed + 1)


def allowed_misses(positives: int, recall: float, confidence: float) -> int | None:
    """The most violating cases of a sample that may be lost so that recall is kept with confidence; None for no number.

    Raises:
        UsageError: recall or confidence is not in (0, 1).
    """
    level = 1 - checked_confidence(confidence)
    allowed: int | None = None
    for missed in range(positives):
        if miss_p_value(missed, positives, recall) > level:
            break
        allowed = missed
    return allowed


def smallest_positives(recall: float, confidence: float) -> int:
    """How many violating cases a promise needs: with so many and none lost, it just holds.

    Raises:
        UsageError: recall or confidence is not in (0, 1).
    """
    level = 1 - checked_confidence(confidence)
    wanted = max(1, math.ceil(math.log(level) / math.log(checked_recall(recall))))
    # The quotient of logarithms may be off by rounding where it is whole.
    while wanted > 1 and miss_p_value(0, wanted - 1, recall) <= level:
        wanted -= 1
    while miss_p_value(0, wanted, recall) > level:
        wanted += 1
    return wanted


def clearance(positive_scores: Floats, *, recall: float, confidence: float) -> Clearance:
    """Find the highest threshold that loses at most 1 - recall of violating cases, with confidence.

    The threshold is a score of the sample itself: with k losses allowed, the (k + 1)-th lowest. P(lost) of it is then
    Beta(k + 1, n - k) distributed or smaller (Wilks 1941), which is the same statement as the binomial p-value; so the
    grid of the sequence may be the sample's own scores.

    Args:
        positive_scores: (n_positives,), of violating cases, which took no part in choosing the score.
        recall: Share of violating cases that is not cleared, in (0, 1).
        confidence: How sure that is, in (0, 1).

    Raises:
        UsageError: recall or confidence is not in (0, 1), or a score is not a number.
    """
    if np.isnan(positive_scores).any():
        raise UsageError("a score of a violating case is not a number (NaN)", hint="judge the case again")
    positives = int(positive_scores.size)
    needed = smallest_positives(recall, confidence)
    allowed = allowed_misses(positives, recall, confidence)
    if allowed is None:
        return Clearance(below=None, missed=0, positives=positives, needed=needed)
    below = float(np.partition(positive_scores, allowed)[allowed])
    missed = int(np.count_nonzero(positive_scores < below))
    return Clearance(below=below, missed=missed, positives=positives, needed=needed)


def checked_recall(recall: float) -> float:
    """Return a recall that can be promised.

    Raises:
        UsageError: it is not in (0, 1).
    """
    if not 0 < recall < 1:
        raise UsageError(
            f"recall must be in (0, 1), got {recall!r}",
            hint="0.95 loses at most one in twenty; no finite sample promises that nothing at all is lost",
        )
    return recall
