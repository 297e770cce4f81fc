"""The one form of a verdict outside the process: batch output, `--json`, log export."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

from magistrate.digest import Digest, text_digest, value_digest
from magistrate.errors import InputError
from magistrate.types import (
    Abstained,
    Code,
    Content,
    Decided,
    Failed,
    RuleMatch,
    Severity,
    Step,
    Target,
    Trace,
    Usage,
    Verdict,
    VoteCount,
)

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class Outcome(StrEnum):
    """Which of the three verdicts a row holds."""

    DECIDED = "decided"
    ABSTAINED = "abstained"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A rule that speaks for the verdict, and the piece of content that it rests on."""

    rule_id: str
    score: float
    start: int | None
    """`text[start:end]` of judged message `message`; all three None where no piece is named."""
    end: int | None
    message: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """A verdict as a flat row. All text is valid Unicode; all numbers are finite."""

    id: str
    """The user's id of the case."""
    policy: str
    policy_digest: str
    outcome: Outcome
    code: Code | None
    """Why it abstained or failed; None when decided."""
    violation: bool | None
    """None unless decided."""
    label: str | None
    rule_ids: tuple[str, ...]
    """The deciding rule first."""
    severity: Severity | None
    probability: float | None
    """Of a violation, in [0, 1]; None where there is none."""
    rationale: str
    reasoning: str
    model: str
    latency_ms: float
    usage: Usage
    action: str | None
    """What follows from the verdict; None where nothing was asked to follow."""
    dialect: str
    detail: str
    """What is behind `code`; empty when decided."""
    attempts: int
    """Calls on the way to the verdict; 0 where no model was called."""
    evidence: tuple[Evidence, ...]
    steps: tuple[Step, ...] = ()
    """What each stage of a cascade did; empty where one judge decided alone, and in rows of older versions."""

    def to_dict(self) -> dict[str, object]:
        """The row as plain values, ready for JSON, in the order of the fields."""
        return {
            "id": self.id,
            "policy": self.policy,
            "policy_digest": self.policy_digest,
            "outcome": self.outcome.value,
            "code": None if self.code is None else self.code.value,
            "violation": self.violation,
            "label": self.label,
            "rule_ids": list(self.rule_ids),
            "severity": None if self.severity is None else self.severity.value,
            "probability": self.probability,
            "rationale": self.rationale,
            "reasoning": self.reasoning,
            "model": self.model,
            "latency_ms": self.latency_ms,
            "usage": _usage_dict(self.usage),
            "action": self.action,
            "dialect": self.dialect,
            "detail": self.detail,
            "attempts": self.attempts,
            "evidence": [{name: getattr(e, name) for name in EVIDENCE_FIELDS} for e in self.evidence],
            "steps": [_step_dict(step) for step in self.steps],
        }

    def to_json(self) -> str:
        """The row as one line of JSON."""
        return json_line(self.to_dict())

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> VerdictRow:
        """Read a row back; other keys (columns that were passed through) are ignored.

        Raises:
            InputError: a field is missing or has a wrong value.
        """
        from pydantic import ValidationError

        try:
            return _row_adapter().validate_python(values)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise InputError(
                f"not a verdict row: {field}: {first['msg']}", hint=f"a verdict row has {', '.join(ROW_FIELDS)}"
            ) from error


