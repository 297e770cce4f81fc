"""What every backend does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from magistrate.types import Request, Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do; checked when a judge is built, not at the first request."""

    logprobs: bool = False
    token_ids: bool = False
    """Takes `Request.token_ids`."""
    effort: bool = False
    constrained: bool = False
    """Enforces `Request.constraint`, on the answer alone."""
    context_tokens: int | None = None


class Backend(Protocol):
    """Answer requests. Constructors store; entering the context opens connections or loads weights.

    Wrappers (retry, cache, record) are backends around a backend: they enter and leave it with themselves.
    """

    @property
    def model(self) -> str:
        """The model that answers, as the provider names it."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this backend can do."""
        ...

    async def complete_many(self, requests: Sequence[Request]) -> list[Response]:
        """Answer each: same length, same order, a `CallFailure` where no answer was had. Never raises for one."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
