"""What every classifier does."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from magistrate.case import Case
from magistrate.types import Verdict


class Classifier(Protocol):
    """Judge cases. One case is a batch of one; cases of several policies may be mixed in a batch.

    Constructors store; entering the context opens what is needed.
    """

    @property
    def name(self) -> str:
        """What judges, as the verdicts' `trace.model` names it."""
        ...

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """Judge each case: same length, same order. Never raises for one case."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class Repeatable(Classifier, Protocol):
    """A classifier that may answer the same case in another way when it is asked again."""

    async def judge_again(self, cases: Sequence[Case], turns: Sequence[int]) -> list[Verdict]:
        """Judge each case: same length, same order; equal cases with equal turns are the same question.

        Args:
            cases: As in `judge_many`.
            turns: One a case, from 0; each shifts the seed, so that no cache answers for another turn.
        """
        ...
