"""Where weights lie on this machine, found without a network: whole, or not at all."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.hub_mirror import COMMIT
from tests.models.tiny_weights import ARCHITECTURE, PART_NUMBER, SHARD, folder_files, gguf

from magistrate.errors import UsageError
from magistrate.models.profile import Engine, Profile, Weights
from magistrate.models.pull.cache import cache_folder, local_weights, missing_parts, place_key, remember
from magistrate.models.pull.pull import taken

FILES = folder_files(2_000)
GGUF = Weights(quantisation="Q4_K_M", repo="owner/tiny-GGUF", file="tiny.gguf", engines=(Engine.LLAMACPP,))
FOLDER = Weights(quantisation="BF16", repo="owner/tiny", engines=(Engine.VLLM,))
TINY = Profile(name="tiny", family="gpt-oss-safeguard", weights=(FOLDER, GGUF))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGISTRATE_HOME", str(tmp_path / "home"))


def cached(cache: Path, repo: str, *, ref: str = "main", commit: str = COMMIT) -> Path:
    """An empty snapshot as huggingface_hub keeps it."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / ref).write_text(commit)
    return snapshot


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert local_weights(TINY, FOLDER, cache=tmp_path) is None
    assert local_weights(TINY, GGUF, cache=tmp_path / "none") is None
    cached(tmp_path, FOLDER.repo)
    assert local_weights(TINY, FOLDER, cache=tmp_path) is None


def test_a_folder_of_safetensors_is_found_in_the_cache(tmp_path: Path) -> None:
    snapshot = write(cached(tmp_path, FOLDER.repo), FILES)
    assert local_weights(TINY, FOLDER, cache=tmp_path) == snapshot
    assert local_weights(TINY, GGUF, cache=tmp_path) is None


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", SHARD])
def test_a_folder_that_misses_a_file_is_none(tmp_path: Path, name: str) -> None:
    snapshot = write(cached(tmp_path, FOLDER.repo), FILES)
    (snapshot / name).unlink()
    assert local_weights(TINY, FOLDER, cache=tmp_path) is None
    assert missing_parts(snapshot, None) == (name,)


def test_a_gguf_file_is_found_in_the_cache(tmp_path: Path) -> None:
    snapshot = write(cached(tmp_path, GGUF.repo), {"tiny.gguf": gguf(500)})
    assert local_weights(TINY, GGUF, cache=tmp_path) == snapshot / "tiny.gguf"


def test_a_place_that_the_user_named_goes_first_while_it_is_there(tmp_path: Path) -> None:
    snapshot = write(cached(tmp_path, FOLDER.repo), FILES)
    mine = write(tmp_path / "mine", FILES)
    remember(place_key(TINY, FOLDER), mine)
    assert local_weights(TINY, FOLDER, cache=tmp_path) == mine
    (mine / SHARD).write_bytes(FILES[SHARD][:-1])
    assert local_weights(TINY, FOLDER, cache=tmp_path) == snapshot


@pytest.mark.parametrize("commit", ["../../../outside", "/etc", "..", ""])
def test_a_ref_does_not_lead_out_of_the_cache(tmp_path: Path, commit: str) -> None:
    write(tmp_path / "outside", FILES)
    snapshot = cached(tmp_path / "a" / "hub", FOLDER.repo)
    (snapshot.parent.parent / "refs" / "main").write_text(commit)
    assert local_weights(TINY, FOLDER, cache=tmp_path / "a" / "hub") is None


@given(cut=st.integers(1, 2_100))
def test_every_cut_of_a_gguf_file_is_seen(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    data = gguf(500)
    folder = write(tmp_path_factory.mktemp("cut"), {"tiny.gguf": data[:-cut]})
    assert missing_parts(folder / "tiny.gguf", None) == ("tiny.gguf",)
    write(folder, {"tiny.gguf": data})
    assert missing_parts(folder / "tiny.gguf", None) == ()


@pytest.mark.parametrize(
    ("parts", "missing"),
    [
        ((gguf(9, ARCHITECTURE), gguf(9, PART_NUMBER)), ()),
        ((gguf(9, ARCHITECTURE), gguf(9, PART_NUMBER)[:-1]), ("m-00002-of-00002.gguf",)),
        ((gguf(9, ARCHITECTURE), None), ("m-00002-of-00002.gguf",)),
        ((None, gguf(9, PART_NUMBER)), ("m-00001-of-00002.gguf",)),
        ((gguf(9, PART_NUMBER), gguf(9, PART_NUMBER)), ("m-00001-of-00002.gguf",)),
    ],
)
def test_a_split_file_needs_all_of_its_parts(
    tmp_path: Path, parts: tuple[bytes | None, ...], missing: tuple[str, ...]
) -> None:
    for number, data in enumerate(parts, 1):
        if data is not None:
            (tmp_path / f"m-0000{number}-of-00002.gguf").write_bytes(data)
    assert missing_parts(tmp_path, "m-00001-of-00002.gguf") == missing


def a_head(*, tensors: int = 1, keys: int = 1, after: bytes = ARCHITECTURE, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + after


TENSOR = struct.pack("<Q", 1) + b"w"


@pytest.mark.parametrize(
    "data",
    [
        a_head(tensors=2**63),
        a_head(keys=2**63),
        a_head(version=9),
        a_head(after=struct.pack("<Q", 2**62) + b"x"),
        a_head(after=ARCHITECTURE + struct.pack("<Q", 2**62)),
        a_head(after=ARCHITECTURE + TENSOR + struct.pack("<I", 2**31)),
        a_head(after=ARCHITECTURE + TENSOR + struct.pack("<IQIQ", 1, 2**63, 0, 0)),
        a_head(after=ARCHITECTURE + TENSOR + struct.pack("<IQIQ", 1, 1, 99, 2**63)),
        gguf(9, ARCHITECTURE, struct.pack("<Q", 17) + b"general.alignment" + struct.pack("<II", 4, 0)),
        gguf(9, ARCHITECTURE, struct.pack("<Q", 17) + b"general.alignment" + struct.pack("<II", 4, 2**31)),
    ],
)
def test_a_hostile_gguf_head_is_not_whole(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(data + bytes(64))
    assert missing_parts(path, None) == ("m.gguf",)
    with pytest.raises(UsageError):
        taken(path, TINY)


@given(
    st.one_of(
        st.binary(max_size=200), st.binary(max_size=200).map(lambda data: a_head(after=ARCHITECTURE + TENSOR + data))
    )
)
def test_any_bytes_are_weights_or_not(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in ("m.gguf", "model.safetensors", "config.json", "model.safetensors.index.json"):
        (folder / name).write_bytes(data)
    assert missing_parts(folder / "m.gguf", None) in ((), ("m.gguf",))
    assert "tokenizer.json" in missing_parts(folder, None)


INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    "index",
    [
        json.dumps({"weight_map": {"w": f"../{SHARD}"}}),
        json.dumps({"weight_map": {"w": SHARD, "v": "config.json"}}),
        json.dumps({"weight_map": {"w": INDEX}}),
        json.dumps({"weight_map": {}}),
        json.dumps({"weight_map": {"w": SHARD}})[:-1],
    ],
)
def test_an_index_that_names_no_shards_here_is_missing(tmp_path: Path, index: str) -> None:
    write(tmp_path, FILES)
    folder = write(tmp_path / "mine", FILES)
    (folder / INDEX).write_text(index)
    assert missing_parts(folder, None) == (INDEX,)


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_hubs_library_has_it(environ: dict[str, str], place: str) -> None:
    assert cache_folder(environ) == Path(place)
