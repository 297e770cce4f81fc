"""Start an engine's server, watch it, start it again after a crash, and stop it with all its processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio

from magistrate.errors import BackendError, MagistrateError, UsageError
from magistrate.models.profile import Engine
from magistrate.models.serve.commands import Launch, Serving
from magistrate.models.serve.health import says_that_it_is_broken, wait_until_healthy
from magistrate.models.serve.logs import keep_short, last_lines, meaning, open_log, telling
from magistrate.models.serve.running import Served, announced, started_now

_TETHER = Path(__file__).with_name("tether.py")
_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long is waited, and how often an engine is started again."""

    start_s: float = 1800.0
    """Until the first answer: large weights take minutes to load."""
    stop_s: float = 20.0
    """Between SIGTERM and SIGKILL."""
    restarts: int = 5
    """Within `window_s`; one crash more ends it."""
    window_s: float = 600.0
    first_wait_s: float = 1.0
    """Before the first restart; it doubles with each crash in the window."""
    longest_wait_s: float = 30.0
    watch_s: float = 5.0
    """Between two looks at a server that runs."""
    broken_looks: int = 3
    """Looks in a row at which the server says that it is broken, before it is started again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """One server from start to end."""

    serving: Serving
    engine: Engine
    launch: Launch
    environment: Mapping[str, str]
    """That the engine inherits, before the launch's own."""
    folder: Path
    """For the files that say what is served."""
    log: Path
    said: Callable[[str], None]
    """Told what happens, one line each."""
    ready: Callable[[Served], None]
    """Told once, when the server has answered for the first time."""
    limits: Limits = Limits()

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM.

        Raises:
            BackendError: the port is taken, the engine does not come up, or it crashes again and again.
            UsageError: this system has no process groups.
        """
        if sys.platform == "win32":
            raise UsageError("serving works on Linux and macOS", hint="start the engine yourself, and give --model URL")
        check_port(self.serving.host, self.serving.port)
        failures: list[MagistrateError] = []
        async with anyio.create_task_group() as group:
            group.start_soon(_cancel_on_signal, group.cancel_scope)
            try:
                await self._serve()
            except MagistrateError as error:  # kept apart: a group would wrap it
                failures.append(error)
            group.cancel_scope.cancel()
        if failures:
            raise failures[0]

    async def _serve(self) -> None:
        file = open_log(self.log)
        try:
            engine = await self._start(file)
            try:
                served = self._served()
                with announced(served, self.folder):
                    self.ready(served)
                    await self._keep(engine, file)
            finally:
                await engine.stop(self.limits.stop_s)
        finally:
            os.close(file)

    async def _keep(self, engine: _Process, file: int) -> None:
        """Watch, and start again after each crash, until there are too many."""
        crashes: deque[float] = deque()
        while True:
            why = await self._watch(engine, file)
            while True:
                now = time.monotonic()
                crashes.append(now)
                while crashes[0] < now - self.limits.window_s:
                    crashes.popleft()
                if len(crashes) > self.limits.restarts:
                    raise self._failed(f"{why}, {len(crashes)} times within {self.limits.window_s:g} s", engine)
                wait_s = min(self.limits.longest_wait_s, self.limits.first_wait_s * 2.0 ** (len(crashes) - 1))
                self.said(f"{why}; starting again in {wait_s:g} s")
                await engine.stop(self.limits.stop_s)
                await anyio.sleep(wait_s)
                try:
                    engine.begin()
                    await self._until_healthy(engine)
                except BackendError as error:
                    why = error.message.partition("\n")[0]
                    continue
                self.said("serving again")
                break

    async def _watch(self, engine: _Process, file: int) -> str:
        """Wait until it has ended or says that it is broken; what happened."""
        broken = 0
        while True:
            with anyio.move_on_after(self.limits.watch_s):
                while engine.status() is None:
                    await anyio.sleep(_POLL_S)
                return f"the engine ended with status {engine.status()}"
            keep_short(file)
            broken = broken + 1 if await says_that_it_is_broken(self.serving.url) else 0
            if broken >= self.limits.broken_looks:
                return "the engine says that it is broken"

    async def _start(self, file: int) -> _Process:
        engine = _Process(self.launch, self._environment(), file, grace_s=self.limits.stop_s)
        engine.begin()
        try:
            await self._until_healthy(engine)
        except BaseException:
            await engine.stop(self.limits.stop_s)
            raise
        return engine

    async def _until_healthy(self, engine: _Process) -> None:
        serving = self.serving
        try:
            with anyio.fail_after(self.limits.start_s):
                await wait_until_healthy(
                    serving.url,
                    serving.name,
                    api_key_env=serving.api_key_env,
                    alive=lambda: engine.status() is None,
                )
        except TimeoutError as error:
            raise self._failed(f"the engine was not ready within {self.limits.start_s:g} s", engine) from error
        except BackendError as error:
            raise self._failed(error.message, engine, hint=error.hint) from error

    def _failed(self, what: str, engine: _Process, *, hint: str | None = None) -> BackendError:
        lines, status = last_lines(self.log), engine.status()
        ended = "" if status is None else f" (status {status})"
        quoted = "".join(f"\n  | {line}" for line in telling(lines))
        return BackendError(
            f"{what}{ended}{quoted}",
            hint=meaning((*lines, what), status) or hint or f"its whole log is {self.log}",
        )

    def _environment(self) -> dict[str, str]:
        """What the engine inherits: without what would change the command line, and with the key where there is one."""
        launch, key = self.launch, self.serving.api_key_env
        dropped = {*launch.without, launch.key_variable}
        kept = {name: value for name, value in self.environment.items() if name not in dropped}
        secret = {} if key is None else {launch.key_variable: self.environment[key]}
        return {**kept, **launch.environment, **secret}

    def _served(self) -> Served:
        profile = self.serving.profile
        return Served(
            name=self.serving.name,
            profile=None if profile is None else profile.name,
            url=self.serving.url,
            engine=self.engine,
            dialect=None if profile is None else profile.dialect,
            context_tokens=self.serving.context_tokens,
            api_key_env=self.serving.api_key_env,
            pid=os.getpid(),
            started=started_now(),
            log=str(self.log),
        )


class _Process:
    """An engine's process group, tied to this process."""

    def __init__(self, launch: Launch, environment: Mapping[str, str], log: int, *, grace_s: float) -> None:
        self._argv = (sys.executable, "-I", "-S", str(_TETHER), f"{grace_s:g}", *launch.argv)
        self._environment = environment
        self._log = log
        self._running: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start it, in a session of its own: a terminal's Ctrl-C reaches the supervisor alone."""
        self._running = subprocess.Popen(
            self._argv,
            env=dict(self._environment),
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def status(self) -> int | None:
        """How it ended; None while it runs."""
        if self._running is None:
            return None
        status = self._running.poll()
        return 128 - status if status is not None and status < 0 else status

    async def stop(self, grace_s: float) -> None:
        """End the whole group: asked first, then killed. Returns when it has gone, whatever cancels it."""
        running = self._running
        if running is None:
            return
        with anyio.CancelScope(shield=True):
            _signal_group(running.pid, signal.SIGTERM)
            with anyio.move_on_after(grace_s):
                while running.poll() is None:
                    await anyio.sleep(_POLL_S)
            _signal_group(running.pid, signal.SIGKILL)  # also for children that outlive the engine
            while running.poll() is None:
                await anyio.sleep(_POLL_S)
        if running.stdin is not None:
            running.stdin.close()
        self._running = None


def check_port(host: str, port: int) -> None:
    """See whether a server can listen there.

    Raises:
        BackendError: somebody else does, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise BackendError(
                f"cannot listen at {host}:{port}: {error.strerror or error}",
                hint=f"take another --port; or, if a model is served there: --model http://{host}:{port}/v1",
            ) from error


def free_port(host: str) -> int:
    """A port that nobody listens at, at this moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.bind((host, 0))
        port: int = trial.getsockname()[1]
        return port


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # gone; macOS says so by the second
        os.killpg(group, number)


async def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()
            return
