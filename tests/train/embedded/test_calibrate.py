from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from magistrate.train.embedded.calibrate import BASE_RATE, UNSURE_SHARE, calibrate  # noqa: E402
from magistrate.train.embedded.families import TrainingPolicy  # noqa: E402
from magistrate.train.embedded.held_out import HeldOut  # noqa: E402

POLICY = TrainingPolicy(name="p", title="P", passages=())


def drawn(size: int, slope: float, offset: float, seed: int) -> tuple[HeldOut, np.ndarray]:
    """Cases whose log-odds are off by a known line, a share of `BASE_RATE` violating."""
    random = np.random.default_rng(seed)
    true = random.normal(-1.3, 2.0, size)
    truth = random.random(size) < 1 / (1 + np.exp(-true))
    return HeldOut("s", POLICY, (), truth), (true - offset) / slope


def test_a_known_line_is_found_again() -> None:
    one, values = drawn(40_000, slope=2.0, offset=-0.5, seed=0)
    assert one.truth.mean() == pytest.approx(BASE_RATE, abs=0.03)
    found = calibrate([one], [values])
    assert found.slope == pytest.approx(2.0, rel=0.05)
    assert found.offset == pytest.approx(-0.5, abs=0.15)


def test_probabilities_are_those_of_a_share_of_violations_whatever_the_set_has() -> None:
    sets = [drawn(20_000, 1.0, 0.0, seed) for seed in (1, 2)]
    one, values = sets[0]
    few = np.flatnonzero(one.truth)[:300]
    kept = np.concatenate([few, np.flatnonzero(~one.truth)])
    rare = HeldOut("rare", POLICY, (), one.truth[kept])
    found = calibrate([rare, sets[1][0]], [values[kept], sets[1][1]])
    assert found.slope == pytest.approx(1.0, rel=0.1)
    assert found.offset == pytest.approx(0.0, abs=0.15)


def test_the_band_holds_its_share() -> None:
    one, values = drawn(20_000, 1.0, 0.0, 3)
    found = calibrate([one], [values])
    inside = np.abs(found.probability(values) - 0.5) < found.abstain_within
    assert inside.mean() == pytest.approx(UNSURE_SHARE, abs=0.01)


def test_a_set_of_one_kind_and_perfect_order_do_not_break_it() -> None:
    all_of_one = HeldOut("one", POLICY, (), np.ones(5, np.bool_))
    perfect = HeldOut("two", POLICY, (), np.array([True, False]))
    found = calibrate([all_of_one, perfect], [np.ones(5), np.array([1.0, -1.0])])
    assert np.isfinite(found.slope) and found.slope > 0 and np.isfinite(found.offset)