ROW_FIELDS = tuple(f.name for f in fields(VerdictRow))
USAGE_FIELDS = tuple(f.name for f in fields(Usage))
VOTE_FIELDS = tuple(f.name for f in fields(VoteCount))
EVIDENCE_FIELDS = tuple(f.name for f in fields(Evidence))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A verdict row with what only the decision log keeps."""

    row: VerdictRow
    content: Content
    answer: str = ""
    """The final channel as it came."""
    uid: str | None = None
    """A decision replaces the one with the same uid; None for a decision of its own."""


def verdict_row(case_id: str, verdict: Verdict, *, action: str | None = None) -> VerdictRow:
    """Flatten a verdict.

    Args:
        case_id: The user's id of the case; may be empty.
        verdict: Any verdict.
        action: What follows from it, as `enforce` says.

    Raises:
        ValueError: a number is not finite or a probability is outside [0, 1]: the judge breaks its contract.
    """
    match verdict:
        case Decided():
            return _row(
                case_id,
                verdict.trace,
                outcome=Outcome.DECIDED,
                action=action,
                violation=verdict.violation,
                label=verdict.label,
                rule_ids=verdict.rule_ids,
                severity=verdict.severity,
                probability=verdict.probability,
                rationale=verdict.rationale,
                evidence=verdict.evidence,
            )
        case Abstained():
            return _row(
                case_id,
                verdict.trace,
                outcome=Outcome.ABSTAINED,
                action=action,
                code=verdict.code,
                detail=verdict.detail,
                probability=verdict.probability,
                evidence=verdict.evidence,
            )
        case Failed():
            return _row(
                case_id,
                verdict.trace,
                outcome=Outcome.FAILED,
                action=action,
                code=verdict.code,
                detail=verdict.detail,
            )
        case _:
            assert_never(verdict)


def content_digest(content: Content) -> Digest:
    """Name content: a text by its own digest, so that `sha256sum` of the text finds it; a chat by its messages."""
    return text_digest(content.messages[0].content) if content.target is Target.TEXT else value_digest(content)


def valid_text(text: str) -> str:
    """Join surrogate pairs and put U+FFFD for lone surrogates, so that every UTF-8 writer takes the text."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def json_line(values: Mapping[str, object]) -> str:
    """Encode as JSON that is one line for every reader, also those that split at U+2028 or U+0085.

    Raises:
        ValueError: a number is not finite.
    """
    line = valid_text(json.dumps(values, ensure_ascii=False, allow_nan=False))
    if not line.isascii():
        for character, escaped in _LINE_BREAKS:
            line = line.replace(character, escaped)
    return line


_LINE_BREAKS = (("\u0085", "\\u0085"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


def _row(
    case_id: str,
    trace: Trace,
    *,
    outcome: Outcome,
    action: str | None,
    code: Code | None = None,
    detail: str = "",
    violation: bool | None = None,
    label: str | None = None,
    rule_ids: Iterable[str] = (),
    severity: Severity | None = None,
    probability: float | None = None,
    rationale: str = "",
    evidence: Iterable[RuleMatch] = (),
) -> VerdictRow:
    return VerdictRow(
        id=valid_text(case_id),
        policy=valid_text(trace.policy),
        policy_digest=trace.policy_digest,
        outcome=outcome,
        code=code,
        violation=violation,
        label=None if label is None else valid_text(label),
        rule_ids=tuple(valid_text(rule_id) for rule_id in rule_ids),
        severity=severity,
        probability=_probability(probability),
        rationale=valid_text(rationale),
        reasoning=valid_text(trace.reasoning),
        model=valid_text(trace.model),
        latency_ms=_finite(trace.latency_ms, "latency_ms"),
        usage=trace.usage,
        action=action,
        dialect=valid_text(trace.dialect),
        detail=valid_text(detail),
        attempts=len(trace.attempts) or min(trace.usage.calls, 1),
        evidence=tuple(_evidence(match) for match in evidence),
        steps=tuple(_step(step) for step in trace.steps),
    )


def _step(step: Step) -> Step:
    return replace(
        step,
        stage=valid_text(step.stage),
        model=valid_text(step.model),
        probability=_probability(step.probability),
        detail=valid_text(step.detail),
        latency_ms=_finite(step.latency_ms, "latency_ms of a step"),
    )


def _step_dict(step: Step) -> dict[str, object]:
    return {
        "stage": step.stage,
        "model": step.model,
        "course": step.course.value,
        "probability": step.probability,
        "clear_below": step.clear_below,
        "flag_from": step.flag_from,
        "detail": step.detail,
        "latency_ms": step.latency_ms,
        "usage": _usage_dict(step.usage),
        "votes": None if step.votes is None else {name: getattr(step.votes, name) for name in VOTE_FIELDS},
    }


def _usage_dict(usage: Usage) -> dict[str, object]:
    return {name: getattr(usage, name) for name in USAGE_FIELDS}


def _evidence(match: RuleMatch) -> Evidence:
    return Evidence(
        rule_id=valid_text(match.rule_id),
        score=_finite(match.score, "score"),
        start=None if match.span is None else match.span.start,
        end=None if match.span is None else match.span.end,
        message=None if match.span is None else match.span.message,
    )


def _probability(value: float | None) -> float | None:
    if value is not None and not 0.0 <= value <= 1.0:
        raise ValueError(f"a probability of {value!r}; allowed: 0 to 1, or None")
    return None if value is None else float(value)


def _finite(value: float, name: str) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a finite number")
    return float(value)


@functools.cache
def _row_adapter() -> TypeAdapter[VerdictRow]:
    from pydantic import TypeAdapter  # costs more than all else here, and most callers never read rows back

    return TypeAdapter(VerdictRow)
