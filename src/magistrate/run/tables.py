"""Parquet: as the input of a batch, as its output, and the one schema of verdict rows."""

# pyright: reportUnknownParameterType=false
# pyarrow has no type information, and its values are parameters and results here.

from __future__ import annotations

import itertools
import math
import os
from base64 import b64encode
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from magistrate.digest import Digest
from magistrate.errors import InputError
from magistrate.row import VerdictRow
from magistrate.run.source import (
    CONTENT_COLUMNS,
    TAKEN_COLUMNS,
    InputRow,
    Kind,
    Source,
    check_columns,
    input_row,
    passed_name,
)
from magistrate.run.text import TextFile
from magistrate.run.verdicts import cell_text
from magistrate.types import Target

READ_ROWS = 256
GROUP_ROWS = 8192
"""Rows in a row group of the output: what is held in memory at once."""

_USAGE = pa.struct(
    [
        pa.field("input_tokens", pa.int64()),
        pa.field("output_tokens", pa.int64()),
        pa.field("reasoning_tokens", pa.int64()),
        pa.field("calls", pa.int64(), nullable=False),
    ]
)
_VOTES = pa.struct(
    [pa.field(name, pa.int64(), nullable=False) for name in ("violation", "no_violation", "undecided")],
)
_STEP = pa.struct(
    [
        pa.field("stage", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("course", pa.string(), nullable=False),
        pa.field("probability", pa.float64()),
        pa.field("clear_below", pa.float64()),
        pa.field("flag_from", pa.float64()),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("latency_ms", pa.float64(), nullable=False),
        pa.field("usage", _USAGE, nullable=False),
        pa.field("votes", _VOTES),
    ]
)
VERDICT_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("policy", pa.string(), nullable=False),
        pa.field("policy_digest", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("code", pa.string()),
        pa.field("violation", pa.bool_()),
        pa.field("label", pa.string()),
        pa.field("rule_ids", pa.list_(pa.string()), nullable=False),
        pa.field("severity", pa.string()),
        pa.field("probability", pa.float64()),
        pa.field("rationale", pa.string(), nullable=False),
        pa.field("reasoning", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("latency_ms", pa.float64(), nullable=False),
        pa.field("usage", _USAGE, nullable=False),
        pa.field("action", pa.string()),
        pa.field("dialect", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("attempts", pa.int64(), nullable=False),
        pa.field(
            "evidence",
            pa.list_(
                pa.struct(
                    [
                        pa.field("rule_id", pa.string(), nullable=False),
                        pa.field("score", pa.float64(), nullable=False),
                        pa.field("start", pa.int64()),
                        pa.field("end", pa.int64()),
                        pa.field("message", pa.int64()),
                    ]
                )
            ),
            nullable=False,
        ),
        pa.field("steps", pa.list_(_STEP), nullable=False),
    ]
)

_ARROW_TYPES = {
    Kind.BOOLEAN: pa.bool_(),
    Kind.INTEGER: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.JSON: pa.string(),
}


def open_parquet(path: Path, target: Target) -> ParquetRows:
    """Open a file and look at its columns; see `open_source`."""
    source = ParquetRows(path, target)
    with source.opened() as file:
        schema = file.schema_arrow
        check_columns(source.name, schema.names)
        twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"{source.name!r} has several columns {twice!r}", hint="give each a name of its own")
        for field in schema:
            _check_type(source.name, field)
    return source


@dataclass(frozen=True, slots=True)
class ParquetRows:
    """A Parquet file; read in batches, never as a whole."""

    path: Path
    target: Target

    @property
    def name(self) -> str:
        """The path as given."""
        return str(self.path)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing in the columns, and whether there is a row."""
        with self.opened() as file:
            found = check_columns(self.name, file.schema_arrow.names)
            return found if file.metadata.num_rows else (*found, "the input holds no rows")

    def rows(self, start: int = 0) -> Iterator[InputRow]:
        """Read from row `start` on; row groups before it are not even read."""
        for position, values in self.values(start):
            yield input_row(position, f"row {position + 1}", values, self.target)

    def values(self, start: int = 0) -> Iterator[tuple[int, dict[str, object]]]:
        """Rows as values that JSON takes, by column, with their positions from 0; from row `start` on."""
        for position, batch in self._batches(start):
            columns = {name: _plain_values(batch.column(name)) for name in batch.schema.names}
            for offset in range(batch.num_rows):
                yield position + offset, {name: column[offset] for name, column in columns.items()}

    def digest(self) -> Digest | None:
        """Name the input by its bytes."""
        return TextFile(self.path).digest()

    def count(self) -> int | None:
        """Rows, from the file's own metadata."""
        with self.opened() as file:
            return int(file.metadata.num_rows)

    def columns(self) -> Mapping[str, Kind]:
        """The passed-through columns; their kinds are kept by `passed_schema`."""
        return dict.fromkeys(self.passed_schema().names, Kind.JSON)

    def passed_schema(self) -> pa.Schema:
        """The passed-through columns as they are in the file, under their names in the output."""
        with self.opened() as file:
            fields = [field for field in file.schema_arrow if field.name not in TAKEN_COLUMNS]
        return pa.schema([field.with_name(passed_name(field.name)) for field in fields])

    def passed_batches(self) -> Iterator[pa.RecordBatch]:
        """The passed-through columns, untouched."""
        schema = self.passed_schema()
        for _, batch in self._batches(0):
            kept = [batch.column(name) for name in batch.schema.names if name not in TAKEN_COLUMNS]
            yield _batch(kept, schema, rows=batch.num_rows)

    @contextmanager
    def opened(self) -> Generator[pq.ParquetFile]:
        """Open the file.

        Raises:
            InputError: not there, not readable, or not Parquet; at once or further down.
        """
        try:
            with pq.ParquetFile(self.path, pre_buffer=False) as file:
                yield file
        except pa.ArrowException as error:
            raise InputError(f"{self.name!r} is not Parquet, or it is damaged", hint="check the file") from error
        except OSError as error:
            raise InputError(
                f"cannot read {self.name!r}: {error.strerror or 'damaged'}", hint="check the path and its rights"
            ) from error

    def _batches(self, start: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Batches with the position of their first row."""
        position = 0
        with self.opened() as file:
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if position + rows <= start:
                    position += rows
                    continue
                for batch in file.iter_batches(READ_ROWS, row_groups=[group], use_threads=False):
                    skipped = min(max(0, start - position), batch.num_rows)
                    if skipped < batch.num_rows:
                        yield position + skipped, batch.slice(skipped)
                    position += batch.num_rows


def write_parquet(path: Path, source: Source, verdicts: Iterator[VerdictRow], *, policies: int) -> None:
    """Join the rows of a source with their verdicts, `policies` a row, and write them; atomically.

    Columns of a Parquet source keep their types to the last bit.
    """
    passed_schema = _passed_schema(source)
    schema = pa.schema([*VERDICT_SCHEMA, *passed_schema])
    unfinished = path.with_name(path.name + ".unfinished")
    with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        for passed in _grouped(_passed_batches(source, passed_schema), max(1, GROUP_ROWS // policies)):
            rows = list(itertools.islice(verdicts, passed.num_rows * policies))
            repeated = pa.array([place for place in range(passed.num_rows) for _ in range(policies)], pa.int64())
            columns = [*verdict_table(rows).columns, *passed.take(repeated).columns]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    with unfinished.open("rb+") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)


def verdict_table(rows: Sequence[VerdictRow]) -> pa.Table:
    """Put verdict rows into a table."""
    return pa.Table.from_pylist([row.to_dict() for row in rows], schema=VERDICT_SCHEMA)


def parquet_rows(path: Path) -> Iterator[dict[str, object]]:
    """Read verdict rows back as plain values, without the columns that were passed through."""
    with ParquetRows(path, Target.CHAT).opened() as file:
        names = [name for name in VERDICT_SCHEMA.names if name in file.schema_arrow.names]
        for batch in file.iter_batches(READ_ROWS, columns=names, use_threads=False):
            yield from batch.to_pylist()


def _passed_schema(source: Source) -> pa.Schema:
    if isinstance(source, ParquetRows):
        return source.passed_schema()
    return pa.schema([pa.field(name, _ARROW_TYPES[kind]) for name, kind in source.columns().items()])


def _passed_batches(source: Source, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    if isinstance(source, ParquetRows):
        yield from source.passed_batches()
        return
    rows = source.rows()
    while taken := list(itertools.islice(rows, READ_ROWS)):
        columns = [pa.array([_arrow_value(row.passed.get(f.name), f.type) for row in taken], f.type) for f in schema]
        yield _batch(columns, schema, rows=len(taken))


def _arrow_value(value: object, wanted: pa.DataType) -> object:
    """A JSON value in a column of that type: text where it has several kinds."""
    if value is None or wanted != pa.string():
        return float(value) if isinstance(value, int) and wanted == pa.float64() else value
    return cell_text(value)


def _batch(columns: Sequence[pa.Array], schema: pa.Schema, *, rows: int) -> pa.RecordBatch:
    """A batch that keeps its number of rows also without a column."""
    if not columns:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _grouped(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Join small batches into tables of at least `rows` rows, the last one apart."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(b.num_rows for b in waiting) >= rows:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _check_type(name: str, field: pa.Field) -> None:
    """Check that a column with an id or with content can hold such."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if field.name not in CONTENT_COLUMNS or text or pa.types.is_null(kind) or (listed and field.name == "messages"):
        return
    raise InputError(
        f"{name!r}: the column {field.name!r} is of type {field.type}",
        hint="text is a string; messages are a list of structs with role and content, or JSON in a string",
    )


def _plain_values(column: pa.Array) -> list[object]:
    """A column as values that JSON takes."""
    kind = column.type
    try:
        if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
            column = column.cast(pa.string())
        values: list[object] = column.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException):  # nanoseconds, years beyond 9999, bytes that are not UTF-8
        values = [_scalar_value(scalar) for scalar in column]
    if pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return values
    return [_plain(value) for value in values]


def _scalar_value(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        return scalar.as_buffer().to_pybytes() if pa.types.is_string(scalar.type) else str(scalar)


def _plain(value: object) -> object:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case bytes():
            return b64encode(value).decode()
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {str(name): _plain(item) for name, item in value.items()}
        case datetime() | date() | time():
            return value.isoformat()
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)
