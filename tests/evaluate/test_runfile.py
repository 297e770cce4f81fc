"""Run files: what was written is read back, broken runs go on, and nothing that is torn or foreign is measured."""

from __future__ import annotations

import asyncio
import gzip
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.case import Case
from magistrate.classifiers.base import Classifier
from magistrate.digest import Digest
from magistrate.errors import InputError, MagistrateError, StoreError, UsageError
from magistrate.evaluate.audit import audit_reasoning
from magistrate.evaluate.cohort import Threshold, check_same_cohort
from magistrate.evaluate.dataset import Dataset, identify, read_starter_dataset
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.judged import Undecided
from magistrate.evaluate.measure import measure
from magistrate.evaluate.runfile import (
    FORMAT_KEY,
    Gold,
    RunHeader,
    RunWriter,
    judge_run,
    open_run,
    read_run,
    read_verdicts,
    write_run,
)
from magistrate.policy.model import Policy
from magistrate.policy.starter import read_starter
from magistrate.row import Outcome, VerdictRow, verdict_row
from magistrate.types import (
    Abstained,
    Code,
    Content,
    Decided,
    Effort,
    Failed,
    RuleMatch,
    Severity,
    Span,
    Target,
    Trace,
    Usage,
    Verdict,
)

TRACE = Trace(
    policy="spam",
    policy_digest="sha256:0",
    model="m",
    dialect="d.v1",
    latency_ms=12.5,
    usage=Usage(100, 20, None, 1),
    reasoning="because\u2028of SP1",
)


def golden(count: int) -> list[GoldenCase]:
    return [
        GoldenCase(
            id=f"case {n}",
            content=Content.of_text(f"text {n}"),
            violation=n % 2 == 0,
            rule_ids=("SP1",) if n % 2 == 0 else (),
            label="violates" if n % 2 == 0 else None,
            severity=Severity.HIGH if n % 4 == 0 else None,
            kind="clear",
            lang="en",
            category="ad",
            cluster="a" if n < 2 else "",
        )
        for n in range(count)
    ]


def verdict(number: int) -> Verdict:
    if number % 5 == 3:
        return Failed(code=Code.TIMEOUT, detail="no answer", trace=TRACE)
    if number % 5 == 4:
        return Abstained(code=Code.UNSURE, detail="", trace=TRACE, probability=0.5)
    return Decided(
        violation=number % 3 == 0,
        label="violates",
        rule_ids=("SP1", "SP2"),
        severity=None,
        probability=None if number % 5 == 2 else 0.25,
        rationale="it sells",
        trace=TRACE,
        evidence=(RuleMatch("SP1", 0.5, Span(0, 4)),),
    )


