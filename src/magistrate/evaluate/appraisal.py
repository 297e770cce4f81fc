"""A policy tested: a run measured, held against thresholds, and taken apart by rule, label, kind and case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from magistrate.errors import CohortMismatchError
from magistrate.evaluate.audit import ReasoningAudit
from magistrate.evaluate.dataset import Dataset
from magistrate.evaluate.gate import Check, GateReport, Mode, Result, Tally, Thresholds, check, gate
from magistrate.evaluate.grounds import Grounds, grounds
from magistrate.evaluate.interval import Interval, wilson_interval
from magistrate.evaluate.labels import indicator
from magistrate.evaluate.measure import MACRO, Estimate, Measures, measure, measure_labels, measure_share
from magistrate.evaluate.metrics import Bools, Metric
from magistrate.evaluate.results import CaseResult, read_results
from magistrate.evaluate.runfile import Gold, Run, read_run
from magistrate.policy.model import Policy
from magistrate.row import Outcome
from magistrate.types import Usage

SUSPECTS = 1000
"""Cases with suspect reasoning that are kept whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A rule, a label, a kind of case or a language, and how the judge does on it."""

    name: str
    cases: int
    """Decided cases that the golden set gives it to."""
    right: int
    """Of these, cases whose verdict is right, whatever rule it cites."""
    estimates: tuple[Estimate, ...] = ()
    """Precision, recall and F1 of naming it; empty for kinds and languages, which a judge does not name."""

    @property
    def share(self) -> float | None:
        """Share of its cases whose verdict is right."""
        return self.right / self.cases if self.cases else None

    @property
    def interval(self) -> Interval | None:
        """95 % bounds of the share, for independent cases."""
        return wilson_interval(self.right, self.cases) if self.cases else None

    def estimate(self, metric: Metric) -> Estimate | None:
        """One figure of naming it."""
        return next((e for e in self.estimates if e.metric is metric), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a run took."""

    usage: Usage
    """Sums over all cases; None where the backend does not tell."""
    median_ms: float
    """Of a case."""
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Appraisal:
    """Everything that a run says of a policy and its judge."""

    run: Run
    policy: Policy | None
    """None where only the run file is at hand."""
    dataset: Dataset | None
    measures: Measures
    rules: tuple[Part, ...]
    """Of the rules that golden set or judge name; empty where the set names none."""
    labels: tuple[Part, ...]
    kinds: tuple[Part, ...]
    languages: tuple[Part, ...]
    gate: GateReport
    outcomes: Mapping[Outcome, int]
    codes: Mapping[str, int]
    """Why cases were not decided, the most frequent first."""
    cost: Cost
    wrong: tuple[CaseResult, ...]
    """Worst first."""
    undecided: tuple[CaseResult, ...]
    """In the order of the golden set."""
    grounds: Grounds
    """How well founded the reasoning is, over all cases."""
    suspect: tuple[CaseResult, ...]
    """The cases with the worst-founded reasoning, rightly judged or not, worst first; at most `SUSPECTS`."""

    @property
    def name(self) -> str:
        """Of the policy."""
        return self.run.header.policy

    @property
    def result(self) -> Result:
        """What came of the thresholds; undetermined where nothing was decided, or the run broke off."""
        decided = self.outcomes.get(Outcome.DECIDED, 0) > 0
        if self.gate.result is Result.PASSED and not (decided and self.run.complete):
            return Result.UNDETERMINED
        return self.gate.result

    @property
    def word(self) -> str:
        """What came of it in a word; `measured` where no threshold could have failed."""
        return self.result.value if self.gate.checks or self.result is not Result.PASSED else "measured"

    def estimate(self, metric: Metric) -> Estimate:
        """One figure of the verdict."""
        return next(e for e in self.measures.estimates if e.metric is metric)

    def share(self, outcome: Outcome) -> tuple[int, Interval | None]:
        """How many cases came out so, with 95 % bounds of their share."""
        hits = self.outcomes.get(outcome, 0)
        return hits, wilson_interval(hits, len(self.run)) if len(self.run) else None


