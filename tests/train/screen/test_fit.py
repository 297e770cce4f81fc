from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from magistrate.classifiers.screens.reading import Vectors
from magistrate.encoders.static import Windows
from magistrate.errors import InputError
from magistrate.evaluate.metrics import brier_score, roc_auc
from magistrate.train.screen.curve import CurvePoint, enough_from, learning_curve, sizes
from magistrate.train.screen.fit import Fitted, fit_head

VOCABULARY = 50


def made(texts: int, *, rate: float, tells: float, seed: int = 0) -> tuple[Vectors, np.ndarray]:
    """Texts of two windows each; the first number of a vector, and token 7, tell violations apart."""
    generator = np.random.default_rng(seed)
    truth = generator.random(texts) < rate
    rows = generator.normal(size=(2 * texts, 8)).astype(np.float32)
    rows[::2, 0] += tells * truth
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    ids = generator.integers(10, VOCABULARY, (2 * texts, 3)).astype(np.int32)
    ids[::2, 0] = np.where(truth & (generator.random(texts) < 0.5 * (tells > 0)), 7, ids[::2, 0])
    owners = np.repeat(np.arange(texts), 2)
    return Vectors(rows, Windows(ids.ravel(), np.arange(2 * texts) * 3, owners)), truth


def fitted(vectors: Vectors, truth: np.ndarray, vocabulary: int = VOCABULARY) -> Fitted:
    return fit_head(vectors, truth, np.arange(truth.size), vocabulary)


def test_a_head_tells_new_texts_apart_and_its_probabilities_hold() -> None:
    vectors, truth = made(1500, rate=0.2, tells=3)
    new, new_truth = made(1500, rate=0.2, tells=3, seed=1)
    found = fitted(vectors, truth)
    log_odds = new.log_odds(found.head)
    probabilities = 1 / (1 + np.exp(-log_odds))
    assert (roc_auc(new_truth, log_odds) or 0) > 0.8
    assert probabilities.mean() == pytest.approx(new_truth.mean(), abs=0.03)
    assert (brier_score(new_truth, probabilities) or 1) < 0.13
    assert 0.01 <= found.threshold <= 0.99


def test_tokens_are_weighed_beside_vectors_where_there_is_a_vocabulary() -> None:
    vectors, truth = made(1500, rate=0.3, tells=2)
    new, new_truth = made(1500, rate=0.3, tells=2, seed=1)
    with_tokens, without = fitted(vectors, truth), fitted(vectors, truth, 0)
    assert with_tokens.head.tokens.argmax() == 7
    assert without.head.tokens.size == 0
    better, worse = (roc_auc(new_truth, new.log_odds(one.head)) or 0 for one in (with_tokens, without))
    assert better > worse + 0.02


def test_folds_say_what_new_texts_say() -> None:
    """Scores over the folds are of heads that had not seen the text: else the first would be far above the second."""
    vectors, truth = made(300, rate=0.3, tells=0.8)
    new, new_truth = made(3000, rate=0.3, tells=0.8, seed=1)
    found = fitted(vectors, truth)
    own, other = roc_auc(truth, found.out_of_fold), roc_auc(new_truth, new.log_odds(found.head))
    assert own is not None
    assert other is not None
    assert own == pytest.approx(other, abs=0.08)


def test_labels_that_texts_say_nothing_of_are_refused_or_kept_on_demand() -> None:
    refused = 0
    for seed in range(6):
        vectors, _ = made(200, rate=0.3, tells=0, seed=seed)
        truth = np.random.default_rng(seed + 100).random(200) < 0.3
        try:
            fitted(vectors, truth)
        except InputError as error:
            refused += 1
            assert "not better than chance" in str(error)
            fit_head(vectors, truth, np.arange(200), VOCABULARY, may_be_chance=True)
    assert refused


def test_numbers_that_are_not_finite_are_refused() -> None:
    vectors, truth = made(100, rate=0.4, tells=2)
    vectors.rows[3, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        fitted(vectors, truth)


def test_a_class_that_is_too_rare_for_the_folds_is_refused() -> None:
    vectors, truth = made(100, rate=0.0, tells=2)
    truth[:3] = True
    with pytest.raises(InputError, match="label at least 2 more of the rarer class"):
        fitted(vectors, truth)


def test_clusters_are_kept_whole_and_large_ones_refused() -> None:
    vectors, truth = made(200, rate=0.4, tells=3)
    fit_head(vectors, truth, np.arange(200) // 2, VOCABULARY)
    with pytest.raises(InputError, match="2 clusters are too few or too large"):
        fit_head(vectors, truth, truth.astype(np.int64), VOCABULARY)


def test_the_curve_rises_with_labels_that_tell_something() -> None:
    vectors, truth = made(800, rate=0.3, tells=1.5)
    held_out = made(800, rate=0.3, tells=1.5, seed=1)
    lines: list[str] = []
    points = learning_curve(vectors, truth, held_out, VOCABULARY, said=lines.append)
    assert [point.labels for point in points] == [50, 100, 200, 400, 800]
    assert points[-1].mean > points[0].mean
    assert len(lines) == 5
    assert len(points[0].aucs) > len(points[-1].aucs)


def test_sizes_of_a_rare_class_begin_where_it_can_be_fitted() -> None:
    vectors, truth = made(800, rate=0.03, tells=2)
    points = learning_curve(vectors, truth, made(400, rate=0.1, tells=2, seed=1), VOCABULARY)
    assert points[0].labels * truth.mean() >= 5


def test_sizes_double() -> None:
    assert sizes(700) == [50, 100, 200, 400, 700]
    assert sizes(40) == [40]


def test_enough_is_where_the_curve_stays_above() -> None:
    points = [CurvePoint(labels=n, aucs=(a,)) for n, a in ((50, 0.8), (100, 0.6), (200, 0.7), (400, 0.9))]
    assert enough_from(points, 0.65) == 200
    assert enough_from(points, 0.95) is None
    assert enough_from(points, 0.5) == 50
    assert enough_from([], 0.5) is None
