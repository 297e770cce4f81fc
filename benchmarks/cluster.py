"""What Ray costs: the same rows through the same judge, in one process and by a replica on a Ray of this machine.

python -m benchmarks.cluster [ROWS]     needs magistrate[ray]
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

WORDS = ("free", "money", "order", "where", "is", "my", "parcel", "buy", "course", "today", "thanks", "click", "link")
LISTS = 'name = "words"\n[[list]]\nrule = "SP1"\nkeywords = ["free money", "click link"]\n'


def main(rows: int = 2000) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "lists.toml").write_text(LISTS)
        print("| judge | rows | where | rows/s | start and end, s | memory, MiB |\n|---|---|---|---|---|---|")
        for judge, count, chunk in (("embedded", rows, "32"), ("lists.toml", rows * 20, "512")):
            write_rows(folder / "in.jsonl", count)
            for place in ("local", "ray"):
                measure(folder, judge, count, place, chunk)


def write_rows(path: Path, count: int) -> None:
    chance = random.Random(1)
    with path.open("w") as file:
        for n in range(count):
            text = " ".join(chance.choices(WORDS, k=chance.randint(3, 25)))
            file.write(json.dumps({"id": n, "text": text}) + "\n")


def measure(folder: Path, judge: str, rows: int, place: str, chunk: str) -> None:
    out = folder / f"{judge}.{place}.jsonl"
    command = [sys.executable, "-m", "magistrate", "batch", "in.jsonl", "-p", "spam", "--model", judge, "--no-log"]
    # Ray runs its workers at niceness 15, which on a machine with other work measures that work.
    environment = {**os.environ, "RAY_worker_niceness": "0"}
    begun = time.monotonic()
    with subprocess.Popen(
        [*command, "--chunk", chunk, "--out", str(out), "--on", place],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        peaks: dict[str, int] = {}
        watcher = threading.Thread(target=watch, args=(process, peaks))
        watcher.start()
        said = process.communicate()[1]
        watcher.join()
    if process.returncode:
        raise SystemExit(said)
    whole = time.monotonic() - begun
    judged_s = float(said.rpartition(" rows judged in ")[2].split()[0])
    memory = ", ".join(f"{what} {kib >> 10}" for what, kib in sorted(peaks.items()))
    print(f"| {judge} | {rows:,} | {place} | {rows / judged_s:,.0f} | {whole - judged_s:.1f} | {memory} |", flush=True)


def watch(process: subprocess.Popen[str], peaks: dict[str, int]) -> None:
    """Peak resident memory of the driver, of replicas, and of all else that Ray started."""
    while process.poll() is None:
        now: dict[str, int] = {}
        for pid in family(process.pid):
            what, kib = resident(pid, process.pid)
            now[what] = now.get(what, 0) + kib
        for what, kib in now.items():
            peaks[what] = max(peaks.get(what, 0), kib)
        time.sleep(0.2)


def family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from family(int(child))


def resident(pid: int, driver: int) -> tuple[str, int]:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "other", 0
    kib = int(status.partition("VmRSS:")[2].split()[0]) if "VmRSS:" in status else 0
    return ("driver" if pid == driver else "replicas" if title.startswith(b"ray::Replica") else "Ray"), kib


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
