"""Vectors with labels → a calibrated linear head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from magistrate.classifiers.logistic import logistic
from magistrate.classifiers.screens.folder import Head
from magistrate.classifiers.screens.reading import Vectors
from magistrate.errors import InputError
from magistrate.evaluate.metrics import best_threshold

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Of the fit: the inverse of how strongly large weights are held back. Vectors have length 1."""
FOLDS = 5
LOWEST_THRESHOLD, HIGHEST_THRESHOLD = 0.01, 0.99

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A head, and what is known of it from cases that it was not fitted on."""

    head: Head
    strength: float
    """The one of `STRENGTHS` with the lowest loss over the folds, both classes counting the same."""
    threshold: float
    """The probability from which F1 over the folds is highest."""
    out_of_fold: Floats
    """(texts,): probabilities from heads that had not seen the text."""


def fit_head(
    vectors: Vectors,
    truth: Bools,
    clusters: Ints,
    vocabulary: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
    folds: int = FOLDS,
    seed: int = 0,
    may_be_chance: bool = False,
) -> Fitted:
    """Fit, choose the strength, calibrate and choose the threshold, all over folds that keep clusters whole.

    Classes weigh the same in the fit, so that a rare one is learned; the probabilities are then calibrated to the
    share of violations in the data (Platt), on texts that the fold's head had not seen.

    Args:
        vectors: Of the texts.
        truth: (texts,): at least `folds` of each class.
        clusters: (texts,): numbers of what belongs together.
        vocabulary: How many tokens can be weighed; 0 for vectors alone.
        strengths: To choose from.
        folds: How many.
        seed: Of the folds.
        may_be_chance: Give the head also where it is no better than chance; otherwise that is an error.

    Raises:
        InputError: numbers that are not finite, too few of a class, or labels that the texts say nothing of.
    """
    _check(vectors, truth, folds)
    parts = class_folds(truth, clusters, folds, seed)
    matrix = _matrix(vectors.whole(), vocabulary)
    scores = {strength: _scores_out_of_fold(vectors, matrix, truth, parts, strength) for strength in strengths}
    best = min(strengths, key=lambda strength: _balanced_loss(scores[strength], truth))
    slope, offset = _platt(scores[best], truth)
    if slope <= 0 and may_be_chance:
        slope = 1.0
    elif slope <= 0:
        raise InputError(
            f"nothing can be learned from these {truth.size:,} labels: on texts that it had not seen, the screen was "
            f"not better than chance",
            hint="label more cases, or use the embedded judge, which reads the policy",
        )
    raw = _fit(matrix, vectors.rows.shape[1], truth, best)
    head = Head(
        (raw.weights * slope).astype(np.float32), (raw.tokens * slope).astype(np.float32), raw.bias * slope + offset
    )
    out_of_fold = logistic(scores[best] * slope + offset)
    threshold = best_threshold(truth, out_of_fold)
    kept = min(max(threshold or 0.5, LOWEST_THRESHOLD), HIGHEST_THRESHOLD)
    return Fitted(head, best, kept, out_of_fold)


def _check(vectors: Vectors, truth: Bools, folds: int) -> None:
    if not np.isfinite(vectors.rows).all():
        raise InputError(
            "a text has a vector that is not finite: the encoder's files are broken", hint="install magistrate again"
        )
    rarest = int(min(np.sum(truth), np.sum(~truth)))
    if rarest < folds:
        raise InputError(
            f"{truth.size:,} texts with {int(np.sum(truth)):,} violations are too few for {folds} folds",
            hint=f"label at least {folds - rarest} more of the rarer class",
        )


def class_folds(truth: Bools, clusters: Ints, folds: int, seed: int) -> list[tuple[Ints, Ints]]:
    """Cases to fit on and cases left out, by turns: clusters whole, both classes in every part.

    Raises:
        InputError: the clusters are too few or too large for that.
    """
    units = np.unique(clusters).size
    if units == clusters.size:
        return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(truth, truth))
    parts: list[tuple[Ints, Ints]] = []
    if units >= folds:
        parts = list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(truth, truth, clusters))
    if not parts or any(not truth[part].any() or truth[part].all() for part, _ in parts):
        raise InputError(
            f"the {units:,} clusters are too few or too large: a part of the cases would have one class only",
            hint="leave the column of clusters out, or label cases of more clusters",
        )
    return parts


def _matrix(whole: Vectors, vocabulary: int) -> csr_array:
    """What a head weighs, a row a text: its vector, then how often each token stands in it, by the root of them all."""
    vectors = csr_array(whole.rows)
    if not vocabulary:
        return vectors
    windows = whole.windows
    lengths = windows.ends - windows.starts
    counts = csr_array(
        (
            np.repeat(1 / np.sqrt(lengths), lengths).astype(np.float32),
            windows.ids,
            np.append(windows.starts, windows.ids.size),
        ),
        shape=(len(lengths), vocabulary),
    )
    counts.sum_duplicates()
    return csr_array(hstack([vectors, counts]))


def _scores_out_of_fold(
    vectors: Vectors, matrix: csr_array, truth: Bools, parts: Sequence[tuple[Ints, Ints]], strength: float
) -> Floats:
    found = np.empty(truth.size)
    for fitted_on, left_out in parts:
        head = _fit(matrix[fitted_on], vectors.rows.shape[1], truth[fitted_on], strength)
        found[np.sort(left_out)] = vectors.of_texts(left_out).log_odds(head)
    return found


def _fit(matrix: csr_array, dimensions: int, truth: Bools, strength: float) -> Head:
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
    model.fit(matrix, truth)
    weights = np.asarray(model.coef_, np.float32)[0]
    return Head(weights[:dimensions], weights[dimensions:], float(np.asarray(model.intercept_)[0]))


def _platt(scores: Floats, truth: Bools) -> tuple[float, float]:
    """Slope and offset of a logistic curve through the scores."""
    model = LogisticRegression(C=1e4, max_iter=1000)
    model.fit(scores[:, None], truth)
    return float(np.asarray(model.coef_)[0, 0]), float(np.asarray(model.intercept_)[0])


def _balanced_loss(scores: Floats, truth: Bools) -> float:
    loss = np.logaddexp(0, np.where(truth, -scores, scores))
    return float(loss[truth].mean() + loss[~truth].mean())
