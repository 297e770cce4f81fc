"""The stages of a cascade on labelled cases: what each said, and the calibrators that read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from magistrate.classifiers.cascade.calibrator import Calibrator
from magistrate.classifiers.cascade.signals import SCREEN_PREFIX, Signals
from magistrate.classifiers.cascade.words import WORDS_FEATURE
from magistrate.evaluate.metrics import Bools, Floats
from magistrate.train.cascade.calibrate import Sheet, cross_fitted, feature_sheet, fit_calibrator, probabilities
from magistrate.train.cascade.table import CascadeTable, Indices
from magistrate.types import Verdict

OWN_FEATURES = (
    "violation",
    "undecided",
    "log_reasoning",
    "violation_log_reasoning",
    WORDS_FEATURE,
    "cited_rules",
    "verdict_logit",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageVerdicts:
    """One stage's verdicts on all labelled cases."""

    name: str
    model: str
    verdicts: tuple[Verdict, ...]
    costs: Floats
    """(n_cases,)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedStages:
    """A calibrator a stage, and the cross-fitted probabilities of the cases that they were fitted on."""

    calibrators: tuple[Calibrator, ...]
    table: CascadeTable


def fit_stages(
    stages: Sequence[StageVerdicts], truth: Bools, groups: Indices, which: Indices, *, seed: int = 0
) -> FittedStages:
    """Fit every stage on some cases; later ones read the probabilities of earlier ones.

    Args:
        stages: In the order in which they are asked.
        truth: (n_cases,), of all cases.
        groups: (n_cases,), equal for equal contents.
        which: Positions of the cases to fit on.
        seed: Of the folds.

    Raises:
        InputError: too few cases of a kind.
    """
    calibrators: list[Calibrator] = []
    columns: list[Floats] = []
    for stage in stages:
        sheet = _sheet(stage, stages[: len(columns)], columns, which)
        # A step of an isotonic map ties cases that a threshold of a screen must be able to part.
        steps = stage is stages[-1]
        labels, own = truth[which], groups[which]
        calibrators.append(fit_calibrator(sheet, labels, groups=own, isotonic=steps, seed=seed))
        columns.append(cross_fitted(sheet, labels, groups=own, isotonic=steps, seed=seed))
    return FittedStages(calibrators=tuple(calibrators), table=_table(stages, truth, columns, which))


def apply_stages(
    stages: Sequence[StageVerdicts], calibrators: Sequence[Calibrator], truth: Bools, which: Indices
) -> CascadeTable:
    """What fitted calibrators say of other cases."""
    columns: list[Floats] = []
    for stage, calibrator in zip(stages, calibrators, strict=True):
        sheet = feature_sheet(calibrator.features, _signals(stage, stages[: len(columns)], columns, which))
        columns.append(probabilities(calibrator, sheet))
    return _table(stages, truth, columns, which)


def _sheet(stage: StageVerdicts, earlier: Sequence[StageVerdicts], columns: Sequence[Floats], which: Indices) -> Sheet:
    """The features of a stage that are not the same for every case."""
    names = (*OWN_FEATURES, *(SCREEN_PREFIX + one.name for one in earlier))
    whole = feature_sheet(names, _signals(stage, earlier, columns, which))
    reasons = any(whole.words)
    kept = [
        number
        for number, name in enumerate(names)
        if (reasons if name == WORDS_FEATURE else float(np.ptp(whole.values[:, number])) > 0)
    ]
    return Sheet(names=tuple(names[n] for n in kept), values=whole.values[:, kept], words=whole.words)


def _signals(
    stage: StageVerdicts, earlier: Sequence[StageVerdicts], columns: Sequence[Floats], which: Indices
) -> list[Signals]:
    return [
        Signals(stage.verdicts[case], {one.name: float(c[row]) for one, c in zip(earlier, columns, strict=True)})
        for row, case in enumerate(which.tolist())
    ]


def _table(stages: Sequence[StageVerdicts], truth: Bools, columns: Sequence[Floats], which: Indices) -> CascadeTable:
    return CascadeTable(
        stages=tuple(stage.name for stage in stages),
        truth=truth[which],
        probabilities=np.column_stack(columns),
        costs=np.column_stack([stage.costs[which] for stage in stages]),
    )
