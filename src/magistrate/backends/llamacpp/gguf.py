"""What stands at the head of a GGUF file, read before llama.cpp gets it.

The file comes from anywhere. llama.cpp is written in C++, ends the process at some kinds of damage, and had flaws in
its reader; here lengths are checked against the file's own before anything is kept.

Source: the GGUF specification, versions 2 and 3 (ggml-org/ggml, docs/gguf.md).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MOST_KEYS = 65_536
_MOST_TENSORS = 1_000_000
_MOST_TEXT = 16_000_000
"""Bytes of one text; the longest in use are chat templates."""
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9

Value = str | int | float | bool


class GgufError(ValueError):
    """The file is not a whole GGUF file of a known version."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a file says of itself."""

    architecture: str
    tensors: int
    values: Mapping[str, Value]
    """Everything but arrays, such as the vocabulary."""


def read_head(path: Path) -> Head:
    """Read the keys and values at the head of a file.

    Raises:
        GgufError: no GGUF, of an unknown version, cut off, or with lengths that cannot be.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        reader = _Reader(file, path.stat().st_size)
        if reader.take(4) != _MAGIC:
            raise GgufError("it does not begin with GGUF")
        version = reader.number("I")
        if version not in _VERSIONS:
            raise GgufError(f"its version is {version}; known are 2 and 3")
        tensors, keys = reader.number("Q"), reader.number("Q")
        if not 0 < tensors <= _MOST_TENSORS or not 0 < keys <= _MOST_KEYS:
            raise GgufError(f"it claims {tensors} tensors and {keys} keys")
        values: dict[str, Value] = {}
        for _ in range(keys):
            key = reader.text()
            value = reader.value(reader.number("I"))
            if value is not None:
                values[key] = value
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise GgufError("it names no architecture")
    return Head(architecture, tensors, values)


class _Reader:
    """Reads forward, never past the end of the file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def take(self, length: int) -> bytes:
        self._spend(length)
        data = self._file.read(length)
        if len(data) != length:
            raise GgufError("it is cut off")
        return data

    def number(self, kind: str) -> int:
        (number,) = struct.unpack(f"<{kind}", self.take(struct.calcsize(f"<{kind}")))
        return int(number)

    def text(self) -> str:
        length = self.number("Q")
        if length > _MOST_TEXT:
            raise GgufError(f"it holds a text of {length} bytes")
        return self.take(length).decode("utf-8", "replace")

    def value(self, kind: int) -> Value | None:
        """One value; None for an array, which is passed over."""
        if kind == _TEXT:
            return self.text()
        if kind == _ARRAY:
            self._pass_array()
            return None
        if kind not in _SCALARS:
            raise GgufError(f"it holds a value of the unknown kind {kind}")
        form = f"<{_SCALARS[kind]}"
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return bool(value) if kind == 7 else value

    def _pass_array(self) -> None:
        kind, length = self.number("I"), self.number("Q")
        if kind in _SCALARS:
            self._skip(length * struct.calcsize(f"<{_SCALARS[kind]}"))
        elif kind == _TEXT:
            if length * 8 > self._left:
                raise GgufError("it is cut off")
            for _ in range(length):
                self._skip(self.number("Q"))
        else:
            raise GgufError(f"it holds an array of the unknown kind {kind}")

    def _skip(self, length: int) -> None:
        self._spend(length)
        self._file.seek(length, 1)

    def _spend(self, length: int) -> None:
        if length > self._left:
            raise GgufError("it is cut off")
        self._left -= length
