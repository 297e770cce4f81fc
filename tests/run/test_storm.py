"""1,000 cases at a server of which every fifth call fails: each gets one verdict or one typed failure."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.backends.chat_server import ChatServer
from tests.dialects.samples import SPAM
from tests.run.storm import ATTEMPTS, CASES, FAULTS, Storm, is_violation, text_of

from magistrate.backends.http import HttpBackend
from magistrate.backends.retry import RetryBackend
from magistrate.case import Case
from magistrate.classifiers.reasoner import Reasoner
from magistrate.dialects.safeguard import Form, Safeguard
from magistrate.run.verdicts import read_verdicts
from magistrate.types import RETRYABLE, Content, Decided, Failed, Verdict

SEED = 11
SMALL_TIME_LIMIT_S = 3.0


async def judge_in(storm: Storm, *, concurrency: int, timeout_s: float) -> tuple[list[Verdict], ChatServer, float]:
    """Verdicts, the server, and the seconds that it took."""
    async with ChatServer(storm) as server:
        http = HttpBackend(server.url, "m", concurrency=concurrency, timeout_s=timeout_s)
        backend = RetryBackend(http, attempts=ATTEMPTS, first_wait_s=0.05)
        async with Reasoner(Safeguard(Form.BINARY), backend) as judge:
            started = time.perf_counter()
            verdicts = await judge.judge_many([Case(SPAM, Content.of_text(text_of(n))) for n in range(CASES)])
            return verdicts, server, time.perf_counter() - started


def check(storm: Storm, verdicts: Sequence[Verdict]) -> None:
    assert len(verdicts) == CASES
    assert set(storm.faults) == set(FAULTS)
    for number, verdict in enumerate(verdicts):
        calls = verdict.trace.usage.calls
        assert 1 <= calls <= ATTEMPTS
        assert storm.asked[number] <= calls  # fewer where a call ended before the server had read it
        match verdict:
            case Decided():
                assert verdict.violation == is_violation(number), "the verdict of another case"
                assert storm.answered[number] >= 1
            case Failed():
                assert verdict.code in RETRYABLE
                assert calls == ATTEMPTS
            case _:
                pytest.fail(f"case {number}: {verdict}")
    # Asked again although answered only where our own time limit cut the answer off.
    assert sum(storm.answered.values()) - len(storm.answered) <= CASES // 20
    failed = sum(isinstance(verdict, Failed) for verdict in verdicts)
    assert failed <= 15  # 1,000 * 0.2 ** 4 is 1.6


def test_each_case_gets_a_verdict_or_a_typed_failure_and_no_more_calls_than_allowed() -> None:
    storm = Storm(SEED)
    verdicts, _, _ = asyncio.run(judge_in(storm, concurrency=64, timeout_s=SMALL_TIME_LIMIT_S))
    check(storm, verdicts)
    assert 1150 < storm.asked.total() < 1400  # 1,000 * (1 + 0.2 + 0.04 + 0.008) is 1,248


@pytest.mark.slow
def test_all_1_000_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    resource = pytest.importorskip("resource", reason="counts file descriptors as POSIX does")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 3 * CASES:
        pytest.skip("needs 3,000 file descriptors: ulimit -n 4096")
    storm = Storm(SEED, longest_s=4.0)
    verdicts, server, seconds = asyncio.run(judge_in(storm, concurrency=CASES, timeout_s=20))
    check(storm, verdicts)
    assert server.peak > CASES // 2
    with capsys.disabled():
        sys.stdout.write(f"\n{report(storm, verdicts)}; {server.peak} at once at the most; {seconds:.1f} s\n")


def report(storm: Storm, verdicts: Sequence[Verdict]) -> str:
    decided = sum(isinstance(verdict, Decided) for verdict in verdicts)
    times = Counter(verdict.trace.usage.calls for verdict in verdicts)
    return (
        f"{decided} verdicts, {len(verdicts) - decided} typed failures, {storm.asked.total()} calls, "
        f"calls a case {dict(sorted(times.items()))}, faults {dict(sorted(storm.faults.items()))}"
    )


CONFIG = """
[models.storm]
url = "{url}"
model = "m"
dialect = "safeguard.binary.v1"
concurrency = 64
timeout_s = {timeout_s}
attempts = {attempts}
"""


def test_a_batch_in_the_storm_has_each_row_once(tmp_path: Path) -> None:
    """`magistrate batch` in a process of its own: rows out as rows in, and no case asked more often than allowed."""
    rows = [json.dumps({"id": f"r{n}", "text": text_of(n)}) for n in range(CASES)]
    (tmp_path / "in.jsonl").write_text("\n".join(rows) + "\n")

    async def run() -> tuple[Storm, int, str]:
        storm = Storm(SEED)
        async with ChatServer(storm) as server:
            config = CONFIG.format(url=server.url, timeout_s=SMALL_TIME_LIMIT_S, attempts=ATTEMPTS)
            (tmp_path / "magistrate.toml").write_text(config)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "magistrate", "batch", "in.jsonl", "--policy", "spam"),
                *("--model", "storm", "--out", "out.jsonl", "--no-log", "--quiet"),
                cwd=tmp_path,
                env={**os.environ, "MAGISTRATE_HOME": str(tmp_path / "home")},
                stderr=asyncio.subprocess.PIPE,
            )
            _, said = await process.communicate()
            return storm, process.returncode or 0, said.decode()

    storm, status, said = asyncio.run(run())
    assert status == 0, said
    read = list(read_verdicts(tmp_path / "out.jsonl"))
    assert [row.id for row in read] == [f"r{n}" for n in range(CASES)]
    assert set(storm.faults) == set(FAULTS)
    assert max(storm.asked.values()) <= ATTEMPTS
    undecided = [row for row in read if row.violation is None]
    assert len(undecided) <= 15
    assert all(row.code in {code.value for code in RETRYABLE} for row in undecided)
    for number, row in enumerate(read):
        assert row.violation in (None, is_violation(number)), "the verdict of another case"
