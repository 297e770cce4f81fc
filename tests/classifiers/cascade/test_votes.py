"""Votes: a stage that is asked more than once on a case, in the same words and in others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.classifiers.cascade.scripted import DAY, OTHER, POLICY, Scripted, abstains, case, fails, says, stage, trace
from tests.classifiers.cascade.test_drivers import judgements

from magistrate.case import Case
from magistrate.classifiers.cascade.calibrator import Calibrator
from magistrate.classifiers.cascade.driver import Cascade, answer
from magistrate.classifiers.cascade.explain import explain_row
from magistrate.classifiers.cascade.logic import Ask, hear
from magistrate.classifiers.cascade.plan import CascadePlan, Limit, Stage, Unit, Votes, Wording
from magistrate.errors import UsageError
from magistrate.row import verdict_row
from magistrate.types import Abstained, Course, Decided, Failed, Usage, Verdict, VoteCount

WORDING = Wording(file="other.md", digest=OTHER.digest)


class Repeating(Scripted):
    """Answers by the case and the turn, and keeps which turns it was asked."""

    def __init__(self, answer: Callable[[Case, int], Verdict]) -> None:
        super().__init__(lambda asked: answer(asked, 0))
        self._by_turn = answer
        self.turns: list[list[int]] = []

    async def judge_again(self, cases: Sequence[Case], turns: Sequence[int]) -> list[Verdict]:
        self.asked.append(list(cases))
        self.turns.append(list(turns))
        await asyncio.sleep(0)
        return [self._by_turn(asked, turn) for asked, turn in zip(cases, turns, strict=True)]


def voting(votes: Votes, *, at: float = 0.5, screen: Stage | None = None, limit: Limit | None = None) -> CascadePlan:
    last = replace(stage("reasoner", at, at), votes=votes)
    stages = (last,) if screen is None else (screen, last)
    return CascadePlan(name="c", policy_digest=POLICY.digest, stages=stages, created=DAY, limit=limit)


def heard(plan: CascadePlan, *said: Verdict) -> tuple[Verdict, Repeating]:
    """One case; vote n is answered with the n-th verdict."""
    votes = plan.last.votes
    assert votes is not None

    def by_turn(asked: Case, turn: int) -> Verdict:
        return said[turn if asked.policy is POLICY else votes.times]

    judge = Repeating(by_turn)
    (verdict,) = asyncio.run(Cascade(plan, [judge], wordings=[OTHER]).judge_many([case()]))
    return verdict, judge


def test_repeats_and_a_wording_are_asked_in_one_batch_and_the_majority_decides() -> None:
    plan = voting(Votes(times=3, wordings=(WORDING,)))
    verdict, judge = heard(
        plan, says(None, violation=False), says(None, violation=True), says(None, violation=True), says(0.9)
    )
    assert judge.turns == [[0, 1, 2, 0]]
    assert [asked.policy.name for asked in judge.cases] == ["ads", "ads", "ads", "other"]
    assert isinstance(verdict, Decided)
    assert verdict.violation
    assert verdict.probability == pytest.approx((0 + 1 + 1 + 0.9) / 4)
    assert verdict.trace.usage == Usage(40, 20, None, 4)
    (step,) = verdict.trace.steps
    assert step.votes == VoteCount(violation=3, no_violation=1, undecided=0)
    assert step.latency_ms == 8.0
    assert verdict.rule_ids == ("AD1",)
    assert "asked 4 times: 3 said violation, 1 no violation" in explain_row(verdict_row("1", verdict))


def test_votes_without_a_verdict_are_counted_apart_and_stand_for_no_side() -> None:
    plan = voting(Votes(times=4))
    verdict, _ = heard(plan, fails(), says(None, violation=True), abstains(0.2), says(None, violation=True))
    assert isinstance(verdict, Decided)
    assert (verdict.violation, verdict.probability) == (True, 1.0)
    assert verdict.trace.steps[0].votes == VoteCount(violation=2, no_violation=0, undecided=2)
    assert "timeout" in verdict.trace.steps[0].detail


@pytest.mark.parametrize(("first", "kind"), [(fails(), Failed), (abstains(0.1), Abstained)])
def test_no_vote_with_a_verdict_is_no_verdict(first: Verdict, kind: type) -> None:
    verdict, _ = heard(voting(Votes(times=2)), first, fails())
    assert isinstance(verdict, kind)
    assert verdict.trace.steps[0].course is Course.UNDECIDED
    assert verdict.trace.steps[0].votes == VoteCount(violation=0, no_violation=0, undecided=2)


@pytest.mark.parametrize(("first", "asked"), [(0.05, 1), (0.2, 3), (0.5, 3), (0.8, 3), (0.95, 1), (None, 3)])
def test_votes_are_asked_only_where_the_first_verdict_leaves_it_unsure(first: float | None, asked: int) -> None:
    plan = voting(Votes(times=3, ask_from=0.2, ask_to=0.8))
    start = fails() if first is None else says(first)
    verdict, judge = heard(plan, start, says(0.9), says(0.9))
    assert len(judge.cases) == asked
    assert verdict.trace.usage.calls == asked
    assert (verdict.trace.steps[0].votes is None) == (asked == 1)


def test_the_calibrator_of_votes_reads_their_share() -> None:
    by_share = Calibrator(("vote_share",), (0.5,), (0.5,), (2.0,), 0.0)
    plan = voting(Votes(times=2, calibrator=by_share))
    verdict, _ = heard(plan, says(None, violation=True), says(None, violation=True))
    assert isinstance(verdict, Decided)
    assert verdict.probability == pytest.approx(0.8808, abs=1e-4)  # logistic(2)


def test_another_wording_speaks_without_its_rules() -> None:
    theirs = replace(says(None, violation=True), rule_ids=("X1",), trace=trace(policy=OTHER))
    verdict, _ = heard(voting(Votes(wordings=(WORDING,))), fails(), theirs)
    assert isinstance(verdict, Decided)
    assert (verdict.violation, verdict.label, verdict.rule_ids) == (True, "violates", ())
    assert (verdict.trace.policy, verdict.trace.policy_digest) == ("ads", POLICY.digest)
    assert "another wording" in verdict.rationale


@given(
    st.lists(st.lists(judgements, min_size=3, max_size=3), max_size=5),
    st.floats(0, 0.5),
    st.floats(0.5, 1),
    st.integers(1, 3),
)
def test_all_drivers_give_the_same_votes(said: list[list[Verdict]], low: float, high: float, rows: int) -> None:
    plan = voting(Votes(times=3, ask_from=low, ask_to=high))
    cases = [case("t", str(place)) for place in range(len(said))]

    def judge() -> Repeating:
        return Repeating(lambda asked, turn: said[int(asked.id)][turn])

    def plain(ask: Ask) -> list[Verdict]:
        return [said[int(one.id)][vote] for one, vote in zip(ask.cases, ask.votes, strict=True)]

    async def streamed() -> list[Verdict]:
        return [verdict async for verdict in Cascade(plan, [judge()]).judge_stream(cases, rows=rows)]

    expected = [answer(hear(plan, [one]), plain)[0] for one in cases]
    assert asyncio.run(Cascade(plan, [judge()]).judge_many(cases)) == expected
    assert asyncio.run(streamed()) == expected


@pytest.mark.parametrize("unit", list(Unit))
def test_a_budget_of_cases_is_not_spent_faster_by_votes(unit: Unit) -> None:
    plan = voting(Votes(times=3), screen=stage("screen", None, None), limit=Limit(share=0.5, unit=unit))
    judges = [Scripted(lambda asked: says(int(asked.id) / 100)), Repeating(lambda _, __: says(0.9))]
    cases = [case("same length", str(n)) for n in range(100)]
    cascade = Cascade(plan, judges, clock=lambda: 0.0)
    asyncio.run(cascade.judge_many(cases))
    assert len({asked.id for asked in judges[1].cases}) == pytest.approx(50, abs=2)
    assert cascade.use is not None
    assert cascade.use.share == pytest.approx(0.5, abs=0.03)


def test_what_cannot_vote_is_refused() -> None:
    with pytest.raises(UsageError, match="says the same each time"):
        Cascade(voting(Votes(times=2)), [Scripted(lambda _: says(0.1))])
    with pytest.raises(UsageError, match=r"the wording 'other.md', which is missing or was changed"):
        Cascade(voting(Votes(wordings=(WORDING,))), [Scripted(lambda _: says(0.1))])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Votes(times=1), "votes are 2 to 20"),
        (lambda: Votes(times=21), "votes are 2 to 20"),
        (lambda: Votes(wordings=(WORDING, replace(WORDING, file="same.md"))), "the same text twice"),
        (lambda: Votes(times=2, ask_from=0.6, ask_to=0.5), "must rise"),
        (lambda: Wording(file="../secret.md", digest=OTHER.digest), "named without a folder"),
        (lambda: Wording(file="..", digest=OTHER.digest), "named without a folder"),
        (lambda: replace(voting(Votes(wordings=(WORDING,))), policy_digest=None), "the plan serves any"),
    ],
)
def test_votes_that_make_no_sense_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
