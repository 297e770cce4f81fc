"""The audit: bounds that hold however often one looks, what counts as a miss, and alarms."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.classifiers.cascade.scripted import POLICY, abstains, case, fails, plan_of, says, stage

from magistrate.classifiers.cascade.audit import anytime_bounds, audit, misses_of, shares_of, shift_of
from magistrate.classifiers.cascade.driver import answer
from magistrate.classifiers.cascade.logic import Ask, hear, is_drawn
from magistrate.classifiers.cascade.plan import AuditRule, CascadePlan, Promise, Reference
from magistrate.digest import text_digest
from magistrate.row import VerdictRow, verdict_row
from magistrate.types import Verdict

PLAN = plan_of(stage("screen", 0.2, 0.9), stage("reasoner", 0.5, 0.5), audit=AuditRule(rate=0.5))
PROMISE = Promise(recall=0.95, confidence=0.9, cases=1000, positives=100)


@given(st.integers(0, 400), st.integers(0, 400), st.floats(0.5, 0.999))
def test_bounds_hold_the_estimate_and_are_where_the_martingale_is_at_its_limit(
    hits: int, misses: int, confidence: float
) -> None:
    trials = hits + misses
    bounds = anytime_bounds(hits, trials, confidence=confidence)
    assert 0 <= bounds.low <= (hits / trials if trials else 0.5) <= bounds.high <= 1
    for end in (bounds.low, bounds.high):
        if 0 < end < 1:
            prior = math.lgamma(0.5) * 2 - math.lgamma(1)
            mixture = math.lgamma(0.5 + hits) + math.lgamma(0.5 + misses) - math.lgamma(1 + trials) - prior
            martingale = mixture - hits * math.log(end) - misses * math.log1p(-end)
            assert martingale == pytest.approx(-math.log(1 - confidence), abs=1e-6)


def test_no_trials_say_nothing_and_more_say_more() -> None:
    assert (anytime_bounds(0, 0).low, anytime_bounds(0, 0).high) == (0.0, 1.0)
    highs = [anytime_bounds(0, trials).high for trials in (10, 100, 1000, 10_000)]
    assert highs == sorted(highs, reverse=True)
    assert highs[-1] < 0.001


@pytest.mark.parametrize("rate", [0.003, 0.05, 0.4])
def test_looking_after_every_draw_does_not_spoil_the_coverage(rate: float) -> None:
    """80 % bounds, looked at after each of 400 draws; a bound for one look would be left by most of the streams."""
    draw = random.Random(7)
    streams, left, fixed_left = 300, 0, 0
    for _ in range(streams):
        hits, is_left, is_fixed_left = 0, False, False
        for trials in range(1, 401):
            hits += draw.random() < rate
            # Excluded where the martingale has come to its limit: cheaper than the bounds, and the same (see above).
            log_mixture = math.lgamma(0.5 + hits) + math.lgamma(0.5 + trials - hits) - math.lgamma(1 + trials)
            log_mixture -= 2 * math.lgamma(0.5)
            log_likelihood = hits * math.log(rate) + (trials - hits) * math.log1p(-rate)
            if log_mixture - log_likelihood >= math.log(5) and not is_left:
                is_left = True
                bounds = anytime_bounds(hits, trials, confidence=0.8)
                assert not bounds.low < rate < bounds.high
            deviation = math.sqrt(max(hits, 1) / trials * (1 - hits / trials) / trials)
            is_fixed_left |= trials >= 20 and abs(hits / trials - rate) > 1.28 * deviation
        left += is_left
        fixed_left += is_fixed_left
    assert left / streams <= 0.2 + 3 * math.sqrt(0.2 * 0.8 / streams)
    assert fixed_left / streams > 0.3 or rate < 0.01


def rows_of(plan: CascadePlan, said: Sequence[tuple[Verdict, Verdict]]) -> list[VerdictRow]:
    def judge(ask: Ask) -> list[Verdict]:
        return [said[int(asked.id)][ask.stage] for asked in ask.cases]

    cases = [case("hello", str(place)) for place in range(len(said))]
    verdicts = answer(hear(plan, cases), judge)
    return [verdict_row(asked.id, verdict) for asked, verdict in zip(cases, verdicts, strict=True)]


def test_who_is_audited_is_drawn_at_its_rate_and_always_the_same() -> None:
    digest = text_digest("plan")
    drawn = [is_drawn(AuditRule(rate=0.1), digest, case("hello", str(n))) for n in range(5000)]
    assert sum(drawn) / 5000 == pytest.approx(0.1, abs=0.015)
    assert drawn == [is_drawn(AuditRule(rate=0.1), digest, case("hello", str(n))) for n in range(5000)]
    assert drawn != [is_drawn(AuditRule(rate=0.1, key="k"), digest, case("hello", str(n))) for n in range(5000)]
    wider = [is_drawn(AuditRule(rate=0.2), digest, case("hello", str(n))) for n in range(5000)]
    assert all(b for a, b in zip(drawn, wider, strict=True) if a)


def test_what_is_counted() -> None:
    always = replace(PLAN, audit=AuditRule(rate=1))
    audited = rows_of(always, [(says(0.1), says(0.1)), (says(0.1), says(0.9)), (says(0.1), fails())])
    others = rows_of(
        replace(PLAN, audit=None),
        [
            (says(0.1), says(0.9)),  # cleared by the screen
            (says(0.95), says(0.1)),  # flagged by the screen
            (says(0.5), says(0.9)),  # flagged by the last stage
            (says(0.5), says(0.1)),  # cleared by the last stage: no clearing of a screen
            (says(0.5), fails()),
            (abstains(), says(0.9)),
        ],
    )
    misses = misses_of([*audited, *others])
    assert (misses.cleared, misses.audited, misses.missed, misses.undecided, misses.found) == (4, 2, 1, 1, 3)
    assert misses.rate == anytime_bounds(1, 2)
    assert misses.lost.high == pytest.approx(4 * misses.rate.high / (4 * misses.rate.high + 3))


def traffic(miss_rate: float, cases: int = 1500, seed: int = 3) -> list[VerdictRow]:
    """A tenth of the cases escalated and flagged; of the cleared ones a share that the last stage would flag."""
    draw = random.Random(seed)
    said = [
        (says(0.5), says(0.9)) if draw.random() < 0.1 else (says(0.1), says(0.9 if draw.random() < miss_rate else 0.1))
        for _ in range(cases)
    ]
    return rows_of(PLAN, said)


def test_a_broken_promise_is_an_alarm_and_a_kept_one_is_none() -> None:
    promised = replace(PLAN, promise=PROMISE)
    (broken,) = audit(traffic(0.05), promised)
    assert broken.misses.breaks(PROMISE)
    assert any("promised were at most 5.0%" in alarm for alarm in broken.alarms)
    assert "ALARM" in broken.render()
    (kept,) = audit(traffic(0.0), promised)
    assert kept.alarms == ()
    assert "no alarm" in kept.render()
    assert "not known yet" in audit(traffic(0.0, cases=100), promised)[0].render()


def test_a_promise_is_about_the_policy_that_it_was_given_for() -> None:
    other = replace(PLAN, promise=PROMISE, policy_digest=text_digest("other"))
    (report,) = audit(traffic(0.05), other)
    assert (report.promise, report.alarms) == (None, ())
    mine = replace(other, policy_digest=POLICY.digest)
    assert audit(traffic(0.05), mine)[0].alarms != ()


def test_no_audit_says_how_to_have_one() -> None:
    (report,) = audit(rows_of(replace(PLAN, audit=None), [(says(0.1), says(0.1))] * 4))
    assert "give the plan an audit rate" in report.render()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_scores_that_did_not_move_are_no_shift(scores: list[float]) -> None:
    shift = shift_of(shares_of(scores), len(scores), scores)
    assert shift.index == pytest.approx(0)
    assert not shift.shifted
    assert sum(shares_of(scores)) == pytest.approx(1)


def test_moved_scores_are_an_alarm_and_few_of_them_are_not() -> None:
    draw = random.Random(1)
    before = [draw.betavariate(1, 5) for _ in range(2000)]
    same = [draw.betavariate(1, 5) for _ in range(2000)]
    moved = [draw.betavariate(2, 3) for _ in range(2000)]
    assert not shift_of(shares_of(before), 2000, same).shifted
    assert shift_of(shares_of(before), 2000, moved).much_shifted
    assert not shift_of(shares_of(before), 2000, moved[:8]).shifted


def test_the_noise_of_the_index_is_its_99_percent_quantile() -> None:
    draw = random.Random(2)
    over = 0
    for _ in range(400):
        shift = shift_of([0.1] * 10, 500, [draw.random() for _ in range(10)] * 1 + [draw.random() for _ in range(490)])
        # The reference is exact here, so only one of the two samples is noisy.
        over += shift.index > shift.noise / 2
    assert over / 400 <= 0.03


def test_another_base_rate_is_an_alarm() -> None:
    reference = Reference(shares=(0.9, 0.1), cases=1000, base_rate=0.3)
    (report,) = audit(traffic(0.0), replace(PLAN, reference=reference))
    assert any("30.0% were when the cascade was fitted" in alarm for alarm in report.alarms)


def test_scores_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        shares_of([])
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        shares_of([math.nan])
    with pytest.raises(ValueError, match="hits must be in 0"):
        anytime_bounds(2, 1)
