"""Labelled cases with what each stage of a cascade would say of them and what it would cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magistrate.digest import Digest
from magistrate.errors import InputError
from magistrate.evaluate.metrics import Bools, Floats

FEWEST_OF_A_KIND = 20
"""Violating and allowed cases that a fit needs at least: five folds then have four of each to be tested on."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CascadeTable:
    """What every stage says of every labelled case. Invariant: checked shapes; probabilities in [0, 1], none NaN."""

    stages: tuple[str, ...]
    """Names, in the order in which they are asked; the last one always decides."""
    truth: Bools
    """(n_cases,), whether the policy is violated."""
    probabilities: Floats
    """(n_cases, n_stages), of a violation, by a calibrator that was not fitted on the case."""
    costs: Floats
    """(n_cases, n_stages), of asking the stage; in any one unit: tokens, seconds, money. Not negative."""

    def __post_init__(self) -> None:
        shape = (self.truth.size, len(self.stages))
        if self.probabilities.shape != shape or self.costs.shape != shape:
            raise ValueError(f"expected tables of {shape}, got {self.probabilities.shape} and {self.costs.shape}")
        check_labels(self.truth)
        for number, stage in enumerate(self.stages):
            check_scores(self.probabilities[:, number], f"probability of {stage!r}", highest=1.0)
            check_scores(self.costs[:, number], f"cost of {stage!r}", highest=math.inf)

    @property
    def cases(self) -> int:
        """How many cases there are."""
        return int(self.truth.size)

    @property
    def positives(self) -> int:
        """How many of them violate."""
        return int(np.count_nonzero(self.truth))

    def take(self, which: Indices) -> CascadeTable:
        """The cases at these positions; a case may be taken more than once."""
        return CascadeTable(
            stages=self.stages,
            truth=self.truth[which],
            probabilities=self.probabilities[which],
            costs=self.costs[which],
        )


def check_labels(truth: Bools, *, fewest: int = 1) -> None:
    """Refuse labels that nothing can be fitted on.

    Args:
        truth: (n_cases,).
        fewest: Cases needed of each kind.

    Raises:
        InputError: too few violating or too few allowed cases; says how many more.
    """
    positives = int(np.count_nonzero(truth))
    for kind, found in (("violating", positives), ("allowed", int(truth.size) - positives)):
        if found < fewest:
            raise InputError(
                f"{found} {kind} cases among {truth.size} labelled ones; a cascade is fitted on at least {fewest}",
                hint=f"label {fewest - found} more {kind} cases",
            )


def check_scores(scores: Floats, what: str, *, lowest: float = 0.0, highest: float = 1.0) -> None:
    """Refuse scores that are no numbers or out of range.

    Raises:
        InputError: naming the first such case and how many there are.
    """
    wrong = np.flatnonzero(~((scores >= lowest) & (scores <= highest)) | ~np.isfinite(scores))
    if wrong.size:
        first = int(wrong[0])
        raise InputError(
            f"{what} is {float(scores[first])!r} for case {first} ({wrong.size} such cases); "
            f"allowed: numbers from {lowest:g} to {highest:g}",
            hint="judge these cases again, or leave them out of the labelled file",
        )


def check_agreement(contents: Sequence[Digest], truth: Bools) -> None:
    """Refuse labels that contradict: the same content once violating and once allowed.

    Raises:
        InputError: naming the first contradiction and how many contents have one.
    """
    first: dict[Digest, int] = {}
    against: dict[Digest, tuple[int, int]] = {}
    for number, content in enumerate(contents):
        earlier = first.setdefault(content, number)
        if bool(truth[earlier]) != bool(truth[number]):
            against.setdefault(content, (earlier, number))
    if against:
        a, b = next(iter(against.values()))
        raise InputError(
            f"cases {a} and {b} have the same content and opposite labels ({len(against)} contents with labels that "
            "contradict)",
            hint="settle each: keep one label, or leave the content out",
        )
