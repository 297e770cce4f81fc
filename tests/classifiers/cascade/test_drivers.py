"""All drivers of a cascade give the same verdict to the same case, whatever the plan and the judges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.classifiers.cascade.scripted import OTHER, POLICY, Scripted, abstains, case, fails, plan_of, says, stage

from magistrate.case import Case
from magistrate.classifiers.cascade.calibrator import Calibrator
from magistrate.classifiers.cascade.driver import Cascade, answer
from magistrate.classifiers.cascade.logic import Ask, hear
from magistrate.classifiers.cascade.plan import AuditRule, CascadePlan, Limit, Stage, Unit
from magistrate.errors import UsageError
from magistrate.types import Abstained, Course, Decided, Failed, Verdict

unit = st.floats(0, 1)
judgements: st.SearchStrategy[Verdict] = st.one_of(
    st.builds(says, st.none() | unit, violation=st.booleans(), reasoning=st.text(max_size=5)),
    st.builds(abstains, st.none() | unit),
    st.just(fails()),
)


@st.composite
def plans(draw: st.DrawFn) -> CascadePlan:
    screens = draw(st.integers(0, 3))
    stages: list[Stage] = []
    for place in range(screens):
        low, high = sorted((draw(unit), draw(unit)))
        stages.append(
            stage(
                f"s{place}", draw(st.sampled_from([low, None])), draw(st.sampled_from([high, None])), draw(some(place))
            )
        )
    threshold = draw(unit)
    audit = draw(st.none() | st.builds(AuditRule, rate=unit))
    return plan_of(*stages, stage("last", threshold, threshold, draw(some(screens))), audit=audit)


def some(place: int) -> st.SearchStrategy[Calibrator | None]:
    """No calibrator, or one that reads the verdict, its reasoning, and the stage before."""
    features = ("violation", "log_reasoning", "verdict_logit", *([f"screen:s{place - 1}"] if place else []))
    numbers = st.lists(st.floats(-2, 2), min_size=len(features), max_size=len(features)).map(tuple)
    return st.none() | st.builds(
        Calibrator,
        st.just(features),
        means=numbers,
        scales=st.just((1.0,) * len(features)),
        weights=numbers,
        bias=st.floats(-2, 2),
    )


@st.composite
def trials(draw: st.DrawFn) -> tuple[CascadePlan, list[Case], list[list[Verdict]]]:
    """A plan, cases, and what each stage would say of each case."""
    plan = draw(plans())
    count = draw(st.integers(0, 6))
    cases = [case(f"text {draw(st.integers(0, 2))}", str(place)) for place in range(count)]
    said = [draw(st.lists(judgements, min_size=count, max_size=count)) for _ in plan.stages]
    return plan, cases, said


def scripts(plan: CascadePlan, said: Sequence[Sequence[Verdict]]) -> list[Scripted]:
    def one(place: int) -> Callable[[Case], Verdict]:
        return lambda asked: said[place][int(asked.id)]

    return [Scripted(one(place)) for place in range(len(plan.stages))]


def cascade(plan: CascadePlan, said: Sequence[Sequence[Verdict]]) -> Cascade:
    return Cascade(plan, scripts(plan, said))


def one_by_one(plan: CascadePlan, cases: Sequence[Case], said: Sequence[Sequence[Verdict]]) -> list[Verdict]:
    def judge(ask: Ask) -> list[Verdict]:
        return [said[ask.stage][int(asked.id)] for asked in ask.cases]

    return [answer(hear(plan, [asked]), judge)[0] for asked in cases]


@given(trials(), st.integers(1, 4), st.integers(1, 5))
def test_all_drivers_give_the_same_verdicts(
    trial: tuple[CascadePlan, list[Case], list[list[Verdict]]], rows: int, ahead: int
) -> None:
    plan, cases, said = trial
    expected = one_by_one(plan, cases, said)

    async def whole() -> list[Verdict]:
        return await cascade(plan, said).judge_many(cases)

    async def at_once() -> list[Verdict]:
        judge = cascade(plan, said)
        parts = await asyncio.gather(*(judge.judge_many(part) for part in _parts(cases, rows)))
        return [verdict for part in parts for verdict in part]

    async def streamed() -> list[Verdict]:
        async def coming() -> AsyncIterator[Case]:
            for one in cases:
                await asyncio.sleep(0)
                yield one

        judge = cascade(plan, said)
        return [verdict async for verdict in judge.judge_stream(coming(), rows=rows, ahead=ahead)]

    assert asyncio.run(whole()) == expected
    assert asyncio.run(at_once()) == expected
    assert asyncio.run(streamed()) == expected


def _parts(cases: Sequence[Case], rows: int) -> list[Sequence[Case]]:
    return [cases[start : start + rows] for start in range(0, len(cases), rows)]


@given(trials())
def test_every_verdict_tells_its_way_and_follows_its_thresholds(
    trial: tuple[CascadePlan, list[Case], list[list[Verdict]]],
) -> None:
    plan, cases, said = trial
    for asked, verdict in zip(cases, one_by_one(plan, cases, said), strict=True):
        steps = verdict.trace.steps
        places = [next(i for i, s in enumerate(plan.stages) if s.name == step.stage) for step in steps]
        assert all(a < b for a, b in pairwise(places))
        assert verdict.trace.usage.calls == len(steps)
        assert verdict.trace.model == "c"
        last = said[places[-1]][int(asked.id)]
        match verdict:
            case Failed():
                assert places[-1] == len(plan.stages) - 1
                assert isinstance(last, Failed)
            case Abstained():
                assert places[-1] == len(plan.stages) - 1
                assert isinstance(last, Abstained)
            case Decided():
                deciding = steps[-1] if steps[-1].course is not Course.UNDECIDED else steps[-2]
                assert deciding.probability == verdict.probability
                assert deciding.probability is not None
                if verdict.violation:
                    assert deciding.flag_from is not None
                    assert deciding.probability >= deciding.flag_from
                else:
                    assert deciding.clear_below is not None
                    assert deciding.probability < deciding.clear_below


def judge(
    plan: CascadePlan, *answers: Verdict, texts: Sequence[str] = ("hello",)
) -> tuple[list[Verdict], list[Scripted]]:
    def always(given: Verdict) -> Callable[[Case], Verdict]:
        return lambda _: given

    judges = [Scripted(always(given)) for given in answers]

    async def run() -> list[Verdict]:
        async with Cascade(plan, judges) as opened:
            assert all(one.entered == 1 for one in judges)
            return await opened.judge_many([case(text, str(n)) for n, text in enumerate(texts)])

    verdicts = asyncio.run(run())
    assert all(one.entered == 0 for one in judges)
    return verdicts, judges


TWO = plan_of(stage("screen", 0.2, 0.9), stage("reasoner", 0.5, 0.5))


@pytest.mark.parametrize(
    ("screen", "courses", "violation"),
    [
        (says(0.1), ["cleared"], False),
        (says(0.2), ["escalated", "flagged"], True),
        (says(0.89), ["escalated", "flagged"], True),
        (says(0.9), ["flagged"], True),
        (says(None, violation=True), ["flagged"], True),
        (says(None, violation=False), ["cleared"], False),
        (abstains(0.1), ["escalated", "flagged"], True),
        (fails(), ["escalated", "flagged"], True),
    ],
)
def test_a_screen_decides_what_is_outside_of_its_thresholds(
    screen: Verdict, courses: list[str], violation: bool
) -> None:
    (verdict,), _ = judge(TWO, screen, says(0.8))
    assert isinstance(verdict, Decided)
    assert ([step.course.value for step in verdict.trace.steps], verdict.violation) == (courses, violation)


def test_each_stage_is_asked_once_about_all_that_reach_it() -> None:
    judges = [
        Scripted(lambda asked: says(0.1 if "easy" in asked.content.messages[0].content else 0.5)),
        Scripted(lambda _: says(0.8)),
    ]
    cases = [case(text, str(n)) for n, text in enumerate(["easy", "hard", "easy", "hard"])]
    verdicts = asyncio.run(Cascade(TWO, judges).judge_many(cases))
    assert [len(asked) for one in judges for asked in one.asked] == [4, 2]
    assert [isinstance(v, Decided) and v.violation for v in verdicts] == [False, True, False, True]


def test_no_verdict_of_the_last_stage_is_none_of_the_cascade() -> None:
    (failed,), _ = judge(TWO, says(0.5), fails())
    (abstained,), _ = judge(TWO, says(0.5), abstains(0.9))
    assert isinstance(failed, Failed)
    assert isinstance(abstained, Abstained)
    assert [step.course for step in failed.trace.steps] == [Course.ESCALATED, Course.UNDECIDED]


def test_a_calibrator_can_overrule_its_stage_and_says_so() -> None:
    doubting = Calibrator(("violation", "screen:screen"), (0.0, 0.0), (1.0, 1.0), (0.5, 1.0), -1.0)
    plan = plan_of(stage("screen", 0.1, None), stage("reasoner", 0.5, 0.5, doubting))
    (verdict,), _ = judge(plan, says(0.3), says(None, violation=True))
    assert isinstance(verdict, Decided)
    assert (verdict.violation, verdict.label, verdict.rule_ids) == (False, "safe", ())
    assert "said violation" in verdict.rationale
    assert verdict.probability == pytest.approx(0.2063, abs=1e-3)  # logistic(0.5 - 1 + log(3 / 7))


def test_a_screen_that_failed_says_nothing_to_a_later_calibrator() -> None:
    reads = Calibrator(("screen:screen",), (-2.0,), (1.0,), (3.0,), 0.0)
    plan = plan_of(stage("screen", 0.1, None), stage("reasoner", 0.5, 0.5, reads))
    (verdict,), _ = judge(plan, fails(), says(None, violation=True))
    assert isinstance(verdict, Decided)
    assert verdict.probability == pytest.approx(0.5)


def test_what_is_audited_is_judged_by_the_last_stage_after_all() -> None:
    plan = plan_of(
        stage("screen", 0.2, 0.9), stage("second", 0.2, 0.9), stage("reasoner", 0.5, 0.5), audit=AuditRule(rate=1)
    )
    (verdict,), judges = judge(plan, says(0.1), says(0.1), says(0.8))
    assert isinstance(verdict, Decided)
    assert verdict.violation
    assert [step.course for step in verdict.trace.steps] == [Course.AUDITED, Course.FLAGGED]
    assert judges[1].cases == []
    (kept,), _ = judge(plan, says(0.1), says(0.1), fails())
    assert isinstance(kept, Decided)
    assert (kept.violation, kept.probability) == (False, 0.1)


def test_a_cascade_judges_only_by_the_policy_that_it_was_fitted_for() -> None:
    fitted = CascadePlan(name="c", policy_digest=POLICY.digest, stages=TWO.stages, created=TWO.created)
    judge_ = Cascade(fitted, [Scripted(lambda _: says(0.1)), Scripted(lambda _: says(0.1))])
    with pytest.raises(UsageError, match="not for 'other'"):
        asyncio.run(judge_.judge_many([case(policy=OTHER)]))
    with pytest.raises(UsageError, match="2 stages and 1 classifiers"):
        Cascade(fitted, [Scripted(lambda _: says(0.1))])


class Clock:
    """Stands still unless moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("unit", list(Unit))
