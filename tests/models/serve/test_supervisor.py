"""Real processes: a server that misbehaves as its flags say, under a real supervisor, stopped by real signals."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from magistrate.errors import BackendError
from magistrate.models.profile import Engine
from magistrate.models.serve.commands import Program, ProgramKind, Serving, launch
from magistrate.models.serve.running import Served, served_now
from magistrate.models.serve.supervisor import Limits, Supervision, check_port, free_port

DOUBLE = Path(__file__).parents[2] / "doubles" / "engine_server.py"
QUICK = Limits(start_s=20, stop_s=1, restarts=2, window_s=60, first_wait_s=0.05, longest_wait_s=0.1, watch_s=0.1)
WAIT_S = 20.0


class Running:
    """A supervision in the middle of its run."""

    def __init__(self, folder: Path, said: list[str], served: Served) -> None:
        self.folder = folder
        self.said = said
        self.served = served

    def get(self, path: str) -> int:
        request = urllib.request.Request(f"{self.served.url.removesuffix('/v1')}{path}")
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 0


def supervision(
    folder: Path,
    flags: tuple[str, ...],
    *,
    said: list[str],
    ready: Callable[[Served], None],
    limits: Limits = QUICK,
    environment: Mapping[str, str] | None = None,
    api_key_env: str | None = None,
) -> Supervision:
    port = free_port("127.0.0.1")
    serving = Serving(name="guard", weights="w", port=port, flags=flags, api_key_env=api_key_env)
    return Supervision(
        serving=serving,
        engine=Engine.VLLM,
        launch=launch(serving, Program(ProgramKind.VLLM, (sys.executable, str(DOUBLE)))),
        environment=dict(os.environ) if environment is None else environment,
        folder=folder,
        log=folder / "engine.log",
        said=said.append,
        ready=ready,
        limits=limits,
    )


def serve_until(
    tmp_path: Path,
    flags: tuple[str, ...],
    then: Callable[[Running], None],
    *,
    limits: Limits = QUICK,
    environment: Mapping[str, str] | None = None,
    api_key_env: str | None = None,
) -> list[str]:
    """Serve, do something with the server from a thread, then SIGTERM this process; what was said."""
    folder, said = tmp_path / "served", list[str]()
    failures: list[BaseException] = []
    over: list[bool] = []

    async def work(served: Served) -> None:
        try:
            await anyio.to_thread.run_sync(then, Running(folder, said, served))
        except BaseException as error:  # noqa: BLE001  # told below, when the server has stopped
            failures.append(error)
        if not over:
            os.kill(os.getpid(), signal.SIGTERM)

    async def main() -> None:
        async with anyio.create_task_group() as group:

            def begin(served: Served) -> None:
                group.start_soon(work, served)

            try:
                await supervision(
                    folder,
                    flags,
                    said=said,
                    ready=begin,
                    limits=limits,
                    environment=environment,
                    api_key_env=api_key_env,
                ).run()
            except BackendError as error:
                failures.append(error)
            over.append(True)

    anyio.run(main)
    if failures:
        raise failures[0]
    return said


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def lines(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_it_is_announced_when_it_answers_and_gone_when_stopped(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def then(running: Running) -> None:
        assert [s.name for s in served_now(running.folder)] == ["guard"]
        assert running.get("/health") == 200

    serve_until(tmp_path, ("--slow", "0.7", "--pids", str(pids)), then)
    assert served_now(tmp_path / "served") == ()
    assert [pid for pid in lines(pids) if is_running(pid)] == []
    log = tmp_path / "served" / "engine.log"
    assert log.stat().st_mode & 0o077 == 0
    assert "loading" in log.read_text()


def test_an_engine_that_ignores_sigterm_and_its_children_are_killed(tmp_path: Path) -> None:
    pids, child = tmp_path / "pids", tmp_path / "child"
    started: list[float] = []
    serve_until(
        tmp_path,
        ("--deaf", "--child", str(child), "--pids", str(pids)),
        lambda _running: started.append(time.monotonic()),
    )
    assert time.monotonic() - started[0] < 10
    wait_for(lambda: not any(map(is_running, (*lines(pids), *lines(child)))))


def test_children_that_outlive_the_engine_are_killed(tmp_path: Path) -> None:
    child = tmp_path / "child"
    serve_until(tmp_path, ("--child", str(child)), lambda _running: None)
    wait_for(lambda: not any(map(is_running, lines(child))))


def test_it_is_started_again_after_a_crash(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def then(running: Running) -> None:
        running.get("/crash")
        wait_for(lambda: "serving again" in running.said)
        assert running.get("/health") == 200
        assert len(served_now(running.folder)) == 1

    said = serve_until(tmp_path, ("--pids", str(pids)), then)
    assert said[0] == "the engine ended with status 3; starting again in 0.05 s"
    assert len(lines(pids)) == 2


def test_it_is_started_again_when_it_says_that_it_is_broken(tmp_path: Path) -> None:
    broken = tmp_path / "broken"

    def then(running: Running) -> None:
        broken.touch()
        wait_for(lambda: running.said)
        broken.unlink()
        wait_for(lambda: "serving again" in running.said)

    said = serve_until(tmp_path, ("--broken", str(broken)), then)
    assert said[0].startswith("the engine says that it is broken; starting again")


def restarted(running: Running, times: int) -> bool:
    return running.said.count("serving again") == times


def test_crash_after_crash_ends_it(tmp_path: Path) -> None:
    def then(running: Running) -> None:
        for number in range(1, QUICK.restarts + 1):
            running.get("/crash")
            wait_for(functools.partial(restarted, running, number))
        running.get("/crash")
        wait_for(lambda: served_now(running.folder) == ())

    with pytest.raises(BackendError, match=r"ended with status 3, 3 times within 60 s"):
        serve_until(tmp_path, (), then)
    assert served_now(tmp_path / "served") == ()


@pytest.mark.parametrize(
    ("flags", "wanted", "hint"),
    [
        (("--exit", "1", "--message", "torch.OutOfMemoryError: CUDA out of memory"), "before it was ready", "context"),
        (("--exit", "2", "--message", "error: unrecognized arguments: --x"), "unrecognized arguments", "--flag"),
        (("--exit", "7", "--message", "quite unknown"), "| quite unknown", "engine.log"),
        (("--other",), "serves another and not 'guard'", "log"),
        (("--fail",), "a first question fails: server_error: HTTP 500: no kernel", "log"),
    ],
)
def test_an_engine_that_does_not_come_up_says_why(
    tmp_path: Path, flags: tuple[str, ...], wanted: str, hint: str
) -> None:
    asked = supervision(tmp_path / "served", flags, said=[], ready=lambda _served: pytest.fail("it is not ready"))
    with pytest.raises(BackendError) as raised:
        anyio.run(asked.run)
    assert wanted in raised.value.message
    assert hint in (raised.value.hint or "")
    assert served_now(tmp_path / "served") == ()


def test_waiting_has_an_end(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    asked = supervision(
        tmp_path / "served",
        ("--slow", "60", "--pids", str(pids)),
        said=[],
        ready=lambda _served: None,
        limits=Limits(start_s=1, stop_s=1),
    )
    with pytest.raises(BackendError, match="not ready within 1 s"):
        anyio.run(asked.run)
    assert [pid for pid in lines(pids) if is_running(pid)] == []


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    serving = Serving(name="guard", weights="w", port=free_port("127.0.0.1"))
    asked = Supervision(
        serving=serving,
        engine=Engine.VLLM,
        launch=launch(serving, Program(ProgramKind.VLLM, (str(tmp_path / "nothing"),))),
        environment={},
        folder=tmp_path / "served",
        log=tmp_path / "served" / "engine.log",
        said=lambda _line: None,
        ready=lambda _served: None,
        limits=QUICK,
    )
    with pytest.raises(BackendError, match="No such file"):
        anyio.run(asked.run)


def test_the_key_is_asked_and_reaches_the_engine_by_its_variable_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret-value")
    seen = tmp_path / "environment"

    def then(running: Running) -> None:
        assert running.get("/v1/models") == 401
        assert running.served.api_key_env == "MY_KEY"
        (path,) = running.folder.glob("*.json")
        assert "s3cret-value" not in path.read_text()

    serve_until(tmp_path, ("--environment", str(seen)), then, api_key_env="MY_KEY")
    assert json.loads(seen.read_text())["VLLM_API_KEY"] == "s3cret-value"


def test_a_key_that_was_not_asked_for_is_not_inherited(tmp_path: Path) -> None:
    seen = tmp_path / "environment"
    environment = {**os.environ, "VLLM_API_KEY": "x", "VLLM_DEBUG_LOG_API_SERVER_RESPONSE": "true"}
    serve_until(tmp_path, ("--environment", str(seen)), lambda _running: None, environment=environment)
    inherited = json.loads(seen.read_text())
    assert "VLLM_API_KEY" not in inherited
    assert "VLLM_DEBUG_LOG_API_SERVER_RESPONSE" not in inherited
    assert inherited["VLLM_NO_USAGE_STATS"] == "1"


def test_a_port_in_use_is_said_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BackendError, match=f"cannot listen at 127.0.0.1:{port}: Address already in use") as raised:
            check_port("127.0.0.1", port)
    assert "--port" in (raised.value.hint or "")


@contextmanager
def command(tmp_path: Path, *arguments: str) -> Generator[subprocess.Popen[str]]:
    """`magistrate model serve` as a process of its own, with the double as its vLLM."""
    vllm = tmp_path / "vllm"
    vllm.write_text(f'#!/bin/sh\nexec {sys.executable} {DOUBLE} "$@"\n')
    vllm.chmod(0o755)
    environment = {**os.environ, "MAGISTRATE_HOME": str(tmp_path / "home"), "MAGISTRATE_VLLM": str(vllm)}
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text("{}")
    words = [sys.executable, "-m", "magistrate", "model", "serve", "guard", "--weights", str(tmp_path / "weights")]
    with subprocess.Popen(
        [*words, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if word in line:
            return text
    raise AssertionError(text)


def test_the_command_serves_a_model_that_judge_finds_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with command(tmp_path) as process:
        assert "guard is served at http://127.0.0.1:" in read_until(process, "stop it with")
        monkeypatch.setenv("MAGISTRATE_HOME", str(tmp_path / "home"))
        judge = [sys.executable, "-m", "magistrate", "judge", "--policy", "spam", "--model", "guard"]
        dialect = ["--dialect", "safeguard.binary.v1"]
        spam = subprocess.run([*judge, *dialect, "1000 followers"], capture_output=True, text=True, timeout=60)
        assert spam.returncode == 1, spam.stderr
        plain = subprocess.run([*judge, *dialect, "Where is my order?"], capture_output=True, text=True, timeout=60)
        assert plain.returncode == 0, plain.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0
        gone = subprocess.run([*judge, "x"], capture_output=True, text=True, timeout=60)
        assert gone.returncode == 64
        assert "no model named 'guard'" in gone.stderr


def test_an_engine_does_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with command(tmp_path, "--flag=--pids", f"--flag={pids}") as process:
        read_until(process, "stop it with")
        assert [is_running(pid) for pid in lines(pids)] == [True]
        process.kill()
    wait_for(lambda: not any(map(is_running, lines(pids))))
