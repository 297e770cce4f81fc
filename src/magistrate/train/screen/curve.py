"""How good a screen gets with how many labels: fitted again and again on fewer of them, measured on the same cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magistrate.classifiers.screens.reading import Vectors
from magistrate.evaluate.metrics import roc_auc
from magistrate.train.screen.fit import fit_head

SMALLEST = 50
DRAWS, DRAWS_OF_MANY, MANY = 10, 4, 1000
"""Draws of a size, and of a size from `MANY` on, where they differ little."""
CURVE_STRENGTHS = (1.0, 5.0, 25.0)
CURVE_FOLDS = 3
FEWEST_OF_A_CLASS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """Screens that were fitted on as many labels, each on another draw of them."""

    labels: int
    aucs: tuple[float, ...]
    """On the held-out cases, one a draw."""

    @property
    def mean(self) -> float:
        """Over the draws."""
        return float(np.mean(self.aucs))

    @property
    def lowest(self) -> float:
        """Of the draws."""
        return min(self.aucs)

    @property
    def highest(self) -> float:
        """Of the draws."""
        return max(self.aucs)


def sizes(labels: int) -> list[int]:
    """50, 100, 200, ... and all of them."""
    found: list[int] = []
    size = SMALLEST
    while size < labels:
        found.append(size)
        size *= 2
    return [*found, labels]


def learning_curve(
    vectors: Vectors,
    truth: NDArray[np.bool_],
    held_out: tuple[Vectors, NDArray[np.bool_]],
    vocabulary: int,
    *,
    seed: int = 0,
    said: Callable[[str], None] = lambda _: None,
) -> list[CurvePoint]:
    """Fit on random parts of the labels of every size, and measure each on the held-out cases.

    A size at which fewer than five of the rarer class are to be expected is left out: nobody could fit on that.
    """
    generator = np.random.default_rng(seed)
    rarest = min(np.mean(truth), 1 - np.mean(truth))
    points: list[CurvePoint] = []
    for size in sizes(truth.size):
        if size * rarest < FEWEST_OF_A_CLASS:
            continue
        draws = 1 if size == truth.size else DRAWS if size < MANY else DRAWS_OF_MANY
        aucs: list[float] = []
        for _ in range(draws):
            part = _drawn(truth, size, generator)
            fitted = fit_head(
                vectors.of_texts(part),
                truth[part],
                np.arange(size),
                vocabulary,
                strengths=CURVE_STRENGTHS,
                folds=CURVE_FOLDS,
                seed=seed,
                may_be_chance=True,
            )
            auc = roc_auc(held_out[1], held_out[0].log_odds(fitted.head))
            aucs.append(0.5 if auc is None else auc)
        points.append(CurvePoint(labels=size, aucs=tuple(aucs)))
        said(f"{size:,} labels: AUC {points[-1].mean:.3f} on the held-out cases, mean of {draws}")
    return points


def enough_from(points: Sequence[CurvePoint], auc: float) -> int | None:
    """The number of labels from which on every mean of the curve is above `auc`; None where the last is not."""
    found: int | None = None
    for point in reversed(points):
        if point.mean <= auc:
            break
        found = point.labels
    return found


def _drawn(truth: NDArray[np.bool_], size: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """A random part, drawn again while a class is too rare in it to fit on."""
    while True:
        part = np.sort(generator.choice(truth.size, size, replace=False))
        if CURVE_FOLDS <= np.sum(truth[part]) <= size - CURVE_FOLDS:
            return part
