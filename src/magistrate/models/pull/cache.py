"""Where weights lie on this machine: the cache of huggingface_hub, a folder of the user's, or a remembered place.

Nothing here asks a network, nor loads huggingface_hub. Source of the cache's form: huggingface_hub's guide
"Understand caching": `models--OWNER--NAME/{blobs/DIGEST, snapshots/COMMIT/PATH, refs/REVISION}`.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from magistrate.backends.llamacpp.gguf import GgufError, least_bytes
from magistrate.home import home_folder
from magistrate.models.architecture import architecture_of
from magistrate.models.profile import Profile, Weights
from magistrate.models.pull.listing import gguf_parts, is_safe_name

_MOST_INDEX_BYTES = 50_000_000
_MOST_HEADER_BYTES = 100_000_000
"""Of a safetensors file. Source: the format's own bound."""
_INDEX = "model.safetensors.index.json"
_PLACES_FILE = "weights.json"


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of huggingface_hub's cache, by the variables that it reads."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environ.get(name):
            return Path(environ[name]).expanduser()
    home = environ.get("HF_HOME") or str(Path(environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    return Path(home).expanduser() / "hub"


def repo_folder(repo: str, cache: Path | None = None) -> Path:
    """The folder of a repository in the cache."""
    return (cache or cache_folder()) / f"models--{repo.replace('/', '--')}"


def local_weights(profile: Profile, weights: Weights, *, cache: Path | None = None) -> Path | None:
    """Where complete weights lie: a folder, or a GGUF file; None where they don't. Asks no network.

    A place that the user named for the model (`pull --from`, `--into`) goes before the cache.
    """
    named = _places().get(place_key(profile, weights))
    if named is not None and missing_parts(Path(named), weights.file) == ():
        return Path(named)
    folder = cached_snapshot(weights, cache)
    if folder is None or missing_parts(folder, weights.file):
        return None
    return folder if weights.file is None else folder / weights.file


def cached_snapshot(weights: Weights, cache: Path | None = None, revision: str | None = None) -> Path | None:
    """The folder of a revision in the cache, complete or not; None where there is none."""
    folder = repo_folder(weights.repo, cache)
    wanted = revision or weights.revision or "main"
    ref = folder / "refs" / wanted
    commit = ref.read_text(encoding="ascii", errors="replace").strip() if ref.is_file() else wanted
    snapshot = folder / "snapshots" / commit
    return snapshot if is_safe_name(commit) and snapshot.is_dir() else None


def missing_parts(place: Path, file: str | None) -> tuple[str, ...]:
    """Names of the files that an engine would miss, those that were cut short among them.

    Args:
        place: A folder with weights, or a GGUF file.
        file: The GGUF file in the folder, None for safetensors.
    """
    if place.is_file():
        return missing_parts(place.parent, place.name)
    missing = [name for name in names_of(place, file) if name == _INDEX or not _is_whole(place / name)]
    if file is not None:
        # Only the first part of a split file says what it is.
        return tuple(missing) or (() if architecture_of(place / gguf_parts(file)[0]) is not None else (file,))
    if not any((place / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        missing.append("tokenizer.json")
    return tuple(missing)


def names_of(folder: Path, file: str | None) -> tuple[str, ...]:
    """The files that weights consist of, there or not: of GGUF all parts, of safetensors the shards and the config.

    The index of the shards stands for them where it cannot be read or names files that no shard has.
    """
    return gguf_parts(file) if file is not None else ("config.json", *_shards(folder))


class _Index(BaseModel):
    model_config = ConfigDict(extra="ignore")

    weight_map: dict[str, str]


def _shards(folder: Path) -> tuple[str, ...]:
    index = folder / _INDEX
    if not index.is_file():
        single = sorted(path.name for path in folder.glob("*.safetensors"))
        return tuple(single) or ("model.safetensors",)
    if index.stat().st_size > _MOST_INDEX_BYTES:
        return (_INDEX,)
    try:
        names = sorted(set(_Index.model_validate_json(index.read_bytes()).weight_map.values()))
    except ValidationError:
        return (_INDEX,)
    are_shards = bool(names) and all(is_safe_name(name) and name.endswith(".safetensors") for name in names)
    return tuple(names) if are_shards else (_INDEX,)


def _is_whole(path: Path) -> bool:
    """Whether a file is there, and one of weights as long as its own header says."""
    if path.suffix == ".gguf":
        try:
            return path.stat().st_size >= least_bytes(path)
        except (OSError, GgufError):
            return False
    if not path.is_file() or path.suffix != ".safetensors":
        return path.is_file() and path.stat().st_size > 0
    with path.open("rb") as opened:
        head = opened.read(8)
        length: int = struct.unpack("<Q", head)[0] if len(head) == 8 else _MOST_HEADER_BYTES + 1
        data = opened.read(length) if length <= _MOST_HEADER_BYTES else b""
    try:
        header = _HEADER.validate_json(data)
    except ValidationError:
        return False
    ends = [value.data_offsets[1] for value in header.values() if isinstance(value, _Tensor)]
    return path.stat().st_size == 8 + length + max(ends, default=0)


class _Tensor(BaseModel):
    data_offsets: tuple[int, int]


_HEADER = TypeAdapter(dict[str, _Tensor | dict[str, str]])


def place_key(profile: Profile, weights: Weights) -> str:
    """What a place is remembered under."""
    return f"{profile.name} {weights.quantisation} {weights.repo}"


def remember(key: str, place: Path) -> None:
    """Keep where the user has weights, for the commands that follow."""
    path = home_folder() / _PLACES_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({**_places(), key: str(place.resolve())}, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)


def _places() -> dict[str, str]:
    path = home_folder() / _PLACES_FILE
    try:
        return TypeAdapter(dict[str, str]).validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return {}
