"""Try proposals on the part that is analysed, and put those together that help there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.improve.apply import apply_all
from magistrate.evaluate.improve.bench import Bench, is_right, judged_of
from magistrate.evaluate.improve.edit import Proposal, Refused
from magistrate.evaluate.improve.split import content_key
from magistrate.evaluate.judged import Judged, Undecided
from magistrate.evaluate.measure import metric_of
from magistrate.evaluate.metrics import Metric
from magistrate.policy.model import Policy


class Result(StrEnum):
    """What came of a proposal."""

    KEPT = "kept"
    NO_GAIN = "no gain"
    """It does not make the part that is analysed better, on cases that are not in it."""
    NOT_BESIDE = "no gain beside others"
    """It helps by itself, and not, or cannot be made, on top of what was kept before."""
    REFUSED = "refused"
    """It cannot be made, or would change more than it says."""
    NOT_TRIED = "not tried"
    """The budget was used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A proposal with what came of it, on the cases of the part that is analysed whose content is not in it."""

    proposal: Proposal
    result: Result
    mended: int = 0
    broken: int = 0
    gain: tuple[float, float] = (0.0, 0.0)
    """How much better the deciding metric got, and the Brier score where there are probabilities."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was put together."""

    policy: Policy
    """Edited; the policy itself where nothing helped."""
    trials: tuple[Trial, ...]
    """Of all proposals, in their order."""
    taken: frozenset[str]
    """Ids of the cases whose content is in the edits."""


async def choose(
    policy: Policy, proposals: Sequence[Proposal], cases: Sequence[GoldenCase], bench: Bench, *, decided_by: Metric
) -> Choice:
    """Try each proposal by itself; then, from the best down, keep what still helps on top of what was kept.

    A proposal is asked for the mistakes first, and for the rest only if it mends one: a metric of decisions cannot
    get better otherwise.
    """
    scale = _Scale(cases, bench, decided_by)
    kept_back = max(0, bench.left) // 3  # for putting together
    bench.reserved += kept_back
    trials = [await scale.attempt(policy, frozenset(), proposal) for proposal in proposals]
    bench.reserved -= kept_back
    order = sorted(range(len(trials)), key=lambda n: trials[n].gain, reverse=True)
    edited, taken = policy, frozenset[str]()
    for place in order:
        trial = trials[place]
        if trial.result is not Result.KEPT:
            continue
        again = trial if edited is policy else await scale.attempt(edited, taken, trial.proposal)
        made = apply_all(edited, trial.proposal) if again.result is Result.KEPT else None
        if made is None or isinstance(made, Refused):
            untried = again.result is Result.NOT_TRIED
            trials[place] = replace(trial, result=again.result if untried else Result.NOT_BESIDE, reason=again.reason)
        else:
            edited, taken = made, taken | trial.proposal.taken
    return Choice(policy=edited, trials=tuple(trials), taken=taken)


class _Scale:
    """Weighs an edited policy against the one that it was made of."""

    def __init__(self, cases: Sequence[GoldenCase], bench: Bench, metric: Metric) -> None:
        self._cases = cases
        self._bench = bench
        self._metric = metric

    async def attempt(self, policy: Policy, taken: frozenset[str], proposal: Proposal) -> Trial:
        """Make a proposal on top of a policy that holds the contents of the cases `taken`."""
        made = apply_all(policy, proposal)
        if isinstance(made, Refused):
            return Trial(proposal=proposal, result=Result.REFUSED, reason=made.reason)
        cases = self._unseen(taken | proposal.taken)
        if not self._bench.affords(policy, cases):
            return _untried(proposal)
        before = await self._bench.judge(policy, cases)
        wrong = [case for case, verdict in zip(cases, before, strict=True) if not is_right(case, verdict)]
        if not self._bench.affords(made, wrong):
            return _untried(proposal)
        asked = await self._bench.judge(made, wrong)
        if not any(is_right(case, verdict) for case, verdict in zip(wrong, asked, strict=True)):
            return Trial(proposal=proposal, result=Result.NO_GAIN, reason="mends nothing")
        if not self._bench.affords(made, cases):
            return _untried(proposal)
        after = await self._bench.judge(made, cases)
        gain = self._gain(judged_of(cases, before), judged_of(cases, after))
        right = [(is_right(c, b), is_right(c, a)) for c, b, a in zip(cases, before, after, strict=True)]
        return Trial(
            proposal=proposal,
            result=Result.KEPT if gain[0] > 0 else Result.NO_GAIN,
            mended=right.count((False, True)),
            broken=right.count((True, False)),
            gain=gain,
        )

    def _unseen(self, taken: frozenset[str]) -> list[GoldenCase]:
        """Cases whose content, and whose cluster, is in no edit."""
        contents = {content_key(case.content) for case in self._cases if case.id in taken}
        clusters = {case.cluster for case in self._cases if case.id in taken and case.cluster}
        return [c for c in self._cases if content_key(c.content) not in contents and c.cluster not in clusters]

    def _gain(self, before: Judged, after: Judged) -> tuple[float, float]:
        return _better(self._metric, before, after), _better(Metric.BRIER, before, after)


def _untried(proposal: Proposal) -> Trial:
    return Trial(proposal=proposal, result=Result.NOT_TRIED, reason="the budget is used up")


def _better(metric: Metric, before: Judged, after: Judged) -> float:
    """How much better a metric got; 0 where it is not defined for both."""
    if metric.of_probabilities:
        known = ~(np.isnan(before.probability) | np.isnan(after.probability))
        one, two = before.take(known), after.take(known)
    else:
        one, two = before.settle(Undecided.WRONG), after.settle(Undecided.WRONG)
    if not len(one):
        return 0.0
    first, second = metric_of(metric, one), metric_of(metric, two)
    if first is None or second is None:
        return 0.0
    difference = second.value - first.value
    return -difference if metric.lower_is_better else difference