def test_the_last_stage_is_kept_to_its_share_and_spent_where_most_is_at_stake(unit: Unit) -> None:
    limit = Limit(share=0.25, unit=unit, window_s=1800.0)
    plan = plan_of(stage("screen", 0.01, 0.99), stage("reasoner", 0.5, 0.5), limit=limit)

    def screen(asked: Case) -> Verdict:
        return says(int(asked.id) % 100 / 100)

    judges = [Scripted(screen), Scripted(lambda _: says(0.7))]
    clock = Clock()
    judge_ = Cascade(plan, judges, clock=clock)

    async def day() -> list[Verdict]:
        verdicts: list[Verdict] = []
        for start in range(0, 2000, 20):
            clock.now += 60.0
            verdicts += await judge_.judge_many([case("same length", str(n * 37)) for n in range(start, start + 20)])
        return verdicts

    verdicts = asyncio.run(day())
    assert len(judges[1].cases) == pytest.approx(500, rel=0.1)
    assert judge_.use is not None
    assert judge_.use.share == pytest.approx(0.25, rel=0.1)
    denied = [v for v in verdicts if v.trace.steps[-1].course is Course.DENIED]
    for verdict in denied:
        assert isinstance(verdict, Decided)
        assert verdict.probability is not None
        assert verdict.violation == (verdict.probability >= 0.5)
        assert "the budget" in verdict.trace.steps[-1].detail
    loss_denied = [min(v.probability, 1 - v.probability) for v in denied if isinstance(v, Decided) and v.probability]
    loss_granted = [min(int(c.id) % 100, 100 - int(c.id) % 100) / 100 for c in judges[1].cases]
    assert sum(loss_denied) / len(loss_denied) < 0.25 < 0.35 < sum(loss_granted) / len(loss_granted)


def test_a_case_of_which_nothing_is_known_is_not_decided_when_it_is_denied() -> None:
    plan = plan_of(stage("screen", 0.1, 0.9), stage("reasoner", 0.5, 0.5), limit=Limit(share=1e-9))
    (verdict,), judges = judge(plan, fails(), says(0.9))
    assert isinstance(verdict, Abstained)
    assert "no earlier stage gave a probability" in verdict.detail
    assert judges[1].cases == []
