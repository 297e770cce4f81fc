"""A screen beside the embedded judge and a reasoner, on cases that none of it was fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magistrate.case import Case
from magistrate.evaluate.interval import Interval, difference_interval, linear_interval
from magistrate.evaluate.linear import Linear, average_precision, f1, roc_auc
from magistrate.evaluate.metrics import best_threshold
from magistrate.policy.model import Policy
from magistrate.run.judge import Judge
from magistrate.train.screen.labels import LabelledText
from magistrate.types import Abstained, Decided, Verdict

COMPARED_CASES = 600
"""Held-out cases at the most: the embedded judge takes milliseconds for each."""
EMBEDDED_FITTED = 300
"""Training cases on which the embedded judge's own threshold is chosen, as the screen's is."""

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure with its 95 % interval; None where the cases do not carry one."""

    value: float
    interval: Interval | None

    @classmethod
    def of(cls, metric: Linear | None, clusters: NDArray[np.int64]) -> Figure | None:
        """From a metric and what belongs together."""
        return None if metric is None else cls(value=metric.value, interval=linear_interval(metric, clusters))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How well one judge does on the held-out cases."""

    name: str
    cases: int
    violations: int
    auc: Figure | None
    """None for a judge without probabilities."""
    average_precision: Figure | None
    f1: Figure | None
    """At the threshold that was chosen on training cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A screen and the embedded judge on the same held-out cases, and further judges beside them."""

    standings: tuple[Standing, ...]
    gain: float | None
    """AUC of the screen less that of the embedded judge, on the cases that both judged."""
    gain_interval: Interval | None
    embedded_auc: float | None


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Cases apart from training."""

    texts: Sequence[LabelledText]
    truth: Bools
    clusters: NDArray[np.int64]


def standing(name: str, held_out: HeldOut, probabilities: Floats, threshold: float) -> Standing:
    """Of a judge with probabilities."""
    truth, clusters = held_out.truth, held_out.clusters
    return Standing(
        name=name,
        cases=truth.size,
        violations=int(truth.sum()),
        auc=Figure.of(roc_auc(truth, probabilities), clusters),
        average_precision=Figure.of(average_precision(truth, probabilities), clusters),
        f1=Figure.of(f1(truth, probabilities >= threshold), clusters),
    )


def reasoner_standing(held_out: HeldOut) -> Standing | None:
    """Of the reasoner whose verdicts came with the data; None where there are none."""
    known = np.array([one.reasoner is not None for one in held_out.texts], np.bool_)
    if not known.any():
        return None
    truth = held_out.truth[known]
    flagged = np.array([one.reasoner is True for one in held_out.texts], np.bool_)[known]
    clusters = np.unique(held_out.clusters[known], return_inverse=True)[1]
    return Standing(
        name="reasoner (verdicts of the data)",
        cases=truth.size,
        violations=int(truth.sum()),
        auc=None,
        average_precision=None,
        f1=Figure.of(f1(truth, flagged), clusters),
    )


def compare(
    policy: Policy, held_out: HeldOut, screens: Sequence[tuple[str, Floats, float]], fitted_on: Sequence[LabelledText]
) -> Comparison:
    """Measure the first of the screens against the embedded judge under the policy; all on the same cases.

    Args:
        policy: What the embedded judge reads.
        held_out: The first `COMPARED_CASES` of them are used; they must be in random order.
        screens: Name, probabilities of the held-out cases and threshold of each.
        fitted_on: Training cases in random order; the embedded judge's threshold is chosen on some of them.
    """
    some = _first(held_out, COMPARED_CASES)
    with Judge("embedded") as judge:
        there = _probabilities(judge, policy, fitted_on[:EMBEDDED_FITTED])
        here = _probabilities(judge, policy, some.texts)
    labels = np.array([one.violation for one in fitted_on[:EMBEDDED_FITTED]], np.bool_)
    threshold = best_threshold(labels, there) if labels.any() else None
    standings = [standing(name, some, found[: len(some.texts)], least) for name, found, least in screens]
    standings.append(standing("embedded judge under the policy", some, here, threshold or 0.5))
    reasoner = reasoner_standing(some)
    if reasoner is not None:
        standings.append(reasoner)
    first, second = roc_auc(some.truth, here), roc_auc(some.truth, screens[0][1][: len(some.texts)])
    gain = None if first is None or second is None else second.value - first.value
    interval = None if first is None or second is None else difference_interval(first, second, some.clusters)
    embedded_auc = None if first is None else first.value
    return Comparison(standings=tuple(standings), gain=gain, gain_interval=interval, embedded_auc=embedded_auc)


def _first(held_out: HeldOut, count: int) -> HeldOut:
    clusters = np.unique(held_out.clusters[:count], return_inverse=True)[1]
    return HeldOut(held_out.texts[:count], held_out.truth[:count], clusters)


def _probabilities(judge: Judge, policy: Policy, texts: Sequence[LabelledText]) -> Floats:
    verdicts = judge.judge_cases([Case(policy, one.content, one.id) for one in texts])
    return np.array([_probability(verdict) for verdict in verdicts])


def _probability(verdict: Verdict) -> float:
    """One half where the judge has nothing to judge by."""
    match verdict:
        case Decided(probability=float(found)) | Abstained(probability=float(found)):
            return found
        case _:
            return 0.5
