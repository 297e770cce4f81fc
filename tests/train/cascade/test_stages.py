"""Votes are asked where they are expected to gain, and the cost of a stage counts them only there."""

from __future__ import annotations

import numpy as np
import pytest

from magistrate.classifiers.cascade.calibrator import Calibrator
from magistrate.evaluate.metrics import Floats
from magistrate.train.cascade.stages import KEPT_GAIN, when_to_ask

ANY = Calibrator((), (), (), (), 0.0)


def gains(once: Floats, voted: Floats) -> Floats:
    values: Floats = voted * np.log(voted / once) + (1 - voted) * np.log((1 - voted) / (1 - once))
    return values


def test_the_range_is_where_votes_move_the_probability() -> None:
    generator = np.random.default_rng(0)
    once = np.sort(generator.uniform(0.001, 0.999, 4000))
    moved = (once > 0.3) & (once < 0.6)
    voted = np.where(moved, np.where(generator.random(4000) < once, 0.95, 0.05), once)
    found = when_to_ask(ANY, once, voted)
    assert found.ask_from == pytest.approx(0.3, abs=0.06)
    assert found.ask_to == pytest.approx(0.6, abs=0.06)
    asked = found.unsure(once)
    assert KEPT_GAIN <= np.sum(gains(once, voted)[asked]) / np.sum(gains(once, voted)) <= 1
    assert np.mean(asked) < 0.34


def test_votes_that_move_everything_are_asked_of_nearly_everything() -> None:
    once = np.linspace(0.05, 0.95, 1000)
    voted = np.clip(once + np.where(np.arange(1000) % 2 == 0, 0.04, -0.04), 0.001, 0.999)
    found = when_to_ask(ANY, once, voted)
    assert np.mean(found.unsure(once)) > 0.7


def test_scores_that_are_all_the_same_are_all_asked() -> None:
    found = when_to_ask(ANY, np.full(50, 0.2), np.linspace(0.1, 0.3, 50))
    assert (found.ask_from, found.ask_to) == (0.0, 1.0)
