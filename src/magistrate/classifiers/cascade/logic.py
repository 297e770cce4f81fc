"""What a cascade asks and decides, without any I/O: a generator that yields questions and is sent verdicts.

The same generator is driven one case at a time, in batches, in streams, from synchronous and asynchronous code.
Nothing that it decides about a case depends on the other cases, unless a gate (a budget) is given.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from magistrate.case import Case
from magistrate.classifiers.cascade.plan import AuditRule, CascadePlan, Stage
from magistrate.classifiers.cascade.signals import SCREEN_PREFIX, Signals
from magistrate.digest import Digest
from magistrate.row import content_digest
from magistrate.types import Abstained, Code, Course, Decided, Failed, Step, Trace, Usage, Verdict

DIALECT = "cascade.v1"
"""Changes with anything in this module that changes a verdict."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to one stage; it is answered with as many verdicts, in the same order."""

    stage: int
    """Place in the plan."""
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """A case that only the last stage can decide, if the budget pays for it."""

    case: Case
    loss: float
    """Expected, if the case is decided without the last stage."""


Gate = Callable[[Sequence[Offer]], Sequence[bool]]
"""Which of the offered cases the last stage is asked about."""
Logic = Generator[Ask, Sequence[Verdict], list[Verdict]]


def hear(plan: CascadePlan, cases: Sequence[Case], gate: Gate | None = None) -> Logic:
    """Ask stage after stage, each about the cases that are still open.

    Args:
        plan: The stages.
        cases: Of one policy or of several; whether the plan may judge them is for the caller to check.
        gate: Grants the last stage; every case gets it where not given.

    Returns:
        One verdict a case, in order.
    """
    digest = plan.digest
    hearings = [_Hearing(plan, digest, case) for case in cases]
    for place in range(len(plan.stages)):
        waiting = [hearing for hearing in hearings if hearing.next_stage == place]
        if gate is not None and place == len(plan.stages) - 1:
            waiting = _granted(waiting, gate)
        if waiting:
            verdicts = yield Ask(place, tuple(hearing.case for hearing in waiting))
            for hearing, verdict in zip(waiting, verdicts, strict=True):
                hearing.take(verdict)
    return [hearing.verdict() for hearing in hearings]


def _granted(waiting: Sequence[_Hearing], gate: Gate) -> list[_Hearing]:
    """Those that may go on; the others are decided by what is known. An audit is paid for in any case."""
    offered = [hearing for hearing in waiting if hearing.cleared is None]
    granted = gate([Offer(hearing.case, hearing.expected_loss()) for hearing in offered])
    for hearing, grant in zip(offered, granted, strict=True):
        if not grant:
            hearing.deny()
    return [hearing for hearing in waiting if hearing.next_stage is not None]


