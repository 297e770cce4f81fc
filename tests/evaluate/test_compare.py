from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from magistrate.errors import UsageError
from magistrate.evaluate.compare import (
    Comparison,
    Conclusion,
    McNemar,
    bootstrap_difference,
    cases_needed,
    compare,
    mcnemar,
)
from magistrate.evaluate.judged import Judged, Undecided
from magistrate.evaluate.metrics import Metric
from magistrate.evaluate.resample import outcomes, ranks

Numbers = NDArray[np.int64]


def counted(only_first: int, only_second: int, neither: int = 0) -> McNemar:
    return mcnemar(np.repeat([-1, 1, 0], [only_first, only_second, neither]))


def test_mcnemar_gives_the_published_values() -> None:
    # Fagerland et al. (2013), table 1: airway hyper-responsiveness before and after stem cell transplantation.
    found = counted(1, 7, 13)
    assert (found.only_first, found.only_second) == (1, 7)
    assert found.exact_p_value == pytest.approx(0.0703, abs=5e-5)
    assert found.p_value == pytest.approx(0.0391, abs=5e-5)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_agrees_with_the_binomial_test_of_scipy(only_first: int, only_second: int) -> None:
    found, trials = counted(only_first, only_second), only_first + only_second
    if not trials:
        assert (found.p_value, found.exact_p_value) == (0.5, 1)
        return
    assert found.exact_p_value == pytest.approx(float(stats.binomtest(only_first, trials).pvalue))
    at = float(stats.binom.pmf(only_first, trials, 0.5))
    less = at / 2 if only_first == only_second else at
    assert found.p_value == pytest.approx(found.exact_p_value - less, abs=1e-12)


@given(st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.integers(0, 6)), min_size=1, max_size=30))
def test_clusters_count_out_the_signs_of_their_sums(drawn: list[tuple[int, int]]) -> None:
    changes = np.array([change for change, _ in drawn])
    clusters = np.unique([cluster for _, cluster in drawn], return_inverse=True)[1]
    sums = np.bincount(clusters, weights=changes)
    totals = np.array([abs(np.dot(signs, sums)) for signs in itertools.product([-1, 1], repeat=sums.size)])
    total = abs(sums.sum())
    expected = np.mean(totals > total) + np.mean(totals == total) / 2
    found = mcnemar(changes, clusters)
    assert found.exact_p_value == pytest.approx(np.mean(totals >= total))
    if total:
        assert found.p_value == pytest.approx(expected)


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=50))
def test_clusters_of_one_case_are_no_clusters(drawn: list[int]) -> None:
    changes = np.array(drawn)
    assert mcnemar(changes, np.arange(changes.size)) == mcnemar(changes)


@pytest.mark.parametrize(("cases", "tolerance"), [(900, 0.03), (9000, 1e-9)])
def test_many_clustered_cases_have_the_normal_p_value_that_continues_the_exact_one(
    cases: int, tolerance: float
) -> None:
    generator = np.random.default_rng(0)
    clusters = np.arange(cases) // 3
    changes = np.where(generator.random(cases) < 0.51, 1, -1)
    sums = np.bincount(clusters, weights=changes)
    expected = 2 * float(stats.norm.sf(abs(sums.sum()) / np.sqrt(np.sum(sums**2))))
    assert 0.001 < expected < 0.9
    assert mcnemar(changes, clusters).p_value == pytest.approx(expected, rel=tolerance)


def test_the_number_of_cases_is_the_published_one() -> None:
    # Connor (1987), as in public calculators: shares 0.45 and 0.05 need 23; discordance 0.45 with 0.15 needs 155.
    assert cases_needed(0.5, 0.4) == 23
    assert cases_needed(0.45, 0.15) == 155
    assert cases_needed(0.45, -0.15, design_effect=2) == 310
    for wrong in ((0.2, 0.0), (0.2, 0.3), (1.2, 0.1)):
        with pytest.raises(UsageError):
            cases_needed(*wrong)


