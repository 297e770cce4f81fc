"""What kind of model a folder or a GGUF file holds, from its own description. The files are hostile input."""

from __future__ import annotations

import struct
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from magistrate.errors import UsageError
from magistrate.models.profile import Profile
from magistrate.models.registry import profile_named

GPT_OSS = "gpt_oss"
_MOST_CONFIG_BYTES = 1_000_000
_HEADER_BYTES = 65_536
_STRING = 8
_SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""By GGUF's number of a type. Source: docs/gguf.md of ggml."""
_VERSIONS = (2, 3)
"""Of GGUF: version 1 counted in 32 bits, and a big-endian file reads as a version beyond these."""
_KEY = b"general.architecture"
_MOST_KEYS = 256


class _ModelFile(BaseModel):
    model_config = ConfigDict(extra="ignore")

    model_type: str = Field(max_length=100)


def architecture_of(weights: Path) -> str | None:
    """The model's type as Transformers calls it, `gpt_oss`; None where there is no telling."""
    try:
        if weights.is_dir():
            return _of_config(weights / "config.json")
        found = _of_gguf(weights)
    except OSError:
        return None
    return None if found is None else found.replace("-", "_")


def profile_of(weights: str) -> Profile | None:
    """The profile of a repository, or of a folder that is called as the model is; None for others."""
    for name in (weights, Path(weights).name):
        try:
            return profile_named(name)
        except UsageError:
            continue
    return None


def _of_config(path: Path) -> str | None:
    with path.open("rb") as file:
        data = file.read(_MOST_CONFIG_BYTES + 1)
    try:
        return _ModelFile.model_validate_json(data).model_type
    except ValidationError:
        return None


def _of_gguf(path: Path) -> str | None:
    """Source: GGUF versions 2 and 3: magic, version, two counts, then keys with typed values."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if header[:4] != b"GGUF":
        return None
    try:
        version, _, keys = struct.unpack_from("<IQQ", header, 4)
        if version not in _VERSIONS:
            return None
        place = 24
        for _ in range(min(keys, _MOST_KEYS)):
            key, place = _string(header, place)
            (kind,) = struct.unpack_from("<I", header, place)
            place += 4
            if kind == _STRING:
                value, place = _string(header, place)
                if key == _KEY:
                    return value.decode("ascii", "replace")[:100]
            elif kind in _SCALAR_BYTES:
                place += _SCALAR_BYTES[kind]
            else:
                return None  # a list, behind which the architecture never stands
    except struct.error:
        return None
    return None


def _string(data: bytes, place: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from("<Q", data, place)
    end = place + 8 + length
    if end > len(data):
        raise struct.error("a string goes beyond what was read")
    return data[place + 8 : end], end
