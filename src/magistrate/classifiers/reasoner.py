"""A model that is asked: a dialect to ask in, a backend to reach it, a ladder for answers that are no verdict."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from magistrate.backends.base import Backend
from magistrate.case import Case
from magistrate.classifiers.ladder import BUDGET_FACTOR, DEFAULT_LADDER, Ladder, lower_effort
from magistrate.dialects.base import Dialect
from magistrate.errors import BackendError, UsageError
from magistrate.types import (
    Attempt,
    CallFailure,
    Code,
    Completion,
    Constraint,
    Decided,
    Effort,
    Failed,
    Remedy,
    Request,
    Response,
    Sampling,
    Trace,
    Usage,
    Verdict,
)

_log = logging.getLogger(__name__)

TURN_APART = 1000
"""Seeds between two turns: more than a case has attempts."""


class Reasoner:
    """Judge cases by asking a model.

    A batch stays a batch: all cases are asked in one call of the backend, and each further round asks those that have
    no verdict yet. At the end of its ladder a case keeps its last failure; who looks at it then is for `enforce` or
    a cascade to say.
    """

    def __init__(
        self,
        dialect: Dialect,
        backend: Backend,
        *,
        effort: Effort | None = None,
        sampling: Sampling | None = None,
        ladder: Ladder = DEFAULT_LADDER,
        max_attempts: int = 3,
        constrained: bool = False,
    ) -> None:
        """Store what is needed; entering the context opens the backend.

        Args:
            dialect: How the model is asked.
            backend: How it is reached.
            effort: How long it may think; None leaves it to the server.
            sampling: Goes before what the dialect asks for, where it says something.
            ladder: What is tried for each code.
            max_attempts: Calls a case at the most, the first included.
            constrained: Hold answers to the form that the dialect asks for, where the backend can. Without it a
                model that does not keep to the form is seen, and asked again.

        Raises:
            BackendError: the backend cannot do what the dialect needs.
            UsageError: max_attempts is below 1.
        """
        if max_attempts < 1:
            raise UsageError(f"max_attempts must be at least 1, got {max_attempts!r}")
        if dialect.needs.token_ids and not backend.capabilities.token_ids:
            raise BackendError(
                f"dialect {dialect.name!r} renders tokens, and the backend takes only messages",
                hint="use the chat form of the same dialect, safeguard.*, with a server",
            )
        self._dialect = dialect
        self._backend = backend
        self._sampling = sampling or Sampling()
        self._effort = effort or self._sampling.effort
        self._ladder = ladder
        self._max_attempts = max_attempts
        self._constrained = constrained
        self._form_notes: dict[str, None] = {}

    @property
    def name(self) -> str:
        """The model."""
        return self._backend.model

    @property
    def notes(self) -> tuple[str, ...]:
        """What this pair of dialect and backend cannot do, in words for the user."""
        able = self._backend.capabilities
        notes: list[str] = []
        if self._dialect.needs.logprobs and not able.logprobs:
            notes.append(
                f"{self._dialect.name} gives probabilities from log-probabilities, which this backend does not report: "
                "verdicts come without a probability"
            )
        return (*notes, *self._form_notes)

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """Judge each case: same length, same order."""
        return await self.judge_again(cases, (0,) * len(cases))

    async def judge_again(self, cases: Sequence[Case], turns: Sequence[int]) -> list[Verdict]:
        """Judge each case: same length, same order; a turn above 0 asks with a seed of its own."""
        verdicts: dict[int, Verdict] = {}
        waiting = [self._first(place, case, turn) for place, (case, turn) in enumerate(zip(cases, turns, strict=True))]
        for attempt in range(1, self._max_attempts + 1):
            if not waiting:
                break
            responses = await self._backend.complete_many([asked.request for asked in waiting])
            if len(responses) != len(waiting):
                raise BackendError(f"the backend answered {len(responses)} of {len(waiting)} requests")
            still: list[_Asked] = []
            for asked, response in zip(waiting, responses, strict=True):
                verdict = self._read(asked.case, response)
                asked.record(verdict, response)
                if attempt < self._max_attempts and self._climb(asked, verdict, response):
                    still.append(asked)
                else:
                    verdicts[asked.place] = asked.settle(verdict)
            waiting = still
        return [verdicts[place] for place in range(len(cases))]

    async def __aenter__(self) -> Self:
        await self._backend.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._backend.__aexit__(kind, error, trace)

    def _first(self, place: int, case: Case, turn: int) -> _Asked:
        request = self._render(case, self._effort, turn)
        return _Asked(place=place, case=case, turn=turn, effort=self._effort, base=request, request=request)

    def _render(self, case: Case, effort: Effort | None, turn: int) -> Request:
        request = self._dialect.render(case.policy, case.content, effort=effort)
        ours, theirs = self._sampling, request.sampling
        top_logprobs = (ours.top_logprobs or theirs.top_logprobs) if self._backend.capabilities.logprobs else 0
        sampling = Sampling(
            max_output_tokens=theirs.max_output_tokens if ours.max_output_tokens is None else ours.max_output_tokens,
            temperature=theirs.temperature if ours.temperature is None else ours.temperature,
            seed=_seed(theirs.seed if ours.seed is None else ours.seed, turn),
            effort=theirs.effort,
            top_logprobs=top_logprobs,
        )
        constraint = self._form_of(request)
        if (sampling, constraint) == (theirs, request.constraint):
            return request
        return replace(request, sampling=sampling, constraint=constraint)

    def _form_of(self, request: Request) -> Constraint | None:
        """What the answer is held to; where it is wanted and cannot be had, the user is told."""
        if not self._constrained:
            return None
        if request.constraint is None:
            self._note_form(f"{self._dialect.name} names no form that answers could be held to: they are free")
        elif not self._backend.capabilities.constrained:
            self._note_form("the backend cannot hold answers to a form: they are free, and read as they come")
            return None
        return request.constraint

    def _note_form(self, text: str) -> None:
        if text not in self._form_notes:
            self._form_notes[text] = None
            _log.warning("%s: %s", self.name, text)

    def _read(self, case: Case, response: Response) -> Verdict:
        if isinstance(response, Completion):
            return self._dialect.parse(case.policy, response)
        trace = Trace(
            policy=case.policy.name,
            policy_digest=case.policy.digest,
            model=response.model,
            dialect=self._dialect.name,
            latency_ms=response.latency_ms,
            usage=response.usage,
        )
        return Failed(code=response.code, detail=response.detail, trace=trace)

    def _climb(self, asked: _Asked, verdict: Verdict, response: Response) -> bool:
        """Prepare the next attempt; False where the ladder has no rung left."""
        if not isinstance(verdict, Failed):
            return False
        remedies = self._ladder.get(verdict.code, ())
        tried = asked.tried.get(verdict.code, 0)
        for place, remedy in enumerate(remedies[tried:], tried + 1):
            request = self._apply(remedy, asked, verdict.code, response)
            if request is not None:
                asked.request, asked.remedy = request, remedy
                asked.tried[verdict.code] = place
                return True
        return False

    def _apply(self, remedy: Remedy, asked: _Asked, code: Code, response: Response) -> Request | None:
        """The request of a remedy; None where it would change nothing."""
        match remedy:
            case Remedy.LARGER_BUDGET:
                return self._with_larger_budget(asked)
            case Remedy.LOWER_EFFORT:
                return self._with_lower_effort(asked)
            case Remedy.REPAIR_PROMPT:
                if isinstance(response, CallFailure):
                    return None
                return self._dialect.repair(asked.case.policy, asked.base, response, code)
            case Remedy.SAME_AGAIN:
                # Another seed, or a cache and a server that samples the same way would answer the same.
                seed = (asked.base.sampling.seed or 0) + len(asked.attempts)
                return replace(asked.base, sampling=replace(asked.base.sampling, seed=seed))

    def _with_larger_budget(self, asked: _Asked) -> Request | None:
        budget = asked.base.sampling.max_output_tokens
        if budget is None:
            return None
        larger = budget * BUDGET_FACTOR
        context = self._backend.capabilities.context_tokens
        if context is not None:
            larger = min(larger, context)
        if larger <= budget:
            return None
        asked.base = replace(asked.base, sampling=replace(asked.base.sampling, max_output_tokens=larger))
        return asked.base

    def _with_lower_effort(self, asked: _Asked) -> Request | None:
        lower = lower_effort(asked.effort)
        if lower is None:
            return None
        request = self._render(asked.case, lower, asked.turn)
        budget = asked.base.sampling.max_output_tokens
        request = replace(request, sampling=replace(request.sampling, max_output_tokens=budget))
        if request == asked.base:
            return None
        asked.effort, asked.base = lower, request
        return request


def _seed(seed: int | None, turn: int) -> int | None:
    """The first turn leaves the choice to the server where nothing is said; attempts of two turns never meet."""
    return seed if turn == 0 else (seed or 0) + turn * TURN_APART


@dataclass(slots=True, kw_only=True)
class _Asked:
    """One case on its way: the only thing here that changes, and the only one that holds content."""

    place: int
    case: Case
    turn: int
    effort: Effort | None
    base: Request
    """The request without repairs, with the budget and effort of the moment."""
    request: Request
    """What is sent next."""
    remedy: Remedy | None = None
    tried: dict[Code, int] = field(default_factory=dict[Code, int])
    """How many rungs of each code's ladder are behind."""
    attempts: list[Attempt] = field(default_factory=list[Attempt])

    def record(self, verdict: Verdict, response: Response) -> None:
        code = None if isinstance(verdict, Decided) else verdict.code
        self.attempts.append(
            Attempt(code=code, remedy=self.remedy, latency_ms=response.latency_ms, usage=response.usage)
        )

    def settle(self, verdict: Verdict) -> Verdict:
        """The verdict with all calls in its trace."""
        if len(self.attempts) == 1:
            return verdict
        trace = replace(
            verdict.trace,
            attempts=tuple(self.attempts),
            latency_ms=sum(attempt.latency_ms for attempt in self.attempts),
            usage=sum((attempt.usage for attempt in self.attempts), Usage()),
        )
        return replace(verdict, trace=trace)