def test_so_many_cases_do_tell_four_times_in_five() -> None:
    generator = np.random.default_rng(0)
    cases = cases_needed(0.2, 0.06)
    told = [mcnemar(generator.choice([1, -1, 0], cases, p=[0.13, 0.07, 0.8])).p_value < 0.05 for _ in range(1500)]
    assert np.mean(told) == pytest.approx(0.8, abs=0.04)


def judged(right: list[bool], truth: list[bool], *, probability: list[float] | None = None) -> Judged:
    facts = np.array(truth)
    return Judged(
        truth=facts,
        flagged=np.where(right, facts, ~facts),
        decided=np.ones_like(facts),
        probability=np.full(facts.size, np.nan) if probability is None else np.array(probability),
    )


def pair(cases: int, *, ahead: float, seed: int = 0, clustered: bool = False) -> tuple[Judged, Judged]:
    """Two judges of one kind, the second with a lead in the distance between the classes."""
    generator = np.random.default_rng(seed)
    truth = generator.random(cases) < 0.4
    shared = generator.normal(size=cases)
    made: list[Judged] = []
    for distance in (1.0, 1.0 + ahead):
        x = (shared + generator.normal(size=cases)) / np.sqrt(2) + distance * truth - distance / 2
        probability = 1 / (1 + np.exp(-x))
        made.append(
            Judged(
                truth=truth,
                flagged=probability > 0.5,
                decided=np.ones_like(truth),
                probability=probability,
                clusters=np.arange(cases) // 4 if clustered else None,
            )
        )
    return made[0], made[1]


DECIDING = (Metric.ACCURACY, Metric.F1, Metric.AUC, Metric.AVERAGE_PRECISION, Metric.BRIER)


@pytest.mark.parametrize("decided_by", DECIDING)
@pytest.mark.parametrize("clustered", [False, True])
def test_a_lead_is_told_either_way_round(decided_by: Metric, clustered: bool) -> None:
    first, second = pair(3000, ahead=0.8, clustered=clustered)
    forth, back = compare(first, second, decided_by=decided_by), compare(second, first, decided_by=decided_by)
    assert (forth.conclusion, back.conclusion) == (Conclusion.BETTER, Conclusion.WORSE)
    assert forth.more_cases is None
    assert forth.decided_by is forth.deciding.metric is decided_by
    assert forth.mended == back.broken
    assert len(forth.mended) == forth.mcnemar.only_second
    assert forth.deciding.value is not None
    assert forth.deciding.value == pytest.approx(-(back.deciding.value or 0))


@pytest.mark.parametrize("decided_by", DECIDING)
def test_a_lead_in_few_cases_is_not_told_and_needs_more(decided_by: Metric) -> None:
    few = compare(*pair(60, ahead=0.15, seed=1), decided_by=decided_by)
    assert few.conclusion is Conclusion.CANNOT_TELL
    assert few.more_cases is not None
    assert few.more_cases > 60


@pytest.mark.parametrize("decided_by", [Metric.ACCURACY, Metric.AUC])
def test_the_cases_that_are_needed_do_tell_most_of_the_time(decided_by: Metric) -> None:
    large = compare(*pair(100_000, ahead=0.3), decided_by=decided_by).deciding.value
    assert large is not None
    pilots = [compare(*pair(100, ahead=0.3, seed=seed), decided_by=decided_by, margin=abs(large)) for seed in range(9)]
    planned = [pilot.more_cases for pilot in pilots if pilot.more_cases is not None]
    assert len(planned) > 4
    cases = 100 + int(np.mean(planned))
    told = [
        compare(*pair(cases, ahead=0.3, seed=seed), decided_by=decided_by).conclusion is Conclusion.BETTER
        for seed in range(100, 200)
    ]
    assert np.mean(told) == pytest.approx(0.8, abs=0.15)


def test_a_margin_makes_equal_judges_equivalent_where_there_are_enough_cases() -> None:
    first, second = pair(6000, ahead=0.0)
    assert compare(first, second).conclusion is Conclusion.CANNOT_TELL
    assert compare(first, second, margin=0.05).conclusion is Conclusion.EQUIVALENT
    few = compare(first.take(np.arange(100)), second.take(np.arange(100)), margin=0.05)
    assert few.conclusion is Conclusion.CANNOT_TELL
    assert few.more_cases is not None


