"""The estimates beside what was published."""

from __future__ import annotations

import statistics

import pytest

from magistrate.models.hardware import parse_gpu_argument
from magistrate.models.profile import Engine
from magistrate.models.registry import profile_named, profiles
from magistrate.models.speed import (
    DECODE_SHARE,
    PREFILL_SHARE,
    active_bytes,
    estimated,
    measured,
    measurements,
)


def bounds_reached() -> list[float]:
    """The share of bandwidth / active bytes that each published decode rate is."""
    shares: list[float] = []
    for found in measurements():
        if found.decode is None:
            continue
        profile = profile_named(found.models[0])
        (gpu,) = parse_gpu_argument(found.gpu)
        weights = profile.weights_for(found.engine)[0]
        assert gpu.bandwidth is not None
        shares.append(found.decode * active_bytes(profile, weights, 0) / gpu.bandwidth)
    return shares


def test_the_share_is_what_published_runs_reach() -> None:
    shares = bounds_reached()
    assert len(shares) == 4
    assert (round(min(shares), 2), round(max(shares), 2)) == (0.30, 0.76)
    assert round(statistics.median(shares), 2) == 0.56
    assert pytest.approx(statistics.median(shares), abs=0.02) == DECODE_SHARE


def test_an_estimate_is_its_formula() -> None:
    profile = profile_named("20b")
    speed = estimated(profile, profile.weights[0], bandwidth=3350e9, flops=989e12, size_bytes=0)
    assert speed.decode == pytest.approx(DECODE_SHARE * 3350e9 / 3.7e9)
    assert speed.prefill == pytest.approx(PREFILL_SHARE * 989e12 / 7.2e9)


def test_nothing_is_estimated_from_what_is_not_known() -> None:
    profile = profile_named("20b")
    speed = estimated(profile, profile.weights[0], bandwidth=None, flops=None, size_bytes=0)
    assert (speed.decode, speed.prefill) == (None, None)


def test_active_bytes_default_to_the_active_part() -> None:
    cope = profile_named("cope")
    assert active_bytes(cope, cope.weights[0], 50_400_000_000) == pytest.approx(7_600_000_000)
    dense = profile_named("shieldgemma-2b")
    assert active_bytes(dense, dense.weights[0], 123) == 123


def test_published_measurements_name_models_that_are_known_and_of_one_shape() -> None:
    names = {profile.name for profile in profiles()}
    for found in measurements():
        assert set(found.models) <= names
        assert len({profile_named(name).shape for name in found.models}) == 1
        assert any((found.decode, found.prefill, found.total))


@pytest.mark.parametrize(
    ("gpu", "gpus", "total"),
    [("NVIDIA H100 80GB HBM3", 1, 19128), ("A100", 1, 10919), ("H100", 2, None), ("NVIDIA L4", 1, None)],
)
def test_a_measurement_is_found_for_just_its_hardware(gpu: str, gpus: int, total: float | None) -> None:
    found = measured(profile_named("20b"), Engine.VLLM, gpu, gpus)
    assert (None if found is None else found.total) == total
