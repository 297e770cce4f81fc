from __future__ import annotations

import numpy as np
import pytest

from magistrate.digest import text_digest
from magistrate.errors import InputError
from magistrate.train.cascade.table import CascadeTable, check_agreement


def table(probability: float = 0.5, cost: float = 1.0, *, truth: tuple[bool, ...] = (True, False)) -> CascadeTable:
    cases = len(truth)
    return CascadeTable(
        stages=("screen", "reasoner"),
        truth=np.array(truth),
        probabilities=np.array([[0.1, 0.2]] * (cases - 1) + [[probability, 0.5]]),
        costs=np.array([[0.0, 1.0]] * (cases - 1) + [[cost, 1.0]]),
    )


@pytest.mark.parametrize("bad", [float("nan"), -0.1, 1.5, float("inf")])
def test_a_probability_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(InputError, match=r"probability of 'screen' is .* for case 1 \(1 such cases\)"):
        table(bad)


@pytest.mark.parametrize("bad", [float("nan"), -1.0, float("inf")])
def test_a_cost_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(InputError, match="cost of 'screen'"):
        table(cost=bad)


@pytest.mark.parametrize(("truth", "kind"), [((True, True), "allowed"), ((False, False), "violating")])
def test_one_class_only_is_refused_by_name(truth: tuple[bool, ...], kind: str) -> None:
    with pytest.raises(InputError, match=f"label 1 more {kind} cases"):
        table(truth=truth)


def test_labels_that_contradict_are_refused_and_named() -> None:
    contents = [text_digest(text) for text in ("a", "b", "a", "b", "a")]
    with pytest.raises(InputError, match=r"cases 0 and 2 .* \(2 contents"):
        check_agreement(contents, np.array([True, True, False, False, True]))
    check_agreement(contents, np.array([True, False, True, False, True]))


def test_cases_are_taken_with_all_their_columns() -> None:
    taken = table(0.7, 3.0).take(np.array([1, 0, 1]))
    assert taken.truth.tolist() == [False, True, False]
    assert taken.probabilities[:, 0].tolist() == [0.7, 0.1, 0.7]
    assert (taken.positives, taken.costs[0, 0]) == (1, 3.0)
