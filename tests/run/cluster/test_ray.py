"""`magistrate batch --on ray` on a real Ray, started for the test on this machine alone."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.cli.terminal import answering

PATIENCE_S = 240
"""For Ray to start, which takes 10 to 20 seconds on two busy cores."""
ROWS = 60
LISTENS = "0A"
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1, the same as IPv6, and ::1, as the kernel writes them."""

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="needs magistrate[ray]"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the replica's process in /proc"),
]


class Batch:
    """One command, run in a process of its own in a folder of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._options = options
        others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        # Without a token, which Ray would write into the home of whoever runs this.
        ours = {"MAGISTRATE_HOME": str(folder / "home"), "RAY_AUTH_MODE": "disabled"}
        # At niceness 15, where Ray puts its workers, they stand still on a machine that is busy with other tests.
        self._environment = {**others, **ours, "RAY_worker_niceness": "0"}

    @property
    def environment(self) -> dict[str, str]:
        """Of every command of the batch."""
        return self._environment

    def start(self, out: str, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "magistrate", "batch", "in.jsonl", "--policy", "spam", "--out", out]
        return subprocess.Popen(
            [*command, *self._options, *more],
            cwd=self.folder,
            env=self._environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, out: str, *more: str) -> str:
        """What it says on stderr."""
        with self.start(out, *more) as process:
            try:
                _, said = process.communicate(timeout=PATIENCE_S)
            finally:
                process.kill()
        assert process.returncode == 0, said
        return said

    def rows(self, out: str) -> list[dict[str, object]]:
        """Verdict rows without how long each took."""
        rows = [json.loads(line) for line in (self.folder / out).read_text().splitlines()]
        return [{name: value for name, value in row.items() if name != "latency_ms"} for row in rows]


class Server:
    """What a model is asked, in order; it takes its time."""

    def __init__(self, pause_s: float) -> None:
        self.asked: list[str] = []
        self._pause_s = pause_s
        self._lock = threading.Lock()

    def answer(self, text: str) -> str:
        row = re.findall(r"(?:even|odd) \d+", text)[0]
        with self._lock:
            self.asked.append(row)
        time.sleep(self._pause_s)
        return "1" if row.startswith("even") else "0"

    def wait_for(self, count: int, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while len(self.asked) < count:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def server() -> Server:
    return Server(0.05)


@pytest.fixture
def asking(tmp_path: Path, server: Server) -> Iterator[Batch]:
    """A batch of numbered rows, two of them bad, through a slow server."""
    lines = [json.dumps({"id": f"r{n}", "text": f"{'even' if n % 2 == 0 else 'odd'} {n}", "n": n}) for n in range(ROWS)]
    lines[7], lines[40] = "{broken", '{"id": "r40"}'
    (tmp_path / "in.jsonl").write_text("".join(f"{line}\n" for line in lines))
    with answering(server.answer) as url:
        yield Batch(tmp_path, "--model", url, "--dialect", "safeguard.binary.v1", "--chunk", "2", "--calls", "2")


def replica_pids(driver: int) -> list[int]:
    """Processes of replicas among the descendants of a driver."""
    return [pid for pid, above in descendants().items() if driver in above and is_replica(pid)]


def descendants() -> dict[int, set[int]]:
    """All processes, each with its parent, the parent's parent and so on."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # ended in the meantime
    return {pid: set(ancestors(pid, parents)) for pid in parents}


def ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while (pid := parents.get(pid, 0)) > 1:
        yield pid


