from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.models.architecture import GPT_OSS, architecture_of, profile_of


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def gguf(*pairs: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, 0, len(pairs)) + b"".join(pairs)


ARCHITECTURE = string(b"general.architecture") + struct.pack("<I", 8) + string(b"gpt-oss")
NUMBER = string(b"general.alignment") + struct.pack("<II", 4, 32)


@pytest.mark.parametrize("data", [gguf(ARCHITECTURE), gguf(NUMBER, ARCHITECTURE)])
def test_a_gguf_file_says_what_it_is(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    assert architecture_of(path) == GPT_OSS


@pytest.mark.parametrize(("version", "found"), [(0, None), (1, None), (2, GPT_OSS), (3 << 24, None), (4, None)])
def test_only_versions_with_this_form_are_read(tmp_path: Path, version: int, found: str | None) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf(ARCHITECTURE, version=version))
    assert architecture_of(path) == found


def test_a_folder_says_what_it_is(tmp_path: Path) -> None:
    assert architecture_of(tmp_path) is None
    (tmp_path / "config.json").write_text('{"model_type": "gpt_oss", "hidden_size": 64}')
    assert architecture_of(tmp_path) == GPT_OSS
    (tmp_path / "config.json").write_text('{"model_type": 7}')
    assert architecture_of(tmp_path) is None


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda data: gguf(ARCHITECTURE)[:24] + data)))
def test_any_bytes_are_no_reason_to_fail(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "m.gguf"
    path.write_bytes(data)
    architecture_of(path)


def test_a_length_beyond_the_file_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf(struct.pack("<Q", 2**62) + b"x"))
    assert architecture_of(path) is None


def test_a_known_repository_has_a_profile() -> None:
    found = profile_of("openai/gpt-oss-safeguard-20b")
    assert found is not None
    assert found.token_dialect == "harmony.rationale.v1"
    assert profile_of("someone/some-model") is None
