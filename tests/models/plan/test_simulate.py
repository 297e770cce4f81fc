"""The simulation against what is known of queues."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.models.plan.replica import Replica
from magistrate.models.plan.simulate import Traffic, simulate


def replica(*, slots: int = 1, steps: tuple[float, ...] = (0.0, 1.0), read_s: float = 0.0) -> Replica:
    return Replica(gpu="a GPU", gpus=1, slots=slots, step_s=steps, read_s=read_s)


def traffic(rate: float, count: int, seed: int, *, prompt_tokens: float = 0.0) -> Traffic:
    """Poisson arrivals with exponential lengths of 1 on average."""
    generator = np.random.default_rng(seed)
    return Traffic(
        arrivals=np.cumsum(generator.exponential(1 / rate, count)),
        tokens=generator.exponential(1.0, count) + 1e-9,
        prompt_tokens=np.full(count, prompt_tokens),
    )


def erlang_c(servers: int, load: float) -> float:
    """Probability that a request of an M/M/c queue has to wait."""
    busy = load**servers / math.factorial(servers) * servers / (servers - load)
    return busy / (sum(load**k / math.factorial(k) for k in range(servers)) + busy)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (1, 0.8), (3, 2.0), (10, 8.5)])
def test_one_slot_each_is_the_queue_of_erlang(servers: int, load: float) -> None:
    means = [float(simulate(replica(), servers, traffic(load, 40_000, seed)).waited.mean()) for seed in range(8)]
    expected = erlang_c(servers, load) / (servers - load)
    error = 4 * float(np.std(means, ddof=1)) / math.sqrt(len(means))
    assert error < 0.25 * expected  # tight enough to tell a wrong queue
    assert np.mean(means) == pytest.approx(expected, abs=error)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_endless_slots_share_the_processor(load: float) -> None:
    """A step as long as there are requests: each takes 1 / (1 - load) times its length on average."""
    slots = 200
    sharing = replica(slots=slots, steps=tuple(float(n) for n in range(slots + 1)))
    means = [float(simulate(sharing, 1, traffic(load, 30_000, seed)).took.mean()) for seed in range(6)]
    error = 4 * float(np.std(means, ddof=1)) / math.sqrt(len(means))
    assert np.mean(means) == pytest.approx(1 / (1 - load), abs=error)


@given(st.integers(1, 4), st.integers(1, 5), st.floats(0.2, 3.0), st.integers(0, 50))
def test_nothing_is_lost_and_nobody_is_served_in_less_than_their_own_time(
    replicas: int, slots: int, rate: float, seed: int
) -> None:
    steps = tuple(1 + 0.1 * (n - 1) if n else 0.0 for n in range(slots + 1))
    came = traffic(rate, 60, seed, prompt_tokens=2.0)
    found = simulate(replica(slots=slots, steps=steps, read_s=0.05), replicas, came)
    alone = came.tokens[6:] + 2.0 * 0.05
    assert found.took.size == 54  # a tenth is for warming up
    assert np.all(found.took >= alone - 1e-6)
    assert np.all(found.waited >= 0)
    assert np.all(found.took >= found.waited)


def test_littles_law_holds() -> None:
    """Requests under way on average = rate x time in a slot."""
    came = traffic(5.0, 60_000, 1)
    found = simulate(replica(slots=4, steps=(0.0, 0.5, 0.5, 0.5, 0.5)), 2, came)
    in_slot = float((found.took - found.waited).mean())
    assert found.busy * 8 == pytest.approx(5.0 * in_slot, rel=0.03)


def test_reading_a_prompt_holds_up_the_others() -> None:
    came = Traffic(arrivals=np.array([0.0, 1.0]), tokens=np.array([10.0, 1.0]), prompt_tokens=np.array([0.0, 4.0]))
    two_slots = replica(slots=2, steps=(0.0, 1.0, 1.0), read_s=0.5)
    found = simulate(two_slots, 1, came)
    assert found.took.tolist() == pytest.approx([12.0, 3.0])  # both are held up for 2 s


def test_more_replicas_are_never_slower() -> None:
    came = traffic(3.0, 20_000, 3)
    means = [float(simulate(replica(), count, came).took.mean()) for count in (4, 5, 8, 16)]
    assert means == sorted(means, reverse=True)
