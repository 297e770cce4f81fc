"""The decision log: every decision with its policy's digest, model, dialect, tokens, time, verdict and reasons."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, and_, delete, func, insert, or_, select
from sqlalchemy.engine import URL

from magistrate.digest import Digest
from magistrate.errors import InputError, StoreError, UsageError
from magistrate.row import ROW_FIELDS, USAGE_FIELDS, Decision, Outcome, VerdictRow, content_digest, valid_text
from magistrate.store.database import BUSY_TIMEOUT_S, database_url, erase, mapped, open_engine
from magistrate.store.schema import DECISIONS
from magistrate.types import Content, Message, Role, Target

_PAGE = 500
_PLAIN_FIELDS = tuple(name for name in ROW_FIELDS if name != "usage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which decisions are meant; a field that is None does not matter."""

    policy: str | None = None
    """Name or digest of the policy."""
    outcome: Outcome | None = None
    violation: bool | None = None
    """True and False leave out what was not decided."""
    case_id: str | None = None
    content_digest: str | None = None
    since: datetime | None = None
    """With a time zone; this moment is in."""
    until: datetime | None = None
    """With a time zone; this moment is out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDecision:
    """A decision as the log has it."""

    log_id: int
    """Grows with every decision, and is never used again."""
    time: datetime
    """UTC."""
    row: VerdictRow
    answer: str
    """The final channel as it came."""
    content_digest: Digest
    content: Content | None
    """None where content is not kept."""

    def to_dict(self) -> dict[str, object]:
        """The verdict row, then what the log adds. With kept content it can be judged again as a batch's input."""
        content = self.content
        is_text = content is not None and content.target is Target.TEXT
        return {
            **self.row.to_dict(),
            "log_id": self.log_id,
            "time": _time_text(self.time),
            "answer": self.answer,
            "content_digest": self.content_digest,
            "text": content.messages[0].content if content is not None and is_text else None,
            "messages": None if content is None or is_text else _content_json(content)["messages"],
            "target": None if content is None else content.target.value,
        }


