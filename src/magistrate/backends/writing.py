"""One prompt on its way through an engine that picks each token itself."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from magistrate.backends.engine import Generated, Prompt
from magistrate.types import FinishReason, TokenLogprob


class HeldAnswer(Protocol):
    """One answer on its way through its form."""

    @property
    def is_whole(self) -> bool:
        """Whether the form is filled, and only a stop can follow."""
        ...

    def take(self, token: int) -> None:
        """Go on by a token that was possible."""
        ...


Held = TypeVar("Held", bound=HeldAnswer)


@dataclass(slots=True, kw_only=True)
class Writing(Generic[Held]):
    """A prompt with what was added to it, until something stops it."""

    prompt: Prompt
    temperature: float
    chances: random.Random
    stops: frozenset[int]
    held: Held | None
    output: list[int] = field(default_factory=list[int])
    logprobs: list[tuple[TokenLogprob, ...]] = field(default_factory=list[tuple[TokenLogprob, ...]])
    finish: FinishReason | None = None
    stopped_by: int | None = None

    def take(self, token: int, alternatives: tuple[TokenLogprob, ...]) -> None:
        """Go on by a token, which may be the last."""
        if token in self.stops:
            self.finish, self.stopped_by = FinishReason.STOP, token
            return
        self.output.append(token)
        if self.prompt.top_logprobs:
            self.logprobs.append(alternatives)
        if self.held is not None:
            self.held.take(token)
            if self.held.is_whole:
                self.finish = FinishReason.STOP
                return
        if len(self.output) >= self.prompt.max_output_tokens:
            self.finish = FinishReason.LENGTH

    def generated(self) -> Generated:
        """What came of it."""
        return Generated(
            token_ids=tuple(self.output),
            finish_reason=self.finish or FinishReason.OTHER,
            stopped_by=self.stopped_by,
            logprobs=tuple(self.logprobs),
        )
