"""A real vLLM server on this machine, that can be killed and started again on its port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

PATIENCE_S = 900
"""Importing vLLM and building its token tables took 60 s on two idle cores, and several times that on busy ones."""
CONTEXT_TOKENS = 4096


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class VllmServer:
    """One `vllm serve`, with the reasoning parser of gpt-oss and prefix caching."""

    def __init__(self, weights: Path, vocabulary: Path, log: Path) -> None:
        self._weights = weights
        self._vocabulary = vocabulary
        self._log = log
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until it is healthy."""
        environment = {
            **os.environ,
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # or every engine on this machine shares one core
            "TIKTOKEN_ENCODINGS_BASE": str(self._vocabulary),
        }
        command = [str(Path(sys.executable).with_name("vllm")), "serve", str(self._weights)]
        command += ["--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--reasoning-parser", "openai_gptoss", "--enable-prefix-caching", "--enforce-eager"]
        command += ["--max-model-len", str(CONTEXT_TOKENS), "--kv-cache-memory-bytes", str(1 << 28)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self._healthy():
            ended = self._process.poll()
            assert ended is None, f"vLLM ended with {ended}: {self._log.read_text(errors='replace')[-2000:]}"
            assert time.monotonic() < deadline, self._log.read_text(errors="replace")[-2000:]
            time.sleep(0.5)

    def _healthy(self) -> bool:
        try:
            return httpx.get(f"{self.origin}/health", timeout=2.0, trust_env=False).status_code == 200
        except httpx.RequestError:
            return False

    def kill(self) -> None:
        """Kill it and its engine's core with SIGKILL, as running out of memory would."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None
