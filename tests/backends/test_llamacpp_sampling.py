"""Drawing a token: by its probability, the same for the same chance, and never one that the form refuses."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.backends.habits import Habits
from magistrate.backends.llamacpp.native import Logits
from magistrate.backends.llamacpp.sampling import choose, draw, log_probabilities

PLAIN = Habits(temperature=1.0, top_k=None, top_p=None)
numbers = st.floats(-20, 20, width=32)


class Refuses:
    """A form that refuses some tokens."""

    is_whole = False

    def __init__(self, refused: set[int]) -> None:
        self.refused = refused

    def likely(self, logits: Logits) -> Logits:
        return logits

    def allows(self, token: int) -> bool:
        return token not in self.refused

    def only(self, logits: Logits) -> Logits:
        kept = logits.copy()
        kept[sorted(self.refused)] = -np.inf
        return kept

    def take(self, token: int) -> None:
        raise AssertionError("sampling takes nothing")

    def close(self) -> None:
        pass


def array(*values: float) -> Logits:
    return np.array(values, dtype=np.float32)


@given(st.lists(numbers, min_size=1, max_size=9), st.floats(0, 1, exclude_max=True))
def test_a_draw_is_where_the_chance_falls(values: list[float], chance: float) -> None:
    logits = array(*values)
    token = draw(logits, 1.0, chance, PLAIN)
    shares = np.exp(logits.astype(np.float64) - logits.max())
    shares /= shares.sum()
    assert shares[:token].sum() <= chance + 1e-9
    assert chance <= shares[: token + 1].sum() + 1e-9


def test_no_temperature_takes_the_likeliest() -> None:
    assert draw(array(1, 3, 2), 0, 0.99, PLAIN) == 1


@given(st.floats(0, 1, exclude_max=True))
def test_what_is_impossible_is_never_drawn(chance: float) -> None:
    assert draw(array(-np.inf, 0, -np.inf, 0), 1.0, chance, PLAIN) in (1, 3)


@given(st.floats(0, 1, exclude_max=True))
def test_top_k_and_top_p_cut_the_tail(chance: float) -> None:
    logits = np.log(array(0.1, 0.5, 0.1, 0.3))
    assert draw(logits, 1.0, chance, Habits(temperature=1, top_k=2, top_p=None)) in (1, 3)
    assert draw(logits, 1.0, chance, Habits(temperature=1, top_k=None, top_p=0.5)) == 1
    assert draw(logits, 1.0, chance, Habits(temperature=1, top_k=None, top_p=0.6)) in (1, 3)


def test_a_form_leaves_the_shares_of_what_it_allows() -> None:
    """Drawn again where refused: 0.5 is refused, so 0.2 and 0.3 become 0.4 and 0.6."""
    chances = random.Random(1)
    logits = np.log(array(0.5, 0.2, 0.3))
    drawn = Counter(choose(logits, 1.0, chances, PLAIN, Refuses({0})) for _ in range(4000))
    assert set(drawn) == {1, 2}
    assert drawn[1] / 4000 == pytest.approx(0.4, abs=0.03)


@given(st.lists(numbers, min_size=1, max_size=9))
def test_log_probabilities_are_a_distribution(values: list[float]) -> None:
    assert np.exp(log_probabilities(array(*values))).sum() == pytest.approx(1, abs=1e-5)