def header(cases: Sequence[GoldenCase], **changed: object) -> RunHeader:
    made = RunHeader(
        dataset=identify(cases, name="spam", split="eval", revision="sha256:1", mapping=(("label", "x"),)),
        policy="spam",
        policy_digest=Digest("sha256:0"),
        model="m",
        dialect="d.v1",
        effort=Effort.LOW,
        settings={"temperature": 0.5, "seed": 1, "cache": True, "name": "é", "budget": None},
        started=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    return replace(made, **changed)  # type: ignore[arg-type]  # each test gives fields of the right type


def rows(cases: Sequence[GoldenCase]) -> list[tuple[GoldenCase, VerdictRow]]:
    return [(case, verdict_row(case.id, verdict(number))) for number, case in enumerate(cases)]


def test_every_verdict_carries_the_audit_of_its_reasoning(tmp_path: Path) -> None:
    policy = Policy.parse("## Violates\n- SP1. Adverts.\n\n## Safe\n- SPA1. Questions.", name="spam")
    cases = golden(5)
    write_run(tmp_path / "run.jsonl", header(cases), rows(cases), policy=policy)
    run = read_run(tmp_path / "run.jsonl")
    assert run.audits == tuple(audit_reasoning(policy, c.content, verdict(n)) for n, c in enumerate(cases))
    assert run.audits[0] is not None
    assert run.audits[0].cited == ("SP1",)
    write_run(tmp_path / "run.jsonl", header(cases), rows(cases))
    assert read_run(tmp_path / "run.jsonl").audits == (None,) * 5


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.gz"])
def test_what_was_written_is_read_back(tmp_path: Path, name: str) -> None:
    cases = golden(12)
    write_run(tmp_path / name, header(cases), rows(cases))
    run = read_run(tmp_path / name)
    assert run.header == header(cases)
    assert (len(run), run.complete, run.torn) == (12, True, False)
    assert run.ids == tuple(case.id for case in cases)
    assert run.judged.truth.tolist() == [case.violation for case in cases]
    assert run.judged.decided.tolist() == [n % 5 < 3 for n in range(12)]
    assert run.judged.flagged.tolist() == [n % 5 < 3 and n % 3 == 0 for n in range(12)]
    expected = [np.nan if n % 5 in (2, 3) else 0.5 if n % 5 == 4 else 0.25 for n in range(12)]
    assert np.array_equal(run.judged.probability, expected, equal_nan=True)
    assert run.judged.clusters is not None
    assert run.judged.clusters.tolist() == [0, 0, *range(1, 11)]
    assert run.codes[3:5] == (Code.TIMEOUT, Code.UNSURE)
    assert run.outcomes[3:5] == (Outcome.FAILED, Outcome.ABSTAINED)
    assert run.rule_ids[0] == ("SP1", "SP2")
    assert run.gold == tuple(Gold.of(case) for case in cases)
    assert run.usage[0] == Usage(100, 20, None, 1)
    assert run.latency_ms.tolist() == [12.5] * 12
    assert list(read_verdicts(tmp_path / name)) == [(row, Gold.of(case)) for case, row in rows(cases)]


def test_content_is_not_kept(tmp_path: Path) -> None:
    cases = golden(3)
    write_run(tmp_path / "run.jsonl", header(cases), rows(cases))
    assert "text 1" not in (tmp_path / "run.jsonl").read_text()


def test_a_run_is_measured_without_its_judge(tmp_path: Path) -> None:
    cases = golden(40)
    write_run(tmp_path / "run.jsonl", header(cases), rows(cases))
    run = read_run(tmp_path / "run.jsonl")
    measures = measure(run.judged)
    assert (measures.cases, measures.undecided) == (40, 16)
    asked = {"threshold": Threshold(), "undecided": Undecided.WRONG}
    other = replace(run, header=header(cases, model="other"))
    check_same_cohort([run.cohort(**asked), other.cohort(**asked)])  # type: ignore[arg-type]  # two kinds of values


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.gz"])
@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_run_that_was_cut_off_goes_on(tmp_path: Path, name: str, cut: int) -> None:
    path, cases = tmp_path / name, golden(9)
    every = rows(cases)
    with open_run(path, header(cases)) as writer:
        writer.append(every[:3])
        writer.append(every[3:6])
    path.write_bytes(path.read_bytes()[:-cut])
    torn = read_run(path)
    assert torn.torn
    assert not torn.complete
    assert 3 <= len(torn) < 6 + name.endswith(".gz")  # a packed end may lack its check only
    assert torn.ids == tuple(case.id for case in cases[: len(torn)])
    later = header(cases, started=datetime(2027, 1, 1, tzinfo=UTC))
    with open_run(path, later) as writer:
        assert writer.done == set(torn.ids)
        writer.append(every[len(torn) :])
    run = read_run(path)
    assert (run.complete, run.torn, run.ids) == (True, False, tuple(case.id for case in cases))
    assert run.header.started == header(cases).started


def test_a_header_that_was_cut_off_begins_anew(tmp_path: Path) -> None:
    path, cases = tmp_path / "run.jsonl", golden(2)
    write_run(path, header(cases), [])
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="is empty"):
        read_run(path)
    with open_run(path, header(cases)) as writer:
        assert writer.done == frozenset()
        writer.append(rows(cases))
    assert read_run(path).complete


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": "other"}, "model was 'm', now it is 'other'"),
        ({"settings": {"temperature": 1.0}}, "settings was"),
        ({"effort": None}, "effort was"),
        ({"target": Target.USER}, "target was"),
        ({"policy_digest": Digest("sha256:9")}, "policy_digest was 'sha256:0', now it is 'sha256:9'"),
    ],
)
def test_another_run_is_refused(tmp_path: Path, changed: dict[str, object], said: str) -> None:
    path, cases = tmp_path / "run.jsonl", golden(3)
    write_run(path, header(cases), rows(cases))
    before = path.read_bytes()
    with pytest.raises(UsageError, match=said.replace("(", r"\(")) as raised, open_run(path, header(cases, **changed)):
        pass
    assert "--restart" in (raised.value.hint or "")
    assert path.read_bytes() == before
    with open_run(path, header(cases, **changed), restart=True):
        pass
    assert len(read_run(path)) == 0


