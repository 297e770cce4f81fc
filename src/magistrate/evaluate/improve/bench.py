"""Judgements within a budget: what was judged once is remembered, and no more is asked than was allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from magistrate.case import Case
from magistrate.classifiers.base import Classifier
from magistrate.digest import Digest
from magistrate.errors import UsageError
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.judged import Judged, named_clusters
from magistrate.policy.model import Policy
from magistrate.types import Abstained, Decided, Verdict

CHUNK = 256
"""Cases that are judged together, so that progress shows."""


class Bench:
    """A judge with a memory and a budget."""

    def __init__(
        self, classifier: Classifier, budget: int, *, on_progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Store what is needed.

        Args:
            classifier: Open.
            budget: Judgements at the most.
            on_progress: Is told how many of them were made, of how many.
        """
        self._classifier = classifier
        self._budget = budget
        self._told = on_progress
        self._known: dict[tuple[Digest, str], Verdict] = {}
        self.made = 0
        """Judgements so far."""
        self.reserved = 0
        """Judgements that are kept for the test."""

    @property
    def left(self) -> int:
        """Judgements that may still be made, apart from those kept for the test."""
        return self._budget - self.made - self.reserved

    def cost(self, policy: Policy, cases: Sequence[GoldenCase]) -> int:
        """How many judgements it would take."""
        return sum((policy.digest, case.id) not in self._known for case in cases)

    def affords(self, policy: Policy, cases: Sequence[GoldenCase]) -> bool:
        """Whether they may be judged."""
        return self.cost(policy, cases) <= self.left

    async def judge(self, policy: Policy, cases: Sequence[GoldenCase]) -> list[Verdict]:
        """Judge cases, or remember their verdicts.

        Raises:
            UsageError: the budget does not allow it.
        """
        if not self.affords(policy, cases):
            raise UsageError(f"{self.cost(policy, cases)} judgements are needed, {self.left} are left")
        new = [case for case in cases if (policy.digest, case.id) not in self._known]
        for begin in range(0, len(new), CHUNK):
            chunk = new[begin : begin + CHUNK]
            verdicts = await self._classifier.judge_many([Case(policy, case.content, case.id) for case in chunk])
            self._known |= {(policy.digest, case.id): verdict for case, verdict in zip(chunk, verdicts, strict=True)}
            self.made += len(chunk)
            if self._told is not None:
                self._told(self.made, self._budget)
        return [self._known[policy.digest, case.id] for case in cases]


def judged_of(cases: Sequence[GoldenCase], verdicts: Sequence[Verdict]) -> Judged:
    """Verdicts on golden cases, in one order, as arrays."""
    return Judged(
        truth=np.array([case.violation for case in cases], np.bool_),
        flagged=np.array([isinstance(v, Decided) and v.violation for v in verdicts], np.bool_),
        decided=np.array([isinstance(v, Decided) for v in verdicts], np.bool_),
        probability=np.array([np.nan if (p := probability_of(v)) is None else p for v in verdicts], np.float64),
        clusters=named_clusters([case.cluster for case in cases]),
    )


def probability_of(verdict: Verdict) -> float | None:
    """Of a violation, where the judge gave one."""
    return verdict.probability if isinstance(verdict, Decided | Abstained) else None


def is_right(case: GoldenCase, verdict: Verdict) -> bool:
    """Whether a verdict is as the golden set has it; one that is none is not."""
    return isinstance(verdict, Decided) and verdict.violation is case.violation
