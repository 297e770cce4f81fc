from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.errors import BackendError
from magistrate.models.serve.logs import MOST_BYTES, keep_short, last_lines, meaning, open_log, telling


def test_a_log_is_its_owners_alone_and_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "served" / "e.log"
    path.parent.mkdir()
    path.write_text("of the last run, readable by all")
    path.chmod(0o644)
    file = open_log(path)
    os.close(file)
    assert path.read_text() == ""
    assert path.stat().st_mode & 0o077 == 0


def test_a_log_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    (tmp_path / "e.log").symlink_to(tmp_path / "mine")
    with pytest.raises(BackendError):
        open_log(tmp_path / "e.log")
    assert (tmp_path / "mine").read_text() == "keep"


def test_a_log_that_has_grown_too_long_is_emptied_under_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "e.log"
    file = open_log(path)
    os.truncate(path, MOST_BYTES + 1)
    keep_short(file)
    os.write(file, b"on\n")
    os.close(file)
    assert path.read_bytes() == b"on\n"


def test_the_cause_is_shown_before_the_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "e.log"
    cause = "ValueError: Available memory on node 0 (11/22 GiB) on startup is less than desired"
    path.write_text("\n".join([cause, *(f"  File {n}" for n in range(200)), "RuntimeError: see root cause above"]))
    lines = last_lines(path)
    assert telling(lines)[0] == cause
    assert telling(lines)[-1] == "RuntimeError: see root cause above"
    assert "gpu-memory-utilization" in (meaning(lines, 1) or "")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory.", "--context"),
        ("llama_kv_cache: failed to allocate buffer", "--context"),
        ("[Errno 98] error while attempting to bind: address already in use", "--port"),
        ("ModuleNotFoundError: No module named 'starlette_context'", "install it anew"),
        ("error downloading or loading vocab file: failed to download or load vocab file", "TIKTOKEN_ENCODINGS_BASE"),
        ("vllm: error: unrecognized arguments: --x", "--flag"),
        ("ValueError: Failed to load model from file: m.gguf", "--weights"),
    ],
)
def test_what_lines_mean(line: str, said: str) -> None:
    assert said in (meaning((line,), 1) or "")


def test_an_engine_that_was_killed_and_one_that_says_nothing() -> None:
    assert "memory" in (meaning((), 137) or "")
    assert meaning(("hello",), 1) is None


@given(st.binary(max_size=3000))
def test_whatever_a_log_holds_can_be_shown(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("log") / "e.log"
    path.write_bytes(data)
    lines = last_lines(path)
    assert all(line.isprintable() and 0 < len(line) <= 240 for line in lines)
    assert len(telling(lines)) <= 13