def test_other_cases_are_another_run(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write_run(path, header(golden(3)), rows(golden(3)))
    with pytest.raises(UsageError, match="dataset was spam eval sha256:"), open_run(path, header(golden(4))):
        pass


def changed_line(path: Path, number: int, **values: object) -> None:
    lines = path.read_text().splitlines()
    line = json.loads(lines[number])
    for name, value in values.items():
        line[name] = value
    lines[number] = json.dumps(line)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"probability": 1.5}, "line 2: probability: Input should be less than"),
        ({"probability": float("nan")}, "line 2: probability"),
        ({"latency_ms": -1}, "line 2: latency_ms"),
        ({"violation": "yes"}, "line 2: violation"),
        ({"violation": None}, "line 2: violation is None and the outcome 'decided'"),
        ({"outcome": "failed"}, "line 2: violation is True and the outcome 'failed'"),
        ({"code": "nothing"}, "line 2: code"),
        ({"gold": {"violation": 2}}, "line 2: gold.violation"),
        ({"gold": None}, "line 2: gold"),
        ({"id": 5}, "line 2: id"),
        ({"id": "case 1"}, "line 3: the case 'case 1' was recorded in line 2 already"),
    ],
)
def test_a_line_that_was_changed_is_refused(tmp_path: Path, values: dict[str, object], said: str) -> None:
    path, cases = tmp_path / "run.jsonl", golden(3)
    write_run(path, header(cases), rows(cases))
    changed_line(path, 1, **values)
    with pytest.raises(InputError) as raised:
        read_run(path)
    assert said in raised.value.message
    if "already" not in said:
        with pytest.raises(InputError):
            list(read_verdicts(path))


def test_a_line_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path, cases = tmp_path / "run.jsonl", golden(3)
    write_run(path, header(cases), rows(cases))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2][:40] + b"\n", lines[3]]))
    with pytest.raises(InputError, match="line 3"):
        read_run(path)


def test_newer_formats_and_other_files_are_refused(tmp_path: Path) -> None:
    path, cases = tmp_path / "run.jsonl", golden(1)
    write_run(path, header(cases), rows(cases))
    changed_line(path, 0, **{FORMAT_KEY: 2})
    with pytest.raises(InputError, match="is of format 2, this magistrate reads up to 1") as raised:
        read_run(path)
    assert raised.value.hint == "upgrade magistrate"
    for content in (
        b'{"id": "a"}\n',
        b"[]\n",
        b"\x00\n",
        b"",
        b'{"magistrate_run": true}\n',
        b'{"magistrate_run": 1}\n',
    ):
        path.write_bytes(content)
        with pytest.raises(InputError):
            read_run(path)
    with pytest.raises(InputError, match="cannot read"):
        read_run(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="cannot read"):
        read_run(tmp_path)


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    path, cases = tmp_path / "run.jsonl.gz", golden(300)
    write_run(path, header(cases), rows(cases))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(InputError):
        read_run(path)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    cases = golden(1)
    with pytest.raises(UsageError, match="cannot write"):
        write_run(tmp_path / "no" / "run.jsonl", header(cases), [])
    with pytest.raises(UsageError, match="cannot write"):
        write_run(tmp_path, header(cases), [])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk to write to")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    cases = golden(1)
    path = tmp_path / "run.jsonl"
    with Path("/dev/full").open("ab", buffering=0) as full, pytest.raises(StoreError, match="cannot write"):
        RunWriter(path, full, frozenset()).append(rows(cases))


