"""Tables of the decision log."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

VERSION = 2
"""Of the tables below. A log of an earlier version is brought to it when it is opened, one of a later is refused."""

METADATA = MetaData()

VERSIONS = Table("log_version", METADATA, Column("version", Integer, primary_key=True, autoincrement=False))

DECISIONS = Table(
    "decisions",
    METADATA,
    Column("log_id", Integer, primary_key=True, autoincrement=True),
    Column("uid", String(100), nullable=False, unique=True),
    Column("time", String(27), nullable=False),  # UTC, ISO 8601 with microseconds: sorts as text
    Column("id", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("policy_digest", String(71), nullable=False),
    Column("outcome", String(9), nullable=False),
    Column("code", String(32)),
    Column("violation", Boolean),
    Column("label", Text),
    Column("rule_ids", JSON, nullable=False),
    Column("severity", String(8)),
    Column("probability", Float(53)),
    Column("rationale", Text, nullable=False),
    Column("reasoning", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("latency_ms", Float(53), nullable=False),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("reasoning_tokens", Integer),
    Column("calls", Integer, nullable=False),
    Column("action", Text),
    Column("dialect", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("answer", Text, nullable=False),
    Column("content_digest", String(71), nullable=False),
    Column("content", JSON(none_as_null=True)),
    Column("steps", JSON(none_as_null=True)),  # since version 2; null in decisions of before
    Index("decisions_by_time", "time"),
    Index("decisions_by_case", "id"),
    Index("decisions_by_policy", "policy"),
    Index("decisions_by_content", "content_digest"),
    sqlite_autoincrement=True,
)
