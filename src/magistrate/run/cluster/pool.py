"""Replicas that judge for one driver: the least busy one is asked; a dead one is waited for, and its cases asked again.

A case that kills its replica must not take the batch with it, and a replica that was killed from outside must not cost
a verdict. So the cases of a call that ended in a death are asked again with nothing else in that replica, then in
halves; a case that kills a replica `ALONE_TRIES` times with nothing else in it is given up, and only that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from magistrate.errors import BackendError
from magistrate.run.cluster.replica import Asked, Ready, Refusal
from magistrate.run.cluster.session import Worker, WorkerDiedError
from magistrate.types import Verdict

ALONE_TRIES = 2


@dataclass(frozen=True, slots=True)
class Lost:
    """A case without a verdict: who judged it died of it."""

    detail: str


@dataclass(slots=True, eq=False)
class _Seat:
    """A replica and who is with it. The only thing here that changes."""

    worker: Worker
    is_open: bool = False
    under_way: int = 0
    reserved: bool = False
    """Kept for one call alone."""


class Pool:
    """Asks replicas, at most `calls` at once each."""

    def __init__(self, workers: Sequence[Worker], *, calls: int, version: str) -> None:
        """Store what is needed.

        Args:
            workers: Started, at least one.
            calls: Under way at once in each.
            version: Of magistrate here; replicas of another one are refused.
        """
        self._seats = [_Seat(worker) for worker in workers]
        self._calls = calls
        self._version = version
        self._changed = asyncio.Condition()
        self._suspects = asyncio.Lock()
        self._openings: set[asyncio.Task[None]] = set()
        self._refusal: BackendError | None = None
        self.name = ""
        """Of the classifier, once a replica is open."""

    async def open(self) -> None:
        """Begin to open all replicas, and wait for the first.

        Raises:
            BackendError: none can be opened.
        """
        for seat in self._seats:
            self._open(seat)
        async with self._changed:
            await self._changed.wait_for(lambda: self._refusal is not None or self._open_seats())
        self._check()

    async def close(self) -> None:
        """End all replicas."""
        for task in self._openings:
            task.cancel()
        await asyncio.gather(*self._openings, return_exceptions=True)
        await asyncio.gather(*(seat.worker.close() for seat in self._open_seats()))

    async def judge(self, asked: Sequence[Asked]) -> list[Verdict | Lost]:
        """Judge cases: same length, same order.

        Raises:
            BackendError: a replica refuses, or none is left.
        """
        try:
            async with self._seat() as seat:
                return [*await self._ask(seat, asked)]
        except WorkerDiedError:
            async with self._suspects:
                return await self._judge_alone(asked)

    async def _judge_alone(self, asked: Sequence[Asked]) -> list[Verdict | Lost]:
        detail = ""
        for _ in range(ALONE_TRIES):
            try:
                async with self._seat_alone() as seat:
                    return [*await self._ask(seat, asked)]
            except WorkerDiedError as error:
                detail = str(error)
                if len(asked) > 1:
                    half = len(asked) // 2
                    return [*await self._judge_alone(asked[:half]), *await self._judge_alone(asked[half:])]
        return [Lost(f"the process that judged it died {ALONE_TRIES} times with nothing else in it: {detail}")]

    async def _ask(self, seat: _Seat, asked: Sequence[Asked]) -> list[Verdict]:
        try:
            answer = await seat.worker.judge(asked)
        except WorkerDiedError:
            if seat.is_open:  # others that died with it come here too
                seat.is_open = False
                self._open(seat)
            raise
        if isinstance(answer, Refusal):
            raise _refused(answer)
        return answer

    @asynccontextmanager
    async def _seat(self) -> AsyncGenerator[_Seat]:
        """Take a place in the least busy replica."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._refusal is not None or self._free_seats())
            self._check()
            seat = min(self._free_seats(), key=lambda seat: seat.under_way)
            seat.under_way += 1
        try:
            yield seat
        finally:
            seat.under_way -= 1
            await self._notify()

    @asynccontextmanager
    async def _seat_alone(self) -> AsyncGenerator[_Seat]:
        """Take a whole replica; only one call does so at a time."""
        seat = await self._reserved()
        try:
            yield seat
        finally:
            seat.reserved = False
            await self._notify()

    async def _reserved(self) -> _Seat:
        """Keep further calls out of the least busy replica, and wait until those in it are done."""
        async with self._changed:
            while True:
                await self._changed.wait_for(lambda: self._refusal is not None or self._open_seats())
                self._check()
                seat = min(self._open_seats(), key=lambda seat: seat.under_way)
                seat.reserved = True
                try:
                    while seat.is_open and seat.under_way:
                        await self._changed.wait()
                except asyncio.CancelledError:
                    seat.reserved = False
                    raise
                if seat.is_open:
                    return seat
                seat.reserved = False

    def _open(self, seat: _Seat) -> None:
        task = asyncio.ensure_future(self._opened(seat))
        self._openings.add(task)
        task.add_done_callback(self._openings.discard)

    async def _opened(self, seat: _Seat) -> None:
        """Wait until a replica is open; where it cannot be, do without it as long as there are others."""
        try:
            answer = await seat.worker.ready()
            error = _refused(answer) if isinstance(answer, Refusal) else self._checked(answer)
        except (WorkerDiedError, BackendError, RuntimeError) as died:
            error = BackendError(f"a replica cannot be started: {died}", hint="is there memory enough for the model?")
        if error is None:
            seat.is_open = True
        else:
            self._seats.remove(seat)
            if not self._seats:
                self._refusal = error
        await self._notify()

    def _checked(self, ready: Ready) -> BackendError | None:
        if ready.version != self._version:
            return BackendError(
                f"a machine of the cluster has magistrate {ready.version}, here it is {self._version}",
                hint="install the same version on all machines",
            )
        if self.name not in ("", ready.name):
            return BackendError(
                f"a replica judges with {ready.name!r}, another one with {self.name!r}",
                hint="serve the same model to all machines, or name one with --model-name",
            )
        self.name = ready.name
        return None

    def _open_seats(self) -> list[_Seat]:
        return [seat for seat in self._seats if seat.is_open]

    def _free_seats(self) -> list[_Seat]:
        return [seat for seat in self._open_seats() if not seat.reserved and seat.under_way < self._calls]

    def _check(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _refused(refusal: Refusal) -> BackendError:
    return BackendError(f"a replica refuses: {refusal.message}", hint=refusal.hint)
