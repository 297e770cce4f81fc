"""The stages of a cascade on labelled cases: what each said, and the calibrators that read it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from magistrate.classifiers.cascade.calibrator import Calibrator
from magistrate.classifiers.cascade.signals import SCREEN_PREFIX, Signals
from magistrate.classifiers.cascade.words import WORDS_FEATURE
from magistrate.evaluate.metrics import Bools, Floats
from magistrate.train.cascade.calibrate import (
    Sheet,
    cross_fitted,
    feature_sheet,
    fit_calibrator,
    log_loss,
    probabilities,
)
from magistrate.train.cascade.table import CascadeTable, Indices
from magistrate.types import Decided, Failed, Verdict

OWN_FEATURES = (
    "violation",
    "undecided",
    "log_reasoning",
    "violation_log_reasoning",
    WORDS_FEATURE,
    "cited_rules",
    "verdict_logit",
)
VOTE_FEATURES = ("vote_share", "votes_log_reasoning")
KEPT_GAIN = 0.9
"""Of what votes on every case are expected to gain in log-loss, the votes that are asked must keep this part."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageVerdicts:
    """One stage's verdicts on all labelled cases."""

    name: str
    model: str
    verdicts: tuple[Verdict, ...]
    costs: Floats
    """(n_cases,), of the first verdict."""
    votes: tuple[tuple[Verdict, ...], ...] = ()
    """Further verdicts on each case; empty where the stage was asked once."""
    vote_costs: Floats | None = None
    """(n_cases,), of all votes on a case together; None without votes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedVotes:
    """When votes are asked, and what reads them."""

    calibrator: Calibrator
    ask_from: float
    ask_to: float

    def unsure(self, probability: Floats) -> Bools:
        """(n_cases,), whether a first probability leaves the votes to be asked."""
        return (probability >= self.ask_from) & (probability <= self.ask_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteWorth:
    """What votes on every case do to the log-loss of cases that no calibrator was fitted on."""

    once: float
    voted: float

    @property
    def pays(self) -> bool:
        """Whether it falls."""
        return self.voted < self.once


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedStage:
    """What reads one stage."""

    calibrator: Calibrator
    votes: FittedVotes | None = None
    """None where it was asked once, or where votes don't pay."""
    worth: VoteWorth | None = None
    """None where it was asked once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedStages:
    """What reads each stage, and the cross-fitted probabilities of the cases that it was fitted on."""

    stages: tuple[FittedStage, ...]
    table: CascadeTable
    table_once: CascadeTable
    """The same if no stage were asked twice; the same table where none is."""

    @property
    def once_share(self) -> float:
        """What asking the last stage once about every case takes, of what it takes with its votes."""
        return float(np.sum(self.table_once.costs[:, -1]) / np.sum(self.table.costs[:, -1]))

    def without_votes(self) -> FittedStages:
        """Every stage asked once."""
        stages = tuple(replace(stage, votes=None) for stage in self.stages)
        return FittedStages(stages=stages, table=self.table_once, table_once=self.table_once)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Column:
    """What one stage says of some cases, and what asking it about them costs."""

    probability: Floats
    cost: Floats


def fit_stages(
    stages: Sequence[StageVerdicts], truth: Bools, groups: Indices, which: Indices, *, seed: int = 0
) -> FittedStages:
    """Fit every stage on some cases; later ones read the probabilities of earlier ones.

    Args:
        stages: In the order in which they are asked; votes are for the last one.
        truth: (n_cases,), of all cases.
        groups: (n_cases,), equal for equal contents.
        which: Positions of the cases to fit on.
        seed: Of the folds.

    Raises:
        InputError: too few cases of a kind.
    """
    fitted: list[FittedStage] = []
    columns: list[_Column] = []
    asked_once: list[_Column] = []
    labels = truth[which]
    for stage in stages:
        earlier = stages[: len(columns)]
        # A step of an isotonic map ties cases that a threshold of a screen must be able to part.
        fit = functools.partial(_fit, truth=labels, groups=groups[which], isotonic=stage is stages[-1], seed=seed)
        calibrator, once = fit(_sheet(stage, earlier, columns, which, voted=False))
        asked_once.append(_Column(probability=once, cost=stage.costs[which]))
        if not stage.votes:
            fitted.append(FittedStage(calibrator=calibrator))
            columns.append(asked_once[-1])
            continue
        voting, voted = fit(_sheet(stage, earlier, columns, which, voted=True))
        worth = VoteWorth(once=log_loss(labels, once), voted=log_loss(labels, voted))
        votes = when_to_ask(voting, once, voted) if worth.pays else None
        fitted.append(FittedStage(calibrator=calibrator, votes=votes, worth=worth))
        columns.append(_column(stage, votes, once, voted, which))
    table = _table(stages, truth, columns, which)
    if fitted[-1].votes is None:
        return FittedStages(stages=tuple(fitted), table=table, table_once=table)
    table_once = _table(stages, truth, [*columns[:-1], asked_once[-1]], which)
    return FittedStages(stages=tuple(fitted), table=table, table_once=table_once)


def apply_stages(
    stages: Sequence[StageVerdicts], fitted: Sequence[FittedStage], truth: Bools, which: Indices
) -> CascadeTable:
    """What fitted stages say of other cases."""
    columns: list[_Column] = []
    for stage, one in zip(stages, fitted, strict=True):
        earlier = stages[: len(columns)]
        once = voted = _said(one.calibrator, _signals(stage, earlier, columns, which, voted=False))
        if one.votes is not None:
            voted = _said(one.votes.calibrator, _signals(stage, earlier, columns, which, voted=True))
        columns.append(_column(stage, one.votes, once, voted, which))
    return _table(stages, truth, columns, which)


def _fit(sheet: Sheet, *, truth: Bools, groups: Indices, isotonic: bool, seed: int) -> tuple[Calibrator, Floats]:
    """A calibrator of all cases, and what calibrators that were fitted without a case say of it."""
    return (
        fit_calibrator(sheet, truth, groups=groups, isotonic=isotonic, seed=seed),
        cross_fitted(sheet, truth, groups=groups, isotonic=isotonic, seed=seed),
    )


def _said(calibrator: Calibrator, signals: Sequence[Signals]) -> Floats:
    return probabilities(calibrator, feature_sheet(calibrator.features, signals))


def _column(stage: StageVerdicts, votes: FittedVotes | None, once: Floats, voted: Floats, which: Indices) -> _Column:
    """A stage as it is asked: once, and again where that leaves it unsure or gave no verdict."""
    if votes is None or stage.vote_costs is None:
        return _Column(probability=once, cost=stage.costs[which])
    silent = np.array([_is_silent(stage.verdicts[case]) for case in which.tolist()], np.bool_)
    again = votes.unsure(once) | silent
    cost = stage.costs[which] + np.where(again, stage.vote_costs[which], 0.0)
    return _Column(probability=np.where(again, voted, once), cost=cost)


def _is_silent(verdict: Verdict) -> bool:
    return isinstance(verdict, Failed) or (not isinstance(verdict, Decided) and verdict.probability is None)


def when_to_ask(calibrator: Calibrator, once: Floats, voted: Floats) -> FittedVotes:
    """The fewest cases, between two first probabilities, whose votes keep `KEPT_GAIN` of the expected gain.

    Args:
        calibrator: Of all votes.
        once: (n_cases,) probabilities by the first verdict, cross-fitted.
        voted: (n_cases,) by all votes, cross-fitted.
    """
    order = np.argsort(once, kind="stable")
    ranked = once[order]
    total = np.concatenate([[0.0], np.cumsum(_expected_gains(once, voted)[order])])
    edges = np.unique(np.quantile(once, np.concatenate([np.linspace(0, 0.8, 21), np.linspace(0.8, 1, 41)])))
    starts, ends = np.searchsorted(ranked, edges, "left"), np.searchsorted(ranked, edges, "right")
    kept = total[ends][None, :] - total[starts][:, None]
    asked = np.where(kept >= KEPT_GAIN * total[-1], ends[None, :] - starts[:, None], np.inf)
    asked[ends[None, :] <= starts[:, None]] = np.inf
    low, high = np.unravel_index(int(np.argmin(asked)), asked.shape)
    return FittedVotes(
        calibrator=calibrator,
        ask_from=0.0 if low == 0 else float(edges[low]),
        ask_to=1.0 if high == edges.size - 1 else float(edges[high]),
    )


def _expected_gains(once: Floats, voted: Floats) -> Floats:
    """(n_cases,): what votes lower the log-loss by, if they are calibrated: the divergence of the two probabilities.

    The labels themselves say the same with far more noise: few of them violate, and fewer are unsure.
    """
    p, q = np.clip(once, 1e-6, 1 - 1e-6), np.clip(voted, 1e-6, 1 - 1e-6)
    gains: Floats = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
    return gains


def _sheet(
    stage: StageVerdicts, earlier: Sequence[StageVerdicts], columns: Sequence[_Column], which: Indices, *, voted: bool
) -> Sheet:
    """The features of a stage that are not the same for every case."""
    names = (*OWN_FEATURES, *(VOTE_FEATURES if voted else ()), *(SCREEN_PREFIX + one.name for one in earlier))
    whole = feature_sheet(names, _signals(stage, earlier, columns, which, voted=voted))
    reasons = any(whole.words)
    kept = [
        number
        for number, name in enumerate(names)
        if (reasons if name == WORDS_FEATURE else float(np.ptp(whole.values[:, number])) > 0)
    ]
    return Sheet(names=tuple(names[n] for n in kept), values=whole.values[:, kept], words=whole.words)


def _signals(
    stage: StageVerdicts, earlier: Sequence[StageVerdicts], columns: Sequence[_Column], which: Indices, *, voted: bool
) -> list[Signals]:
    return [
        Signals(
            stage.verdicts[case],
            {one.name: float(c.probability[row]) for one, c in zip(earlier, columns, strict=True)},
            stage.votes[case] if voted else (),
        )
        for row, case in enumerate(which.tolist())
    ]


def _table(stages: Sequence[StageVerdicts], truth: Bools, columns: Sequence[_Column], which: Indices) -> CascadeTable:
    return CascadeTable(
        stages=tuple(stage.name for stage in stages),
        truth=truth[which],
        probabilities=np.column_stack([column.probability for column in columns]),
        costs=np.column_stack([column.cost for column in columns]),
    )
