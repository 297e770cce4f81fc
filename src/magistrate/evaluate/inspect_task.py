"""What an exported Inspect task asks of magistrate: how content is put to a model, read, and measured.

Nothing here imports `inspect_ai`. The exported file does, and passes plain values; see `inspect_export`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from magistrate.dialects.base import Dialect
from magistrate.dialects.registry import dialect_named
from magistrate.errors import InputError, UsageError
from magistrate.evaluate.judged import Judged, cluster_numbers
from magistrate.evaluate.measure import measure
from magistrate.policy.model import Policy
from magistrate.types import (
    Abstained,
    Code,
    Completion,
    Content,
    Decided,
    Effort,
    Failed,
    FinishReason,
    Message,
    Request,
    Role,
    Target,
    Verdict,
)

VIOLATION, ALLOWED = "violation", "allowed"
"""The two targets of a sample."""
FINISH_REASONS = MappingProxyType(
    {
        "stop": FinishReason.STOP,
        "max_tokens": FinishReason.LENGTH,
        "model_length": FinishReason.LENGTH,
        "content_filter": FinishReason.CONTENT_FILTER,
    }
)
"""By the stop reasons of Inspect; every other one is OTHER."""
REASONS = MappingProxyType(
    {
        Code.REFUSAL: "refusal",
        Code.CONTENT_FILTERED: "refusal",
        Code.EMPTY_ANSWER: "no_response",
        Code.ECHOED_TEMPLATE: "invalid_response_format",
        Code.ANSWERED_CONTENT: "invalid_response_format",
        Code.UNKNOWN_LABEL: "invalid_response_format",
        Code.CONTRADICTORY: "invalid_response_format",
        Code.MALFORMED: "invalid_response_format",
    }
)
"""Inspect's standard reasons for what is not scored; every other code stands for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTask:
    """A policy, and how a model is asked about it."""

    policy: Policy
    dialect: Dialect
    effort: Effort | None = None

    @classmethod
    def load(cls, file: Path, *, name: str, digest: str, dialect: str, effort: str | None = None) -> PolicyTask:
        """Read an exported policy.

        Raises:
            InputError: the file is not the policy that was exported.
            UsageError: no such dialect or effort, or a dialect that renders tokens, which Inspect does not take.
            PolicyError: the file cannot be read.
        """
        policy = Policy.read(file, name=name)
        if policy.digest != digest:
            raise InputError(
                f"{str(file)!r} is another policy ({policy.digest[:19]}) than the one exported ({digest[:19]})",
                hint="export it again: the golden set belongs to the wording",
            )
        return cls(policy=policy, dialect=chat_dialect(dialect), effort=None if effort is None else Effort(effort))

    def request(self, content: Content) -> Request:
        """Put content to a model, in its fence."""
        return self.dialect.render(self.policy, content, effort=self.effort)

    def verdict(self, completion: Completion) -> Verdict:
        """Read an answer."""
        return self.dialect.parse(self.policy, completion)


def chat_dialect(name: str) -> Dialect:
    """A dialect that chat messages are enough for.

    Raises:
        UsageError: there is none of that name, or it renders tokens itself.
    """
    dialect = dialect_named(name)
    if dialect.needs.token_ids:
        raise UsageError(f"{name} renders tokens, and Inspect sends messages", hint="use the safeguard dialect")
    return dialect


def content_of(text: str, metadata: Mapping[str, object]) -> Content:
    """The content of a sample, from its input and its metadata, exactly as it was exported.

    Raises:
        InputError: the metadata is not that of an exported sample.
    """
    judged, messages = metadata.get("judged"), metadata.get("messages")
    if judged == Target.TEXT.value:
        return Content.of_text(text)
    if not isinstance(messages, list) or not isinstance(judged, str):
        raise InputError("the sample has no content that was exported by magistrate", hint="export the task again")
    return Content.of_chat([_message(message) for message in messages], Target(judged))


def _message(value: object) -> Message:
    match value:
        case {"role": str(role), "content": str(content)}:
            return Message(Role(role), content)
        case _:
            raise InputError(f"no message: {value!r:.60}", hint="export the task again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What became of a sample, as plain values."""

    right: bool | None
    """Whether the verdict is the golden one; None where there is none, which is not scored at all."""
    answer: str | None
    reason: str | None
    """Why it is not scored."""
    explanation: str
    metadata: dict[str, object]
    """What `figures` needs, and what a reader wants to see."""


def scored(verdict: Verdict, target: str, metadata: Mapping[str, object], sample_id: object) -> Scored:
    """Hold a verdict against the target of its sample.

    Raises:
        InputError: the target is not one of an exported sample.
    """
    if target not in (VIOLATION, ALLOWED):
        raise InputError(f"the target is {target!r:.60}; allowed: {VIOLATION}, {ALLOWED}", hint="export the task again")
    golden = target == VIOLATION
    known = {"golden": golden, "cluster": str(metadata.get("cluster") or sample_id)}
    match verdict:
        case Decided():
            said = {"judged": verdict.violation, "probability": verdict.probability, "label": verdict.label}
            return Scored(
                right=verdict.violation is golden,
                answer=VIOLATION if verdict.violation else ALLOWED,
                reason=None,
                explanation=verdict.rationale or ", ".join(verdict.rule_ids),
                metadata={**known, "outcome": "decided", **said, "rule_ids": list(verdict.rule_ids)},
            )
        case Abstained() | Failed():
            outcome = "abstained" if isinstance(verdict, Abstained) else "failed"
            return Scored(
                right=None,
                answer=None,
                reason=REASONS.get(verdict.code, verdict.code.value),
                explanation=f"{verdict.code.value}: {verdict.detail}",
                metadata={**known, "outcome": outcome, "code": verdict.code.value},
            )
        case _:
            assert_never(verdict)


def figures(scores: Sequence[Mapping[str, object]]) -> dict[str, float | None]:
    """Every figure over decided samples, each with its 95 % bounds as `_low` and `_high`.

    A figure that the samples do not define is None, which Inspect leaves out. Epochs of one sample, and samples of
    one cluster, are not taken for independent.

    Args:
        scores: The metadata that `scored` made, of decided samples.
    """
    probabilities = [score.get("probability") for score in scores]
    judged = Judged(
        truth=np.array([score["golden"] is True for score in scores], np.bool_),
        flagged=np.array([score["judged"] is True for score in scores], np.bool_),
        decided=np.ones(len(scores), np.bool_),
        probability=np.array([p if isinstance(p, float) else np.nan for p in probabilities], np.float64),
        clusters=_clusters([str(score["cluster"]) for score in scores]),
    )
    made: dict[str, float | None] = {}
    for estimate in measure(judged).estimates:
        name = estimate.metric.value.lower().replace(" ", "_").replace("-", "_")
        bounds = estimate.interval
        made[name] = estimate.value
        made[f"{name}_low"] = None if bounds is None else bounds.low
        made[f"{name}_high"] = None if bounds is None else bounds.high
    return made


def _clusters(names: Sequence[str]) -> NDArray[np.int64] | None:
    return None if len(set(names)) == len(names) else cluster_numbers(np.array(names, np.str_))
