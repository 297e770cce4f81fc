"""A stage whose server may be down: the cascade opens without it, says so, and uses it as soon as it is back."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import anyio

from magistrate.case import Case
from magistrate.classifiers.base import Repeatable
from magistrate.errors import UnreachableError
from magistrate.types import Code, Failed, Trace, Usage, Verdict

_log = logging.getLogger(__name__)

AGAIN_S = 30.0
"""Between two tries to open: a dead address may take the whole connection limit each time."""
DIALECT = "standby.v1"

Probe = Callable[[], Awaitable[None]]
"""Asks a server for a sign of life; raises UnreachableError where there is none."""


class Standby:
    """Judge with a classifier that may not open yet.

    While it cannot be opened, every case is `Failed(UNREACHABLE)`: never a verdict for either side. Whatever else is
    wrong with it (no key, no such model) is raised on entering, as without this.
    """

    def __init__(
        self,
        inner: Repeatable,
        label: str,
        *,
        probe: Probe | None = None,
        again_s: float = AGAIN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Store what is needed.

        Args:
            inner: The classifier.
            label: What the user calls it.
            probe: Asked once on entering, where opening does not connect by itself; its failure is told, no more.
            again_s: Seconds between two tries to open.
            clock: Seconds.
        """
        self._inner = inner
        self._label = label
        self._probe = probe
        self._again_s = again_s
        self._clock = clock
        self._opened: AsyncExitStack | None = None
        self._opening = anyio.Lock()
        self._tried = 0.0
        self._notes: dict[str, None] = {}

    @property
    def name(self) -> str:
        """The model; what the user calls it until its server has told."""
        return self._inner.name or self._label

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know: that the server could not be reached, and that it came back."""
        return tuple(self._notes)

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """Judge each case, or fail each while there is no server."""
        return await self.judge_again(cases, (0,) * len(cases))

    async def judge_again(self, cases: Sequence[Case], turns: Sequence[int]) -> list[Verdict]:
        """As `judge_many`, with the turns of `Repeatable`."""
        if await self._is_open():
            return await self._inner.judge_again(cases, turns)
        return [self._failed(case) for case in cases]

    async def __aenter__(self) -> Self:
        self._opening = anyio.Lock()
        self._notes.clear()
        await self._open()
        if self._opened is not None and self._probe is not None:
            try:
                await self._probe()
            except UnreachableError as error:
                self._note(f"{error.message}: until it is there, what is escalated to it comes back as failed")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.__aexit__(kind, error, trace)

    async def _is_open(self) -> bool:
        if self._opened is None:
            async with self._opening:
                await self._open_again()
        return self._opened is not None

    async def _open_again(self) -> None:
        """Try once more where it is time to, unless another task has opened it meanwhile."""
        if self._opened is None and self._clock() - self._tried >= self._again_s:
            await self._open()
            if self._opened is not None:
                self._note("it can be reached now")

    async def _open(self) -> None:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._inner)
            except UnreachableError as error:
                self._note(f"{error.message}: until it is there, what is escalated to it comes back as failed")
            else:
                self._opened = stack.pop_all()
        self._tried = self._clock()

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes[text] = None
            _log.warning("%s: %s", self._label, text)

    def _failed(self, case: Case) -> Failed:
        trace = Trace(
            policy=case.policy.name,
            policy_digest=case.policy.digest,
            model=self.name,
            dialect=DIALECT,
            usage=Usage(),
        )
        # Rows may go to those who need not know where the server is: the address is in the warning alone.
        return Failed(code=Code.UNREACHABLE, detail="the server of this stage cannot be reached", trace=trace)