def test_the_same_judge_twice_cannot_be_told_apart_by_any_number_of_cases() -> None:
    first, _ = pair(200, ahead=0.0)
    for metric in Metric:
        same = compare(first, first, decided_by=metric, margin=0.001)
        assert (same.conclusion, same.more_cases) == (Conclusion.CANNOT_TELL, None)
        assert (same.mended, same.broken) == ((), ())


def test_a_comparison_by_hand() -> None:
    truth = [True] * 10 + [False] * 10
    first = judged([True] * 5 + [False] * 5 + [True] * 10, truth)
    second = judged([True] * 9 + [False] + [True] * 9 + [False], truth)
    found = compare(first, second)
    assert found.mended == (5, 6, 7, 8)
    assert found.broken == (19,)
    assert found.mcnemar.exact_p_value == pytest.approx(2 * (1 + 5) / 32)
    differences = {part.metric: part for part in found.differences}
    assert differences[Metric.ACCURACY].value == pytest.approx(0.15)
    assert differences[Metric.RECALL].value == pytest.approx(0.4)
    assert differences[Metric.F1].value == pytest.approx(18 / 20 - 10 / 15)
    assert differences[Metric.AUC].value is None
    # Discordance 5/20 and a difference of 3/20.
    assert found.more_cases == cases_needed(0.25, 0.15) - 20


def half_decided(decided: list[bool]) -> Judged:
    truth = np.array([True, True, False, False])
    return Judged(truth=truth, flagged=truth, decided=np.array(decided), probability=np.array([0.9, 0.8, 0.2, 0.1]))


def test_what_is_not_decided_is_wrong_or_left_out() -> None:
    first, second = half_decided([True, True, True, True]), half_decided([True, False, True, False])
    wrong: Comparison = compare(first, second)
    assert (wrong.mended, wrong.broken) == ((), (1, 3))
    excluded = compare(first, second, undecided=Undecided.EXCLUDED)
    assert (excluded.mended, excluded.broken) == ((), ())
    cases = {part.metric: part.cases for part in excluded.differences}
    assert (cases[Metric.ACCURACY], cases[Metric.AUC]) == (2, 4)


def test_a_metric_that_is_not_defined_tells_nothing() -> None:
    truth = [True, True, False]
    found = compare(judged([True] * 3, truth), judged([False] * 3, truth), decided_by=Metric.AUC)
    assert (found.conclusion, found.more_cases) == (Conclusion.CANNOT_TELL, None)


def test_other_cases_other_clusters_and_no_margin_are_refused() -> None:
    first, second = pair(40, ahead=0.1)
    with pytest.raises(UsageError, match="truths differ"):
        compare(first, pair(40, ahead=0.1, seed=1)[1])
    with pytest.raises(UsageError, match="clusters differ"):
        compare(first, pair(40, ahead=0.1, clustered=True)[1])
    with pytest.raises(UsageError, match="margin"):
        compare(first, second, margin=0)


def test_the_paired_bootstrap_agrees_with_the_interval_of_a_large_sample() -> None:
    first, second = pair(4000, ahead=0.2)
    differences = {part.metric: part for part in compare(first, second).differences}
    one, two = (outcomes(judge.truth, judge.flagged) for judge in (first, second))
    by_rank = [ranks(judge.truth, judge.probability) for judge in (first, second)]
    decisions = bootstrap_difference(one, two, 4000, draws=3000)
    orders = bootstrap_difference(by_rank[0], by_rank[1], 4000, draws=3000)
    found = {Metric.ACCURACY: decisions[3], Metric.F1: decisions[4], Metric.AUC: orders[0]}
    for metric, bounds in found.items():
        other = differences[metric].interval
        assert bounds is not None
        assert other is not None
        width = other.high - other.low
        assert bounds.low == pytest.approx(other.low, abs=0.08 * width)
        assert bounds.high == pytest.approx(other.high, abs=0.08 * width)
