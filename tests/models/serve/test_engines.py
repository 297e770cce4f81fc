"""`magistrate model serve` with real engines, where they are named: minutes, and packages that are not installed here.

    MAGISTRATE_LLAMACPP=.../bin/python MAGISTRATE_TEST_GGUF=.../SmolLM2-135M-Instruct.Q4_1.gguf \\
    MAGISTRATE_VLLM=.../bin/vllm MAGISTRATE_TEST_CHECKPOINT=.../tiny-safeguard pytest -m slow tests/models/serve
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from magistrate.backends.http import HttpBackend
from magistrate.models.serve.running import served_now
from magistrate.types import Completion, Message, Request, Role, Sampling

ENVIRONMENT = dict(os.environ)
"""As it is before the tests take settings out of it."""
CANARY = "zebra-canary-7193"
WAIT_S = 580.0


class Named(NamedTuple):
    engine: str
    program: str
    weights: str
    flags: tuple[str, ...] = ()


ENGINES = (
    Named("llamacpp", "MAGISTRATE_LLAMACPP", "MAGISTRATE_TEST_GGUF"),
    Named(
        "vllm",
        "MAGISTRATE_VLLM",
        "MAGISTRATE_TEST_CHECKPOINT",
        ("--context", "2048", "--flag=--enforce-eager", "--flag=--gpu-memory-utilization=0.1"),
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("named", [pytest.param(named, id=named.engine) for named in ENGINES])
def test_a_real_engine_is_served_started_again_and_stopped(named: Named, tmp_path: Path) -> None:
    weights = ENVIRONMENT.get(named.weights)
    if weights is None or named.program not in ENVIRONMENT:
        pytest.skip(f"${named.program} and ${named.weights} do not name an engine and its weights")
    words = ["model", "serve", "tiny", "--weights", weights, "--engine", named.engine, "--port", "0", *named.flags]
    environment = {**ENVIRONMENT, "MAGISTRATE_HOME": str(tmp_path)}
    output = tmp_path / "output"
    with (
        output.open("w") as file,
        subprocess.Popen(
            [sys.executable, "-m", "magistrate", *words], stdout=file, stderr=subprocess.STDOUT, env=environment
        ) as process,
    ):
        try:
            wait_until(process, output, "stop it with")
            (served,) = served_now(tmp_path / "served")
            anyio.run(ask, served.url)
            for pid in descendants(process.pid)[1:]:  # the engine, and not what ties it to its supervisor
                os.kill(pid, signal.SIGKILL)
            wait_until(process, output, "serving again")
            anyio.run(ask, served.url)
            below = descendants(process.pid)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    end = time.monotonic() + 10  # what is killed last goes in its own time
    while any(map(is_running, below)):
        assert time.monotonic() < end
        time.sleep(0.1)
    log = Path(served.log).read_text(encoding="utf-8", errors="replace")
    assert log
    assert CANARY not in log


async def ask(url: str) -> None:
    request = Request(
        messages=(Message(Role.SYSTEM, "Answer 0 or 1."), Message(Role.USER, CANARY)),
        sampling=Sampling(max_output_tokens=4, temperature=0.0),
    )
    async with HttpBackend(url, "tiny", timeout_s=WAIT_S) as backend:
        (answer,) = await backend.complete_many([request])
    assert isinstance(answer, Completion), answer


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(process: subprocess.Popen[bytes], output: Path, word: str) -> None:
    end = time.monotonic() + WAIT_S
    while word not in output.read_text():
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < end, output.read_text()
        time.sleep(0.2)


def descendants(pid: int) -> list[int]:
    """Processes below one, from the top."""
    found = [
        int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()
    ]
    return [*found, *(below for child in found for below in descendants(child))]
