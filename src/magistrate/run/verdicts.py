"""Verdict rows as lines of JSON and CSV, and back from any file that a batch wrote."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from magistrate.errors import InputError
from magistrate.row import VerdictRow, json_line, valid_text
from magistrate.run.source import Format, format_of
from magistrate.run.text import TextFile

_ABSENT_WHEN_EMPTY = ("code", "violation", "label", "severity", "probability", "action")
_JSON_CELLS = ("rule_ids", "usage", "evidence", "steps")
_MAX_CELL_CHARS = 1 << 30


def jsonl_bytes(values: Mapping[str, object]) -> bytes:
    """Encode a row as one line of JSON."""
    return json_line(values).encode() + b"\n"


def csv_bytes(cells: Sequence[object], *, delimiter: str = ",") -> bytes:
    """Encode cells as one record: null is empty, booleans are true and false, lists and objects are JSON."""
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter).writerow([cell_text(cell) for cell in cells])
    return line.getvalue().encode()


def cell_text(value: object) -> str:
    """Write a value into one cell."""
    match value:
        case None:
            return ""
        case str():
            return valid_text(value)
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case _:
            return valid_text(json.dumps(value, ensure_ascii=False, allow_nan=False))


def read_verdicts(path: Path) -> Iterator[VerdictRow]:
    """Read verdict rows from the output of a batch or of a log export; passed-through columns are left out.

    Raises:
        InputError: the file cannot be read, or a row is not a verdict row.
        UsageError: the name does not say what is in the file.
    """
    match format_of(path):
        case Format.JSONL:
            rows = _json_rows(path)
        case Format.CSV:
            rows = _csv_rows(path, ",")
        case Format.TSV:
            rows = _csv_rows(path, "\t")
        case Format.PARQUET:
            from magistrate.run.tables import parquet_rows  # loads pyarrow

            rows = parquet_rows(path)
    for number, values in enumerate(rows, start=1):
        try:
            yield VerdictRow.from_dict(values)
        except InputError as error:
            raise InputError(f"{str(path)!r} row {number}: {error.message}", hint=error.hint) from error


def _json_rows(path: Path) -> Iterator[dict[str, object]]:
    with TextFile(path).open(newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise InputError(
                    f"{str(path)!r} line {number}: not JSON", hint="is the batch that writes it still running?"
                ) from error


def _csv_rows(path: Path, delimiter: str) -> Iterator[dict[str, object]]:
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_CHARS))
    with TextFile(path).open(newline="") as lines:
        for cells in csv.DictReader(lines, delimiter=delimiter, strict=True):
            yield {name: _cell_value(name, cell) for name, cell in cells.items()}


def _cell_value(name: str, cell: str) -> object:
    if name in _JSON_CELLS:
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return None if not cell and name in _ABSENT_WHEN_EMPTY else cell
