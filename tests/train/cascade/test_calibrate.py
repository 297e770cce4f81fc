from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from magistrate.classifiers.cascade.calibrator import Calibrator
from magistrate.classifiers.cascade.signals import Signals
from magistrate.errors import InputError
from magistrate.evaluate.metrics import roc_auc
from magistrate.train.cascade.calibrate import (
    PENALTIES,
    Sheet,
    cross_fitted,
    feature_sheet,
    fit_calibrator,
    fit_logistic,
    fold_numbers,
    log_loss,
    probabilities,
)
from magistrate.types import Code, Failed, Trace

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def scored(cases: int, *, share: float = 0.2, gap: float = 2.0, seed: int = 0) -> tuple[Floats, Bools]:
    """One informative and one idle feature."""
    generator = np.random.default_rng(seed)
    truth = generator.random(cases) < share
    return np.column_stack([generator.normal(size=cases) + gap * truth, generator.normal(size=cases)]), truth


NAMES = ("screen:a", "screen:b")


def sheet(values: Floats, names: tuple[str, ...] = NAMES) -> Sheet:
    return Sheet(names=names, values=values, words=(frozenset(),) * len(values))


def test_a_fitted_calibrator_says_what_happens() -> None:
    values, truth = scored(4000)
    fitted = fit_calibrator(sheet(values), truth)
    unseen, unseen_truth = scored(4000, seed=1)
    said = probabilities(fitted, sheet(unseen))
    for low, high in ((0.0, 0.1), (0.1, 0.4), (0.4, 1.01)):
        inside = (said >= low) & (said < high)
        assert float(np.mean(said[inside])) == pytest.approx(float(np.mean(unseen_truth[inside])), abs=0.05)


def test_the_weights_are_those_of_scikit_learn() -> None:
    values, truth = scored(500)
    fitted = fit_calibrator(sheet(values), truth, isotonic=False)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    near = min(
        float(np.max(np.abs(LogisticRegression(C=c, tol=1e-9).fit(scaled, truth).coef_[0] - fitted.weights)))
        for c in PENALTIES
    )
    assert near < 1e-4


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.003, 0.1, 1.0]), st.floats(0.5, 30))
def test_the_fit_is_at_the_minimum_even_where_the_classes_are_almost_parted(
    seed: int, penalty: float, gap: float
) -> None:
    values, truth = scored(120, share=0.1, gap=gap, seed=seed)
    truth[:2] = [True, False]
    values = np.column_stack([values, values[:, 0] * (values[:, 0] > 1), 1.0 * (truth & (np.arange(120) % 9 > 0))])
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    weights, bias = fit_logistic(values, truth, penalty)
    surprise = 1 / (1 + np.exp(-(scaled @ weights + bias))) - truth
    assert float(np.max(np.abs(scaled.T @ surprise + weights / penalty))) < 1e-4
    assert float(np.sum(surprise)) == pytest.approx(0, abs=1e-4)


def test_an_isotonic_map_is_chosen_where_the_logistic_one_is_wrong() -> None:
    generator = np.random.default_rng(0)
    score = generator.uniform(-3, 3, 3000)
    truth = generator.random(3000) < np.where(score > 0, 0.4, 0.02)
    fitted = fit_calibrator(sheet(score[:, None], ("screen:a",)), truth)
    plain = fit_calibrator(sheet(score[:, None], ("screen:a",)), truth, isotonic=False)
    assert fitted.knots
    assert not plain.knots
    fresh = generator.uniform(-3, 3, 3000)
    happened = generator.random(3000) < np.where(fresh > 0, 0.4, 0.02)
    assert log_loss(happened, probabilities(fitted, sheet(fresh[:, None], ("screen:a",)))) < log_loss(
        happened, probabilities(plain, sheet(fresh[:, None], ("screen:a",)))
    )


def test_the_table_gives_what_the_calibrator_gives_case_by_case() -> None:
    signals = [Signals(None, {"a": float(p)}) for p in np.linspace(0, 1, 23)]
    for knots in ((), ((0.1, 0.0), (0.4, 0.3), (0.8, 1.0))):
        one = Calibrator(("screen:a", "violation"), (0.3, 0.0), (2.0, 1.0), (1.5, 0.2), -0.4, knots)
        found = probabilities(one, feature_sheet(one.features, signals))
        assert found == pytest.approx([one.probability(s) for s in signals], abs=1e-12)


