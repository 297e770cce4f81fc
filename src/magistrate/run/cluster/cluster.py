"""A classifier whose judging is done by replicas on Ray; whoever drives it sees no difference."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import magistrate
from magistrate.case import Case
from magistrate.errors import BackendError, UsageError
from magistrate.policy.model import Policy
from magistrate.run.cluster.place import RayPlace
from magistrate.run.cluster.pool import Lost, Pool
from magistrate.run.cluster.recipe import Recipe
from magistrate.run.cluster.replica import Asked
from magistrate.run.cluster.session import Session, Share, connected
from magistrate.types import Code, Failed, Trace, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """How many replicas there are, and what each takes."""

    replicas: int | None = None
    """None for one a machine, or with GPUs as many as the cluster holds."""
    gpus: float = 0.0
    """Of each replica."""
    calls: int = 2
    """Under way at once in each replica."""


class Cluster:
    """Judge on the machines of a Ray cluster.

    Entering it joins the cluster, starts the replicas and waits for the first that is open; `name` is known from then
    on. A replica that dies is started again, and what it was asked is asked again; a case that kills its replica each
    time becomes `Failed` with code `server_error`.
    """

    def __init__(self, place: RayPlace, recipe: Recipe, policies: Sequence[Policy], crew: Crew) -> None:
        """Store what is needed.

        Args:
            place: Which cluster.
            recipe: How each replica builds its judge.
            policies: All that cases will come under; they are sent once.
            crew: How many replicas, and how large.

        Raises:
            UsageError: a number that cannot be used.
        """
        if crew.calls < 1 or (crew.replicas is not None and crew.replicas < 1):
            raise UsageError(
                f"{crew.replicas!r} replicas with {crew.calls!r} calls each", hint="both must be at least 1"
            )
        self._place = place
        self._recipe = recipe
        self._policies = tuple(policies)
        self._positions = {policy.digest: position for position, policy in enumerate(self._policies)}
        self._crew = crew
        self._share = Share(gpus=crew.gpus)
        self._exit = AsyncExitStack()
        self._pool: Pool | None = None
        self.replicas = 0
        """How many were started; 0 before entering."""

    @property
    def name(self) -> str:
        """The replicas' classifier's."""
        return "" if self._pool is None else self._pool.name

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """Judge each case: same length, same order.

        Raises:
            BackendError: the cluster is gone, or a replica refuses.
            UsageError: a policy that was not named at the beginning, or it is not entered.
        """
        if self._pool is None:
            raise UsageError("the cluster is not entered", hint="write `async with`")
        answers = await self._pool.judge([self._asked(case) for case in cases])
        return [_verdict(case, answer, self.name) for case, answer in zip(cases, answers, strict=True)]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            opening = connected(self._place)
            session = await asyncio.to_thread(opening.__enter__)
            stack.callback(opening.__exit__, None, None, None)
            self.replicas = self._count(session)
            workers = session.start(self._recipe, self._policies, self.replicas, self._share, self._crew.calls)
            pool = Pool(workers, calls=self._crew.calls, version=magistrate.__version__)
            stack.push_async_callback(pool.close)
            await pool.open()
            self._pool = pool
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool = None
        await self._exit.aclose()

    def _asked(self, case: Case) -> Asked:
        position = self._positions.get(case.policy.digest)
        if position is None or self._policies[position].name != case.policy.name:
            raise UsageError(
                f"the policy {case.policy.name!r} was not sent to the cluster",
                hint="name all policies at the beginning",
            )
        return Asked(position, case.content, case.id)

    def _count(self, session: Session) -> int:
        fitting = session.fitting(self._share)
        if fitting < 1:
            raise BackendError(
                f"the cluster holds no replica that takes {self._share.cpus:g} CPU and {self._share.gpus:g} GPUs",
                hint="add such a machine, or ask for less with --gpus",
            )
        if self._crew.replicas is not None:
            return self._crew.replicas
        return fitting if self._share.gpus else min(fitting, session.machines)


def _verdict(case: Case, answer: Verdict | Lost, model: str) -> Verdict:
    if not isinstance(answer, Lost):
        return answer
    trace = Trace(policy=case.policy.name, policy_digest=case.policy.digest, model=model, dialect="")
    return Failed(code=Code.SERVER_ERROR, detail=answer.detail, trace=trace)