def appraise(
    path: Path,
    *,
    policy: Policy | None = None,
    dataset: Dataset | None = None,
    thresholds: Thresholds | None = None,
    mode: Mode = Mode.POINT,
    draws: int = 0,
) -> Appraisal:
    """Measure a run file.

    Args:
        path: The run.
        policy: That was judged under; for places of rules and for looking through the reasoning.
        dataset: That was judged; for the content of cases.
        thresholds: What must hold; None for nothing.
        mode: Whether figures or their intervals must be on the right side.
        draws: Of a bootstrap as a second opinion; 0 for none.

    Raises:
        InputError: the run cannot be read.
        CohortMismatchError: the run is of another policy or golden set than those given.
    """
    run = read_run(path)
    check_belongs(run, policy, dataset)
    found = _look_through(read_results(path, run, policy, dataset))
    outcomes = Counter(run.outcomes)
    measures = measure(run.judged, draws=draws)
    return Appraisal(
        run=run,
        policy=policy,
        dataset=dataset,
        measures=measures,
        rules=_rules(run, policy),
        labels=_labels(run),
        kinds=_groups(run, lambda gold: gold.kind),
        languages=_groups(run, lambda gold: gold.lang),
        gate=_gate(thresholds or Thresholds(), run, measures, outcomes, mode),
        outcomes=outcomes,
        codes=dict(Counter(code.value for code in run.codes if code is not None).most_common()),
        cost=cost_of(run),
        wrong=tuple(sorted(found.wrong, key=lambda result: (-result.badness, result.row.id))),
        undecided=tuple(found.undecided),
        grounds=grounds(found.audits, run.judged.clusters),
        suspect=tuple(found.suspect),
    )


def check_belongs(run: Run, policy: Policy | None, dataset: Dataset | None) -> None:
    """Refuse a run that is of something else.

    Raises:
        CohortMismatchError: naming what differs.
    """
    if policy is not None and run.header.policy_digest != policy.digest:
        raise CohortMismatchError(
            f"the run is of another wording of {run.header.policy!r} ({run.header.policy_digest[:19]}) "
            f"than {policy.file} ({policy.digest[:19]})",
            fields=["policy_digest"],
        )
    if dataset is not None and run.header.dataset.digest != dataset.identity.digest:
        raise CohortMismatchError(
            f"the run is of other cases ({run.header.dataset.name}, {run.header.dataset.cases} cases) "
            f"than the golden set ({dataset.name}, {dataset.identity.cases} cases)",
            fields=["digest"],
        )


@dataclass(slots=True)
class _Seen:
    """What is kept of the verdicts while they are read: not all of them, for a run may hold millions."""

    wrong: list[CaseResult] = field(default_factory=list[CaseResult])
    undecided: list[CaseResult] = field(default_factory=list[CaseResult])
    suspect: list[CaseResult] = field(default_factory=list[CaseResult])
    audits: list[ReasoningAudit | None] = field(default_factory=list[ReasoningAudit | None])


def _look_through(results: Iterable[CaseResult]) -> _Seen:
    seen = _Seen()
    for result in results:
        seen.audits.append(result.audit)
        if result.right is None:
            seen.undecided.append(result)
        elif not result.right:
            seen.wrong.append(result)
        if result.suspicion:
            seen.suspect.append(result)
            if len(seen.suspect) > 2 * SUSPECTS:
                seen.suspect = _worst_founded(seen.suspect)
    seen.suspect = _worst_founded(seen.suspect)
    return seen


def _worst_founded(results: Sequence[CaseResult]) -> list[CaseResult]:
    def rank(result: CaseResult) -> tuple[float, str]:
        return -(0.0 if result.audit is None else result.audit.score), result.row.id

    return sorted(results, key=rank)[:SUSPECTS]


def _rules(run: Run, policy: Policy | None) -> tuple[Part, ...]:
    """Of cases that name rules, and of allowed ones: an allowed case without rules has none of the violating ones."""
    allowing = frozenset(r.id for r in policy.rules if r.polarity.value == "allowed") if policy is not None else None
    named = {rule for gold in run.gold for rule in gold.rule_ids}
    if not named:
        return ()
    counted = np.array([bool(g.rule_ids) or not g.violation for g in run.gold], np.bool_) & run.judged.decided
    gold = [gold.rule_ids for gold in run.gold]
    said = [
        rules if expected.rule_ids or allowing is None else tuple(r for r in rules if r not in allowing)
        for rules, expected in zip(run.rule_ids, run.gold, strict=True)
    ]
    names = _ordered(named | {rule for rules in run.rule_ids for rule in rules}, policy)
    return _parts(run, counted, gold, said, names)


