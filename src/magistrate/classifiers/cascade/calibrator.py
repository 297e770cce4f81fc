"""From what is known at a stage to a probability: fitted elsewhere, applied here without any library."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from magistrate.classifiers.cascade.signals import Signals, feature_value
from magistrate.classifiers.cascade.words import WORDS_FEATURE, word_score, words_of

_STEEPEST = 700.0
"""exp overflows soon after."""


@dataclass(frozen=True, slots=True)
class Calibrator:
    """A logistic model on standardised features, then, if there are knots, a monotone map of its probability.

    Invariant: one mean, scale and weight a feature, all finite, scales above 0; no knots or at least two, whose
    first parts rise strictly and whose second parts never fall, all in [0, 1].
    """

    features: tuple[str, ...]
    """Names as in `signals.FEATURES`, `screen:NAME`, or `reasoning_words`, which `words` is for."""
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    knots: tuple[tuple[float, float], ...] = ()
    """From the probability of the logistic model to the calibrated one; linear between, constant outside."""
    words: tuple[tuple[str, float], ...] = ()
    """Words of a reasoning with their weights; the feature `reasoning_words` is computed of them."""

    def __post_init__(self) -> None:
        parts = (self.means, self.scales, self.weights)
        if any(len(part) != len(self.features) for part in parts):
            raise ValueError(f"{len(self.features)} features need as many means, scales and weights, got {parts!r}")
        if not all(math.isfinite(number) for part in (*parts, (self.bias,)) for number in part):
            raise ValueError("means, scales, weights and bias must be finite")
        if any(scale <= 0 for scale in self.scales):
            raise ValueError(f"scales must be above 0, got {self.scales!r}")
        if not all(math.isfinite(weight) for _, weight in self.words):
            raise ValueError("weights of words must be finite")
        if self.knots:
            _check_knots(self.knots)

    def probability(self, signals: Signals) -> float:
        """Probability of a violation, in [0, 1].

        Raises:
            UsageError: a feature is of a stage whose probability is not in the signals.
        """
        values = [self._value(name, signals) for name in self.features]
        standardised = zip(values, self.means, self.scales, self.weights, strict=True)
        score = self.bias + sum((value - mean) / scale * weight for value, mean, scale, weight in standardised)
        return _through(self.knots, _logistic(score))

    def _value(self, name: str, signals: Signals) -> float:
        if name != WORDS_FEATURE:
            return feature_value(name, signals)
        if signals.verdict is None:
            return 0.0
        return word_score(dict(self.words), words_of(signals.verdict.trace.reasoning))


def _check_knots(knots: tuple[tuple[float, float], ...]) -> None:
    pairs = list(pairwise(knots))
    if len(knots) < 2 or any(a[0] >= b[0] or a[1] > b[1] for a, b in pairs):
        raise ValueError(f"knots must be at least two, rising in the first part and not falling in the second: {knots}")
    if not all(0 <= part <= 1 for knot in knots for part in knot):
        raise ValueError(f"knots must be in [0, 1], got {knots}")


def _logistic(score: float) -> float:
    kept = min(max(score, -_STEEPEST), _STEEPEST)
    return 1 / (1 + math.exp(-kept)) if kept >= 0 else math.exp(kept) / (1 + math.exp(kept))


def _through(knots: tuple[tuple[float, float], ...], probability: float) -> float:
    if not knots:
        return probability
    after = bisect_right(knots, probability, key=lambda knot: knot[0])
    if after == 0:
        return knots[0][1]
    if after == len(knots):
        return knots[-1][1]
    (x0, y0), (x1, y1) = knots[after - 1], knots[after]
    return min(y1, y0 + (y1 - y0) * (probability - x0) / (x1 - x0))
