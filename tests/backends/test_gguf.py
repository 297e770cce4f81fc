"""The head of a GGUF file: read whole, or refused with the reason."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.backends.llamacpp.gguf import GgufError, read_head

UINT32, FLOAT32, BOOL, TEXT, ARRAY, UINT64 = 4, 6, 7, 8, 9, 10


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


ARCHITECTURE = entry("general.architecture", TEXT, text("gpt-oss"))
WORDS = entry("words", ARRAY, struct.pack("<IQ", TEXT, 2) + text("a") + text("bc"))
SCORES = entry("scores", ARRAY, struct.pack("<IQ", FLOAT32, 2) + struct.pack("<2f", 1, 2))
LENGTH = entry("gpt-oss.context_length", UINT32, struct.pack("<I", 131_072))
WARM = entry("general.sampling.temp", FLOAT32, struct.pack("<f", 0.5))
FLAG = entry("tokenizer.ggml.add_bos_token", BOOL, b"\1")


def a_file(*entries: bytes, version: int = 3, tensors: int = 1, keys: int | None = None) -> bytes:
    head = struct.pack("<4sIQQ", b"GGUF", version, tensors, len(entries) if keys is None else keys)
    return head + b"".join(entries)


WHOLE = a_file(ARCHITECTURE, WORDS, SCORES, LENGTH, WARM, FLAG)


def test_values_are_read_and_arrays_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(WHOLE + b"tensors follow")
    head = read_head(path)
    assert (head.architecture, head.tensors) == ("gpt-oss", 1)
    assert head.values == {
        "general.architecture": "gpt-oss",
        "gpt-oss.context_length": 131_072,
        "general.sampling.temp": 0.5,
        "tokenizer.ggml.add_bos_token": True,
    }


@given(st.integers(0, len(WHOLE) - 1))
def test_every_cut_is_seen(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "m.gguf"
    path.write_bytes(WHOLE[:length])
    with pytest.raises(GgufError):
        read_head(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cut off"),
        (b"<html>404", "does not begin with GGUF"),
        (a_file(ARCHITECTURE, version=1), "version is 1"),
        (a_file(ARCHITECTURE, tensors=0), "claims 0 tensors"),
        (a_file(ARCHITECTURE, tensors=2**63), "tensors and"),
        (a_file(ARCHITECTURE, keys=2**40), "keys"),
        (a_file(LENGTH), "names no architecture"),
        (a_file(entry("general.architecture", UINT32, b"\0\0\0\0")), "names no architecture"),
        (a_file(entry("k", 99, b"")), "unknown kind 99"),
        (a_file(entry("k", ARRAY, struct.pack("<IQ", ARRAY, 1))), "array of the unknown kind 9"),
        (a_file(struct.pack("<Q", 2**40)), "a text of"),
        (a_file(entry("k", ARRAY, struct.pack("<IQ", TEXT, 2**60))), "cut off"),
        (a_file(entry("k", ARRAY, struct.pack("<IQ", UINT64, 2**61))), "cut off"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    with pytest.raises(GgufError, match=reason):
        read_head(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "m.gguf"
    path.write_bytes(a_file(keys=2) + data)
    with contextlib.suppress(GgufError):
        read_head(path)
