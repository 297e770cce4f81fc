"""Run files: the verdicts of one judge on one data set, kept beside the truth, so that they are measured again at will.

A file is JSON lines, plain or gzip. The first line says what was judged, by whom and how; every other line is a verdict
row with the keys `gold` and, where it has reasoning, `audit`. It is written while judging; a line that was cut off at
the end is left out when it is read.
"""

from __future__ import annotations

import functools
import gzip
import itertools
import json
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue, TypeAdapter, ValidationError

import magistrate
from magistrate.case import Case
from magistrate.digest import Digest
from magistrate.errors import InputError, StoreError, UsageError
from magistrate.evaluate.audit import AUDIT_VERSION, ReasoningAudit, audit_row
from magistrate.evaluate.cohort import Cohort, Threshold
from magistrate.evaluate.dataset import Dataset, DatasetIdentity
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.judged import Judged, Undecided, named_clusters
from magistrate.evaluate.metrics import Floats
from magistrate.evaluate.runlines import RunLines
from magistrate.policy.model import Policy
from magistrate.row import Outcome, VerdictRow, json_line, valid_text, verdict_row
from magistrate.types import Code, Effort, Severity, Target, Usage

if TYPE_CHECKING:
    from magistrate.classifiers.base import Classifier

FORMAT = 1
FORMAT_KEY = "magistrate_run"
CHUNK = 256
"""Cases that are judged together and then recorded."""
WRITE_ROWS = 8192
"""Rows that are written at once where all verdicts are there."""
_NOT_COMPARED = frozenset({"started"})

