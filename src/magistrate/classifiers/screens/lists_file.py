"""A file of lists: what is looked for, and which rule of the policy a hit stands for."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pydantic

from magistrate.digest import Digest, bytes_digest
from magistrate.errors import InputError

LARGEST_FILE = 50_000_000
"""Bytes: some 600,000 hashes."""
LONGEST_ENTRY = 1000
"""Characters of a keyword or a pattern."""
MOST_PATTERNS = 1000
"""Of a file: each is looked for in every text."""

HASH = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleList:
    """What stands for one rule."""

    rule: str
    """The id of a rule of the policy: a hit of a violating one is a violation, of an allowed one is allowed."""
    keywords: tuple[str, ...]
    patterns: tuple[str, ...]
    """In the syntax of RE2."""
    hashes: frozenset[bytes]
    """SHA-256 of whole texts in `lists.normal_form`."""
    probability: float | None
    """Of a violation when there is a hit, as measured by whoever wrote the list; None where nobody has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListsFile:
    """Lists as read."""

    name: str
    digest: Digest
    lists: tuple[RuleList, ...]


class _List(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    rule: str = pydantic.Field(min_length=1, max_length=200)
    keywords: list[str] = []
    patterns: list[str] = []
    hashes: list[str] = []
    probability: float | None = pydantic.Field(default=None, ge=0, le=1)


class _File(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    name: str = pydantic.Field(min_length=1, max_length=100)
    lists: list[_List] = pydantic.Field(alias="list", min_length=1)


def read_lists(path: Path) -> ListsFile:
    """Read and check a file of lists.

    Raises:
        InputError: it cannot be read, or an entry cannot be used: says which.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{str(path)!r} has more than {LARGEST_FILE:,} bytes", hint="split it into several files")
        data = path.read_bytes()
        found = _File.model_validate(tomllib.loads(data.decode("utf-8")))
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{str(path)!r} is no TOML: {error}", hint=_HINT) from error
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InputError(f"{str(path)!r}: {'.'.join(map(str, first['loc']))}: {first['msg']}", hint=_HINT) from error
    if sum(len(one.patterns) for one in found.lists) > MOST_PATTERNS:
        raise InputError(f"{str(path)!r} has more than {MOST_PATTERNS:,} patterns", hint="join some with |")
    lists = tuple(_rule_list(one, f"{str(path)!r}, list of rule {one.rule!r}") for one in found.lists)
    return ListsFile(name=found.name, digest=bytes_digest(data), lists=lists)


_HINT = 'a file of lists has `name = "…"` and `[[list]]` with `rule`, `keywords`, `patterns`, `hashes`; docs/screens.md'


def _rule_list(found: _List, place: str) -> RuleList:
    for entry in (*found.keywords, *found.patterns):
        if not entry.strip() or len(entry) > LONGEST_ENTRY:
            raise InputError(f"{place}: an entry must have 1 to {LONGEST_ENTRY:,} characters, got {entry[:40]!r}")
    for pattern in found.patterns:
        _check_pattern(pattern, place)
    if not (found.keywords or found.patterns or found.hashes):
        raise InputError(f"{place}: nothing is looked for", hint="add keywords, patterns or hashes")
    return RuleList(
        rule=found.rule,
        keywords=tuple(dict.fromkeys(found.keywords)),
        patterns=tuple(dict.fromkeys(found.patterns)),
        hashes=frozenset(_hash(one, place) for one in found.hashes),
        probability=found.probability,
    )


def _hash(text: str, place: str) -> bytes:
    match = HASH.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{place}: {text[:40]!r} is no SHA-256", hint="64 hex digits, with or without `sha256:`")
    return bytes.fromhex(match[1])


def _check_pattern(pattern: str, place: str) -> None:
    from magistrate.classifiers.screens.patterns import why_unusable  # loads pyarrow

    why = why_unusable(pattern)
    if why is not None:
        raise InputError(
            f"{place}: the pattern {pattern!r} cannot be used: {why}", hint="write it in the syntax of RE2"
        )
