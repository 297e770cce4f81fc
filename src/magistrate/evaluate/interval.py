"""Intervals: how far a measured figure may be from the true one.

Which method is used for what was chosen by measured coverage: see docs/decisions/004-intervals.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from magistrate.errors import UsageError
from magistrate.evaluate.distribution import beta_quantile, checked_confidence, normal_quantile, student_quantile
from magistrate.evaluate.linear import Linear, accuracy
from magistrate.evaluate.metrics import Confusion, Floats

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds of a figure, as proportions."""

    low: float
    high: float


def wilson_interval(hits: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """Bound a proportion from a count of hits.

    Args:
        hits: Successes, 0 <= hits <= trials.
        trials: Independent cases.
        confidence: Two-sided coverage, in (0, 1).

    Raises:
        UsageError: trials is 0, hits out of range, or confidence out of range.

    Source: Wilson (1927), JASA 22:209. No continuity correction.
    """
    _check_count(hits, trials)
    return _wilson(hits / trials, trials, normal_quantile(confidence))


def _check_count(hits: int, trials: int) -> None:
    if trials < 1 or not 0 <= hits <= trials:
        raise UsageError(f"hits must be in 0..trials and trials at least 1, got {hits!r} of {trials!r}")


def _wilson(share: float, trials: float, z: float) -> Interval:
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def exact_interval(hits: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """Bound a proportion so that each bound alone is wrong with at most (1 - confidence) / 2, whatever the truth.

    Wider than `wilson_interval`, whose single bounds are not kept: for promises such as a gate's.

    Raises:
        UsageError: as `wilson_interval`.

    Source: Clopper and Pearson (1934), Biometrika 26:404.
    """
    _check_count(hits, trials)
    tail = (1 - checked_confidence(confidence)) / 2
    return Interval(
        beta_quantile(tail, hits, trials - hits + 1) if hits else 0.0,
        beta_quantile(1 - tail, hits + 1, trials - hits) if hits < trials else 1.0,
    )


def f1_interval(
    counts: Confusion,
    *,
    confidence: float = 0.95,
    proportion: Callable[..., Interval] = wilson_interval,
) -> Interval | None:
    """Bound the F1 of independent cases; None where it is not defined.

    Among the cases that violate or are flagged, true positives are a binomial count with share F1 / (2 - F1), so that
    bounds of a proportion become bounds of F1.

    Args:
        counts: Of decided cases.
        confidence: Two-sided coverage, in (0, 1).
        proportion: `wilson_interval` or `exact_interval`.

    Source: Lam, Gopal and Qian (2023), arXiv 2309.14621, the indirect method.
    """
    trials = counts.tp + counts.fp + counts.fn
    if not trials:
        return None
    share = proportion(counts.tp, trials, confidence=confidence)
    return Interval(2 * share.low / (1 + share.low), 2 * share.high / (1 + share.high))


def linear_interval(metric: Linear, clusters: Numbers | None = None, *, confidence: float = 0.95) -> Interval | None:
    """Bound a metric from the influence of each case, without resampling: symmetric on the logit scale.

    Args:
        metric: As from the functions of `linear`.
        clusters: (n_cases,) numbers 0, 1, ... of what belongs together; None for independent cases.
        confidence: Two-sided coverage, in (0, 1).

    Returns:
        Bounds in [0, 1]; None where fewer than two clusters (or cases) carry the metric.

    Source: logit bounds as Boyd, Eng and Page (2013), ECML, advise for average precision. Ours: the variance is scaled
    by m / (m - 1) for the m carriers of the rarest kind; Student's degrees of freedom are those of the variance of that
    variance (Satterthwaite), from the kurtosis of the influences; at 0 and 1, where the logit has no bounds, Wilson's
    interval of m trials is taken.
    """
    spread = _spread(metric, clusters)
    if spread is None:
        return None
    if spread.error < 1e-9 or not 1e-9 < metric.value < 1 - 1e-9:
        return _wilson(min(1.0, max(0.0, metric.value)), spread.carriers, normal_quantile(confidence))
    logit = math.log(metric.value / (1 - metric.value))
    reach = student_quantile(confidence, spread.freedom) * spread.error / (metric.value * (1 - metric.value))
    return Interval(_logistic(logit - reach), _logistic(logit + reach))


def difference_interval(
    first: Linear, second: Linear, clusters: Numbers | None = None, *, confidence: float = 0.95
) -> Interval | None:
    """Bound how far the second judge is above the first on the same cases: `second.value - first.value`.

    Args:
        first: The metric of one judge.
        second: The same metric of the other, over the same cases.
        clusters: As in `linear_interval`.
        confidence: Two-sided coverage, in (0, 1).

    Returns:
        Bounds in [-1, 1]; None where one of the two has none.

    Source: Zou (2007), Psychological Methods 12:399, for correlated estimates: the distances from each value to its own
    bounds are joined with the correlation of the two, which here is that of their influences.
    """
    one = linear_interval(first, clusters, confidence=confidence)
    two = linear_interval(second, clusters, confidence=confidence)
    if one is None or two is None:
        return None
    correlation = _correlation(_sums(first.influence, clusters), _sums(second.influence, clusters))
    return _joined((first.value, one), (second.value, two), correlation)


def share_difference_interval(
    first: NDArray[np.bool_], second: NDArray[np.bool_], clusters: Numbers | None = None, *, confidence: float = 0.95
) -> Interval | None:
    """Bound how far the second share is above the first on the same cases; for shares near 0 and 1, too.

    Args:
        first: (n_cases,), which cases are hits.
        second: The same of the other, in the same order.
        clusters: As in `linear_interval`, whose bounds are joined then; None for independent cases.
        confidence: Two-sided coverage, in (0, 1).

    Returns:
        Bounds in [-1, 1]; None where there is no case, or too few clusters.

    Source: Newcombe (1998), Statistics in Medicine 17:2635, method 10 without its correction of the correlation:
    Wilson's bounds joined as in `difference_interval`.
    """
    one, two = (accuracy(np.ones_like(hits), hits) for hits in (first, second))  # of saying yes everywhere
    if one is None or two is None:
        return None
    if clusters is not None:
        return difference_interval(one, two, clusters, confidence=confidence)
    z = normal_quantile(confidence)
    bounds = [(share.value, _wilson(share.value, first.size, z)) for share in (one, two)]
    return _joined(bounds[0], bounds[1], _correlation(one.influence, two.influence))


def _joined(first: tuple[float, Interval], second: tuple[float, Interval], correlation: float) -> Interval:
    """Bounds of second minus first from each value with its own bounds, and how the two go together."""

    def distance(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * correlation * a * b + b * b))

    (low_value, one), (high_value, two) = first, second
    gap = high_value - low_value
    return Interval(
        max(-1.0, gap - distance(high_value - two.low, one.high - low_value)),
        min(1.0, gap + distance(two.high - high_value, low_value - one.low)),
    )


@dataclass(frozen=True, slots=True)
class Spread:
    """How uncertain a metric is."""

    error: float
    """Standard error."""
    freedom: float
    """Degrees of freedom that the standard error was estimated with."""
    carriers: int
    """Clusters (or cases) that carry the metric, of the rarest kind; at least 2."""


def _spread(metric: Linear, clusters: Numbers | None) -> Spread | None:
    carriers = min(_count(mask, clusters) for mask in metric.carriers)
    if carriers < 2:
        return None
    sums = _sums(metric.influence, clusters)
    squares = float(np.sum(sums**2))
    variance = squares / metric.influence.size**2 * carriers / (carriers - 1)
    excess = sums.size * float(np.sum(sums**4)) - squares**2
    freedom = 2 * sums.size * squares**2 / excess if excess > 0 else math.inf
    return Spread(math.sqrt(variance), min(max(freedom, 1.0), sums.size - 1.0), carriers)


def standard_error(metric: Linear, clusters: Numbers | None = None) -> float | None:
    """Estimate how far the metric strays from sample to sample; None where fewer than two clusters carry it."""
    spread = _spread(metric, clusters)
    return None if spread is None else spread.error


def _sums(influence: Floats, clusters: Numbers | None) -> Floats:
    return influence if clusters is None else np.bincount(clusters, weights=influence).astype(np.float64)


def _count(mask: NDArray[np.bool_], clusters: Numbers | None) -> int:
    if clusters is None:
        return int(np.count_nonzero(mask))
    return int(np.count_nonzero(np.bincount(clusters, weights=mask)))


def _correlation(a: Floats, b: Floats) -> float:
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return max(-1.0, min(1.0, float(a @ b) / scale)) if scale else 0.0


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def percentile_interval(drawn: Floats, *, confidence: float = 0.95) -> Interval | None:
    """Bound a statistic by the quantiles of its bootstrap draws, (n_draws,), NaN where a draw does not define it.

    Returns:
        None where fewer than half of the draws define the statistic.
    """
    return _quantiles(drawn, (1 - checked_confidence(confidence)) / 2, (1 + confidence) / 2)


def bca_interval(
    drawn: Floats, metric: Linear, clusters: Numbers | None = None, *, confidence: float = 0.95
) -> Interval | None:
    """As `percentile_interval`, corrected for bias and for a spread that changes with the value.

    Args:
        drawn: (n_draws,) values of the metric, NaN where a draw does not define it.
        metric: The metric of the whole sample.
        clusters: (n_cases,) numbers 0, 1, ...; None for independent cases.
        confidence: Two-sided coverage, in (0, 1).

    Source: Efron (1987), JASA 82:171. Draws that equal the value count half for the bias.
    """
    checked_confidence(confidence)
    known = drawn[~np.isnan(drawn)]
    below = np.count_nonzero(known < metric.value) + np.count_nonzero(known == metric.value) / 2
    if not 0 < below < known.size:
        return percentile_interval(drawn, confidence=confidence)
    bias = NormalDist().inv_cdf(below / known.size)
    sums = _sums(metric.influence, clusters)
    squares = float(np.sum(sums**2))
    skew = float(np.sum(sums**3)) / (6 * squares**1.5) if squares else 0.0

    def level(z: float) -> float:
        return NormalDist().cdf(bias + (bias + z) / (1 - skew * (bias + z)))

    z = normal_quantile(confidence)
    return _quantiles(drawn, level(-z), level(z))


def _quantiles(drawn: Floats, low: float, high: float) -> Interval | None:
    known = drawn[~np.isnan(drawn)]
    if known.size * 2 < drawn.size or not known.size:
        return None
    bounds = np.quantile(known, [low, high])
    return Interval(float(bounds[0]), float(bounds[1]))


def bootstrap_interval(
    statistic: Callable[[NDArray[np.int64]], float | None],
    cases: int,
    *,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Interval | None:
    """Bound a statistic by resampling cases with replacement: any statistic, one draw at a time.

    `resample` does the same for many metrics at once in a fraction of the time; `linear_interval` holds its confidence
    in small samples, which percentiles do not.

    Args:
        statistic: From indices (cases,) int64 to the figure; None where a draw does not define it.
        cases: How many independent cases there are.
        confidence: Two-sided coverage, in (0, 1).
        draws: How many resamples.
        seed: Of the generator: the same seed gives the same interval.

    Returns:
        Percentile bounds; None where fewer than half of the draws define the figure.

    Source: Efron (1979), percentile form. Draws without a value (one class only) are left out.
    """
    if cases < 1:
        return None
    generator = np.random.default_rng(seed)
    drawn = (statistic(generator.integers(0, cases, cases)) for _ in range(draws))
    return percentile_interval(
        np.array([math.nan if value is None else value for value in drawn]), confidence=confidence
    )