def _ordered(rules: Iterable[str], policy: Policy | None) -> list[str]:
    order = {} if policy is None else {rule.id: number for number, rule in enumerate(policy.rules)}
    return sorted(rules, key=lambda rule: (order.get(rule, len(order)), rule))


def _labels(run: Run) -> tuple[Part, ...]:
    counted = np.array([gold.label is not None for gold in run.gold], np.bool_) & run.judged.decided
    if not np.any(counted):
        return ()
    gold = [() if gold.label is None else (gold.label,) for gold in run.gold]
    said = [() if label is None else (label,) for label in run.labels]
    names = sorted({name for names in (*gold, *said) for name in names})
    return _parts(run, counted, gold, said, names)


def _parts(
    run: Run, counted: Bools, gold: Sequence[Iterable[str]], said: Sequence[Iterable[str]], names: Sequence[str]
) -> tuple[Part, ...]:
    expected, predicted = indicator(gold, names)[counted], indicator(said, names)[counted]
    judged = run.judged.take(counted)
    estimates = measure_labels(expected, predicted, names, clusters=judged.clusters)
    right = judged.flagged == judged.truth
    by_name = {name: tuple(e for e in estimates if e.label == name and e.label != MACRO) for name in names}
    return tuple(
        Part(
            name=name,
            cases=int(np.count_nonzero(expected[:, column])),
            right=int(np.count_nonzero(expected[:, column] & right)),
            estimates=by_name[name],
        )
        for column, name in enumerate(names)
    )


def _groups(run: Run, key: Callable[[Gold], str]) -> tuple[Part, ...]:
    cases: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for place in np.flatnonzero(run.judged.decided).tolist():
        name = key(run.gold[place])
        cases[name] += 1
        right[name] += bool(run.judged.flagged[place] == run.judged.truth[place])
    if not any(cases):
        return ()
    return tuple(Part(name=name or "(none)", cases=count, right=right[name]) for name, count in cases.most_common())


def cost_of(run: Run) -> Cost:
    """Add up what a run took."""
    usage = sum(run.usage, Usage())
    if not len(run):
        return Cost(usage=usage, median_ms=0.0, p95_ms=0.0)
    median, high = np.quantile(run.latency_ms, [0.5, 0.95]).tolist()
    return Cost(usage=usage, median_ms=median, p95_ms=high)


def _gate(
    thresholds: Thresholds, run: Run, measures: Measures, outcomes: Mapping[Outcome, int], mode: Mode
) -> GateReport:
    """Exact bounds for independent cases; for clustered ones those of the report, which know of clusters."""
    tally = Tally(
        counts=measures.counts,
        abstained=outcomes.get(Outcome.ABSTAINED, 0),
        failed=outcomes.get(Outcome.FAILED, 0),
    )
    if run.judged.clusters is None:
        return gate(thresholds, tally, mode=mode)
    return GateReport(mode=mode, checks=tuple(_clustered(thresholds, run, measures, mode)))


_METRICS = {
    "min_precision": Metric.PRECISION,
    "min_recall": Metric.RECALL,
    "min_f1": Metric.F1,
    "min_accuracy": Metric.ACCURACY,
    "max_false_positive_rate": Metric.FALSE_POSITIVE_RATE,
}


def _clustered(thresholds: Thresholds, run: Run, measures: Measures, mode: Mode) -> Iterator[Check]:
    for name, threshold in thresholds.asked():
        if name in _METRICS:
            estimate = next(e for e in measures.estimates if e.metric is _METRICS[name])
            yield check(name, threshold, estimate.value, estimate.interval, mode=mode)
        else:
            share = measure_share(_counted(name, run), run.judged.clusters)
            yield check(name, threshold, share.value, share.interval, mode=mode)


def _counted(name: str, run: Run) -> Bools:
    if name == "max_failed_rate":
        return np.array([outcome is Outcome.FAILED for outcome in run.outcomes], np.bool_)
    return ~run.judged.decided
