"""The controller of the budget: never over its bucket, near its share, and spent on the greatest losses."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.classifiers.cascade.budget import Controller
from magistrate.classifiers.cascade.plan import Limit

arrivals = st.lists(
    st.tuples(st.floats(0, 900), st.floats(0, 1), st.floats(0.1, 50), st.booleans()), min_size=1, max_size=200
)


@given(arrivals, st.floats(0.01, 1), st.floats(1, 1000))
def test_never_more_is_granted_than_arrivals_pay_for(
    cases: list[tuple[float, float, float, bool]], share: float, window_s: float
) -> None:
    controller = Controller(Limit(share=share, window_s=window_s))
    now = arrived = granted = 0.0
    for pause, loss, cost, is_open in cases:
        now += pause
        arrived += cost
        controller.arrived(cost, now)
        if is_open and controller.decide(loss, cost, now):
            granted += cost
        assert granted <= share * arrived + 1e-6


def run(
    losses: list[float], *, share: float = 0.1, rate: float = 1.0, window_s: float = 600.0
) -> tuple[list[bool], Controller]:
    controller = Controller(Limit(share=share, window_s=window_s))
    granted = []
    for place, loss in enumerate(losses):
        controller.arrived(1.0, place / rate)
        granted.append(controller.decide(loss, 1.0, place / rate))
    return granted, controller


def test_the_share_is_used_up_on_the_greatest_losses() -> None:
    draw = random.Random(1)
    losses = [draw.random() for _ in range(20_000)]
    granted, controller = run(losses)
    assert sum(granted) / len(granted) == pytest.approx(0.1, rel=0.05)
    assert controller.use.share == pytest.approx(0.1, rel=0.15)
    assert sum(loss for loss, grant in zip(losses, granted, strict=True) if grant) / sum(granted) > 0.92


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.01), (0.4, 0.5), (1e-5, 1e-4)])
def test_the_share_is_held_whatever_losses_are_and_when_they_jump(low: float, high: float) -> None:
    draw = random.Random(2)
    losses = [draw.uniform(0.1, 0.3) for _ in range(6000)] + [draw.uniform(low, high) for _ in range(6000)]
    granted, _ = run(losses)
    assert sum(granted[6000:]) / 6000 == pytest.approx(0.1, rel=0.1)


def test_equal_losses_do_not_overspend() -> None:
    granted, _ = run([0.25] * 5000)
    assert 0.05 <= sum(granted) / 5000 <= 0.1


def test_all_is_granted_where_few_are_open() -> None:
    controller = Controller(Limit(share=0.2))
    granted = []
    for place in range(3000):
        controller.arrived(1.0, place)
        if place % 10 == 9:
            granted.append(controller.decide(0.01, 1.0, place))
    assert all(granted)


def test_unused_budget_is_kept_for_a_window_and_no_longer() -> None:
    controller = Controller(Limit(share=0.5, window_s=100.0))
    for place in range(10_000):
        controller.arrived(1.0, place)
    burst = sum(controller.decide(0.5, 1.0, 10_000) for _ in range(1000))
    assert 45 <= burst <= 50


def test_what_was_spent_unasked_is_taken_from_the_rest() -> None:
    controller = Controller(Limit(share=0.1))
    for place in range(100):
        controller.arrived(1.0, place)
    controller.spent(10.0, 0.0, 100)
    assert not controller.decide(0.9, 1.0, 100)
    controller.spent(0.0, 5.0, 100)
    assert controller.decide(0.9, 1.0, 100)
    assert controller.use.spent == pytest.approx(6)


@pytest.mark.parametrize(("probability", "loss"), [(0.0, 0.0), (0.1, 0.5), (0.3, 0.7), (0.9, 0.1), (None, 5.0)])
def test_the_expected_loss_weighs_misses_and_alarms(probability: float | None, loss: float) -> None:
    limit = Limit(share=0.1, flag_from=0.3, miss_cost=5.0)
    assert limit.expected_loss(probability) == pytest.approx(loss)