def test_two_runs_are_lined_up_by_their_ids(tmp_path: Path) -> None:
    cases = golden(6)
    write_run(tmp_path / "a.jsonl", header(cases), rows(cases))
    write_run(tmp_path / "b.jsonl", header(cases), rows(cases)[::-1])
    first, second = read_run(tmp_path / "a.jsonl"), read_run(tmp_path / "b.jsonl")
    lined = second.judged.take(second.positions(first.ids))
    assert lined.truth.tolist() == first.judged.truth.tolist()
    assert lined.flagged.tolist() == first.judged.flagged.tolist()
    with pytest.raises(InputError, match="1 cases are not in the run, the first is 'x'"):
        second.positions(["x"])


class Judge(Classifier):
    """Judges by the id; breaks off before one of them."""

    def __init__(self, breaks_at: str | None = None) -> None:
        self.breaks_at = breaks_at
        self.judged: list[str] = []

    @property
    def name(self) -> str:
        return "by the id"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        """Nothing was opened."""

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        if self.breaks_at in [case.id for case in cases]:
            raise StoreError("broken off")
        self.judged += [case.id for case in cases]
        return [verdict(number) for number, _ in enumerate(cases)]


def judged(path: Path, judge: Judge, dataset: Dataset, progress: list[tuple[int, int]] | None = None) -> int:
    policy: Policy = read_starter("spam")
    run = asyncio.run(
        judge_run(
            path,
            header(dataset.cases),
            policy,
            judge,
            dataset,
            chunk=10,
            on_progress=None if progress is None else lambda done, of: progress.append((done, of)),
        )
    )
    return len(run)


def test_judging_is_recorded_and_goes_on(tmp_path: Path) -> None:
    dataset = read_starter_dataset("spam")
    path, count = tmp_path / "run.jsonl", len(dataset.cases)
    broken = Judge(breaks_at=dataset.cases[25].id)
    with pytest.raises(StoreError, match="broken off"):
        judged(path, broken, dataset)
    assert len(broken.judged) == len(read_run(path)) == 20
    rest, progress = Judge(), list[tuple[int, int]]()
    assert judged(path, rest, dataset, progress) == count
    assert rest.judged == [case.id for case in dataset.cases[20:]]
    assert progress[0] == (30, count)
    assert progress[-1] == (count, count)
    nothing = Judge()
    assert judged(path, nothing, dataset) == count
    assert nothing.judged == []


def changed_bytes(whole: bytes, at: int, piece: bytes, how: str) -> bytes:
    at %= len(whole)
    return {"put": whole[:at] + piece + whole[at + len(piece) :], "cut": whole[:at], "other": piece}[how]


@given(st.integers(0, 3000), st.binary(max_size=300), st.sampled_from(["put", "cut", "other"]), st.booleans())
def test_any_bytes(at: int, piece: bytes, how: str, packed: bool) -> None:
    cases = golden(3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        write_run(path, header(cases), rows(cases))
        content = changed_bytes(path.read_bytes(), at, piece[:4] if how == "put" else piece, how)
        path.write_bytes(gzip.compress(content) if packed else content)
        try:
            run = read_run(path)
            assert len(run) == len(run.judged) <= 3
            assert len(list(read_verdicts(path))) == len(run)
            with open_run(path, header(cases)) as writer:
                assert writer.done == set(run.ids)
        except MagistrateError as error:
            assert error.message


@pytest.mark.slow
def test_a_hundred_thousand_verdicts_are_read_in_seconds(tmp_path: Path) -> None:
    cases = golden(100_000)
    write_run(tmp_path / "run.jsonl", header(cases), rows(cases))
    began = time.process_time()
    run = read_run(tmp_path / "run.jsonl")
    assert time.process_time() - began < 10
    assert len(run) == 100_000
