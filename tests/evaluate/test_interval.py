from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from magistrate.errors import UsageError
from magistrate.evaluate import linear
from magistrate.evaluate.interval import (
    Interval,
    bca_interval,
    bootstrap_interval,
    difference_interval,
    exact_interval,
    f1_interval,
    linear_interval,
    percentile_interval,
    share_difference_interval,
    standard_error,
    wilson_interval,
)
from magistrate.evaluate.linear import Linear
from magistrate.evaluate.metrics import Confusion


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_bounds(hits: int, trials: int, low: float, high: float) -> None:
    bounds = wilson_interval(hits, trials)
    assert bounds.low == pytest.approx(low, abs=5e-5)
    assert bounds.high == pytest.approx(high, abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_its_proportion_and_mirrors(drawn: tuple[int, int]) -> None:
    hits, trials = drawn
    bounds, mirrored = wilson_interval(hits, trials), wilson_interval(trials - hits, trials)
    assert 0 <= bounds.low <= hits / trials + 1e-12
    assert hits / trials - 1e-12 <= bounds.high <= 1
    assert bounds.low == pytest.approx(1 - mirrored.high)


@pytest.mark.parametrize(("hits", "trials", "confidence"), [(1, 0, 0.95), (-1, 3, 0.95), (4, 3, 0.95), (1, 3, 1.0)])
def test_wilson_refuses_what_is_no_proportion(hits: int, trials: int, confidence: float) -> None:
    with pytest.raises(UsageError):
        wilson_interval(hits, trials, confidence=confidence)


def test_bootstrap_of_a_mean_is_near_the_normal_interval() -> None:
    sample = np.random.default_rng(1).normal(10, 2, 400)

    def mean(indices: NDArray[np.int64]) -> float:
        return float(sample[indices].mean())

    bounds = bootstrap_interval(mean, 400)
    assert bounds is not None
    half = 1.96 * sample.std() / 20
    assert bounds.low == pytest.approx(sample.mean() - half, abs=0.05)
    assert bounds.high == pytest.approx(sample.mean() + half, abs=0.05)
    assert bounds == bootstrap_interval(mean, 400)


def test_bootstrap_says_nothing_where_most_draws_say_nothing() -> None:
    assert bootstrap_interval(lambda indices: None, 10, draws=20) is None
    assert bootstrap_interval(lambda indices: 1.0, 0) is None


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_exact_bounds_agree_with_scipy(drawn: tuple[int, int]) -> None:
    hits, trials = drawn
    bounds, theirs = exact_interval(hits, trials), stats.binomtest(hits, trials).proportion_ci(method="exact")
    assert bounds.low == pytest.approx(float(theirs.low), abs=1e-9)
    assert bounds.high == pytest.approx(float(theirs.high), abs=1e-9)


def test_exact_bounds_refuse_what_is_no_proportion() -> None:
    with pytest.raises(UsageError):
        exact_interval(2, 1)
    with pytest.raises(UsageError, match="confidence"):
        exact_interval(1, 2, confidence=95)


def test_f1_is_bounded_by_its_proportion() -> None:
    counts = Confusion(tp=30, fp=10, fn=10, tn=9999)
    share = wilson_interval(30, 50)
    bounds = f1_interval(counts)
    assert bounds is not None
    assert bounds == Interval(2 * share.low / (1 + share.low), 2 * share.high / (1 + share.high))
    assert counts.f1 is not None
    assert bounds.low < counts.f1 < bounds.high
    exact = f1_interval(counts, proportion=exact_interval)
    assert exact is not None
    assert exact.low < bounds.low < bounds.high < exact.high
    assert f1_interval(Confusion(tp=0, fp=0, fn=0, tn=5)) is None


def sample(cases: int, seed: int = 0) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    truth = generator.random(cases) < 0.4
    return truth, generator.normal(size=cases) + 1.2 * truth


def auc(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> Linear:
    found = linear.roc_auc(truth, scores)
    assert found is not None
    return found


def test_the_error_of_the_auc_is_that_of_delong() -> None:
    truth, scores = sample(400)
    above = (scores[truth][:, None] > scores[~truth][None, :]).astype(np.float64)
    delong = above.mean(axis=1).var(ddof=1) / truth.sum() + above.mean(axis=0).var(ddof=1) / (~truth).sum()
    assert standard_error(auc(truth, scores)) == pytest.approx(np.sqrt(delong), rel=0.01)


def test_a_large_sample_has_the_normal_interval() -> None:
    truth, scores = sample(20_000)
    found = auc(truth, scores)
    bounds, error = linear_interval(found), standard_error(found)
    assert bounds is not None
    assert error is not None
    assert bounds.low == pytest.approx(found.value - 1.96 * error, abs=0.05 * error)
    assert bounds.high == pytest.approx(found.value + 1.96 * error, abs=0.05 * error)


def test_cases_that_are_all_there_twice_widen_nothing_when_they_are_clustered() -> None:
    truth, scores = sample(150)
    once = linear_interval(auc(truth, scores))
    twice = auc(np.repeat(truth, 2), np.repeat(scores, 2))
    clustered, naive = linear_interval(twice, np.repeat(np.arange(150), 2)), linear_interval(twice)
    assert once is not None
    assert clustered is not None
    assert naive is not None
    assert clustered.low == pytest.approx(once.low)
    assert clustered.high == pytest.approx(once.high)
    assert naive.high - naive.low == pytest.approx((once.high - once.low) / np.sqrt(2), rel=0.05)


def test_a_metric_at_its_end_has_wilsons_bounds_of_its_carriers() -> None:
    truth = np.array([True] * 4 + [False] * 40)
    found = auc(truth, truth.astype(np.float64))
    assert found.value == 1
    assert linear_interval(found) == wilson_interval(4, 4)
    clusters = np.array([0, 0, 1, 1, *range(2, 42)])
    assert linear_interval(found, clusters) == wilson_interval(2, 2)


def test_one_carrier_bounds_nothing() -> None:
    truth, scores = sample(30)
    one = np.zeros(30, dtype=np.bool_)
    one[3] = True
    assert linear_interval(auc(one, scores)) is None
    assert standard_error(auc(one, scores)) is None
    assert linear_interval(auc(truth, scores), np.zeros(30, dtype=np.int64)) is None
    assert difference_interval(auc(one, scores), auc(one, -scores)) is None


def test_a_difference_mirrors_and_a_correlated_one_is_narrower() -> None:
    truth, scores = sample(300)
    near, far = scores + 0.1 * sample(300, 1)[1], sample(300, 2)[1] * 0.2 + truth
    first, second, third = auc(truth, scores), auc(truth, near), auc(truth, far)
    forth, back = difference_interval(first, second), difference_interval(second, first)
    loose = difference_interval(first, third)
    assert forth is not None
    assert back is not None
    assert loose is not None
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert forth.low <= second.value - first.value <= forth.high
    assert forth.high - forth.low < (loose.high - loose.low) / 2


def test_percentiles_leave_out_draws_without_a_value() -> None:
    drawn = np.append(np.arange(101) / 100, [np.nan] * 50)
    bounds = percentile_interval(drawn, confidence=0.9)
    assert bounds is not None
    assert (bounds.low, bounds.high) == pytest.approx((0.05, 0.95))
    assert percentile_interval(np.append(drawn, [np.nan] * 52)) is None
    assert percentile_interval(np.zeros(0)) is None


def test_bca_agrees_with_scipy() -> None:
    generator = np.random.default_rng(0)
    values = generator.exponential(size=60) / 20
    metric = Linear(float(values.mean()), values - values.mean(), (np.ones(60, dtype=np.bool_),))
    drawn = values[generator.integers(0, 60, (20_000, 60))].mean(axis=1)
    bounds = bca_interval(drawn, metric)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=1).confidence_interval
    plain = percentile_interval(drawn)
    assert bounds is not None
    assert plain is not None
    assert (bounds.low, bounds.high) == pytest.approx((float(theirs.low), float(theirs.high)), rel=0.01)
    assert bounds.low > plain.low
    assert bounds.high > plain.high


def test_bca_of_draws_on_one_side_falls_back_to_percentiles() -> None:
    metric = Linear(1.0, np.zeros(5), (np.ones(5, dtype=np.bool_),))
    drawn = np.linspace(0, 0.5, 21)
    assert bca_interval(drawn, metric) == percentile_interval(drawn)


@pytest.mark.parametrize(("n", "p", "q"), [(50, 0.02, 0.05), (200, 0.01, 0.01), (200, 0.1, 0.15), (1000, 0.3, 0.4)])
def test_the_difference_of_two_shares_is_held_also_near_nought(n: int, p: float, q: float) -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(600):
        first = generator.random(n)
        second = np.where(generator.random(n) < 0.5, first, generator.random(n))
        bounds = share_difference_interval(first < p, second < q)
        assert bounds is not None
        held += bounds.low <= q - p <= bounds.high
    assert held / 600 > 0.92


def test_the_difference_of_shares_is_not_bounded_by_nothing() -> None:
    none, one = np.array([], np.bool_), np.array([True])
    assert share_difference_interval(none, none) is None
    assert share_difference_interval(one, one, np.array([0])) is None
    found = share_difference_interval(one, ~one)
    assert found is not None
    assert -1 <= found.low < found.high < 1
