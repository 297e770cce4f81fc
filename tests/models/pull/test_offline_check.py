"""Digests of what is here, compared without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.models.hub_mirror import Mirror, hub_mirror
from tests.models.tiny_weights import ARCHITECTURE, PART_NUMBER, SHARD, folder_files, gguf

from magistrate.errors import WeightsError
from magistrate.models.profile import Engine, Weights
from magistrate.models.pull.digests import DIGESTS_FOLDER, keep_digests, kept_digests
from magistrate.models.pull.pull import Wish, offline, pull

pytest.importorskip("huggingface_hub", reason="needs the extra hub")

REPO = "owner/tiny"
FILES = folder_files(5_000)
PARTS = ("q/m-00001-of-00002.gguf", "q/m-00002-of-00002.gguf")
GGUF_FILES = {PARTS[0]: gguf(900, ARCHITECTURE), PARTS[1]: gguf(700, PART_NUMBER)}
WEIGHTS = Weights(quantisation="BF16", repo=REPO, engines=(Engine.VLLM,))
SPLIT = Weights(quantisation="Q4_K_M", repo=REPO, file=PARTS[0], engines=(Engine.LLAMACPP,))


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with hub_mirror(REPO, {**FILES, **GGUF_FILES, "q/other.gguf": gguf(1)}) as found:
        yield found


@pytest.fixture(params=["cache", "folder"])
def wish(request: pytest.FixtureRequest, mirror: Mirror, tmp_path: Path) -> Wish:
    into = tmp_path / "mine" if request.param == "folder" else None
    return Wish(weights=WEIGHTS, endpoint=mirror.url, cache=tmp_path / "hub", into=into, margin=0, check=True)


@pytest.mark.parametrize("name", [*FILES])
def test_a_changed_byte_is_seen_without_a_network(mirror: Mirror, wish: Wish, name: str) -> None:
    place = pull(wish).place
    asked = len(mirror.tokens)
    assert offline(wish).place == place
    data = (place / name).read_bytes()
    (place / name).write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    if name not in ("model.safetensors.index.json", "config.json"):
        assert offline(replace(wish, check=False)).place == place
    with pytest.raises(WeightsError, match=name):
        offline(wish)
    assert len(mirror.tokens) == asked
    assert pull(wish).fetched_bytes == len(data), "only the damaged one comes again"
    assert offline(wish).files == 2


def test_all_parts_of_a_split_file_come_and_are_checked(mirror: Mirror, wish: Wish) -> None:
    wish = replace(wish, weights=SPLIT)
    pulled = pull(wish)
    assert set(mirror.sent) == set(PARTS)
    assert pulled.files == 2
    assert offline(wish).place == pulled.place
    second = pulled.place.parent / "m-00002-of-00002.gguf"
    second.write_bytes(second.read_bytes()[:-1] + b"!")
    with pytest.raises(WeightsError, match=rf"is damaged: {PARTS[1]}\n"):
        offline(wish)
    second.write_bytes(second.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=rf"missing or cut short are {PARTS[1]}\n"):
        offline(replace(wish, check=False))
    second.unlink()
    with pytest.raises(WeightsError, match=rf"missing or cut short are {PARTS[1]}\n"):
        offline(wish)


def test_a_split_file_without_one_of_its_parts_is_refused_before_a_byte_comes(mirror: Mirror, wish: Wish) -> None:
    del mirror.files[PARTS[1]]
    with pytest.raises(WeightsError, match=rf"has no file '{PARTS[1]}'"):
        pull(replace(wish, weights=SPLIT))
    assert mirror.sent == {}


def test_files_of_which_no_digest_is_kept_are_not_called_whole(tmp_path: Path) -> None:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    wish = Wish(weights=WEIGHTS, into=tmp_path)
    assert offline(wish).place == tmp_path
    with pytest.raises(WeightsError, match=rf"no digest is kept of config.json, {SHARD}"):
        offline(replace(wish, check=True))


@pytest.mark.parametrize("written", [b"", b"[1]", b'{"a": 7}', b"\xff", b'{"m": "' + b"0" * 11_000_000 + b'"}'])
def test_a_damaged_record_of_digests_is_no_record(tmp_path: Path, written: bytes) -> None:
    (tmp_path / DIGESTS_FOLDER).mkdir()
    (tmp_path / DIGESTS_FOLDER / "digests.json").write_bytes(written)
    assert kept_digests(tmp_path) == {}


def test_names_in_the_record_do_not_leave_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for place in (tmp_path / "outside", folder / "inside"):
        place.write_bytes(b"x")
    keep_digests(folder, {"inside": "0" * 64, "gone": "1" * 64})
    keep_digests(folder, {"../outside": "0" * 64, str(tmp_path / "outside"): "0" * 64})
    assert kept_digests(folder) == {"inside": "0" * 64}
    assert "gone" not in json.loads((folder / DIGESTS_FOLDER / "digests.json").read_text())
