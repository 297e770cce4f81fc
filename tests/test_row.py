"""The one row form: what it holds for each verdict, and that any verdict survives being written and read."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.errors import InputError
from magistrate.row import ROW_FIELDS, Outcome, VerdictRow, content_digest, json_line, valid_text, verdict_row
from magistrate.types import (
    Abstained,
    Attempt,
    Code,
    Content,
    Course,
    Decided,
    Failed,
    Message,
    Remedy,
    Role,
    RuleMatch,
    Severity,
    Span,
    Step,
    Target,
    Trace,
    Usage,
    Verdict,
    VoteCount,
)

TRACE = Trace(
    policy="spam",
    policy_digest="sha256:" + "0" * 64,
    model="m",
    dialect="d.v1",
    latency_ms=12.5,
    usage=Usage(10, 2, None, 1),
    reasoning="because",
)

texts = st.text(st.characters(), max_size=30) | st.text(st.characters(categories=["Cc", "Cs", "Zl", "Zp"]), max_size=5)
unit = st.floats(0, 1)
small = st.integers(0, 9)
counts = st.none() | st.integers(0, 1 << 40)
usages = st.builds(Usage, counts, counts, counts, st.integers(0, 9))
spans = st.builds(Span, st.integers(0, 99), st.integers(0, 99), st.integers(0, 9))
matches = st.builds(RuleMatch, texts, st.floats(allow_nan=False, allow_infinity=False), st.none() | spans)
attempts = st.builds(
    Attempt,
    code=st.none() | st.sampled_from(Code),
    remedy=st.none() | st.sampled_from(Remedy),
    latency_ms=unit,
    usage=usages,
)
steps = st.builds(
    Step,
    stage=texts,
    model=texts,
    course=st.sampled_from(Course),
    probability=st.none() | unit,
    clear_below=st.none() | unit,
    flag_from=st.none() | unit,
    detail=texts,
    latency_ms=unit,
    usage=usages,
    votes=st.none() | st.builds(VoteCount, violation=small, no_violation=small, undecided=small),
)
traces = st.builds(
    Trace,
    policy=texts,
    policy_digest=st.just("sha256:" + "0" * 64),
    model=texts,
    dialect=texts,
    latency_ms=st.floats(0, 1e9),
    usage=usages,
    reasoning=texts,
    answer=texts,
    attempts=st.lists(attempts, max_size=3).map(tuple),
    steps=st.lists(steps, max_size=2).map(tuple),
)
verdicts: st.SearchStrategy[Verdict] = st.one_of(
    st.builds(
        Decided,
        violation=st.booleans(),
        label=texts,
        rule_ids=st.lists(texts, max_size=3).map(tuple),
        severity=st.none() | st.sampled_from(Severity),
        probability=st.none() | unit,
        rationale=texts,
        trace=traces,
        evidence=st.lists(matches, max_size=3).map(tuple),
    ),
    st.builds(
        Abstained,
        code=st.sampled_from([Code.UNSURE, Code.ESCALATED]),
        detail=texts,
        trace=traces,
        probability=st.none() | unit,
        evidence=st.lists(matches, max_size=3).map(tuple),
    ),
    st.builds(Failed, code=st.sampled_from(Code), detail=texts, trace=traces),
)


@given(texts, verdicts, st.none() | st.sampled_from(["allow", "hold", "block"]))
def test_any_verdict_survives_json(case_id: str, verdict: Verdict, action: str | None) -> None:
    row = verdict_row(case_id, verdict, action=action)
    line = row.to_json()
    assert len(line.splitlines()) == 1
    assert VerdictRow.from_dict(json.loads(line.encode("utf-8"))) == row


@given(texts)
def test_valid_text_changes_nothing_but_surrogates(text: str) -> None:
    valid = valid_text(text)
    valid.encode("utf-8")
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert len(valid) == len(paired)
    for was, now in zip(paired, valid, strict=True):
        assert now == ("\ufffd" if "\ud800" <= was <= "\udfff" else was)


def test_the_fields_begin_as_the_documentation_says() -> None:
    assert ROW_FIELDS[:15] == (
        *("id", "policy", "policy_digest", "outcome", "code", "violation", "label", "rule_ids", "severity"),
        *("probability", "rationale", "reasoning", "model", "latency_ms", "usage"),
    )
    row = verdict_row("1", Failed(code=Code.TIMEOUT, detail="60 s", trace=TRACE))
    assert tuple(row.to_dict()) == ROW_FIELDS


def test_a_decision_keeps_its_reasons() -> None:
    verdict = Decided(
        violation=True,
        label="SP2",
        rule_ids=("SP2.a", "SP2"),
        severity=Severity.HIGH,
        probability=0.9,
        rationale="sells followers",
        trace=TRACE,
        evidence=(RuleMatch("SP2.a", 0.8, Span(3, 9)), RuleMatch("SP2", 0.1)),
    )
    row = verdict_row("7", verdict, action="block")
    assert (row.id, row.outcome, row.violation, row.code, row.action) == ("7", Outcome.DECIDED, True, None, "block")
    assert (row.label, row.rule_ids, row.severity, row.probability) == ("SP2", ("SP2.a", "SP2"), Severity.HIGH, 0.9)
    assert (row.rationale, row.reasoning, row.usage, row.attempts) == ("sells followers", "because", TRACE.usage, 1)
    assert [(e.rule_id, e.start, e.end, e.message) for e in row.evidence] == [
        ("SP2.a", 3, 9, 0),
        ("SP2", None, None, None),
    ]


@pytest.mark.parametrize(
    ("verdict", "outcome", "probability"),
    [
        (Abstained(code=Code.UNSURE, detail="0.45 to 0.55", trace=TRACE, probability=0.5), Outcome.ABSTAINED, 0.5),
        (Failed(code=Code.TRUNCATED, detail="0.45 to 0.55", trace=TRACE), Outcome.FAILED, None),
    ],
)
def test_what_is_not_decided_has_no_violation_and_no_label(
    verdict: Verdict, outcome: Outcome, probability: float | None
) -> None:
    row = verdict_row("", verdict)
    assert row.outcome is outcome
    assert (row.violation, row.label, row.rule_ids, row.severity, row.action) == (None, None, (), None, None)
    assert (row.probability, row.detail) == (probability, "0.45 to 0.55")
    assert row.code is not None


@pytest.mark.parametrize("probability", [math.nan, math.inf, -0.1, 1.1])
def test_a_probability_outside_the_unit_interval_is_no_row(probability: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        verdict_row("1", Abstained(code=Code.UNSURE, detail="", trace=TRACE, probability=probability))


def test_a_row_without_a_field_cannot_be_read() -> None:
    values = verdict_row("1", Failed(code=Code.REFUSAL, detail="", trace=TRACE)).to_dict()
    assert VerdictRow.from_dict({**values, "lang": "en"}).id == "1"
    with pytest.raises(InputError, match="not a verdict row: usage"):
        VerdictRow.from_dict({name: value for name, value in values.items() if name != "usage"})
    with pytest.raises(InputError, match="not a verdict row: code"):
        VerdictRow.from_dict({**values, "code": "tired"})


def test_numbers_that_are_not_json_are_refused() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        json_line({"a": math.nan})


def test_content_is_named_by_its_text_or_by_its_messages() -> None:
    text = "Grüße"
    assert content_digest(Content.of_text(text)) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    chat = (Message(Role.USER, "a"), Message(Role.ASSISTANT, "b"))
    assert content_digest(Content(chat, Target.CHAT)) != content_digest(Content(chat, Target.USER))


def test_a_row_of_before_there_were_steps_is_read() -> None:
    values = verdict_row("1", Failed(code=Code.REFUSAL, detail="", trace=TRACE)).to_dict()
    del values["steps"]
    assert VerdictRow.from_dict(values).steps == ()


def test_a_step_of_before_there_were_votes_is_read() -> None:
    step = Step(
        stage="s", model="m", course=Course.CLEARED, probability=0.1, clear_below=0.2, flag_from=None, detail=""
    )
    values = verdict_row("1", Failed(code=Code.REFUSAL, detail="", trace=replace(TRACE, steps=(step,)))).to_dict()
    (written,) = cast("list[dict[str, object]]", values["steps"])
    del written["votes"]
    assert VerdictRow.from_dict(values).steps == (step,)
