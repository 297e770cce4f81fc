"""What is told about the way of a case, and what its stages took."""

from __future__ import annotations

import pytest
from tests.classifiers.cascade.scripted import abstains, plan_of, says, stage, trace
from tests.classifiers.cascade.test_audit import PLAN, rows_of

from magistrate.classifiers.cascade.explain import explain_row, why
from magistrate.classifiers.cascade.ledger import Price, ledger_of
from magistrate.row import VerdictRow, verdict_row
from magistrate.types import Code, Course, Failed, Step


def test_the_way_is_told_stage_by_stage() -> None:
    plan = plan_of(stage("screen", 0.2, 0.9), stage("reasoner", 0.5, 0.5))
    (row,) = rows_of(plan, [(says(0.4), says(0.8, model="guard"))])
    told = explain_row(row)
    for piece in (
        "case '0' under 'ads'",
        "violation, probability 0.8000",
        "1. screen (m): escalated",
        "probability 0.4000 is not below 0.2000 and not at least 0.9000, so the next stage is asked",
        "2. reasoner (guard): flagged",
        "probability 0.8000 is at least 0.5000, so it is a violation",
        "1 call, 10 input tokens, 5 output tokens, 2.0 ms (50% of the time)",
    ):
        assert piece in told


@pytest.mark.parametrize("course", list(Course))
def test_every_course_has_words(course: Course) -> None:
    for probability in (None, 0.3):
        for low, high in ((None, None), (0.2, None), (None, 0.9), (0.2, 0.9)):
            step = Step(
                stage="s",
                model="m",
                course=course,
                probability=probability,
                clear_below=low,
                flag_from=high,
                detail="",
            )
            assert "None" not in why(step)


def test_a_verdict_without_a_cascade_says_so() -> None:
    row = verdict_row("1", Failed(code=Code.TIMEOUT, detail="", trace=trace()))
    assert "no cascade: 'm'" in explain_row(row)
    assert "failed, timeout" in explain_row(row)


def rows() -> list[VerdictRow]:
    return rows_of(
        PLAN, [(says(0.95), says(0.1)), (says(0.5, model="s"), says(0.9, model="guard")), (abstains(), says(0.9))]
    )


def test_the_ledger_adds_up_what_each_stage_took() -> None:
    ledger = ledger_of(rows(), {"guard": Price(input_per_million=1000.0, output_per_million=2000.0, per_hour=3600.0)})
    screen, reasoner = ledger.entries
    assert (screen.items, screen.decided, screen.tokens, screen.money) == (3, 1, 45, 0.0)
    assert (reasoner.items, reasoner.decided, reasoner.tokens) == (2, 2, 30)
    assert reasoner.money == pytest.approx(10 * 1e-3 + 5 * 2e-3 + 0.002)  # the other call was of a model without price
    assert ledger.share(reasoner, "items") == pytest.approx(2 / 3)
    assert ledger.share(reasoner, "tokens") == pytest.approx(0.4)
    assert ledger.share(reasoner, "money") == pytest.approx(1.0)
    assert ledger.share(screen, "seconds") == pytest.approx(0.6)
    shown = ledger.render()
    assert "2 (66.7%)" in shown
    assert "30 (40.0%)" in shown


def test_what_no_cascade_decided_is_not_in_the_ledger() -> None:
    ledger = ledger_of([verdict_row("1", says(0.5))])
    assert (ledger.entries, dict(ledger.items)) == ((), {})