def test_no_case_is_judged_by_a_calibrator_that_saw_it() -> None:
    # Labels are noise, so a calibrator that saw its case would rank better than chance.
    generator = np.random.default_rng(0)
    values = generator.normal(size=(400, 30))
    truth = generator.random(400) < 0.3
    names = tuple(f"screen:{n}" for n in range(30))
    found = roc_auc(truth, cross_fitted(sheet(values, names), truth))
    assert found is not None
    assert found < 0.6


@settings(max_examples=25)
@given(st.lists(st.integers(0, 40), min_size=60, max_size=200), st.integers(0, 5))
def test_a_group_is_in_one_fold(groups: list[int], seed: int) -> None:
    truth = np.arange(len(groups)) % 3 == 0
    folds = fold_numbers(truth, 5, groups=np.array(groups), seed=seed)
    by_group: dict[int, set[int]] = {}
    for group, fold in zip(groups, folds.tolist(), strict=True):
        by_group.setdefault(group, set()).add(fold)
    assert all(len(found) == 1 for found in by_group.values())


def test_folds_have_violating_cases_in_equal_number() -> None:
    truth = np.arange(1000) < 50
    folds = fold_numbers(truth, 5)
    assert [int(np.count_nonzero(truth & (folds == n))) for n in range(5)] == [10] * 5


@pytest.mark.parametrize(
    ("positives", "negatives", "says"),
    [
        (0, 500, "20 more violating"),
        (500, 0, "20 more allowed"),
        (5, 5, "15 more violating"),
        (19, 100, "1 more violating"),
    ],
)
def test_too_few_labels_are_refused_with_what_is_missing(positives: int, negatives: int, says: str) -> None:
    truth = np.arange(positives + negatives) < positives
    with pytest.raises(InputError, match=says):
        fit_calibrator(sheet(np.zeros((truth.size, 1)), ("screen:a",)), truth)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_feature_that_is_no_number_is_refused_by_name(bad: float) -> None:
    values, truth = scored(200)
    values[17, 1] = bad
    with pytest.raises(InputError, match=r"feature 'screen:b' is .* for case 17"):
        fit_calibrator(sheet(values), truth)


def test_a_feature_that_never_changes_does_no_harm() -> None:
    values, truth = scored(300)
    values[:, 1] = 4.0
    fitted = fit_calibrator(sheet(values), truth)
    assert np.isfinite(probabilities(fitted, sheet(values))).all()
    assert fitted.scales[1] == 1.0


def reasoned(reasoning: str) -> Signals:
    trace = Trace(policy="p", policy_digest="d", model="m", dialect="t", reasoning=reasoning)
    return Signals(Failed(code=Code.REFUSAL, detail="", trace=trace))


def test_words_of_the_reasoning_that_go_with_violations_count_for_them() -> None:
    generator = np.random.default_rng(0)
    truth = generator.random(400) < 0.3
    signals = [reasoned(f"The user {'insults' if t and n % 4 else 'greets'} someone.") for n, t in enumerate(truth)]
    found = feature_sheet(("log_reasoning", "reasoning_words"), signals)
    fitted = fit_calibrator(found, truth)
    weights = dict(fitted.words)
    assert weights["insults"] > 0 > weights["greets"]
    assert "the" in weights
    said = probabilities(fitted, found)
    assert said == pytest.approx([fitted.probability(s) for s in signals], abs=1e-12)
    assert float(np.mean(said[truth])) > 0.5 > float(np.mean(said[~truth]))


def test_words_that_are_noise_do_not_make_a_case_sure() -> None:
    generator = np.random.default_rng(0)
    truth = generator.random(300) < 0.3
    vocabulary = ["".join(chr(97 + int(c)) for c in generator.integers(0, 26, 6)) for _ in range(200)]
    signals = [reasoned(" ".join(generator.choice(vocabulary, 20))) for _ in range(300)]
    found = roc_auc(truth, cross_fitted(feature_sheet(("reasoning_words",), signals), truth))
    assert found is not None
    assert found < 0.62
