from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magistrate.errors import UsageError
from magistrate.train.cascade.choose import (
    Thresholds,
    choose_for_budget,
    choose_for_recall,
    clear_levels,
    f1_score,
    route,
)
from magistrate.train.cascade.table import CascadeTable

FINAL = Thresholds(clear_below=0.5, flag_from=0.5)


def drawn(cases: int = 2000, *, seed: int = 0, screens: int = 1, share: float = 0.1) -> CascadeTable:
    """Screens that help and a last stage that is better and dearer."""
    generator = np.random.default_rng(seed)
    truth = generator.random(cases) < share
    gaps = np.array([*[1.5 + 0.5 * n for n in range(screens)], 3.5])
    scores = generator.normal(size=(cases, screens + 1)) + truth[:, None] * gaps
    odds = scores * gaps - gaps**2 / 2 + np.log(share / (1 - share))
    costs = np.broadcast_to([*[1.0 + n for n in range(screens)], 500.0], odds.shape)
    names = (*[f"screen {n}" for n in range(screens)], "reasoner")
    return CascadeTable(stages=names, truth=truth, probabilities=1 / (1 + np.exp(-odds)), costs=np.array(costs))


def test_every_case_is_decided_at_the_first_stage_that_can() -> None:
    table = CascadeTable(
        stages=("a", "b", "c"),
        truth=np.array([True, False, True, False]),
        probabilities=np.array([[0.05, 0.9, 0.9], [0.5, 0.95, 0.0], [0.5, 0.5, 0.5], [0.1, 0.1, 0.49]]),
        costs=np.array([[1.0, 10.0, 100.0]] * 4),
    )
    routes = route(table, (Thresholds(clear_below=0.1), Thresholds(flag_from=0.9), FINAL))
    assert routes.decided_at.tolist() == [0, 1, 2, 2]
    assert routes.flagged.tolist() == [False, True, True, False]
    assert routes.costs.tolist() == [1.0, 11.0, 111.0, 111.0]
    assert routes.reasoned == 0.5
    assert routes.cleared_by_screens().tolist() == [True, False, False, False]


def test_a_last_stage_that_leaves_cases_open_is_refused() -> None:
    with pytest.raises(UsageError, match="must decide every case"):
        route(drawn(100), (Thresholds(), Thresholds(clear_below=0.2, flag_from=0.6)))


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.integers(0, 20))
def test_a_budget_is_kept_on_the_cases_at_hand(budget: float, seed: int) -> None:
    table = drawn(300, seed=seed, share=0.2)
    assert route(table, choose_for_budget(table, budget).thresholds).reasoned <= budget + 1e-9


def test_more_budget_buys_more_on_unseen_cases() -> None:
    table, unseen = drawn(4000), drawn(4000, seed=1)
    found = [
        f1_score(unseen.truth, route(unseen, choose_for_budget(table, budget).thresholds).flagged)
        for budget in (0.0, 0.1, 1.0)
    ]
    assert found[0] + 0.1 < found[1]
    assert found[1] <= found[2] + 0.01


def test_a_tenth_reasoned_over_is_spent_better_than_at_random() -> None:
    table, unseen = drawn(4000), drawn(4000, seed=1)
    routes = route(unseen, choose_for_budget(table, 0.1).thresholds)
    reasoned = routes.decided_at == routes.last
    assert float(np.mean(unseen.truth[reasoned])) > 3 * float(np.mean(unseen.truth))


def test_a_screen_that_parts_the_classes_needs_no_reasoner() -> None:
    truth = np.arange(400) % 2 == 0
    table = CascadeTable(
        stages=("screen", "reasoner"),
        truth=truth,
        probabilities=np.column_stack([np.where(truth, 0.9, 0.1), np.full(400, 0.5)]),
        costs=np.ones((400, 2)),
    )
    routes = route(table, choose_for_budget(table, 0.1).thresholds)
    assert f1_score(truth, routes.flagged) == 1.0
    assert routes.reasoned == 0


@pytest.mark.parametrize("budget", [-0.1, 1.1, float("nan")])
def test_a_budget_out_of_range_is_refused(budget: float) -> None:
    with pytest.raises(UsageError, match="a budget is a share"):
        choose_for_budget(drawn(200), budget)


def test_a_cascade_without_a_screen_is_refused() -> None:
    table = drawn(200)
    alone = CascadeTable(
        stages=("reasoner",), truth=table.truth, probabilities=table.probabilities[:, 1:], costs=table.costs[:, 1:]
    )
    with pytest.raises(UsageError, match="has a screen"):
        choose_for_budget(alone, 0.2)


@pytest.mark.parametrize("screens", [1, 2, 3])
def test_the_promised_recall_is_kept_on_fresh_cases_at_less_cost(screens: int) -> None:
    choice = choose_for_recall(
        drawn(3000, screens=screens), drawn(3000, seed=1, screens=screens), recall=0.95, confidence=0.9
    )
    fresh = drawn(40_000, seed=2, screens=screens)
    routes = route(fresh, choice.thresholds)
    assert float(np.mean(routes.cleared_by_screens()[fresh.truth])) < 0.05
    assert float(np.mean(routes.costs)) < 300


def test_too_small_a_sample_clears_nothing_and_says_how_many_more() -> None:
    small = drawn(200, seed=3)
    choice = choose_for_recall(drawn(3000), small, recall=0.99, confidence=0.95)
    assert choice.clearance is not None
    assert choice.clearance.lacking == 299 - small.positives
    assert not route(drawn(500, seed=4), choice.thresholds).cleared_by_screens().any()


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 1.2), st.integers(0, 30))
def test_the_level_of_a_case_is_the_factor_that_clears_it(factor: float, seed: int) -> None:
    table = drawn(200, seed=seed, screens=2)
    shape = (Thresholds(clear_below=0.05, flag_from=0.9), Thresholds(clear_below=0.1, flag_from=0.95), FINAL)
    raised = tuple(Thresholds(clear_below=(t.clear_below or 0) * factor, flag_from=t.flag_from) for t in shape[:-1])
    cleared = route(table, (*raised, FINAL)).cleared_by_screens()
    assert cleared.tolist() == (clear_levels(table, shape) < factor).tolist()
