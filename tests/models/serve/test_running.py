from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.models.profile import Engine
from magistrate.models.serve.running import Served, announced, served_as, served_now

EARLY = datetime(2026, 1, 1, tzinfo=UTC)
HOLDING = """
import sys, time
from pathlib import Path
from magistrate.models.serve.running import Served, announced
with announced(Served.model_validate_json(sys.argv[2]), Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def served(name: str = "mine", port: int = 8000, **more: object) -> Served:
    values: dict[str, object] = {"name": name, "url": f"http://127.0.0.1:{port}/v1", "engine": Engine.VLLM}
    return Served.model_validate({**values, "pid": os.getpid(), "started": EARLY, "log": "x.log", **more})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "served"


def test_what_is_served_is_found_for_as_long_as_it_is(folder: Path) -> None:
    one = served()
    with announced(one, folder) as path:
        assert served_now(folder) == (one,)
        assert path.stat().st_mode & 0o077 == 0
        assert folder.stat().st_mode & 0o077 == 0
    assert served_now(folder) == ()
    assert not path.exists()


def test_the_latest_of_several_is_taken_by_any_name(folder: Path) -> None:
    old = served("gpt-oss-safeguard-20b", 8000, profile="gpt-oss-safeguard-20b")
    new = served("GUARD", 8001, profile="gpt-oss-safeguard-20b", started=EARLY + timedelta(hours=1))
    with announced(old, folder), announced(new, folder):
        assert served_now(folder) == (new, old)
        assert served_as(frozenset({"20b", "gpt-oss-safeguard-20b"}), folder) == new
        assert served_as(frozenset({"guard"}), folder) == new
        assert served_as(frozenset({"120b"}), folder) is None


def test_what_a_killed_supervisor_left_is_removed(folder: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(folder), served().model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert len(served_now(folder)) == 1
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert list(folder.iterdir()) != []
    assert served_now(folder) == ()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"url": "file:///etc/passwd"},
        {"url": "http://user:secret@127.0.0.1:1/v1"},
        {"api_key_env": "A=B"},
        {"name": "a\x1b[2Jb"},
        {"pid": -1},
        {"started": "yesterday"},
        {"unknown": 1},
    ],
)
def test_a_hostile_file_is_passed_over(folder: Path, change: dict[str, object]) -> None:
    good = served()
    bad = good.model_copy(update=change)
    with announced(good, folder) as path:
        values = {**good.model_dump(mode="json"), **bad.model_dump(mode="json", warnings=False), **change}
        path.write_text(json.dumps(values, default=str))
        assert served_now(folder) == ()


@given(st.binary(max_size=400))
def test_any_bytes_are_passed_over(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    with announced(served(), folder) as path:
        path.write_bytes(data)
        assert served_now(folder) == ()


def test_links_and_files_that_others_may_write_are_passed_over(folder: Path, tmp_path: Path) -> None:
    with announced(served(), folder) as path:
        path.chmod(0o666)
        assert served_now(folder) == ()
        path.chmod(0o600)
        assert len(served_now(folder)) == 1
        (folder / "9.json").symlink_to(path)
        assert len(served_now(folder)) == 1
        (folder / "8.json").mkdir()
        os.mkfifo(folder / "7.json")
        assert len(served_now(folder)) == 1
