from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from magistrate.errors import UsageError
from magistrate.models.hardware import parse_gpu_argument
from magistrate.models.plan.replica import Replica, replica_of
from magistrate.models.plan.simulate import simulate
from magistrate.models.plan.size import BURST_EVERY_S, BURST_S, Demand, draw, longer, measured, size, with_replicas
from magistrate.models.registry import profile_named

DEMAND = Demand(rate=500, share=0.16, policy_tokens=900, content_tokens=100)


@pytest.fixture(scope="module")
def h100() -> Replica:
    return replica_of(profile_named("20b"), parse_gpu_argument("H100")[0], context_tokens=1400)


def test_the_least_number_keeps_the_promise_and_one_less_does_not(h100: Replica) -> None:
    found = size(h100, DEMAND, p99_s=12.0)
    assert found.p99_s <= 12.0
    assert with_replicas(h100, DEMAND, found.replicas - 1).p99_s > 12.0


def test_without_a_p99_the_queue_is_steady(h100: Replica) -> None:
    found = size(h100, DEMAND, p99_s=None)
    assert found.waited_p99_s <= found.p50_s
    assert 0.1 < found.busy < 1
    crowded = measured(simulate(h100, 1, draw(h100, replace(DEMAND, rate=1500), 0)), 1)
    assert crowded.waited_p99_s > crowded.p50_s  # what a queue that is not steady looks like


def test_more_work_takes_more_replicas(h100: Replica) -> None:
    plain = size(h100, DEMAND, p99_s=None).replicas
    assert size(h100, replace(DEMAND, rate=5000), p99_s=None).replicas > 5 * plain
    assert size(h100, longer(DEMAND, 3.0), p99_s=None).replicas > plain
    assert size(h100, replace(DEMAND, prefix_reuse=False, policy_tokens=9000), p99_s=None).replicas > plain


def test_a_p99_below_what_one_answer_takes_is_refused_with_that_figure(h100: Replica) -> None:
    with pytest.raises(UsageError, match=r"one answer in a hundred takes 3\.\d+ s even where nothing else"):
        size(h100, DEMAND, p99_s=1.0)


def test_bursts_keep_the_mean_and_bring_the_asked_rate(h100: Replica) -> None:
    burst = replace(DEMAND, burst=3.0)
    even, squeezed = draw(h100, DEMAND, 0).arrivals, draw(h100, burst, 0).arrivals
    assert np.all(np.diff(squeezed) >= 0)
    assert squeezed[-1] == pytest.approx(even[-1], abs=BURST_EVERY_S)
    inside = np.mean(squeezed % BURST_EVERY_S < BURST_S)
    assert inside == pytest.approx(3 * BURST_S / BURST_EVERY_S, abs=0.03)


def test_equal_seeds_give_equal_plans(h100: Replica) -> None:
    assert size(h100, DEMAND, p99_s=None, seed=5) == size(h100, DEMAND, p99_s=None, seed=5)
