"""The decision log on real SQLite files: nothing is lost, nothing that was purged stays, errors say what to do."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magistrate.digest import text_digest
from magistrate.errors import StoreError, UsageError
from magistrate.row import Decision, Outcome, VerdictRow, verdict_row
from magistrate.store.database import database_url, open_engine
from magistrate.store.log import DecisionLog, Where
from magistrate.types import (
    Abstained,
    Code,
    Content,
    Course,
    Decided,
    Failed,
    Message,
    Role,
    RuleMatch,
    Severity,
    Span,
    Step,
    Target,
    Trace,
    Usage,
    Verdict,
)

APPENDER = Path(__file__).with_name("appender.py")
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
SECRET = "the-secret-of-the-content"
REASON = "the-reason-that-quotes-it"


def trace(policy: str = "spam") -> Trace:
    return Trace(
        policy=policy,
        policy_digest=f"sha256:{policy}",
        model="gpt-oss-safeguard",
        dialect="d.v1",
        latency_ms=12.5,
        usage=Usage(100, 20, 15, 2),
        reasoning=REASON,
    )


def decided(*, violation: bool, policy: str = "spam") -> Decided:
    return Decided(
        violation=violation,
        label="violates" if violation else "safe",
        rule_ids=("SP1", "SP2.a") if violation else (),
        severity=Severity.HIGH if violation else None,
        probability=0.1 + 0.2,
        rationale=REASON,
        trace=trace(policy),
        evidence=(RuleMatch("SP1", 0.1, Span(0, 4)), RuleMatch("SP2.a", 1 / 3)),
    )


def decision(
    case_id: str,
    verdict: Verdict | None = None,
    *,
    text: str = SECRET,
    uid: str | None = None,
    action: str | None = None,
) -> Decision:
    row = verdict_row(case_id, verdict or decided(violation=True), action=action)
    return Decision(row=row, content=Content.of_text(text), answer=f"VIOLATION {REASON}", uid=uid)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "home" / "decisions.db"


@pytest.fixture
def log(place: Path) -> Iterator[DecisionLog]:
    with DecisionLog(place, keep_content=True) as opened:
        yield opened


def ids(log: DecisionLog, where: Where | None = None) -> list[str]:
    return [logged.row.id for logged in log.rows(where)]


def bytes_on_disk(place: Path) -> bytes:
    return b"".join(path.read_bytes() for path in place.parent.iterdir())


def test_what_is_logged_is_read_back(log: DecisionLog) -> None:
    chat = Content((Message(Role.USER, "a\x00\u2028🙂"), Message(Role.ASSISTANT, "b")), Target.ASSISTANT)
    row = verdict_row("1", decided(violation=True), action="block")
    log.append([Decision(row=row, content=chat, answer="final")], time=NOON)
    (logged,) = log.rows()
    assert (logged.row, logged.content, logged.answer, logged.time) == (row, chat, "final", NOON)
    assert log.get(logged.log_id) == logged
    assert log.get(logged.log_id + 1) is None


@settings(max_examples=40)  # each makes a file
@given(st.lists(st.text(st.characters(), max_size=20), min_size=1, max_size=4), st.floats(0, 1))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, texts: list[str], probability: float) -> None:
    abstained = Abstained(code=Code.UNSURE, detail=texts[0], trace=trace(), probability=probability)
    content = Content.of_chat([Message(Role.USER, text) for text in texts])
    written = Decision(row=verdict_row(texts[-1], abstained), content=content, answer="")
    with DecisionLog(tmp_path_factory.mktemp("log") / "log.db", keep_content=True) as log:
        log.append([written])
        (logged,) = log.rows()
    assert (logged.row, logged.content) == (written.row, content)


def test_the_export_is_the_verdict_row_and_can_be_judged_again(log: DecisionLog) -> None:
    chat = Content.of_chat([Message(Role.USER, "hello")], Target.USER)
    log.append([decision("1"), Decision(row=verdict_row("2", decided(violation=False)), content=chat)], time=NOON)
    first, second = log.export()
    assert VerdictRow.from_dict(first) == verdict_row("1", decided(violation=True))
    assert (first["text"], first["messages"], first["target"]) == (SECRET, None, "text")
    assert (second["text"], second["messages"]) == (None, [{"role": "user", "content": "hello"}])
    assert second["target"] == "user"
    assert first["time"] == "2025-03-01T12:00:00.000000Z"
    json.dumps([first, second])


def test_content_is_kept_only_where_that_is_asked_for(place: Path) -> None:
    with DecisionLog(place) as log:
        log.append([decision("1")])
        (logged,) = log.rows()
        assert logged.content is None
        assert logged.content_digest == text_digest(SECRET)
        assert logged.row.rationale == REASON
        assert [row.row.id for row in log.rows(Where(content_digest=text_digest(SECRET)))] == ["1"]
        assert (next(log.export())["text"], next(log.export())["target"]) == (None, None)
        assert SECRET.encode() not in bytes_on_disk(place)
        assert REASON.encode() in bytes_on_disk(place)


def test_without_reasoning_nothing_that_quotes_stays(place: Path) -> None:
    failed = Failed(code=Code.UNKNOWN_LABEL, detail=f"label {REASON}", trace=trace())
    with DecisionLog(place, keep_reasoning=False) as log:
        log.append([decision("1"), decision("2", failed)])
        second, first = log.rows()
        assert (first.row.rationale, first.row.reasoning, first.answer) == ("", "", "")
        assert (first.row.violation, first.row.rule_ids) == (True, ("SP1", "SP2.a"))
        assert (second.row.code, second.row.detail) == (Code.UNKNOWN_LABEL, "")
        assert REASON.encode() not in bytes_on_disk(place)


def test_decisions_are_found_by_what_is_asked(log: DecisionLog) -> None:
    unsure = Abstained(code=Code.UNSURE, detail="", trace=trace("hate"))
    log.append([decision("1"), decision("2", decided(violation=False))], time=NOON)
    log.append([decision("3", unsure), decision("4", decided(violation=True, policy="hate"))], time=NOON + timedelta(1))
    assert ids(log) == ["4", "3", "2", "1"]
    assert [logged.row.id for logged in log.rows(newest_first=False, limit=3)] == ["1", "2", "3"]
    assert ids(log, Where(policy="hate")) == ids(log, Where(policy="sha256:hate")) == ["4", "3"]
    assert ids(log, Where(outcome=Outcome.ABSTAINED)) == ["3"]
    assert ids(log, Where(violation=True)) == ["4", "1"]
    assert ids(log, Where(violation=False)) == ["2"]
    assert ids(log, Where(case_id="2")) == ["2"]
    assert ids(log, Where(since=NOON + timedelta(microseconds=1))) == ["4", "3"]
    assert ids(log, Where(until=NOON)) == []
    east = timezone(timedelta(hours=3))
    assert ids(log, Where(since=NOON.astimezone(east), until=NOON + timedelta(1))) == ["2", "1"]
    assert (log.count(), log.count(Where(policy="hate", violation=True))) == (4, 1)
    assert ids(log, Where(policy="hate'; DROP TABLE decisions; --")) == []


def test_a_time_without_zone_is_refused(log: DecisionLog) -> None:
    with pytest.raises(UsageError, match="no time zone"):
        ids(log, Where(since=datetime(2025, 3, 1)))  # noqa: DTZ001  # the point of the test


def test_long_listings_come_page_by_page(log: DecisionLog) -> None:
    log.append([decision(str(n)) for n in range(1203)])
    assert ids(log) == [str(n) for n in reversed(range(1203))]
    assert [row.row.id for row in log.rows(newest_first=False)] == [str(n) for n in range(1203)]
    assert len(list(log.rows(limit=501))) == 501
    assert list(log.rows(limit=0)) == []


def test_a_listing_does_not_stand_in_a_writers_way(log: DecisionLog) -> None:
    log.append([decision(str(n)) for n in range(600)])
    listing = log.rows()
    next(listing)
    log.append([decision("new")])
    assert log.purge(Where(case_id="5")) == 1
    assert sum(1 for _ in listing) == 598


def test_a_decision_takes_the_place_of_the_one_with_its_uid(log: DecisionLog) -> None:
    log.append([decision(str(n), uid=f"run/{n}") for n in range(1100)])
    log.append([decision(str(n), decided(violation=False), uid=f"run/{n}") for n in range(1000, 1100)])
    assert (log.count(), log.count(Where(violation=False))) == (1100, 100)
    log.append([decision("1"), decision("1")])
    assert log.count() == 1102


def test_decisions_are_logged_wholly_or_not_at_all(log: DecisionLog) -> None:
    with pytest.raises(StoreError):
        log.append([decision("1", uid="same"), decision("2", uid="same")])
    assert log.count() == 0
    log.append([])
    assert log.count() == 0


def test_what_is_purged_is_gone_from_the_files(log: DecisionLog, place: Path) -> None:
    log.append([decision(str(n), text=f"{SECRET} {n}") for n in range(300)], time=NOON)
    log.append([decision("kept", decided(violation=True, policy="hate"), text="kept-content")])
    assert SECRET.encode() in bytes_on_disk(place)
    assert log.purge(Where(until=NOON + timedelta(1))) == 300
    assert SECRET.encode() not in bytes_on_disk(place)
    assert b"kept-content" in bytes_on_disk(place)
    assert ids(log) == ["kept"]
    assert log.purge(everything=True) == 1
    for gone in (b"kept-content", REASON.encode()):
        assert gone not in bytes_on_disk(place)


def test_replaced_decisions_are_gone_at_the_next_purge(log: DecisionLog, place: Path) -> None:
    log.append([decision("1", text="old-content", uid="u")])
    log.append([decision("1", text="new-content", uid="u")])
    log.purge(Where(case_id="none"))
    assert b"old-content" not in bytes_on_disk(place)
    assert b"new-content" in bytes_on_disk(place)


def test_a_purge_that_another_reader_undoes_says_so(log: DecisionLog, place: Path) -> None:
    log.append([decision("1")])
    reader = sqlite3.connect(place, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM decisions").fetchall()
    with pytest.raises(StoreError) as caught, DecisionLog(place, busy_timeout_s=0.2) as impatient:
        impatient.purge(everything=True)
    assert "old pages" in caught.value.message
    reader.close()
    assert log.count() == 0
    log.purge(everything=True)
    assert SECRET.encode() not in bytes_on_disk(place)


def test_a_purge_says_what_it_purges(log: DecisionLog) -> None:
    log.append([decision("1")])
    for where in (None, Where()):
        with pytest.raises(UsageError, match="say which decisions to purge"):
            log.purge(where)
    with pytest.raises(UsageError, match="at once"):
        log.purge(Where(case_id="1"), everything=True)
    assert log.count() == 1


def test_ids_are_never_used_again(log: DecisionLog) -> None:
    log.append([decision("1")])
    (first,) = log.rows()
    log.purge(everything=True)
    log.append([decision("2")])
    (second,) = log.rows()
    assert second.log_id > first.log_id


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_the_files_are_for_their_owner_alone(log: DecisionLog, place: Path) -> None:
    log.append([decision("1")])
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.parent.iterdir()} == {0o600}
    assert {path.name for path in place.parent.iterdir()} == {f"decisions.db{end}" for end in ("", "-wal", "-shm")}


def test_several_processes_append_at_once_and_lose_nothing(place: Path) -> None:
    names = ["a", "b", "c"]
    processes = [subprocess.Popen([sys.executable, str(APPENDER), str(place), name, "40"]) for name in names]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    with DecisionLog(place) as log:
        assert Counter(ids(log)) == dict.fromkeys(names, 80)


def test_a_closed_log_cannot_be_used(place: Path) -> None:
    log = DecisionLog(place)
    with pytest.raises(StoreError, match="is not open"):
        log.count()
    assert not place.exists()


def refusal(place: Path | str) -> StoreError:
    with pytest.raises(StoreError) as caught, DecisionLog(place, busy_timeout_s=0.1) as log:
        log.append([decision("1")])
    assert caught.value.hint
    return caught.value


def test_what_is_no_log_is_refused_and_kept(tmp_path: Path) -> None:
    text = tmp_path / "notes.db"
    text.write_text("my notes " * 200)
    assert "is not a database" in refusal(text).message
    assert text.read_text() == "my notes " * 200
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE recipes (name)")
    connection.close()
    assert "a database, but not a decision log" in refusal(other).message


def test_a_newer_log_is_refused(place: Path) -> None:
    with DecisionLog(place) as log:
        log.append([decision("1")])
    with sqlite3.connect(place) as connection:
        connection.execute("UPDATE log_version SET version = 99")
    connection.close()
    error = refusal(place)
    assert "is of version 99, this magistrate knows 2" in error.message
    assert "update magistrate" in str(error)


def test_a_locked_log_is_named(place: Path) -> None:
    with DecisionLog(place) as log:
        log.append([decision("1")])
    writer = sqlite3.connect(place, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert "is locked by another process" in refusal(place).message
    writer.close()


def test_places_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    assert "cannot be opened" in refusal(tmp_path).message
    file = tmp_path / "file"
    file.write_text("")
    assert "cannot make the decision log" in refusal(file / "log.db").message
    with DecisionLog(tmp_path / "log.db") as log:
        log.append([decision("1")])
    assert "is read-only" in refusal(f"sqlite:///file:{tmp_path}/log.db?mode=ro&uri=true").message


def test_urls_that_cannot_be_used_are_named_without_their_password() -> None:
    assert "cannot be read" in refusal("not a url://").message
    assert "no driver for 'nosuchdb'" in refusal("nosuchdb://u:hunter2@h/d").message
    assert "hunter2" not in str(refusal("postgresql+nosuch://u:hunter2@h/d"))


def test_a_url_of_a_file_is_that_file(place: Path) -> None:
    place.parent.mkdir()
    with DecisionLog(f"sqlite:///{place}") as log:
        log.append([decision("1")])
    with DecisionLog(str(place)) as log:
        assert log.count() == 1


def test_a_damaged_row_is_named(log: DecisionLog, place: Path) -> None:
    log.append([decision("1")])
    with sqlite3.connect(place) as connection:
        connection.execute("UPDATE decisions SET outcome = 'maybe'")
    connection.close()
    with pytest.raises(StoreError, match="decision 1 cannot be read: not a verdict row: outcome"):
        list(log.rows())


def test_the_log_waits_for_a_writer(place: Path) -> None:
    engine = open_engine(database_url(place))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    engine.dispose()


def test_a_log_of_before_there_were_steps_is_brought_up_to_date(place: Path) -> None:
    with DecisionLog(place) as log:
        log.append([decision("1")])
    with sqlite3.connect(place) as connection:
        connection.execute("ALTER TABLE decisions DROP COLUMN steps")
        connection.execute("UPDATE log_version SET version = 1")
    connection.close()
    step = Step(
        stage="screen",
        model="m",
        course=Course.FLAGGED,
        probability=0.9,
        clear_below=None,
        flag_from=0.8,
        detail=REASON,
        usage=Usage(calls=1),
    )
    verdict = replace(decided(violation=True), trace=replace(trace(), steps=(step,)))
    with DecisionLog(place) as log:
        log.append([Decision(row=verdict_row("2", verdict), content=Content.of_text("x"))])
        assert [logged.row.steps for logged in log.rows(newest_first=False)] == [(), (step,)]
    with DecisionLog(place, keep_reasoning=False) as log:
        log.append([Decision(row=verdict_row("3", verdict), content=Content.of_text("x"))])
        (newest,) = log.rows(limit=1)
        assert newest.row.steps == (replace(step, detail=""),)
