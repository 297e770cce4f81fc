"""What `--on` says where there is no Ray to judge on."""

from __future__ import annotations

import socket
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal

ROW = '{"id": "1", "text": "hello"}\n'


@pytest.fixture
def magistrate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAGISTRATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "120")
    Path("in.jsonl").write_text(ROW)
    return Terminal(capsys)


def test_without_ray_it_names_the_extra(magistrate: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = magistrate("batch", "in.jsonl", "-p", "spam", "-o", "out.jsonl", "--on", "ray")
    assert done.status != 0
    assert "--on ray needs packages that are not installed" in done.err
    assert "pip install 'magistrate[ray]'" in done.err
    assert not Path("out.jsonl").exists()


def test_a_place_that_is_none_is_named_with_what_is(magistrate: Terminal) -> None:
    done = magistrate("batch", "in.jsonl", "-p", "spam", "-o", "out.jsonl", "--on", "http://head:1")
    assert done.status == 64
    assert "ray://HOST:PORT" in done.err


def test_local_is_the_default(magistrate: Terminal) -> None:
    assert magistrate("batch", "in.jsonl", "-p", "spam", "-o", "a.jsonl", "--on", "local", "--quiet").status == 0
    assert magistrate("batch", "in.jsonl", "-p", "spam", "-o", "b.jsonl", "--quiet").status == 0


@pytest.mark.skipif(find_spec("ray") is None, reason="needs magistrate[ray]")
@pytest.mark.parametrize("by_variable", [False, True])
def test_an_address_where_nobody_listens_is_named(
    magistrate: Terminal, monkeypatch: pytest.MonkeyPatch, by_variable: bool
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        place = "ray" if by_variable else f"ray://127.0.0.1:{port}"
        done = magistrate("batch", "in.jsonl", "-p", "spam", "-o", "out.jsonl", "--on", place)
    assert done.status != 0
    assert f"no Ray at 127.0.0.1:{port}" in done.err
    assert "ray start --head" in done.err
    assert not Path("out.jsonl").exists()
