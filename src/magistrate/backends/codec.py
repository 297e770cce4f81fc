"""Responses as JSON, for the cache and for records."""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from magistrate.digest import Digest, value_digest
from magistrate.types import Request, Response

_FORM = 1
"""Changes when requests are named otherwise, so that old entries are not found."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a record: which request was asked of which model, and what came."""

    request: str
    """Digest of the request with the model's name."""
    model: str
    response: Response


def request_digest(request: Request, model: str) -> Digest:
    """Name a request to a model. Equal names may be answered by the same response."""
    fields: dict[str, object] = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    if request.constraint is None:  # answers that were kept before there were constraints are still found
        del fields["constraint"]
    return value_digest({"form": _FORM, "model": model, "request": fields})


def encode_response(response: Response) -> bytes:
    """Write a response as JSON on one line. Lone surrogates, which UTF-8 cannot carry, become question marks."""
    return _encode(response)


def encode_record(record: Record) -> bytes:
    """Write one line of a record, its end included."""
    return _encode(record) + b"\n"


def _encode(value: Response | Record) -> bytes:
    plain = dataclasses.asdict(value)
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def decode_response(data: bytes) -> Response:
    """Read what `encode_response` wrote.

    Raises:
        ValueError: it is something else. The message does not repeat it.
    """
    try:
        return _response_adapter().validate_json(data)
    except ValidationError as error:
        raise ValueError(f"not a response ({error.error_count()} faults)") from None


def decode_record(line: bytes) -> Record:
    """Read what `encode_record` wrote.

    Raises:
        ValueError: it is something else. The message does not repeat it.
    """
    try:
        return _record_adapter().validate_json(line)
    except ValidationError as error:
        raise ValueError(f"not a record ({error.error_count()} faults)") from None


@functools.cache
def _response_adapter() -> TypeAdapter[Response]:
    return TypeAdapter(Response)


@functools.cache
def _record_adapter() -> TypeAdapter[Record]:
    return TypeAdapter(Record)
