from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluate.improve.judges import golden

from magistrate.errors import UsageError
from magistrate.evaluate.compare import mcnemar
from magistrate.evaluate.improve.split import divide, fewest_mended, tellable

CASES = golden(100, lambda n: f"text {n}", lambda n: n % 4 == 0)


@given(st.randoms(), st.integers(0, 5), st.sampled_from([0.3, 0.5, 0.7]))
def test_parts_are_the_same_in_any_order_and_each_side_gets_its_share(rng, seed: int, share: float) -> None:  # type: ignore[no-untyped-def]  # hypothesis' Random has no public type
    shuffled = list(CASES)
    rng.shuffle(shuffled)
    parts, again = divide(CASES, held_out=share, seed=seed), divide(shuffled, held_out=share, seed=seed)
    assert {case.id for case in parts.held_out} == {case.id for case in again.held_out}
    assert {case.id for case in parts.held_out} | {case.id for case in parts.analysis} == {c.id for c in CASES}
    assert abs(len(parts.held_out) - 100 * share) <= 1
    assert abs(sum(case.violation for case in parts.held_out) - 25 * share) <= 1


def test_another_seed_gives_other_parts() -> None:
    assert divide(CASES, seed=0) != divide(CASES, seed=1)


def test_what_belongs_together_stays_together() -> None:
    cases = [replace(case, cluster=f"k{n // 3}" if n < 60 else "") for n, case in enumerate(CASES)]
    twin = replace(cases[70], id="twin", content=replace(cases[0].content))
    parts = divide([*cases, twin], seed=3)
    held = {case.id for case in parts.held_out}
    for start in range(0, 60, 3):
        assert len({case.id in held for case in cases[start : start + 3]}) == 1
    assert ("twin" in held) is (cases[0].id in held)


def test_each_rule_is_in_both_parts() -> None:
    cases = [replace(case, rule_ids=(f"R{n % 5}",)) if case.violation else case for n, case in enumerate(CASES)]
    parts = divide(cases)
    for part in (parts.analysis, parts.held_out):
        counts = [sum(case.rule_ids == (f"R{n}",) for case in part) for n in range(5)]
        assert min(counts) >= 2


@pytest.mark.parametrize(
    ("count", "violating", "message", "hint"),
    [(12, 6, "has 6 cases", "add about 8 cases"), (40, 2, "1 cases are violating", "add about 2 violating cases")],
)
def test_small_sets_are_refused_with_what_is_missing(count: int, violating: int, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        divide(golden(count, lambda n: f"text {n}", lambda n: n < violating))
    assert hint in str(caught.value)


def test_a_share_is_between_0_and_1() -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        divide(CASES, held_out=1.0)


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95, 0.99])
def test_fewest_mended_is_where_the_test_begins_to_tell(confidence: float) -> None:
    few = fewest_mended(confidence)
    assert mcnemar(np.ones(few, np.int64)).p_value < 1 - confidence
    assert mcnemar(np.ones(few - 1, np.int64)).p_value >= 1 - confidence


def test_more_cases_tell_less() -> None:
    shares = [tellable(cases, confidence=0.95) for cases in (3, 30, 100, 1000)]
    assert shares[0] is None
    assert shares[1:] == sorted((s for s in shares if s is not None), reverse=True)
