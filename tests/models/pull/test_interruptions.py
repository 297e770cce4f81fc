"""What stops a pull on its way: a killed process, a stalled server, wrong sizes, another pull of the same file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.models.hub_mirror import Mirror, hub_mirror
from tests.models.tiny_weights import SHARD, folder_files

from magistrate.errors import WeightsError
from magistrate.models.profile import Engine, Weights
from magistrate.models.pull.pull import Watching, Wish, pull

pytest.importorskip("huggingface_hub", reason="needs the extra hub")

REPO = "openai/gpt-oss-safeguard-20b"
WEIGHTS = Weights(quantisation="MXFP4", repo=REPO, engines=(Engine.VLLM,))
FILES = folder_files(200_000)
SIZE = len(FILES[SHARD])


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with hub_mirror(REPO, FILES) as found:
        yield found


@pytest.fixture
def wish(mirror: Mirror, tmp_path: Path) -> Wish:
    return Wish(weights=WEIGHTS, endpoint=mirror.url, cache=tmp_path / "hub", margin=0)


def a_process(mirror: Mirror, home: Path) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environ |= {"HF_ENDPOINT": mirror.url, "HF_HOME": str(home), "MAGISTRATE_HOME": str(home / "magistrate")}
    return subprocess.Popen(
        [sys.executable, "-m", "magistrate", "model", "pull", "20b"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def partial_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.incomplete"))


def until(wanted: int, folder: Path, *, process: subprocess.Popen[str] | None = None) -> None:
    """Wait for so many bytes of a file that is under way."""
    end = time.monotonic() + 20
    while partial_bytes(folder) != wanted:
        assert process is None or process.poll() is None, "it ended early"
        assert time.monotonic() < end, f"{partial_bytes(folder)} bytes came"
        time.sleep(0.02)


@pytest.mark.parametrize("came", [2_000, 70_000])  # the first fits into the buffer of a file
def test_a_killed_process_loses_no_byte(mirror: Mirror, tmp_path: Path, came: int) -> None:
    mirror.hold_after = [came]
    first = a_process(mirror, tmp_path)
    until(came, tmp_path, process=first)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=20)
    assert first.returncode == -signal.SIGKILL
    second = a_process(mirror, tmp_path)
    out, err = second.communicate(timeout=30)
    assert second.returncode == 0, err
    assert {name: (Path(out.strip()) / name).read_bytes() for name in FILES} == FILES
    assert mirror.ranges[-1] == f"{SHARD} bytes={came}-{SIZE - 1}"
    assert mirror.sent == {name: len(data) for name, data in FILES.items()}, "a byte came twice"
    assert not list(tmp_path.rglob("*.incomplete"))


def test_a_stalled_connection_is_given_up_and_gone_on_with(mirror: Mirror, wish: Wish) -> None:
    mirror.hold_after = [50_000, 50_000]
    slept: list[float] = []
    start = time.monotonic()
    place = pull(replace(wish, timeout_s=0.2), Watching(sleep=slept.append)).place
    assert time.monotonic() - start < 5
    assert (place / SHARD).read_bytes() == FILES[SHARD]
    assert mirror.sent[SHARD] == SIZE
    assert len(slept) == 2


def test_a_server_that_always_stalls_ends_the_pull_and_what_came_is_kept(mirror: Mirror, wish: Wish) -> None:
    mirror.hold_after = [50_000] + [0] * 20
    with pytest.raises(WeightsError, match=rf"the connection broke at {SHARD}.*ReadTimeout"):
        pull(replace(wish, timeout_s=0.1), Watching(sleep=lambda _: None))
    assert partial_bytes(wish.cache or Path()) == 50_000


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
@pytest.mark.parametrize(
    "given", [FILES[SHARD][:150_000], b"", FILES[SHARD] + b"more"], ids=["fewer bytes", "none", "more bytes"]
)
def test_another_size_than_listed_is_refused(mirror: Mirror, wish: Wish, ranges: bool, given: bytes) -> None:
    mirror.instead[SHARD] = given
    mirror.without_ranges = not ranges
    with pytest.raises(WeightsError, match=SHARD):
        pull(wish, Watching(sleep=lambda _: None))
    assert not list((wish.cache or Path()).rglob(SHARD))
    del mirror.instead[SHARD]
    assert (pull(wish).place / SHARD).read_bytes() == FILES[SHARD]


@pytest.mark.parametrize("into", [False, True], ids=["cache", "folder"])
def test_a_second_pull_of_the_same_file_is_told_of_the_first(
    mirror: Mirror, wish: Wish, tmp_path: Path, into: bool
) -> None:
    if into:
        wish = replace(wish, into=tmp_path / "mine")
    mirror.hold_after = [60_000]
    places: list[Path] = []
    first = threading.Thread(target=lambda: places.append(pull(wish, Watching(sleep=lambda _: None)).place))
    first.start()
    until(60_000, tmp_path)
    with pytest.raises(WeightsError, match=rf"another pull of {SHARD} .* is under way"):
        pull(wish)
    assert partial_bytes(tmp_path) == 60_000, "the second left it alone"
    mirror.released.set()
    first.join(20)
    assert (places[0] / SHARD).read_bytes() == FILES[SHARD]
    assert mirror.sent[SHARD] == SIZE
    assert pull(wish).fetched_bytes == 0


def test_many_pulls_at_once_leave_whole_files(mirror: Mirror, wish: Wish) -> None:
    refused: list[str] = []

    def one() -> None:
        try:
            pull(wish)
        except WeightsError as error:
            refused.append(error.message)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all("under way" in message for message in refused), refused
    place = pull(wish).place
    assert files_of(place) == FILES
    assert mirror.sent == {name: len(data) for name, data in FILES.items()}


def files_of(place: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}