def is_replica(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::Replica")
    except OSError:
        return False


def assert_as_here(batch: Batch, out: str) -> None:
    """The rows are those of the driver without Ray."""
    batch.run("here.jsonl")
    assert batch.rows(out) == batch.rows("here.jsonl")
    assert [row["id"] for row in batch.rows(out)] == [f"r{n}" if n != 7 else "8" for n in range(ROWS)]
    assert [row["code"] for row in batch.rows(out)].count("bad_input") == 2


def test_the_embedded_judge_gives_the_same_rows_on_ray(tmp_path: Path) -> None:
    texts = ["Buy cheap rings at rings.example", "Where is my order?", "Follow me and I follow you", "Hello"] * 10
    rows = "".join(json.dumps({"id": n, "text": f"{text} {n}"}) + "\n" for n, text in enumerate(texts))
    (tmp_path / "in.jsonl").write_text(rows + "[]\n")
    batch = Batch(tmp_path, "--policy", "harassment", "--chunk", "4")
    batch.run("here.jsonl")
    said = batch.run("there.jsonl", "--on", "ray", "--replicas", "2")
    assert batch.rows("there.jsonl") == batch.rows("here.jsonl")
    assert len(batch.rows("there.jsonl")) == 2 * 41
    assert "Buy cheap" not in said
    # The same batch: what Ray finished is finished here, too.
    assert "already complete" in batch.run("there.jsonl")


def test_a_replica_killed_on_the_way_loses_and_doubles_nothing(asking: Batch, server: Server) -> None:
    with asking.start("there.jsonl", "--on", "ray", "--replicas", "2") as process:
        server.wait_for(ROWS // 4, process)
        first = replica_pids(process.pid)
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    times = Counter(server.asked)
    assert len(times) == ROWS - 2
    assert sum(times.values()) - len(times) <= 2 * 2, "only what was under way in that replica is asked again"
    assert_as_here(asking, "there.jsonl")


@contextmanager
def head(batch: Batch, port: int, client_port: int) -> Generator[None]:
    """A cluster of this machine alone, on loopback, that the driver does not start."""
    ray = Path(sys.executable).with_name("ray")
    ports = [f"--port={port}", f"--ray-client-server-port={client_port}", "--include-dashboard=false"]
    with subprocess.Popen(
        [ray, "start", "--head", "--block", "--num-cpus=2", "--object-store-memory=200000000", *ports],
        env={**batch.environment, "RAY_USAGE_STATS_ENABLED": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            until(lambda: answers(port) and answers(client_port))
            yield
        finally:
            process.terminate()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert isinstance(port, int)
        return port


def test_a_cluster_that_is_there_is_joined_from_inside_and_outside(asking: Batch) -> None:
    port, client_port = free_port(), free_port()
    asking.environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on loopback, and looked for there
    with head(asking, port, client_port):
        asking.run("outside.jsonl", "--on", f"ray://127.0.0.1:{client_port}")
        asking.environment["RAY_ADDRESS"] = f"127.0.0.1:{port}"
        asking.run("inside.jsonl", "--on", "ray")
    assert_as_here(asking, "outside.jsonl")
    assert asking.rows("inside.jsonl") == asking.rows("outside.jsonl")


def listening(pid: int) -> set[str]:
    """Addresses, as in /proc/net/tcp, that a process listens on."""
    sockets = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].partition(":")[0])
    return found


def test_a_ray_that_is_started_here_listens_on_loopback_only(asking: Batch, server: Server) -> None:
    with asking.start("there.jsonl", "--on", "ray") as process:
        server.wait_for(1, process)
        family = [pid for pid, above in descendants().items() if process.pid in above]
        found = {address for pid in family for address in listening(pid)}
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, said
    assert "the same command goes on from here" in said
    assert found
    assert found <= LOOPBACK


def test_a_driver_killed_on_the_way_goes_on(asking: Batch, server: Server) -> None:
    with asking.start("there.jsonl", "--on", "ray", "--replicas", "2") as process:
        server.wait_for(ROWS // 3, process)
        left = replica_pids(process.pid)
        process.send_signal(signal.SIGKILL)
    until(lambda: not any(is_replica(pid) for pid in left))
    before = len(server.asked)
    asking.run("there.jsonl", "--on", "ray", "--replicas", "2")
    times = Counter(server.asked)
    assert len(times) == ROWS - 2
    under_way = 2 * 2 * 2 * 2  # rows, calls, replicas; as many were just being recorded
    assert sum(times.values()) - len(times) <= under_way
    assert before < sum(times.values()) < before + ROWS
    assert_as_here(asking, "there.jsonl")


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