Setting = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeader:
    """What was judged, by whom and how. A run that goes on must have an equal one."""

    dataset: DatasetIdentity
    target: Target = Target.CHAT
    policy: str
    policy_digest: Digest
    model: str
    dialect: str
    effort: Effort | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """All else that changes a verdict: temperature, seed, budget, thresholds."""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    magistrate: str = magistrate.__version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Gold:
    """What a run keeps of a golden case. The content is not kept: it is in the data set, under the same id."""

    violation: bool
    rule_ids: tuple[str, ...] = ()
    label: str | None = None
    severity: Severity | None = None
    kind: str = ""
    lang: str = ""
    category: str = ""
    cluster: str = ""

    @classmethod
    def of(cls, case: GoldenCase) -> Gold:
        """Take it from a case."""
        return cls(**{f.name: getattr(case, f.name) for f in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """A run as read. All sequences and arrays have one entry a case, in the order of the file."""

    header: RunHeader
    ids: tuple[str, ...]
    judged: Judged
    outcomes: tuple[Outcome, ...]
    codes: tuple[Code | None, ...]
    """Why a case was not decided."""
    labels: tuple[str | None, ...]
    rule_ids: tuple[tuple[str, ...], ...]
    """Cited by the judge."""
    gold: tuple[Gold, ...]
    audits: tuple[ReasoningAudit | None, ...]
    """Of the reasoning, as `AUDIT_VERSION` finds it; None where there is none, or where another version looked."""
    latency_ms: Floats
    usage: tuple[Usage, ...]
    torn: bool
    """Whether the end of the file was cut off; what was whole is here."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def complete(self) -> bool:
        """Whether every case of the data set is here."""
        return len(self) == self.header.dataset.cases

    def positions(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Where these cases are, in their order: `run.judged.take(run.positions(ids))` lines two runs up.

        Raises:
            InputError: one is not in this run.
        """
        place = {case_id: number for number, case_id in enumerate(self.ids)}
        missing = [case_id for case_id in ids if case_id not in place]
        if missing:
            raise InputError(
                f"{len(missing)} cases are not in the run, the first is {missing[0][:40]!r}",
                hint="was it broken off? the same command goes on with it",
            )
        return np.array([place[case_id] for case_id in ids], np.int64)

    def cohort(self, *, threshold: Threshold, undecided: Undecided) -> Cohort:
        """The cohort of a score that is measured on this run; two runs are compared only if theirs are equal."""
        return self.header.dataset.cohort(target=self.header.target, threshold=threshold, undecided=undecided)


def read_run(path: Path) -> Run:
    """Read a run for measuring.

    Raises:
        InputError: not there, no run file, of a newer format, a line in it is no verdict, or a case is in it twice.
    """
    lines = RunLines(path)
    header = _header(path, next(lines.read(), None))
    rows = [(number, _row(path, number, line)) for number, line in lines.read(start=1)]
    _check_ids(path, rows)
    read = [row for _, row in rows]
    decided = np.array([row.outcome is Outcome.DECIDED for row in read], np.bool_)
    judged = Judged(
        truth=np.array([row.gold.violation for row in read], np.bool_),
        flagged=np.array([row.violation is True for row in read], np.bool_),
        decided=decided,
        probability=np.array([np.nan if row.probability is None else row.probability for row in read], np.float64),
        clusters=named_clusters([row.gold.cluster for row in read]),
    )
    return Run(
        header=header,
        ids=tuple(row.id for row in read),
        judged=judged,
        outcomes=tuple(row.outcome for row in read),
        codes=tuple(row.code for row in read),
        labels=tuple(row.label for row in read),
        rule_ids=tuple(row.rule_ids for row in read),
        gold=tuple(row.gold for row in read),
        audits=tuple(None if row.audit is None else row.audit.current for row in read),
        latency_ms=np.array([row.latency_ms for row in read], np.float64),
        usage=tuple(row.usage for row in read),
        torn=lines.torn,
    )


def read_verdicts(path: Path) -> Iterator[tuple[VerdictRow, Gold]]:
    """Read a run's verdicts whole, with their reasons and evidence, one by one.

    Raises:
        InputError: as `read_run`.
    """
    lines = RunLines(path)
    _header(path, next(lines.read(), None))
    for number, line in lines.read(start=1):
        gold = _row(path, number, line).gold
        values: dict[str, object] = json.loads(line)
        try:
            yield VerdictRow.from_dict(values), gold
        except InputError as error:
            raise InputError(f"{path}: line {number}: {error.message}", hint=error.hint) from error


def write_run(
    path: Path,
    header: RunHeader,
    verdicts: Iterable[tuple[GoldenCase, VerdictRow]],
    *,
    policy: Policy | None = None,
) -> None:
    """Write a run whole, in place of what is there; with the policy, every verdict with its audit.

    Raises:
        UsageError: the file cannot be made.
        StoreError: the disk is full, or fails.
    """
    rest = iter(verdicts)
    with open_run(path, header, restart=True, policy=policy) as writer:
        while chunk := list(itertools.islice(rest, WRITE_ROWS)):
            writer.append(chunk)


@contextmanager
def open_run(
    path: Path, header: RunHeader, *, restart: bool = False, policy: Policy | None = None
) -> Generator[RunWriter]:
    """Write a run as it comes, or go on with one that was broken off.

    Args:
        path: A file that ends in `.gz` is packed; every `append` is a gzip member of its own.
        header: Of this run. A file that is there must have the same, but for the time it began.
        restart: Begin anew, whatever is there.
        policy: That is judged under; every verdict is then recorded with the audit of its reasoning.

    Raises:
        UsageError: the file cannot be made, or is of another run: says in what they differ.
        InputError: the file that is there is no run file.
        StoreError: the disk is full, or fails.
    """
    done = frozenset[str]()
    if not restart and _is_there(path):
        done = _resumed(path, header)
    else:
        _replaced(path, [_header_line(header)])
    try:
        file = path.open("ab", buffering=0)  # what a full disk refused must not be written again on closing
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        yield RunWriter(path, file, done, policy)


class RunWriter:
    """An open run; see `open_run`."""

    def __init__(self, path: Path, file: FileIO, done: frozenset[str], policy: Policy | None = None) -> None:
        self._path = path
        self._file = file
        self._policy = policy
        self.done = done
        """Ids of the cases that were in the file when it was opened."""

    def append(self, verdicts: Iterable[tuple[GoldenCase, VerdictRow]]) -> None:
        """Record verdicts so that they survive a loss of power.

        Raises:
            StoreError: the disk is full, or fails.
        """
        data = b"".join(_verdict_line(self._policy, case, row) for case, row in verdicts)
        if not data:
            return
        try:
            left = memoryview(_packed(self._path, data))
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StoreError(
                f"cannot write {str(self._path)!r}: {error.strerror or error}",
                hint="make room and run the same command again: what is recorded is not judged again",
            ) from error


async def judge_run(
    path: Path,
    header: RunHeader,
    policy: Policy,
    classifier: Classifier,
    dataset: Dataset,
    *,
    restart: bool = False,
    chunk: int = CHUNK,
    on_progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Judge a data set and record every verdict; go on where an equal run was broken off.

    Args:
        path: Of the run file.
        header: What was judged, by whom and how.
        policy: To judge under.
        classifier: Open.
        dataset: Whose cases are judged.
        restart: Judge everything anew.
        chunk: Cases that are judged together and then recorded.
        on_progress: Is told how many cases are done, of how many.

    Raises:
        UsageError, InputError, StoreError: as `open_run`.
    """
    with open_run(path, header, restart=restart, policy=policy) as writer:
        waiting = [case for case in dataset.cases if _recorded_id(case) not in writer.done]
        done = len(dataset.cases) - len(waiting)
        for begin in range(0, len(waiting), chunk):
            cases = waiting[begin : begin + chunk]
            verdicts = await classifier.judge_many([Case(policy, case.content, case.id) for case in cases])
            writer.append((case, verdict_row(case.id, verdict)) for case, verdict in zip(cases, verdicts, strict=True))
            done += len(cases)
            if on_progress is not None:
                on_progress(done, len(dataset.cases))
    return read_run(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Audit:
    """An audit as it is recorded."""

    version: str
    found: ReasoningAudit

    @property
    def current(self) -> ReasoningAudit | None:
        """What was found; None by a version that may look for other things."""
        return self.found if self.version == AUDIT_VERSION else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """The part of a verdict row that measuring needs, with its gold."""

    id: str
    outcome: Outcome
    code: Code | None
    violation: bool | None
    label: str | None
    rule_ids: tuple[str, ...]
    probability: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None
    latency_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    usage: Usage
    gold: Gold
    audit: _Audit | None = None


def _header(path: Path, first: tuple[int, bytes] | None) -> RunHeader:
    hint = "a run file is written by `magistrate test` and `magistrate compare`"
    if first is None:
        raise InputError(f"{str(path)!r} is empty", hint=hint)
    try:
        values = TypeAdapter(dict[str, JsonValue]).validate_json(first[1])
    except ValidationError as error:
        raise InputError(f"{str(path)!r} is no run file: its first line is no JSON object", hint=hint) from error
    version = values.pop(FORMAT_KEY, None)
    if not isinstance(version, int) or isinstance(version, bool):
        raise InputError(f"{str(path)!r} is no run file: its first line has no {FORMAT_KEY!r}", hint=hint)
    if version > FORMAT:
        raise InputError(
            f"{str(path)!r} is of format {version}, this magistrate reads up to {FORMAT}", hint="upgrade magistrate"
        )
    try:
        return _header_adapter().validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise _invalid(path, 1, error) from error


def _row(path: Path, number: int, line: bytes) -> _Line:
    try:
        row = _line_adapter().validate_json(line, strict=True)
    except ValidationError as error:
        raise _invalid(path, number, error) from error
    if (row.violation is None) is (row.outcome is Outcome.DECIDED):
        raise InputError(
            f"{path}: line {number}: violation is {row.violation} and the outcome {row.outcome.value!r}",
            hint="only a decided verdict says whether there is a violation; judge again",
        )
    return row


def _check_ids(path: Path, rows: Sequence[tuple[int, _Line]]) -> None:
    first: dict[str, int] = {}
    for number, row in rows:
        if first.setdefault(row.id, number) != number:
            raise InputError(
                f"{path}: line {number}: the case {row.id[:40]!r} was recorded in line {first[row.id]} already",
                hint="a run has every case once; judge again with --restart",
            )


def _invalid(path: Path, number: int, error: ValidationError) -> InputError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return InputError(
        f"{path}: line {number}: {f'{where}: ' if where else ''}{first['msg']}",
        hint="the file was changed by hand, or is no run file; judge again",
    )


def _resumed(path: Path, header: RunHeader) -> frozenset[str]:
    """Ids that are recorded; what was cut off behind them is taken away."""
    lines = RunLines(path)
    found = list(lines.read())
    if not found and lines.torn:
        _replaced(path, [_header_line(header)])
        return frozenset()
    recorded = _header(path, found[0] if found else None)
    differing = _differences(recorded, header)
    if differing:
        raise UsageError(
            f"{str(path)!r} is of another run: {'; '.join(differing)}", hint="give another file, or --restart"
        )
    rows = [(number, _row(path, number, line)) for number, line in found[1:]]
    _check_ids(path, rows)
    if lines.torn:
        _replaced(path, [line for _, line in found])
    return frozenset(row.id for _, row in rows)


def _differences(recorded: RunHeader, now: RunHeader) -> list[str]:
    return [
        f"{f.name} was {_brief(getattr(recorded, f.name))}, now it is {_brief(getattr(now, f.name))}"
        for f in fields(RunHeader)
        if f.name not in _NOT_COMPARED and getattr(recorded, f.name) != getattr(now, f.name)
    ]


def _brief(value: object) -> str:
    if isinstance(value, DatasetIdentity):
        return f"{value.name} {value.split} {value.digest[:19]}".replace("  ", " ")
    return repr(value)[:80]


def _header_line(header: RunHeader) -> bytes:
    values: dict[str, object] = {FORMAT_KEY: FORMAT, **asdict(header), "started": header.started.isoformat()}
    return json_line(values).encode() + b"\n"


def _verdict_line(policy: Policy | None, case: GoldenCase, row: VerdictRow) -> bytes:
    values: dict[str, object] = {**row.to_dict(), "gold": asdict(Gold.of(case))}
    if policy is not None and row.reasoning:
        found = audit_row(policy, case.content, row)
        values["audit"] = asdict(_Audit(version=AUDIT_VERSION, found=found))
    return json_line(values).encode() + b"\n"


def _recorded_id(case: GoldenCase) -> str:
    """The id as a verdict row has it."""
    return valid_text(case.id)


def _is_there(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unwritable(path, error) from error


def _replaced(path: Path, lines: Sequence[bytes]) -> None:
    """Put a file of these lines in place, at once."""
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        with unfinished.open("wb") as file:
            file.write(_packed(path, b"".join(lines)))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _packed(path: Path, data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0) if path.suffix.lower() == ".gz" else data


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write {str(path)!r}: {error.strerror or error}", hint="check its folder and its rights")


@functools.cache
def _line_adapter() -> TypeAdapter[_Line]:
    return TypeAdapter(_Line)


@functools.cache
def _header_adapter() -> TypeAdapter[RunHeader]:
    return TypeAdapter(RunHeader)
