from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from magistrate.errors import UsageError
from magistrate.evaluate.distribution import beta_cumulative, beta_quantile, normal_quantile, student_quantile

shapes = st.floats(math.log(0.4), math.log(1e6)).map(math.exp)


@given(st.floats(1e-4, 1 - 1e-4), shapes, shapes)
def test_beta_agrees_with_scipy(probability: float, a: float, b: float) -> None:
    x = beta_quantile(probability, a, b)
    assert x == pytest.approx(float(stats.beta.ppf(probability, a, b)), rel=1e-7, abs=1e-300)
    assert beta_cumulative(x, a, b) == pytest.approx(probability, rel=1e-6)


@given(st.sampled_from([0.8, 0.95, 0.999]), st.floats(1, 60) | st.floats(1, 1e6))
def test_student_agrees_with_scipy(confidence: float, freedom: float) -> None:
    assert student_quantile(confidence, freedom) == pytest.approx(
        float(stats.t.ppf((1 + confidence) / 2, freedom)), rel=1e-6
    )


def test_the_ends_are_the_ends() -> None:
    assert (beta_quantile(0, 2, 3), beta_quantile(1, 2, 3)) == (0, 1)
    assert (beta_cumulative(0, 2, 3), beta_cumulative(1, 2, 3)) == (0, 1)
    assert beta_cumulative(0.5, 7, 7) == pytest.approx(0.5)
    assert normal_quantile(0.95) == pytest.approx(1.959964, abs=1e-6)
    for wrong in (0.0, 1.0, math.nan):
        with pytest.raises(UsageError, match="confidence"):
            normal_quantile(wrong)
