from __future__ import annotations

import itertools

import pytest

from magistrate.errors import UsageError
from magistrate.models.hardware import parse_gpu_argument
from magistrate.models.plan.replica import MOST_SLOTS, Replica, replica_of
from magistrate.models.registry import profile_named


def on(gpu: str, model: str = "20b", context_tokens: int = 1400) -> Replica:
    return replica_of(profile_named(model), parse_gpu_argument(gpu)[0], context_tokens=context_tokens)


def test_one_answer_alone_takes_about_as_long_as_published() -> None:
    """Musubi's median of 349 ms an item on an H100, which the formula was not fitted to."""
    one = on("H100")
    assert 150 * one.step_s[1] + 100 * one.read_s == pytest.approx(0.349, rel=0.2)


@pytest.mark.parametrize(("gpu", "published"), [("H100", 19_128), ("A100", 10_919)])
def test_a_full_replica_writes_about_as_much_as_published(gpu: str, published: float) -> None:
    """gpustack's totals of vLLM, prompts included."""
    assert on(gpu).tokens_per_second == pytest.approx(published, rel=0.3)


def test_steps_grow_and_throughput_too() -> None:
    steps = on("H100").step_s
    assert steps[0] == 0
    assert list(steps) == sorted(steps)
    rates = [n / steps[n] for n in range(1, len(steps))]
    assert all(later >= earlier * 0.999 for earlier, later in itertools.pairwise(rates))


def test_a_large_model_is_shared_among_gpus_and_a_long_context_takes_slots() -> None:
    assert on("L4", "120b").gpus == 4
    assert on("H100", "120b", context_tokens=60_000).slots < on("H100", "120b").slots < MOST_SLOTS


def test_what_cannot_be_planned_is_said() -> None:
    with pytest.raises(UsageError, match="eight T4 do not hold"):
        on("T4", "120b", context_tokens=131_000 * 40)
    with pytest.raises(UsageError, match="speed of the GPU 'A10G' is not known"):
        on("A10G")
