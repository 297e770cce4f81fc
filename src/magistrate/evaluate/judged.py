"""What one judge said about cases whose truth is known, as arrays: the input of measuring and comparing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from magistrate.errors import UsageError
from magistrate.evaluate.metrics import Bools, Confusion, Floats, confusion


class Undecided(StrEnum):
    """What a case without a decision counts as."""

    EXCLUDED = "excluded"
    """Nothing: figures are over decided cases, and the rate of undecided ones is reported beside them."""
    WRONG = "wrong"
    """The opposite of the truth."""
    ALLOWED = "allowed"
    """Not flagged: what a platform that lets undecided content through gets."""
    VIOLATION = "violation"
    """Flagged: what a platform that blocks undecided content gets."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """Verdicts of one judge on golden cases. All arrays are (n_cases,), in one order."""

    truth: Bools
    flagged: Bools
    """Whether the verdict is a violation; not read where there is none."""
    decided: Bools
    """False where the judge abstained or failed."""
    probability: Floats
    """Of a violation, in [0, 1]; NaN where the judge gave none. The one place where NaN stands for None."""
    clusters: NDArray[np.int64] | None = None
    """Numbers 0, 1, ... of what belongs together (variants of one content, turns of one chat), as `cluster_numbers`
    makes them; None where all cases are independent."""

    def __post_init__(self) -> None:
        shapes = {
            "flagged": self.flagged.shape,
            "decided": self.decided.shape,
            "probability": self.probability.shape,
            "clusters": self.truth.shape if self.clusters is None else self.clusters.shape,
        }
        for name, shape in shapes.items():
            if shape != (self.truth.size,):
                raise UsageError(f"truth and {name} must be of one length, got shapes {self.truth.shape} and {shape}")
        if self.clusters is not None and len(self):
            low, high = int(self.clusters.min()), int(self.clusters.max())
            if low < 0 or high >= len(self):
                raise UsageError(
                    f"clusters must be numbers from 0 to {len(self) - 1}, got {low} to {high}",
                    hint="`cluster_numbers` makes them of any ids",
                )

    def __len__(self) -> int:
        return self.truth.size

    @property
    def counts(self) -> Confusion:
        """The four outcomes over decided cases."""
        return confusion(self.truth[self.decided], self.flagged[self.decided])

    def take(self, cases: Bools | NDArray[np.int64]) -> Judged:
        """Keep some cases, by mask or by position."""
        return Judged(
            truth=self.truth[cases],
            flagged=self.flagged[cases],
            decided=self.decided[cases],
            probability=self.probability[cases],
            clusters=None if self.clusters is None else cluster_numbers(self.clusters[cases]),
        )

    def settle(self, undecided: Undecided) -> Judged:
        """Give every case a decision, or leave those without one out."""
        match undecided:
            case Undecided.EXCLUDED:
                return self.take(self.decided)
            case Undecided.WRONG:
                assumed = ~self.truth
            case Undecided.ALLOWED:
                assumed = np.zeros_like(self.truth)
            case Undecided.VIOLATION:
                assumed = np.ones_like(self.truth)
        return Judged(
            truth=self.truth,
            flagged=np.where(self.decided, self.flagged, assumed),
            decided=np.ones_like(self.truth),
            probability=self.probability,
            clusters=self.clusters,
        )


def cluster_numbers(clusters: NDArray[np.int64] | NDArray[np.str_]) -> NDArray[np.int64]:
    """Number clusters 0, 1, ... in the order of their sorted ids; ids are integers or strings."""
    return np.unique(clusters, return_inverse=True)[1].astype(np.int64)


def named_clusters(names: Sequence[str]) -> NDArray[np.int64] | None:
    """Numbers of clusters by their names; a case without a name is one of its own. None where no case has one."""
    if not any(names):
        return None
    numbers: dict[str | int, int] = {}
    keys = [name or place for place, name in enumerate(names)]
    return cluster_numbers(np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64))
