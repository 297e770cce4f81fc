"""A folder that holds a trained screen: its head, and what must be known to use it."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pydantic
from numpy.typing import NDArray

from magistrate.digest import Digest, bytes_digest, value_digest
from magistrate.errors import BackendError

SETTINGS, HEAD, CARD = "screen.json", "head.npz", "SCREEN.md"
FORM: Final = "screen.v1"
LARGEST_FILE = 1_000_000
"""Bytes; a file that is larger is none of ours."""
LARGEST_HEAD = 4_000_000
"""Bytes, unpacked: a million weights."""


class ScreenKind(StrEnum):
    """What a screen reads a text with."""

    STATIC = "static"
    """A fixed vector and a weight a token, added up: tens of thousands of short texts a second, no word order."""
    ENCODER = "encoder"
    """The mean state of the embedded model: hundreds of texts a second; reads words in their context."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What a screen has learned: calibrated log-odds are the sum of what it says of a vector and of its tokens."""

    weights: NDArray[np.float32]
    """(dimensions,): of the vector."""
    tokens: NDArray[np.float32]
    """(vocabulary,): of each token, by the square root of how many the text has; empty where tokens are not weighed."""
    bias: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenSettings:
    """What is known of a screen besides its head."""

    kind: ScreenKind
    vectors: str
    """Name of the encoder or of the static vectors whose numbers the head weighs; others give nonsense."""
    policy: str
    """Name of the policy that it was trained for."""
    policy_digest: str
    threshold: float
    """The probability from which a case is judged a violation."""
    cases: int
    """Labelled cases that the head was fitted on."""
    violations: int
    made: date


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenFolder:
    """A screen as read."""

    settings: ScreenSettings
    head: Head

    @property
    def digest(self) -> Digest:
        """Of everything that changes a verdict."""
        settings = self.settings
        return value_digest(
            [
                FORM,
                settings.kind,
                settings.vectors,
                settings.policy_digest,
                settings.threshold,
                bytes_digest(self.head.weights.tobytes() + self.head.tokens.tobytes()),
                self.head.bias,
            ]
        )

    @property
    def name(self) -> str:
        """As verdicts carry it: policy, kind and the beginning of the digest."""
        return f"screen/{self.settings.policy}/{self.settings.kind}/{self.digest.removeprefix('sha256:')[:12]}"


class _Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    form: Literal["screen.v1"]
    kind: ScreenKind
    vectors: str = pydantic.Field(min_length=1, max_length=200)
    policy: str = pydantic.Field(min_length=1, max_length=200)
    policy_digest: str = pydantic.Field(pattern=r"^sha256:[0-9a-f]{64}$")
    threshold: float = pydantic.Field(gt=0, lt=1)
    cases: int = pydantic.Field(ge=1)
    violations: int = pydantic.Field(ge=1)
    made: date


def is_screen_folder(path: Path) -> bool:
    """Whether a folder holds a trained screen."""
    return (path / SETTINGS).is_file()


def read_screen_folder(path: Path) -> ScreenFolder:
    """Read and check a screen.

    Raises:
        BackendError: the folder has no screen, or it cannot be used.
    """
    return ScreenFolder(settings=_read_settings(path / SETTINGS), head=_read_head(path / HEAD))


def write_screen_folder(path: Path, screen: ScreenFolder) -> None:
    """Write what `read_screen_folder` reads."""
    path.mkdir(parents=True, exist_ok=True)
    head = screen.head
    np.savez_compressed(path / HEAD, weights=head.weights, tokens=head.tokens, bias=np.array(head.bias))
    settings = _Settings(
        form=FORM, **{name: getattr(screen.settings, name) for name in ScreenSettings.__dataclass_fields__}
    )
    (path / SETTINGS).write_text(settings.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _read_settings(path: Path) -> ScreenSettings:
    try:
        found = _Settings.model_validate_json(_small(path))
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise _broken(path, f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}") from error
    return ScreenSettings(**{name: getattr(found, name) for name in ScreenSettings.__dataclass_fields__})


def _read_head(path: Path) -> Head:
    _small(path)
    try:
        _check_unpacked(path)
        with np.load(path, allow_pickle=False) as arrays:
            weights, tokens = (np.asarray(arrays[name], np.float32) for name in ("weights", "tokens"))
            bias = float(arrays["bias"])
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _broken(path, str(error)) from error
    if weights.ndim != 1 or tokens.ndim != 1 or not weights.size:
        raise _broken(path, f"two rows of weights are expected, found shapes {weights.shape} and {tokens.shape}")
    if not (np.isfinite(weights).all() and np.isfinite(tokens).all() and np.isfinite(bias)):
        raise _broken(path, "a weight is not finite")
    return Head(weights, tokens, bias)


def _check_unpacked(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        size = sum(one.file_size for one in archive.infolist())
    if size > LARGEST_HEAD:
        raise ValueError(f"it has {size:,} bytes, unpacked")


def _small(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise _broken(path, f"it has more than {LARGEST_FILE:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise BackendError(
            f"{str(path.parent)!r} is no screen: cannot read {path.name!r}: {error.strerror or error}",
            hint="give a folder that `magistrate train screen` wrote",
        ) from error


def _broken(path: Path, why: str) -> BackendError:
    return BackendError(
        f"{str(path)!r} cannot be read: {why}",
        hint="restore the file, or train the screen again: magistrate train screen --help",
    )
