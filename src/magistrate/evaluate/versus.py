"""Two runs against each other: the comparison, its bootstrap, what each cost, and which cases changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from magistrate.evaluate.appraisal import Cost, check_belongs, cost_of
from magistrate.evaluate.audit import ReasoningAudit
from magistrate.evaluate.cohort import Threshold, check_same_cohort
from magistrate.evaluate.compare import Comparison, bootstrap_difference, compare
from magistrate.evaluate.dataset import Dataset
from magistrate.evaluate.grounds import FaultDifference, Grounds, fault_differences, grounds
from magistrate.evaluate.interval import Interval
from magistrate.evaluate.judged import Judged, Undecided
from magistrate.evaluate.linear import OF_DECISIONS
from magistrate.evaluate.metrics import Bools, Metric
from magistrate.evaluate.resample import outcomes
from magistrate.evaluate.results import CaseResult, read_results
from magistrate.evaluate.runfile import Run, read_run
from magistrate.policy.model import Policy

DRAWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """One of the two."""

    name: str
    """What tells it apart from the other."""
    run: Run
    policy: Policy | None
    """None where only the run file is at hand."""
    cost: Cost
    grounds: Grounds
    """How well founded its reasoning is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A case that the two judge differently."""

    first: CaseResult
    second: CaseResult

    @property
    def id(self) -> str:
        """Of the case."""
        return self.first.row.id

    @property
    def golden(self) -> bool:
        """Whether it violates."""
        return self.first.gold.violation

    @property
    def mended(self) -> bool:
        """Whether only the second is right."""
        return self.second.right is True

    @property
    def broken(self) -> bool:
        """Whether only the first is right."""
        return self.first.right is True

    @property
    def word(self) -> str:
        """What became of it: broken, mended, or changed from one error to another."""
        return "broken" if self.broken else "mended" if self.mended else "changed"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Versus:
    """Two runs compared. Of the second it is said whether it is better."""

    first: Side
    second: Side
    comparison: Comparison
    undecided: Undecided
    """What a case without a verdict counted as."""
    bootstrap: Mapping[Metric, Interval | None]
    """Bounds of second minus first from paired draws, of the metrics of decisions."""
    faults: tuple[FaultDifference, ...]
    """How much more often the reasoning of the second shows each fault."""
    changes: tuple[Change, ...]
    """Broken ones first, then mended ones, then those that are wrong in another way."""


def versus(
    first_path: Path,
    second_path: Path,
    *,
    names: tuple[str, str] = ("first", "second"),
    decided_by: Metric = Metric.ACCURACY,
    undecided: Undecided = Undecided.WRONG,
    margin: float | None = None,
    confidence: float = 0.95,
    policies: tuple[Policy | None, Policy | None] = (None, None),
    dataset: Dataset | None = None,
) -> Versus:
    """Compare two run files.

    Args:
        first_path: Of the judge that is there.
        second_path: Of the one that may replace it.
        names: What tells the two apart.
        decided_by: Which metric decides.
        undecided: What a case without a decision counts as.
        margin: The largest difference that does not matter; None where every difference does.
        confidence: Of tests and intervals, in (0, 1).
        policies: That they judged under; for the places of rules.
        dataset: That was judged; for the content of cases.

    Raises:
        CohortMismatchError: the runs are of other data, or judged another part of its chats; or a policy or data set
            is given that is not theirs.
        InputError: a run cannot be read, or was broken off.
        UsageError: as `compare`.
    """
    first, second = read_run(first_path), read_run(second_path)
    check_same_cohort(run.cohort(threshold=Threshold(), undecided=undecided) for run in (first, second))
    for run, policy in zip((first, second), policies, strict=True):
        check_belongs(run, policy, dataset)
    first.positions(second.ids)  # a case that only the second has is an error too
    order = second.positions(first.ids)
    one, two = first.judged, replace(second.judged.take(order), clusters=first.judged.clusters)
    changed = frozenset(np.array(first.ids)[_differ(one, two)].tolist())
    before = _look(read_results(first_path, first, policies[0], dataset), changed)
    after = _look(read_results(second_path, second, policies[1], dataset), changed)
    return Versus(
        first=_side(names[0], first, policies[0], before.audits, confidence),
        second=_side(names[1], second, policies[1], after.audits, confidence),
        comparison=compare(one, two, decided_by=decided_by, undecided=undecided, margin=margin, confidence=confidence),
        undecided=undecided,
        bootstrap=_bootstrap(one, two, undecided, confidence),
        faults=fault_differences(
            before.audits, [after.audits[place] for place in order.tolist()], one.clusters, confidence=confidence
        ),
        changes=_changes(before.kept, after.kept),
    )


@dataclass(slots=True)
class _Seen:
    """What is kept of a run: the audits of all cases, and whole only those that are judged differently."""

    audits: list[ReasoningAudit | None] = field(default_factory=list[ReasoningAudit | None])
    kept: dict[str, CaseResult] = field(default_factory=dict[str, CaseResult])


def _look(results: Iterable[CaseResult], changed: frozenset[str]) -> _Seen:
    seen = _Seen()
    for result in results:
        seen.audits.append(result.audit)
        if result.row.id in changed:
            seen.kept[result.row.id] = result
    return seen


def _differ(one: Judged, two: Judged) -> Bools:
    """Where one decides and the other does not, or both and not the same."""
    differ: Bools = (one.decided != two.decided) | (one.decided & two.decided & (one.flagged != two.flagged))
    return differ


def _side(
    name: str, run: Run, policy: Policy | None, audits: Sequence[ReasoningAudit | None], confidence: float
) -> Side:
    return Side(
        name=name,
        run=run,
        policy=policy,
        cost=cost_of(run),
        grounds=grounds(audits, run.judged.clusters, confidence=confidence),
    )


def _bootstrap(one: Judged, two: Judged, undecided: Undecided, confidence: float) -> dict[Metric, Interval | None]:
    if undecided is Undecided.EXCLUDED:
        both = one.decided & two.decided
        one, two = one.take(both), two.take(both)
    if not len(one):
        return {}
    one, two = one.settle(undecided), two.settle(undecided)
    bounds = bootstrap_difference(
        outcomes(one.truth, one.flagged),
        outcomes(two.truth, two.flagged),
        len(one),
        clusters=one.clusters,
        draws=DRAWS,
        confidence=confidence,
    )
    return dict(zip(OF_DECISIONS, bounds, strict=True))


def _changes(before: Mapping[str, CaseResult], after: Mapping[str, CaseResult]) -> tuple[Change, ...]:
    changes = [Change(first=result, second=after[case_id]) for case_id, result in before.items()]
    return tuple(sorted(changes, key=lambda change: (not change.broken, not change.mended)))
