"""The values that everything passes: content, requests, completions and verdicts.

All are frozen. The one flow is `Case -> Verdict`, where `Verdict = Decided | Abstained | Failed`:
consumers `match` on it and end in `assert_never`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """Who speaks in a chat."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat, or of a request to a model."""

    role: Role
    content: str


class Target(StrEnum):
    """Which part of the content is judged; the rest is context."""

    TEXT = "text"
    """A single text that is not a chat."""
    USER = "user"
    """The last user message of a chat."""
    ASSISTANT = "assistant"
    """The last assistant message of a chat."""
    CHAT = "chat"
    """The whole chat."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is judged: one text, or a chat of which a part is judged.

    Invariant: at least one message; `Target.TEXT` has exactly one; `USER` and `ASSISTANT` have one of that role.
    """

    messages: tuple[Message, ...]
    target: Target

    def __post_init__(self) -> None:
        if not self.messages:
            raise ValueError("content needs at least one message, got none")
        if self.target is Target.TEXT and len(self.messages) != 1:
            raise ValueError(f"a text is one message, got {len(self.messages)}")
        if self.target in (Target.USER, Target.ASSISTANT) and self.judged_index is None:
            raise ValueError(f"target {self.target.value!r} needs a message of that role, got none")

    @classmethod
    def of_text(cls, text: str) -> Content:
        """Wrap one text."""
        return cls((Message(Role.USER, text),), Target.TEXT)

    @classmethod
    def of_chat(cls, messages: Sequence[Message], target: Target = Target.CHAT) -> Content:
        """Wrap a chat."""
        return cls(tuple(messages), target)

    @property
    def judged_index(self) -> int | None:
        """Position of the one message under judgement; None when the whole chat is."""
        if self.target is Target.TEXT:
            return 0
        if self.target is Target.CHAT:
            return None
        role = Role(self.target.value)
        return max((i for i, m in enumerate(self.messages) if m.role is role), default=None)

    @property
    def judged(self) -> tuple[Message, ...]:
        """The messages under judgement, in order."""
        index = self.judged_index
        return self.messages if index is None else (self.messages[index],)


class Effort(StrEnum):
    """How long a reasoner may think."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Severity(StrEnum):
    """How grave a violation is, lowest first. Numbered policies map 1..4 onto the four (0 is no violation)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    SEVERE = "severe"


class Code(StrEnum):
    """Why a case was not decided."""

    # Abstained: the judge works, and will not say.
    UNSURE = "unsure"
    """The probability is inside the abstention band."""
    ESCALATED = "escalated"
    """The policy or the model sends this case to a person."""

    # Failed: what the model said is not a verdict.
    EMPTY_ANSWER = "empty_answer"
    TRUNCATED = "truncated"
    """Cut off by the token budget, in the reasoning or in the answer."""
    REFUSAL = "refusal"
    ECHOED_TEMPLATE = "echoed_template"
    ANSWERED_CONTENT = "answered_content"
    """The model did what the content asks instead of judging it."""
    UNKNOWN_LABEL = "unknown_label"
    CONTRADICTORY = "contradictory"
    """Two different verdicts in one answer, or fields that disagree."""
    MALFORMED = "malformed"
    """JSON was asked for and what came cannot be read as the format."""

    # Failed: no answer was had.
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNREACHABLE = "unreachable"
    REJECTED = "rejected"
    """The server will never take this request: 400, 401, 403, 404, 422."""
    TOO_LONG = "too_long"
    """Policy and content do not fit the model's context."""
    CONTENT_FILTERED = "content_filtered"
    """The provider's own filter stopped the answer."""
    NOT_RECORDED = "not_recorded"
    """A replay was asked for a request that it does not hold."""

    # Failed: there was nothing to judge.
    BAD_INPUT = "bad_input"
    """The row of an input file cannot be read as content."""


ABSTENTIONS = frozenset({Code.UNSURE, Code.ESCALATED})
RETRYABLE = frozenset({Code.TIMEOUT, Code.RATE_LIMITED, Code.SERVER_ERROR, Code.UNREACHABLE})
"""Failures of a call that may pass when the same request is sent again."""


class FinishReason(StrEnum):
    """Why a model stopped. `LENGTH` can never become `Decided`."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a verdict cost. Sums over all attempts; None where the backend does not tell."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    calls: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            _sum_known(self.input_tokens, other.input_tokens),
            _sum_known(self.output_tokens, other.output_tokens),
            _sum_known(self.reasoning_tokens, other.reasoning_tokens),
            self.calls + other.calls,
        )


def _sum_known(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else a + b


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a model is asked to sample. None leaves the choice to the server."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    effort: Effort | None = None
    top_logprobs: int = 0
    """How many alternatives of the first answer token to report; 0 for none."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The answer is one of these words and nothing else."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """The answer is one JSON value of this schema."""

    schema: str
    """The schema as JSON text."""


