"""Every metric of one judge, each with the interval that holds its confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from magistrate.evaluate import linear
from magistrate.evaluate.calibration import Binning, Calibration, calibration, check_probabilities
from magistrate.evaluate.interval import Interval, Numbers, bca_interval, f1_interval, linear_interval, wilson_interval
from magistrate.evaluate.judged import Judged, Undecided
from magistrate.evaluate.labels import label_confusions
from magistrate.evaluate.linear import OF_DECISIONS, OF_PROBABILITIES, Linear
from magistrate.evaluate.metrics import Bools, Confusion, Floats, Metric
from magistrate.evaluate.resample import Statistic, label_outcomes, outcomes, ranks, ratios, resample

MACRO = "macro"
"""Stands for the mean over labels where the label of an estimate is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A metric with what the sample says about its true value."""

    metric: Metric
    label: str = ""
    """The rule or label that it is of, or `MACRO`; empty for the verdict."""
    value: float | None
    """None where the cases do not define it."""
    interval: Interval | None
    """By the method that holds its confidence; None where there is no value, or too little to bound it."""
    bootstrap: Interval | None = None
    """BCa bounds from draws, as a second opinion; None where no draws were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """All figures of one judge."""

    counts: Confusion
    cases: int
    undecided: int
    """Cases without a decision, whatever they were then counted as."""
    estimates: tuple[Estimate, ...]
    """One for every `Metric`."""
    calibrations: tuple[Calibration, ...]
    """By equal mass, then by equal width; empty without probabilities."""


def measure(
    judged: Judged,
    *,
    undecided: Undecided = Undecided.EXCLUDED,
    confidence: float = 0.95,
    draws: int = 0,
    seed: int = 0,
) -> Measures:
    """Measure verdicts.

    Args:
        judged: Of one judge.
        undecided: What a case without a decision counts as. Metrics of probabilities are over every case that has
            one, decided or not: ranking needs no threshold.
        confidence: Of every interval, in (0, 1).
        draws: Bootstrap resamples for the second opinion; 0 for none.
        seed: Of the draws.

    Raises:
        UsageError: a probability is not in [0, 1].
    """
    unknown = np.isnan(judged.probability)
    check_probabilities(np.where(unknown, 0, judged.probability))
    settled, scored = judged.settle(undecided), judged.take(~unknown)
    # In order of the scores, ranking a draw needs no gathering.
    scored = scored.take(np.argsort(-scored.probability, kind="stable"))
    diagrams = [calibration(scored.truth, scored.probability, binning=binning) for binning in Binning]
    frame = _Frame(confidence=confidence, draws=draws, seed=seed)
    return Measures(
        counts=settled.counts,
        cases=len(judged),
        undecided=len(judged) - int(np.count_nonzero(judged.decided)),
        estimates=(*_decisions(settled, frame), *_probabilities(scored, frame)),
        calibrations=tuple(diagram for diagram in diagrams if diagram is not None),
    )


