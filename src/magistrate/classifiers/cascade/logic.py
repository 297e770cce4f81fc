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
from magistrate.classifiers.cascade.calibrator import Calibrator
from magistrate.classifiers.cascade.plan import AuditRule, CascadePlan, Stage
from magistrate.classifiers.cascade.signals import SCREEN_PREFIX, Signals
from magistrate.digest import Digest
from magistrate.row import content_digest
from magistrate.types import Abstained, Code, Course, Decided, Failed, Step, Trace, Usage, Verdict, VoteCount

DIALECT = "cascade.v1"
"""Changes with anything in this module that changes a verdict."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Questions to one stage; they are answered with as many verdicts, in the same order."""

    stage: int
    """Place in the plan."""
    cases: tuple[Case, ...]
    votes: tuple[int, ...]
    """Which vote on its case: 0 is the first, then the repeats, then the wordings, in the order of the plan."""


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
        yield from _ask(place, waiting)
    return [hearing.verdict() for hearing in hearings]


def _ask(place: int, waiting: Sequence[_Hearing]) -> Generator[Ask, Sequence[Verdict], None]:
    """Ask a stage about some cases, and once more for the votes on those of which it is unsure."""
    while asked := [(hearing, vote) for hearing in waiting for vote in hearing.wanted_votes()]:
        verdicts = yield Ask(place, tuple(one.case for one, _ in asked), tuple(vote for _, vote in asked))
        for (hearing, _), verdict in zip(asked, verdicts, strict=True):
            hearing.heard.append(verdict)
    for hearing in waiting:
        hearing.go_on()


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
        self.heard: list[Verdict] = []
        """Of the stage that is being asked."""
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

    def wanted_votes(self) -> range:
        """Which verdicts the next stage is still to give."""
        assert self.next_stage is not None  # noqa: S101  # only open hearings are asked about
        stage = self._plan.stages[self.next_stage]
        votes = stage.votes
        if not self.heard:
            return range(votes.asks if votes is not None and votes.always else 1)
        if votes is None or len(self.heard) == votes.asks:
            return range(0)
        return range(1, votes.asks) if votes.unsure(stage_probability(stage, self.heard, self._known)) else range(0)

    def go_on(self) -> None:
        """Go on with what the next stage said."""
        assert self.next_stage is not None  # noqa: S101  # only open hearings are asked about
        stage = self._plan.stages[self.next_stage]
        is_last = self.next_stage == len(self._plan.stages) - 1
        heard, self.heard = self.heard, []
        probability = stage_probability(stage, heard, self._known)
        verdict = _speaker(self.case, heard)
        if probability is not None:
            self._known[stage.name] = probability
            self._latest, self._latest_probability = verdict, probability
        course = _course(stage, verdict, probability, is_last=is_last)
        if course is Course.CLEARED and not is_last and self._is_audited():
            self.cleared = self._decide(heard, violation=False, probability=probability)
            course = Course.AUDITED
        self._steps.append(_step(stage, heard, course, probability))
        match course:
            case Course.CLEARED | Course.FLAGGED:
                self._end(self._decide(heard, violation=course is Course.FLAGGED, probability=probability))
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

    def _decide(self, heard: Sequence[Verdict], *, violation: bool, probability: float | None) -> Decided:
        verdict = _speaker(self.case, heard, violation=violation)
        return _decided(self._plan, self.case, verdict, violation=violation, probability=probability)

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


def stage_probability(stage: Stage, heard: Sequence[Verdict], known: Mapping[str, float]) -> float | None:
    """What a stage's verdicts on a case say of a violation, in [0, 1]; None where they say nothing.

    A screen that gave no probability says nothing: to a later calibrator its feature stands at its mean. One that
    abstains with a probability says that much. Of several votes, those without a verdict are left out.

    Args:
        stage: Of the plan.
        heard: The first verdict, and the votes after it where they were asked.
        known: Probabilities of earlier stages.
    """
    first, *votes = heard
    decided = [verdict for verdict in heard if isinstance(verdict, Decided)]
    if not votes or not decided:
        said = _own_probability(first)
        return said if stage.calibrator is None or said is None else _through(stage.calibrator, first, (), known)
    calibrator = None if stage.votes is None else stage.votes.calibrator
    if calibrator is not None:
        return _through(calibrator, first, tuple(votes), known)
    each = [float(one.violation) if one.probability is None else one.probability for one in decided]
    return sum(each) / len(each)


def _own_probability(verdict: Verdict) -> float | None:
    """What one verdict says by itself: a decision without a probability is a certain one."""
    match verdict:
        case Failed():
            return None
        case Abstained():
            return verdict.probability
        case Decided():
            return float(verdict.violation) if verdict.probability is None else verdict.probability
        case _:
            assert_never(verdict)


def _through(calibrator: Calibrator, first: Verdict, votes: tuple[Verdict, ...], known: Mapping[str, float]) -> float:
    earlier = dict(known)
    for feature, mean in zip(calibrator.features, calibrator.means, strict=True):
        if feature.startswith(SCREEN_PREFIX):
            earlier.setdefault(feature.removeprefix(SCREEN_PREFIX), 1 / (1 + math.exp(-max(-30.0, min(30.0, mean)))))
    return calibrator.probability(Signals(first, earlier, votes))


def _speaker(case: Case, heard: Sequence[Verdict], *, violation: bool | None = None) -> Verdict:
    """The verdict that stands for all votes: the earliest that says so, else that decided, else the first.

    One of another wording cites rules and labels that the policy may not have: it says only which side it is on.
    """
    decided = [verdict for verdict in heard if isinstance(verdict, Decided)]
    if not decided:
        return heard[0]
    found = next((verdict for verdict in decided if verdict.violation is violation), decided[0])
    if found.trace.policy_digest == case.policy.digest:
        return found
    return Decided(
        violation=found.violation,
        label=case.policy.first_label(violation=found.violation),
        rule_ids=(),
        severity=None,
        probability=found.probability,
        rationale=f"By another wording of the policy: {found.rationale}".rstrip(": "),
        trace=replace(found.trace, policy=case.policy.name, policy_digest=case.policy.digest),
    )


def _count(heard: Sequence[Verdict]) -> VoteCount:
    sides = [verdict.violation for verdict in heard if isinstance(verdict, Decided)]
    return VoteCount(violation=sides.count(True), no_violation=sides.count(False), undecided=len(heard) - len(sides))


def _course(stage: Stage, verdict: Verdict, probability: float | None, *, is_last: bool) -> Course:
    if not isinstance(verdict, Decided) or probability is None:
        return Course.UNDECIDED if is_last else Course.ESCALATED
    if stage.flag_from is not None and probability >= stage.flag_from:
        return Course.FLAGGED
    if stage.clear_below is not None and probability < stage.clear_below:
        return Course.CLEARED
    return Course.ESCALATED


def _step(stage: Stage, heard: Sequence[Verdict], course: Course, probability: float | None) -> Step:
    undecided = {f"{one.code.value}: {one.detail}": None for one in heard if not isinstance(one, Decided)}
    return Step(
        stage=stage.name,
        model=heard[0].trace.model,
        course=course,
        probability=probability,
        clear_below=stage.clear_below,
        flag_from=stage.flag_from,
        detail="; ".join(undecided),
        latency_ms=sum(verdict.trace.latency_ms for verdict in heard),
        usage=sum((verdict.trace.usage for verdict in heard), Usage()),
        votes=_count(heard) if len(heard) > 1 else None,
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