AnswerForm = Choices | JsonSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """What the answer can be at all, where an engine can enforce it. The reasoning before it stays free."""

    form: AnswerForm
    after: tuple[int, ...] = ()
    """Tokens behind which the answer begins, for `Request.token_ids`; empty where the model does not reason first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call to a model. Two equal requests may be answered from one cache entry."""

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    token_ids: tuple[int, ...] | None = None
    """The whole prompt as tokens, for engines in process; None where the server renders `messages`."""
    stop_token_ids: tuple[int, ...] = ()
    constraint: Constraint | None = None
    """None asks for nothing to be enforced; a backend without `Capabilities.constrained` must not be given one."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One alternative of the first answer token."""

    token: str
    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a model answered: the final channel and the reasoning apart, never mixed."""

    final: str
    reasoning: str = ""
    finish_reason: FinishReason
    model: str
    usage: Usage = Usage(calls=1)
    latency_ms: float = 0.0
    first_token: tuple[TokenLogprob, ...] = ()
    """Alternatives of the first token of `final`, most likely first; empty where not reported."""
    token_ids: tuple[int, ...] = ()
    """The output as tokens, from engines in process that leave the channels to the dialect; `final` is then unread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailure:
    """A call without an answer. A value, not an exception: one bad call must not lose its batch."""

    code: Code
    detail: str
    model: str
    retry_after_s: float | None = None
    usage: Usage = Usage(calls=1)
    latency_ms: float = 0.0

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code in RETRYABLE


Response = Completion | CallFailure


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of one judged message: `text[start:end]` of `content.judged[message]`."""

    start: int
    end: int
    message: int = 0


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """How strongly one rule speaks for a case, and the piece of content that it rests on."""

    rule_id: str
    score: float
    span: Span | None = None


class Remedy(StrEnum):
    """A rung of the retry ladder."""

    SAME_AGAIN = "same_again"
    LARGER_BUDGET = "larger_budget"
    LOWER_EFFORT = "lower_effort"
    REPAIR_PROMPT = "repair_prompt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call on the way to a verdict: what came of it, and by which remedy it was made."""

    code: Code | None
    """None for the attempt that decided."""
    remedy: Remedy | None
    """None for the first attempt."""
    latency_ms: float
    usage: Usage


class Course(StrEnum):
    """What a stage of a cascade made of a case."""

    CLEARED = "cleared"
    """Decided here: no violation."""
    FLAGGED = "flagged"
    """Decided here: a violation."""
    ESCALATED = "escalated"
    """Left to the next stage."""
    AUDITED = "audited"
    """Would have been cleared, and was drawn to be reasoned over anyway."""
    DENIED = "denied"
    """Not asked: the budget went elsewhere, and the case was decided by what earlier stages said."""
    UNDECIDED = "undecided"
    """The last stage gave no verdict."""
    REUSED = "reused"
    """Answered by the verdict on the same, or nearly the same, content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteCount:
    """What a stage that was asked several times said: first verdict, repeats and other wordings together."""

    violation: int
    no_violation: int
    undecided: int
    """Abstained or failed: no vote for either side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one stage of a cascade did with a case, and why."""

    stage: str
    model: str
    course: Course
    probability: float | None
    """Of a violation, calibrated where the stage has a calibrator; None where the stage gave none."""
    clear_below: float | None
    """The stage clears below this; None where it never clears."""
    flag_from: float | None
    """The stage flags from this on; None where it never flags."""
    detail: str
    """Why, in words."""
    latency_ms: float = 0.0
    """Of all votes together."""
    usage: Usage = Usage()
    """Of all votes together."""
    votes: VoteCount | None = None
    """None where the stage was asked once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Where a verdict comes from: everything that changes it has an identity here."""

    policy: str
    policy_digest: str
    model: str
    dialect: str
    """Name with version of the dialect, or of the embedded matcher."""
    latency_ms: float = 0.0
    usage: Usage = Usage()
    reasoning: str = ""
    """The analysis channel. Not a source of the verdict; it may be wrong about the policy."""
    answer: str = ""
    """The final channel as it came."""
    attempts: tuple[Attempt, ...] = ()
    """All calls in order; empty where a single call answered."""
    steps: tuple[Step, ...] = ()
    """What each stage of a cascade did, in order; empty where one judge decided alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The judge says whether the policy is violated."""

    violation: bool
    label: str
    rule_ids: tuple[str, ...]
    """Ids that exist in the policy, the deciding one first."""
    severity: Severity | None
    probability: float | None
    """Of a violation, in [0, 1]; None where the judge gives none."""
    rationale: str
    trace: Trace
    evidence: tuple[RuleMatch, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Abstained:
    """The judge works and will not say: unsure, or the policy asks for a person."""

    code: Code
    detail: str
    trace: Trace
    probability: float | None = None
    evidence: tuple[RuleMatch, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """There is no verdict, and why. Never allowed, never a violation: `enforce` decides what follows."""

    code: Code
    detail: str
    trace: Trace


Verdict = Decided | Abstained | Failed