class DecisionLog:
    """A log in an SQLite file; several processes may write it at once.

    The constructor stores, the context opens. Content is kept only if asked for, otherwise as a digest. The rest can
    quote it: without `keep_reasoning`, rationale, reasoning, answer and detail are left empty.

    Args:
        place: A file (made with mode 0600, its folder with 0700), or a database URL.
        keep_content: Keep what was judged.
        keep_reasoning: Keep what the judge wrote about it.
        busy_timeout_s: How long to wait for another process that writes.
    """

    def __init__(
        self,
        place: Path | str,
        *,
        keep_content: bool = False,
        keep_reasoning: bool = True,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        self._place = place
        self._busy_timeout_s = busy_timeout_s
        self._keep_content = keep_content
        self._keep_reasoning = keep_reasoning
        self._url: URL | None = None
        self._engine: Engine | None = None

    def __enter__(self) -> Self:
        self._url = database_url(self._place)
        self._engine = open_engine(self._url, busy_timeout_s=self._busy_timeout_s)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._engine is not None:
            self._engine.dispose()
        self._engine = None

    def append(self, decisions: Sequence[Decision], *, time: datetime | None = None) -> None:
        """Log decisions, wholly or not at all; one with the uid of an earlier one takes its place.

        Args:
            decisions: Any number.
            time: When they were made; now if not given. With a time zone.

        Raises:
            StoreError: the log cannot be written.
        """
        if not decisions:
            return
        stamp = _time_text(time or datetime.now(UTC))
        uids = [decision.uid for decision in decisions if decision.uid is not None]
        with self._connection(writes=True) as connection:
            for start in range(0, len(uids), _PAGE):
                connection.execute(delete(DECISIONS).where(DECISIONS.c.uid.in_(uids[start : start + _PAGE])))
            connection.execute(insert(DECISIONS), [self._values(decision, stamp) for decision in decisions])

    def rows(
        self, where: Where | None = None, *, limit: int | None = None, newest_first: bool = True
    ) -> Iterator[LoggedDecision]:
        """Read decisions, page by page: a long listing never stands in a writer's way.

        Raises:
            StoreError: the log cannot be read.
        """
        condition = _condition(where or Where())
        left = limit
        last: int | None = None
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            page = self._page(condition, last, size, newest_first=newest_first)
            yield from page
            if len(page) < size:
                return
            last = page[-1].log_id
            left = None if left is None else left - size

    def get(self, log_id: int) -> LoggedDecision | None:
        """One decision; None where there is no such."""
        with self._connection() as connection:
            found = connection.execute(select(DECISIONS).where(DECISIONS.c.log_id == log_id)).mappings().first()
        return None if found is None else _logged(found)

    def export(self, where: Where | None = None) -> Iterator[dict[str, object]]:
        """Decisions as verdict rows with what the log adds, oldest first."""
        for decision in self.rows(where, newest_first=False):
            yield decision.to_dict()

    def count(self, where: Where | None = None) -> int:
        """How many decisions there are."""
        with self._connection() as connection:
            query = select(func.count()).select_from(DECISIONS).where(_condition(where or Where()))
            return connection.execute(query).scalar_one()

    def purge(self, where: Where | None = None, *, everything: bool = False) -> int:
        """Delete decisions so that nothing of them stays in the files.

        Args:
            where: Which ones.
            everything: Delete all; must be said, so that a filter left empty by mistake deletes nothing.

        Returns:
            How many were deleted.

        Raises:
            UsageError: neither a filter nor `everything`, or both.
            StoreError: the log cannot be written, or another process holds on to old pages of it.
        """
        chosen = where is not None and where != Where()
        if chosen == everything:
            raise UsageError(
                "say which decisions to purge" if not chosen else "a filter and everything at once",
                hint="purge by policy, by time or by case id; or purge everything",
            )
        with self._connection(writes=True) as connection:
            deleted = connection.execute(delete(DECISIONS).where(_condition(where or Where()))).rowcount
        erase(*self._opened())
        return deleted

    def _values(self, decision: Decision, stamp: str) -> dict[str, object]:
        row = decision.row
        if not self._keep_reasoning:
            steps = tuple(replace(step, detail="") for step in row.steps)
            row = replace(row, rationale="", reasoning="", detail="", steps=steps)
        values = row.to_dict()
        return {
            **{name: values[name] for name in _PLAIN_FIELDS},
            **{name: getattr(row.usage, name) for name in USAGE_FIELDS},
            "uid": decision.uid or uuid4().hex,
            "time": stamp,
            "answer": valid_text(decision.answer) if self._keep_reasoning else "",
            "content_digest": content_digest(decision.content),
            "content": _content_json(decision.content) if self._keep_content else None,
        }

    def _page(
        self, condition: ColumnElement[bool], last: int | None, size: int, *, newest_first: bool
    ) -> list[LoggedDecision]:
        key = DECISIONS.c.log_id
        query = select(DECISIONS).where(condition).order_by(key.desc() if newest_first else key).limit(size)
        if last is not None:
            query = query.where(key < last if newest_first else key > last)
        with self._connection() as connection:
            return [_logged(found) for found in connection.execute(query).mappings()]

    @contextmanager
    def _connection(self, *, writes: bool = False) -> Generator[Connection]:
        """A transaction. One that writes takes the lock at its beginning, so that it waits instead of failing."""
        engine, url = self._opened()
        with mapped(url), engine.execution_options(writes=writes).begin() as connection:
            yield connection

    def _opened(self) -> tuple[Engine, URL]:
        if self._engine is None or self._url is None:
            raise StoreError("the decision log is not open", hint="write `with DecisionLog(...) as log:`")
        return self._engine, self._url


def _condition(where: Where) -> ColumnElement[bool]:
    c = DECISIONS.c
    conditions: list[ColumnElement[bool]] = [c.log_id.is_not(None)]
    if where.policy is not None:
        conditions.append(or_(c.policy == where.policy, c.policy_digest == where.policy))
    if where.outcome is not None:
        conditions.append(c.outcome == where.outcome.value)
    if where.violation is not None:
        conditions.append(c.violation.is_(where.violation))
    if where.case_id is not None:
        conditions.append(c.id == where.case_id)
    if where.content_digest is not None:
        conditions.append(c.content_digest == where.content_digest)
    if where.since is not None:
        conditions.append(c.time >= _time_text(where.since))
    if where.until is not None:
        conditions.append(c.time < _time_text(where.until))
    return and_(*conditions)


def _time_text(time: datetime) -> str:
    if time.tzinfo is None:
        raise UsageError(f"the time {time.isoformat()} has no time zone", hint="say datetime(..., tzinfo=UTC)")
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").zfill(27)


def _logged(found: RowMapping) -> LoggedDecision:
    usage = {name: found[name] for name in USAGE_FIELDS}
    try:
        plain = {name: found[name] for name in _PLAIN_FIELDS}
        row = VerdictRow.from_dict({**plain, "usage": usage, "steps": found["steps"] or []})
    except InputError as error:
        raise StoreError(
            f"decision {found['log_id']} cannot be read: {error.message}",
            hint="was it written by a newer magistrate?",
        ) from error
    return LoggedDecision(
        log_id=found["log_id"],
        time=datetime.fromisoformat(found["time"]),
        row=row,
        answer=found["answer"],
        content_digest=Digest(found["content_digest"]),
        content=None if found["content"] is None else _content(found["content"]),
    )


def _content_json(content: Content) -> dict[str, object]:
    messages = [{"role": message.role.value, "content": message.content} for message in content.messages]
    return {"target": content.target.value, "messages": messages}


def _content(stored: dict[str, object]) -> Content:
    match stored:
        case {"target": str(target), "messages": list(messages)}:
            return Content(tuple(Message(Role(m["role"]), m["content"]) for m in messages), Target(target))
        case _:
            raise StoreError("a decision's content cannot be read", hint="was it written by a newer magistrate?")
