"""The verdicts of a run one by one, each with its truth, its content where that is at hand, and its audit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from magistrate.evaluate.audit import ReasoningAudit, audit_row
from magistrate.evaluate.dataset import Dataset
from magistrate.evaluate.runfile import Gold, Run, read_verdicts
from magistrate.policy.model import Policy
from magistrate.row import Outcome, VerdictRow, valid_text
from magistrate.types import Content


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """A case as it was judged."""

    row: VerdictRow
    gold: Gold
    content: Content | None
    """None where the golden set is not at hand: a run file does not keep it."""
    audit: ReasoningAudit | None
    """None where the verdict has no reasoning, or nobody could look through it."""

    @property
    def right(self) -> bool | None:
        """Whether the verdict is the golden one; None where there is no verdict."""
        return None if self.row.outcome is not Outcome.DECIDED else self.row.violation is self.gold.violation

    @property
    def standing(self) -> str:
        """How the verdict compares with the golden one, in words."""
        match self.right:
            case None:
                return "not decided"
            case True:
                return "judged rightly"
            case False:
                return "missed violation" if self.gold.violation else "false alarm"

    @property
    def suspicion(self) -> tuple[str, ...]:
        """What is wrong with the reasoning, worst first."""
        return () if self.audit is None else self.audit.reasons

    @property
    def badness(self) -> float:
        """How bad an error is: the probability's distance from the truth, or else how suspect the reasoning is."""
        if self.row.probability is not None:
            return abs(self.row.probability - self.gold.violation)
        return 0.0 if self.audit is None else self.audit.score


def read_results(path: Path, run: Run, policy: Policy | None, dataset: Dataset | None) -> Iterator[CaseResult]:
    """Read the verdicts of a run whole, in its order.

    Audits are those of the file. What has none there (it was written by another version) is looked through now, where
    policy and content are at hand.

    Args:
        path: Of the run.
        run: As read from there.
        policy: That was judged under.
        dataset: That was judged.

    Raises:
        InputError: as `read_run`.
    """
    contents = {} if dataset is None else {valid_text(case.id): case.content for case in dataset.cases}
    for (row, gold), audit in zip(read_verdicts(path), run.audits, strict=True):
        content = contents.get(row.id)
        if audit is None and row.reasoning and policy is not None and content is not None:
            audit = audit_row(policy, content, row)
        yield CaseResult(row=row, gold=gold, content=content, audit=audit)
