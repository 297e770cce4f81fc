"""What stands at the head of a GGUF file, read before llama.cpp gets it.

The file comes from anywhere. llama.cpp is written in C++, ends the process at some kinds of damage, and had flaws in
its reader; here lengths are checked against the file's own before anything is kept.

Source: the GGUF specification, versions 2 and 3 (ggml-org/ggml, docs/gguf.md).
"""

from __future__ import annotations

import math
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
_MOST_ALIGNMENT = 1 << 20
_MOST_DIMENSIONS = 8
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 30: (1, 2), 39: (32, 17),
}  # fmt: skip
"""By the number of a tensor's type: values in a block, and its bytes: F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to
Q6_K, BF16, MXFP4. Source: GGML_QUANT_SIZES in gguf-py of llama.cpp (gguf/constants.py)."""

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
        tensors, values = _keys(_Reader(file, path.stat().st_size))
    if tensors == 0:
        raise GgufError("it claims 0 tensors")
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise GgufError("it names no architecture")
    return Head(architecture, tensors, values)


def least_bytes(path: Path) -> int:
    """How long a file, or one part of a split one, must be for the tensors that its head lists.

    A file that is shorter was cut off. Where the type of a tensor is not known here, only its first byte is counted.

    Raises:
        GgufError: no GGUF, of an unknown version, cut off in its head, or with lengths that cannot be.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        reader = _Reader(file, size)
        tensors, values = _keys(reader)
        ends = [reader.tensor_end() for _ in range(tensors)]
        head = reader.place()
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= _MOST_ALIGNMENT:
        raise GgufError(f"it claims an alignment of {alignment!r}")
    return head if not ends else -(-head // alignment) * alignment + max(ends)


def _keys(reader: _Reader) -> tuple[int, dict[str, Value]]:
    """The count of tensors, and the values, arrays left out; the reader stands at the first tensor then."""
    if reader.take(4) != _MAGIC:
        raise GgufError("it does not begin with GGUF")
    version = reader.number("I")
    if version not in _VERSIONS:
        raise GgufError(f"its version is {version}; known are 2 and 3")
    tensors, keys = reader.number("Q"), reader.number("Q")
    if tensors > _MOST_TENSORS or not 0 < keys <= _MOST_KEYS:
        raise GgufError(f"it claims {tensors} tensors and {keys} keys")
    values: dict[str, Value] = {}
    for _ in range(keys):
        key = reader.text()
        value = reader.value(reader.number("I"))
        if value is not None:
            values[key] = value
    return tensors, values


class _Reader:
    """Reads forward, never past the end of the file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._left = size

    def take(self, length: int) -> bytes:
        self._spend(length)
        data = self._file.read(length)
        if len(data) != length:
            raise GgufError("it is cut off")
        return data

    def place(self) -> int:
        return self._size - self._left

    def tensor_end(self) -> int:
        """Read what the head says of one tensor; where its bytes end, counted from where tensors begin."""
        self.text()
        dimensions = self.number("I")
        if dimensions > _MOST_DIMENSIONS:
            raise GgufError(f"it holds a tensor of {dimensions} dimensions")
        values = math.prod(self.number("Q") for _ in range(dimensions))
        kind, offset = self.number("I"), self.number("Q")
        block, block_bytes = _BLOCKS.get(kind, (0, 0))
        return offset + (-(-values // block) * block_bytes if block else 1)

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