def measure_labels(
    gold: Bools,
    predicted: Bools,
    labels: Sequence[str],
    *,
    clusters: Numbers | None = None,
    confidence: float = 0.95,
    draws: int = 0,
    seed: int = 0,
) -> tuple[Estimate, ...]:
    """Measure precision, recall and F1 of each rule or label in turn, and last the macro F1.

    Args:
        gold: (n_cases, n_labels), whether the label belongs to the case.
        predicted: The same shape, whether the judge says so.
        labels: Names of the columns.
        clusters: (n_cases,) numbers 0, 1, ...; None for independent cases.
        confidence: Of every interval, in (0, 1).
        draws: Bootstrap resamples for the second opinion; 0 for none.
        seed: Of the draws.

    Raises:
        UsageError: the shapes differ.
    """
    frame = _Frame(confidence=confidence, draws=draws, seed=seed)
    confusions = label_confusions(gold, predicted)
    drawn = frame.draw([label_outcomes(gold, predicted)], gold.shape[0], clusters)
    made: list[Estimate] = []
    for column, counts in enumerate(confusions):
        for metric in (Metric.PRECISION, Metric.RECALL, Metric.F1):
            part = OF_DECISIONS[metric](gold[:, column], predicted[:, column])
            values = _column(drawn, len(made))
            made.append(frame.estimate(metric, part, clusters, values, counts=counts, label=labels[column]))
    macro = linear.mean([linear.f1(gold[:, column], predicted[:, column]) for column in range(gold.shape[1])])
    return (*made, frame.estimate(Metric.F1, macro, clusters, _column(drawn, len(made)), label=MACRO))


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of cases with its bounds; both None where there is no case."""

    value: float | None
    interval: Interval | None


def measure_share(hits: Bools, clusters: Numbers | None = None, *, confidence: float = 0.95) -> Share:
    """Measure a share of cases.

    Args:
        hits: (n_cases,).
        clusters: (n_cases,) numbers 0, 1, ...; None for independent cases.
        confidence: Of the interval, in (0, 1).
    """
    share = linear.accuracy(np.ones_like(hits), hits)  # of saying yes everywhere
    if share is None:
        return Share(value=None, interval=None)
    if clusters is not None:
        return Share(value=share.value, interval=linear_interval(share, clusters, confidence=confidence))
    bounds = wilson_interval(int(np.count_nonzero(hits)), hits.size, confidence=confidence)
    return Share(value=share.value, interval=bounds)


def metric_of(metric: Metric, judged: Judged) -> Linear | None:
    """Compute one metric with the influence of each case; every case must have what the metric is of."""
    if metric.of_probabilities:
        return OF_PROBABILITIES[metric](judged.truth, judged.probability)
    return OF_DECISIONS[metric](judged.truth, judged.flagged)


def _decisions(judged: Judged, frame: _Frame) -> list[Estimate]:
    drawn, counts = frame.draw([outcomes(judged.truth, judged.flagged)], len(judged), judged.clusters), judged.counts
    return [
        frame.estimate(metric, metric_of(metric, judged), judged.clusters, _column(drawn, number), counts=counts)
        for number, metric in enumerate(OF_DECISIONS)
    ]


def _probabilities(judged: Judged, frame: _Frame) -> list[Estimate]:
    statistics: list[Statistic] = []
    if len(judged):
        errors = (judged.probability - judged.truth) ** 2
        statistics = [ranks(judged.truth, judged.probability), ratios(errors, np.ones(len(judged)))]
    drawn = frame.draw(statistics, len(judged), judged.clusters)
    return [
        frame.estimate(metric, metric_of(metric, judged), judged.clusters, _column(drawn, number))
        for number, metric in enumerate(OF_PROBABILITIES)
    ]


def _column(drawn: Floats, number: int) -> Floats | None:
    return drawn[:, number] if drawn.size else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """How bounds are to be made."""

    confidence: float
    draws: int
    seed: int

    def draw(self, statistics: Sequence[Statistic], cases: int, clusters: Numbers | None) -> Floats:
        """(n_draws, n_values) of all statistics side by side; empty where there is nothing to draw from."""
        if not self.draws or not cases:
            return np.empty((0, 0))
        return np.hstack(resample(statistics, cases, clusters=clusters, draws=self.draws, seed=self.seed))

    def estimate(
        self,
        metric: Metric,
        part: Linear | None,
        clusters: Numbers | None,
        drawn: Floats | None,
        *,
        counts: Confusion | None = None,
        label: str = "",
    ) -> Estimate:
        """Bound one metric: by its counts where it has them and cases are independent."""
        if part is None:
            return Estimate(metric=metric, label=label, value=None, interval=None)
        if counts is None or clusters is not None:
            interval = linear_interval(part, clusters, confidence=self.confidence)
        else:
            interval = _by_counts(metric, counts, self.confidence)
        return Estimate(
            metric=metric,
            label=label,
            value=part.value,
            interval=interval,
            bootstrap=None if drawn is None else bca_interval(drawn, part, clusters, confidence=self.confidence),
        )


def _by_counts(metric: Metric, counts: Confusion, confidence: float) -> Interval | None:
    if metric is Metric.F1:
        return f1_interval(counts, confidence=confidence)
    hits, trials = counts.proportion(metric)
    return wilson_interval(hits, trials, confidence=confidence) if trials else None