class _Hearing:
    """One case on its way through the stages."""

    def __init__(self, plan: CascadePlan, digest: Digest, case: Case) -> None:
        self.case = case
        self.next_stage: int | None = 0
        self.cleared: Verdict | None = None
        """The verdict of the screen that cleared it, while it is audited."""
        self._plan = plan
        self._digest = digest
        self._steps: list[Step] = []
        self._known: dict[str, float] = {}
        self._latest: Verdict | None = None
        self._latest_probability: float | None = None
        self._verdict: Verdict | None = None

    def verdict(self) -> Verdict:
        """The verdict, with all steps; known when no stage is next."""
        assert self._verdict is not None  # noqa: S101  # every path through the last stage sets it
        return self._with_steps(self._verdict)

    def take(self, verdict: Verdict) -> None:
        """Go on with what the next stage said."""
        assert self.next_stage is not None  # noqa: S101  # only open hearings are asked about
        stage = self._plan.stages[self.next_stage]
        is_last = self.next_stage == len(self._plan.stages) - 1
        probability = stage_probability(stage, verdict, self._known)
        if probability is not None:
            self._known[stage.name] = probability
            self._latest, self._latest_probability = verdict, probability
        course = _course(stage, verdict, probability, is_last=is_last)
        if course is Course.CLEARED and not is_last and self._is_audited():
            self.cleared = _decided(self._plan, self.case, verdict, violation=False, probability=probability)
            course = Course.AUDITED
        self._steps.append(_step(stage, verdict, course, probability))
        match course:
            case Course.CLEARED | Course.FLAGGED:
                flagged = course is Course.FLAGGED
                self._end(_decided(self._plan, self.case, verdict, violation=flagged, probability=probability))
            case Course.ESCALATED:
                self.next_stage += 1
            case Course.AUDITED:
                self.next_stage = len(self._plan.stages) - 1
            case Course.UNDECIDED:
                self._end(self.cleared or verdict)
            case Course.DENIED | Course.REUSED:
                raise AssertionError(f"no stage's verdict is {course.value}")
            case _:
                assert_never(course)

    def expected_loss(self) -> float:
        """Of deciding without the last stage."""
        assert self._plan.limit is not None  # noqa: S101  # a gate comes with a limit
        return self._plan.limit.expected_loss(self._latest_probability)

    def deny(self) -> None:
        """Decide without the last stage: by the latest probability, or not at all where there is none."""
        limit, last = self._plan.limit, self._plan.last
        assert limit is not None  # noqa: S101  # a gate comes with a limit
        probability = self._latest_probability
        flagged = probability is not None and probability >= limit.flag_from
        detail = f"the budget, {limit.share:.0%} of {limit.unit.value}, went to cases of greater expected loss"
        if self._latest is None or probability is None:
            detail += ", and no earlier stage gave a probability"
            self._end(Abstained(code=Code.UNSURE, detail=detail, trace=self._empty_trace()))
        else:
            side = "at least" if flagged else "below"
            detail += f"; the latest probability, {probability:.3f}, is {side} {limit.flag_from:.3f}"
            self._end(_decided(self._plan, self.case, self._latest, violation=flagged, probability=probability))
        self._steps.append(
            Step(
                stage=last.name,
                model=last.model,
                course=Course.DENIED,
                probability=None,
                clear_below=None,
                flag_from=limit.flag_from,
                detail=detail,
            )
        )

    def _end(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self.next_stage = None

    def _is_audited(self) -> bool:
        return self._plan.audit is not None and is_drawn(self._plan.audit, self._digest, self.case)

    def _empty_trace(self) -> Trace:
        policy = self.case.policy
        return Trace(policy=policy.name, policy_digest=policy.digest, model=self._plan.name, dialect=DIALECT)

    def _trace(self, trace: Trace) -> Trace:
        """A trace of the whole cascade: what it is called, what all stages took, and how it came about."""
        return replace(
            trace,
            model=self._plan.name,
            dialect=f"{DIALECT}/{self._digest.removeprefix('sha256:')[:12]}",
            latency_ms=sum(step.latency_ms for step in self._steps),
            usage=sum((step.usage for step in self._steps), Usage()),
            steps=tuple(self._steps),
        )

    def _with_steps(self, verdict: Verdict) -> Verdict:
        return replace(verdict, trace=self._trace(verdict.trace))


def stage_probability(stage: Stage, verdict: Verdict, known: Mapping[str, float]) -> float | None:
    """What a stage's verdict says of a violation, in [0, 1]; None where it says nothing.

    A screen that gave no probability says nothing: to a later calibrator its feature stands at its mean. One that
    abstains with a probability says that much.
    """
    if isinstance(verdict, Failed) or (isinstance(verdict, Abstained) and verdict.probability is None):
        return None
    if stage.calibrator is None:
        if verdict.probability is not None or isinstance(verdict, Abstained):
            return verdict.probability
        return float(verdict.violation)
    earlier = dict(known)
    for feature, mean in zip(stage.calibrator.features, stage.calibrator.means, strict=True):
        if feature.startswith(SCREEN_PREFIX):
            earlier.setdefault(feature.removeprefix(SCREEN_PREFIX), 1 / (1 + math.exp(-max(-30.0, min(30.0, mean)))))
    return stage.calibrator.probability(Signals(verdict, earlier))


def _course(stage: Stage, verdict: Verdict, probability: float | None, *, is_last: bool) -> Course:
    if not isinstance(verdict, Decided) or probability is None:
        return Course.UNDECIDED if is_last else Course.ESCALATED
    if stage.flag_from is not None and probability >= stage.flag_from:
        return Course.FLAGGED
    if stage.clear_below is not None and probability < stage.clear_below:
        return Course.CLEARED
    return Course.ESCALATED


def _step(stage: Stage, verdict: Verdict, course: Course, probability: float | None) -> Step:
    return Step(
        stage=stage.name,
        model=verdict.trace.model,
        course=course,
        probability=probability,
        clear_below=stage.clear_below,
        flag_from=stage.flag_from,
        detail="" if isinstance(verdict, Decided) else f"{verdict.code.value}: {verdict.detail}",
        latency_ms=verdict.trace.latency_ms,
        usage=verdict.trace.usage,
    )


def _decided(plan: CascadePlan, case: Case, verdict: Verdict, *, violation: bool, probability: float | None) -> Decided:
    """The stage's own verdict where it says the same, else one of the other side that says so."""
    if isinstance(verdict, Decided) and verdict.violation is violation:
        return replace(verdict, probability=probability)
    said = "no verdict" if not isinstance(verdict, Decided) else "violation" if verdict.violation else "no violation"
    shown = "" if probability is None else f", {probability:.3f},"
    rationale = f"The stage itself said {said}; its probability in the cascade {plan.name!r}{shown} says otherwise."
    return Decided(
        violation=violation,
        label=case.policy.first_label(violation=violation),
        rule_ids=(),
        severity=None,
        probability=probability,
        rationale=rationale if not isinstance(verdict, Decided) else f"{rationale} {verdict.rationale}".rstrip(),
        trace=verdict.trace,
        evidence=() if isinstance(verdict, Failed) else verdict.evidence,
    )


def is_drawn(rule: AuditRule, plan: Digest, case: Case) -> bool:
    """Whether a case is audited if it is cleared: always the same answer for the same case, key and rate."""
    key = hashlib.sha256((rule.key or plan).encode()).digest()
    named = "\x00".join((case.policy.digest, content_digest(case.content), case.id))
    drawn = hashlib.blake2b(named.encode("utf-8", "surrogatepass"), key=key, digest_size=8).digest()
    return int.from_bytes(drawn, "big") < rule.rate * 2**64
