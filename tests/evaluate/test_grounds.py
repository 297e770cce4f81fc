from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.dialects.samples import TOXIC

from magistrate.evaluate.audit import ReasoningAudit, audit_reasoning
from magistrate.evaluate.grounds import Fault, fault_differences, faults, grounds
from magistrate.evaluate.interval import wilson_interval
from magistrate.types import Content, Decided, Trace

TRACE = Trace(policy="p", policy_digest="d", model="m", dialect="d")


def audit(reasoning: str, *, violation: bool = True) -> ReasoningAudit:
    verdict = Decided(
        violation=violation,
        label="l",
        rule_ids=(),
        severity=None,
        probability=None,
        rationale="",
        trace=replace(TRACE, reasoning=reasoning),
    )
    return audit_reasoning(TOXIC, Content.of_text("Buy rings now"), verdict)


SOUND = audit("It is toxic. So output 1.")
CONTRARY = audit("It is fine. So output 0.")
UNKNOWN = audit("Rule X9 forbids it.")


def test_faults_are_what_the_audit_found() -> None:
    assert faults(SOUND) == ()
    assert faults(CONTRARY) == (Fault.CONTRADICTS,)
    assert faults(UNKNOWN) == (Fault.UNKNOWN_RULE,)
    assert faults(audit("word " * 2000)) == (), "length ranks and is no fault"
    assert faults(audit('The user says "I will hurt you all". I\'m sorry.')) == (Fault.INVENTED_CONTENT, Fault.ACTS)


def test_rates_are_over_the_reasoning_that_could_show_the_fault() -> None:
    found = grounds([SOUND, CONTRARY, UNKNOWN, None])
    assert (found.cases, found.checked) == (4, 3)
    rates = {rate.fault: rate for rate in found.rates}
    assert (rates[Fault.UNKNOWN_RULE].hits, rates[Fault.UNKNOWN_RULE].trials) == (1, 3)
    assert (rates[Fault.CONTRADICTS].hits, rates[Fault.CONTRADICTS].trials) == (1, 2)
    assert rates[Fault.ANY].value == pytest.approx(2 / 3)
    assert rates[Fault.ANY].interval == wilson_interval(2, 3)


def test_nothing_to_look_through_is_no_rate_of_nought() -> None:
    found = grounds([None, None])
    assert found.checked == 0
    assert {(rate.value, rate.interval) for rate in found.rates} == {(None, None)}
    assert {line.value for line in fault_differences([None], [SOUND])} == {None}


def test_clusters_widen_the_interval() -> None:
    audits = [SOUND] * 20 + [CONTRARY] * 20
    apart = grounds(audits).rates[-1].interval
    together = grounds(audits, np.repeat(np.arange(4), 10)).rates[-1].interval
    assert apart is not None
    assert together is not None
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_two_judges_are_compared_over_what_both_reasoned_about() -> None:
    first = [SOUND] * 30 + [None]
    second = [SOUND] * 15 + [CONTRARY] * 15 + [CONTRARY]
    lines = {line.fault: line for line in fault_differences(first, second)}
    contrary = lines[Fault.CONTRADICTS]
    assert (contrary.cases, contrary.value) == (30, 0.5)
    assert contrary.interval is not None
    assert contrary.interval.low > 0.2
    unknown = lines[Fault.UNKNOWN_RULE]
    assert unknown.value == 0
    assert unknown.interval is not None
    assert unknown.interval.low < 0 < unknown.interval.high
