"""How a token is chosen: by chance where a row is warm, by likelihood where it is cold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.backends.habits import Habits
from magistrate.backends.transformers.sampling import pick

torch = pytest.importorskip("torch", reason="needs the extra `transformers`")

ALL = Habits(temperature=1.0, top_k=None, top_p=None)
SHARES = [0.5, 0.25, 0.15, 0.1]


def logits(*shares: float) -> Any:
    return torch.tensor([shares]).log()


def counts(shares: list[float], habits: Habits, temperature: float = 1.0, draws: int = 1000) -> list[float]:
    """How often each token is drawn when chance runs evenly from 0 to 1."""
    chances = [(draw + 0.5) / draws for draw in range(draws)]
    drawn = pick(logits(*shares).expand(draws, -1), [temperature] * draws, chances, habits)
    return [drawn.count(token) / draws for token in range(len(shares))]


def test_tokens_come_as_often_as_they_are_probable() -> None:
    assert counts(SHARES, ALL) == pytest.approx(SHARES, abs=0.002)


def test_heat_flattens_and_cold_sharpens() -> None:
    wanted = [share**0.5 for share in SHARES]
    assert counts(SHARES, ALL, 2.0) == pytest.approx([x / sum(wanted) for x in wanted], abs=0.002)
    assert counts(SHARES, ALL, 0.0) == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("habits", "wanted"),
    [
        (Habits(temperature=1, top_k=2, top_p=None), [2 / 3, 1 / 3, 0, 0]),
        (Habits(temperature=1, top_k=9, top_p=None), SHARES),
        (Habits(temperature=1, top_k=None, top_p=0.6), [2 / 3, 1 / 3, 0, 0]),
        (Habits(temperature=1, top_k=None, top_p=0.5), [1, 0, 0, 0]),
        (Habits(temperature=1, top_k=None, top_p=0.0001), [1, 0, 0, 0]),
    ],
)
def test_what_is_left_out_never_comes(habits: Habits, wanted: list[float]) -> None:
    assert counts(SHARES, habits) == pytest.approx(wanted, abs=0.002)


@given(st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1)), min_size=2, max_size=30).filter(any),
       st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, 0.3, 1.0, 5.0]))  # fmt: skip
def test_an_impossible_token_is_never_chosen(shares: list[float], chance: float, temperature: float) -> None:
    (token,) = pick(logits(*shares), [temperature], [chance], ALL)
    assert shares[token] > 0


def test_each_row_has_its_own_temperature() -> None:
    rows = logits(0.6, 0.4).expand(3, -1)
    assert pick(rows, [0.0, 1.0, 1.0], [0.9, 0.9, 0.1], ALL) == [0, 1, 0]
