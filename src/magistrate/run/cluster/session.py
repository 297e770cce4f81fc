"""Ray itself: joining a cluster or starting one, and what its errors mean. The only module that knows Ray's names."""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

# Any: Ray is optional and never imported by the type checkers; what it gives is named by the protocols below.
from typing import Any, Protocol, cast

from magistrate.errors import BackendError, MissingExtraError
from magistrate.policy.model import Policy
from magistrate.run.cluster.place import RayPlace
from magistrate.run.cluster.recipe import Recipe
from magistrate.run.cluster.replica import Asked, Ready, Refusal, Replica
from magistrate.types import Verdict

JOINED = "RAY_ADDRESS"
"""Ray's own variable: the cluster to join. Ray sets it for the jobs that it runs."""
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's own variable, read when it is imported: at 0, a Ray that is started here listens on loopback only."""
STORE_BYTES = 200 << 20
"""Shared memory of a Ray that is started here: blocks of rows and their verdicts pass through it, nothing stays."""
REACH_S = 5.0
"""To connect to the head before Ray is asked to, which tries for minutes and says little."""
CLOSE_S = 10.0
"""For a judge to close, before its process is ended anyway."""
OPENINGS = 3
"""Times that a replica may die while it opens, before its place is given up."""


class WorkerDiedError(Exception):
    """The process of a replica ended, or its machine did, while it was asked."""


class Worker(Protocol):
    """A replica in the cluster, as the driver sees it."""

    async def ready(self) -> Ready | Refusal:
        """Wait until it is open; also after its process died and was started again.

        Raises:
            WorkerDiedError: it died `OPENINGS` times on the way.
            BackendError: the cluster is gone.
        """
        ...

    async def judge(self, asked: Sequence[Asked]) -> list[Verdict] | Refusal:
        """Judge cases, in one try.

        Raises:
            WorkerDiedError: it died.
            BackendError: the cluster is gone.
        """
        ...

    async def close(self) -> None:
        """Close its judge and end it; never raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one replica takes of a machine."""

    cpus: float = 1.0
    gpus: float = 0.0


class Session(Protocol):
    """A cluster that this process is connected to."""

    def fitting(self, share: Share) -> int:
        """How many replicas of that share the machines of now can hold."""
        ...

    @property
    def machines(self) -> int:
        """How many there are."""
        ...

    def start(self, recipe: Recipe, policies: Sequence[Policy], count: int, share: Share, calls: int) -> list[Worker]:
        """Start replicas; none is waited for."""
        ...


@contextmanager
def connected(place: RayPlace) -> Generator[Session]:
    """Join a cluster, or start one on this machine alone; left, and if started ended, at the end.

    Raises:
        MissingExtraError: Ray is not installed.
        BackendError: there is no cluster at that address, or it is of another Ray or Python.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # reports to Ray's makers, asked for by nobody
    if place.address is None and JOINED not in os.environ:
        os.environ.setdefault(LOOPBACK, "0")
    try:
        ray = importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise MissingExtraError("--on ray", extra="ray") from error
    _join(ray, place)
    try:
        yield _RaySession(ray)
    finally:
        ray.shutdown()


def _join(ray: Any, place: RayPlace) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if place.address is not None:
            _reach(place.host or "", place.port)
            ray.init(place.address, **quiet)
        elif JOINED in os.environ:
            host, _, port = os.environ[JOINED].rpartition(":")
            if host and port.isdecimal():
                _reach(host, int(port))
            ray.init(os.environ[JOINED], **quiet)
        else:
            # "auto" would also join what other users run here, and hang where a cluster ended without `ray stop`.
            ray.init("local", include_dashboard=False, object_store_memory=STORE_BYTES, **quiet)
    except (ConnectionError, TimeoutError, RuntimeError, ValueError, ImportError, ray.exceptions.RayError) as error:
        where = place.address or os.environ.get(JOINED) or "a Ray of its own"
        raise BackendError(
            f"cannot join {where}: {_gist(error)}",
            hint="it needs the same Python and Ray as here, and `pip install 'magistrate[ray]'` on each machine; where "
            "it asks for a token: RAY_AUTH_MODE=token, and the token in RAY_AUTH_TOKEN or ~/.ray/auth_token",
        ) from error


def _reach(host: str, port: int) -> None:
    """Raises BackendError where nobody listens: Ray itself would try for minutes."""
    try:
        socket.create_connection((host.removeprefix("ray://").strip("[]"), port), timeout=REACH_S).close()
    except (OSError, OverflowError) as error:
        raise BackendError(
            f"no Ray at {host}:{port}: {getattr(error, 'strerror', None) or error}",
            hint=f"is the head running (`ray start --head`), and port {port} of it open to this machine?",
        ) from error


class _RaySession:
    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def fitting(self, share: Share) -> int:
        """By the free and the taken resources of all machines together."""
        total: dict[str, float] = self._ray.cluster_resources()
        wanted = {"CPU": share.cpus, "GPU": share.gpus}
        return min(int(total.get(name, 0.0) / amount) for name, amount in wanted.items() if amount > 0)

    @property
    def machines(self) -> int:
        """Those that are alive."""
        return sum(1 for node in self._ray.nodes() if node["Alive"])

    def start(self, recipe: Recipe, policies: Sequence[Policy], count: int, share: Share, calls: int) -> list[Worker]:
        """Start actors, spread over the machines."""
        # One copy in the object store, held here: a replica that is started again is told again.
        told = (self._ray.put(recipe), self._ray.put(tuple(policies)))
        made = self._ray.remote(Replica).options(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_concurrency=calls + 1,  # one more for `ready` and `close`
            max_restarts=-1,
            max_task_retries=0,  # the pool says what follows from a death
            scheduling_strategy="SPREAD",
        )
        return [_RayWorker(self._ray, made.remote(), told) for _ in range(count)]


class _RayWorker:
    def __init__(self, ray: Any, actor: Any, told: tuple[object, object]) -> None:
        self._ray = ray
        self._actor = actor
        self._told = told

    async def ready(self) -> Ready | Refusal:
        """Tried again by Ray itself, which waits for the new process."""
        method = self._actor.ready.options(max_task_retries=OPENINGS)
        return cast("Ready | Refusal", await self._answer(lambda: method.remote(*self._told)))

    async def judge(self, asked: Sequence[Asked]) -> list[Verdict] | Refusal:
        """One call of the actor."""
        answer = await self._answer(lambda: self._actor.judge.remote(asked))
        if answer is None:
            raise WorkerDiedError("it was started again in the meantime")
        return cast("list[Verdict] | Refusal", answer)

    async def close(self) -> None:
        """Close the judge, then end the process."""
        with suppress(WorkerDiedError, BackendError, RuntimeError, TimeoutError):
            await asyncio.wait_for(self._answer(self._actor.close.remote), CLOSE_S)
        self._ray.kill(self._actor)

    async def _answer(self, call: Callable[[], Awaitable[object]]) -> object:
        errors = self._ray.exceptions
        try:
            return await call()
        except errors.RayTaskError as error:
            raise RuntimeError(f"a replica broke: {_gist(error.cause)}") from error
        except (
            errors.RayActorError,
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.OutOfMemoryError,
            errors.ObjectLostError,
        ) as error:
            raise WorkerDiedError(_gist(error)) from error
        except (errors.RayError, ConnectionError) as error:
            raise BackendError(
                f"the Ray cluster does not answer any more: {_gist(error)}",
                hint="give the same command again once it does: what is recorded is not judged again",
            ) from error


def _gist(error: BaseException) -> str:
    """The first line of an error, and the last one, where Ray puts the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"
