"""Weights from a mirror on this machine: real HTTP, real huggingface_hub, a mirror that misbehaves."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.models.hub_mirror import COMMIT, Mirror, Refusal, hub_mirror
from tests.models.tiny_weights import SHARD, folder_files

from magistrate.errors import WeightsError
from magistrate.models.profile import Engine, Weights
from magistrate.models.pull.cache import missing_parts, repo_folder
from magistrate.models.pull.pull import Watching, Wish, offline, pull

pytest.importorskip("huggingface_hub", reason="needs the extra hub")

REPO = "owner/tiny"
WEIGHTS = Weights(quantisation="BF16", repo=REPO, engines=(Engine.VLLM,))
WHOLE = folder_files(200_000)
FILES = {
    **WHOLE,
    "original/model.safetensors": b"x" * 2_000,
    "metal/model.bin": b"x" * 2_000,
    "pytorch_model.bin": b"x" * 2_000,
    "modeling_tiny.py": b"print('no')",
    "README.md": b"#",
}
NEEDED = set(WHOLE)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with hub_mirror(REPO, FILES) as found:
        yield found


@pytest.fixture
def wish(mirror: Mirror, tmp_path: Path) -> Wish:
    return Wish(weights=WEIGHTS, endpoint=mirror.url, cache=tmp_path / "hub", margin=0)


def waits() -> tuple[list[float], Watching]:
    slept: list[float] = []
    return slept, Watching(sleep=slept.append)


def test_only_what_an_engine_needs_comes_and_the_library_finds_it(mirror: Mirror, wish: Wish) -> None:
    from huggingface_hub import snapshot_download

    pulled = pull(wish)
    assert set(mirror.sent) == NEEDED
    assert {name: (pulled.place / name).read_bytes() for name in NEEDED} == {name: FILES[name] for name in NEEDED}
    found = snapshot_download(REPO, cache_dir=wish.cache, local_files_only=True)
    assert Path(found) == pulled.place
    assert pull(wish).fetched_bytes == 0
    assert sum(mirror.sent.values()) == sum(len(FILES[name]) for name in NEEDED)


@pytest.mark.parametrize("into", [False, True])
def test_a_cut_transfer_goes_on_where_it_stopped(mirror: Mirror, wish: Wish, tmp_path: Path, into: bool) -> None:
    mirror.cut_after = [60_000, 60_000]
    if into:
        wish = replace(wish, into=tmp_path / "mine")
    slept, watching = waits()
    pulled = pull(wish, watching)
    assert (pulled.place / SHARD).read_bytes() == FILES[SHARD]
    assert mirror.sent[SHARD] == len(FILES[SHARD]), "no byte came twice"
    assert len(slept) == 2
    assert not list(tmp_path.rglob("*.incomplete"))


def test_the_next_process_goes_on_with_what_came(mirror: Mirror, wish: Wish) -> None:
    mirror.cut_after = [50_000] + [0] * 20
    with pytest.raises(WeightsError, match=r"broke|nothing"):
        pull(wish, waits()[1])
    assert mirror.sent[SHARD] == 50_000
    mirror.cut_after = []
    assert (pull(wish).place / SHARD).read_bytes() == FILES[SHARD]
    assert mirror.sent[SHARD] == len(FILES[SHARD])
    assert mirror.ranges[-1] == f"{SHARD} bytes=50000-{len(FILES[SHARD]) - 1}"


def test_a_mirror_without_ranges_is_read_from_the_beginning(mirror: Mirror, wish: Wish) -> None:
    mirror.without_ranges = True
    mirror.cut_after = [50_000]
    assert (pull(wish, waits()[1]).place / SHARD).read_bytes() == FILES[SHARD]


def test_damage_on_the_way_is_mended_once_and_then_refused(mirror: Mirror, wish: Wish) -> None:
    mirror.corrupt = [SHARD]
    assert (pull(wish).place / SHARD).read_bytes() == FILES[SHARD]
    mirror.corrupt = ["config.json"] * 2
    with pytest.raises(WeightsError, match=r"config\.json .* is damaged"):
        pull(replace(wish, into=wish.cache))
    assert not (wish.cache or Path()).joinpath("config.json").exists()


def test_damage_on_the_disk_is_found_by_check_only(mirror: Mirror, wish: Wish) -> None:
    shard = pull(wish).place / SHARD
    shard.write_bytes(FILES[SHARD][:-1] + b"!")
    assert pull(wish).fetched_bytes == 0
    said: list[str] = []
    assert pull(replace(wish, check=True), Watching(said=said.append)).fetched_bytes == len(FILES[SHARD])
    assert len(said) == 1
    assert shard.read_bytes() == FILES[SHARD]


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (Refusal(403, {"X-Error-Code": "GatedRepo"}), "HF_TOKEN"),
        (Refusal(401), "not for you"),
        (Refusal(404, {"X-Error-Code": "RepoNotFound"}), "not there"),
        (Refusal(404, {"X-Error-Code": "RevisionNotFound"}), "--revision"),
    ],
)
def test_a_refusal_is_said_and_not_repeated(mirror: Mirror, wish: Wish, refusal: Refusal, says: str) -> None:
    mirror.refusals = [refusal]
    with pytest.raises(WeightsError, match=says):
        pull(wish)
    assert len(mirror.tokens) == 1


def test_too_many_requests_is_waited_for_as_the_hub_asks(mirror: Mirror, wish: Wish) -> None:
    mirror.refusals = [Refusal(429, {"Retry-After": "7"}), Refusal(429, {"Retry-After": "3"})]
    slept, watching = waits()
    pull(wish, watching)
    assert slept == [7.0, 3.0]


@pytest.mark.parametrize(
    ("refusals", "wait"), [([Refusal(429, {"Retry-After": "1"})] * 99, 1), ([Refusal(503)] * 99, 1)]
)
def test_refusals_without_end_end(mirror: Mirror, wish: Wish, refusals: list[Refusal], wait: int) -> None:
    mirror.refusals = refusals
    slept, watching = waits()
    with pytest.raises(WeightsError, match=r"429|503"):
        pull(wish, watching)
    assert len(slept) == 4


def test_an_hour_is_not_waited_for(mirror: Mirror, wish: Wish) -> None:
    mirror.refusals = [Refusal(429, {"Retry-After": "3600"})]
    slept, watching = waits()
    with pytest.raises(WeightsError, match="429"):
        pull(wish, watching)
    assert slept == []


def test_no_room_is_said_before_a_byte_comes(mirror: Mirror, wish: Wish) -> None:
    with pytest.raises(WeightsError, match=r"are missing\n.*HF_HOME"):
        pull(replace(wish, margin=1 << 60))
    assert mirror.sent == {}


def test_a_name_that_would_leave_the_folder_is_refused(mirror: Mirror, wish: Wish) -> None:
    mirror.files["..\\evil.safetensors"] = b"x"
    with pytest.raises(WeightsError, match="could leave the folder"):
        pull(wish)
    assert mirror.sent == {}


def test_a_full_disk_keeps_what_came(mirror: Mirror, wish: Wish, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        filler = disk / "filler"

        def fill(name: str) -> None:
            if name == SHARD:
                filler.write_bytes(b"x" * 900_000)

        mirror.before_body = fill
        with pytest.raises(WeightsError, match="the disk is full"):
            pull(replace(wish, cache=disk / "hub"))
        filler.unlink()
        mirror.before_body = lambda _: None
        assert (pull(replace(wish, cache=disk / "hub")).place / SHARD).read_bytes() == FILES[SHARD]
        assert "bytes=0-" not in mirror.ranges[-1]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_offline_takes_what_is_here_and_names_what_is_missing(mirror: Mirror, wish: Wish) -> None:
    with pytest.raises(WeightsError, match="not in the cache"):
        offline(wish)
    place = pull(wish).place
    asked = len(mirror.tokens)
    assert offline(wish).place == place
    (repo_folder(REPO, wish.cache) / "snapshots" / COMMIT / SHARD).unlink()
    with pytest.raises(WeightsError, match=SHARD):
        offline(wish)
    assert len(mirror.tokens) == asked


def test_a_shard_that_was_cut_short_is_missing(wish: Wish) -> None:
    shard = pull(wish).place / SHARD
    assert missing_parts(shard.parent, None) == ()
    shard.write_bytes(FILES[SHARD][:-1])
    assert missing_parts(shard.parent, None) == (SHARD,)


def test_the_token_goes_to_the_hub_and_not_to_where_it_points(
    mirror: Mirror, wish: Wish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with hub_mirror(REPO, FILES) as store:
        mirror.elsewhere = store.url
        pull(wish)
    assert set(mirror.tokens) == {"Bearer hf_secret"}
    assert set(store.tokens) == {None}
    assert set(store.sent) == NEEDED
