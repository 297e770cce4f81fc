"""One vector a token, fixed: the file that holds them, and how it is checked."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magistrate.errors import BackendError

STATIC_ASSETS = Path(__file__).with_name("static")
"""The vectors that ship inside the package."""
VECTORS, VECTORS_CARD = "vectors.npz", "VECTORS.md"
LARGEST_FILE = 64_000_000
"""Bytes; a file that is larger is none of ours."""


@dataclass(frozen=True, slots=True, eq=False)
class StaticVectors:
    """Vectors of the tokens of a vocabulary, in eight bits each number.

    Invariant: one finite scale a token; a name.
    """

    name: str
    """With version: equal names give equal vectors of texts."""
    steps: NDArray[np.int8]
    """(tokens, dimensions)"""
    scales: NDArray[np.float32]
    """(tokens,): a token's vector is its steps times its scale. 0 for a token that says nothing."""

    def table(self) -> NDArray[np.float32]:
        """The vectors: (tokens, dimensions)."""
        return self.steps.astype(np.float32) * self.scales[:, None]


def read_static_vectors(folder: Path) -> StaticVectors:
    """Read and check vectors.

    Raises:
        BackendError: the folder has none, or the file is no such file.
    """
    path = folder / VECTORS
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"it has more than {LARGEST_FILE:,} bytes")
        with zipfile.ZipFile(path) as archive:
            if sum(one.file_size for one in archive.infolist()) > LARGEST_FILE:
                raise ValueError(f"it has more than {LARGEST_FILE:,} bytes, unpacked")
        with np.load(path, allow_pickle=False) as arrays:
            found = StaticVectors(str(arrays["name"]), arrays["steps"], arrays["scales"].astype(np.float32))
    except OSError as error:
        raise BackendError(
            f"{str(folder)!r} holds no static vectors: cannot read {VECTORS!r}: {error.strerror or error}",
            hint="install magistrate again, or make them: magistrate train static --help",
        ) from error
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _broken(path, str(error)) from error
    if found.steps.dtype != np.int8 or found.steps.ndim != 2 or found.scales.shape != found.steps.shape[:1]:
        raise _broken(path, f"steps {found.steps.dtype} {found.steps.shape}, scales {found.scales.shape}")
    if not found.name or not np.isfinite(found.scales).all():
        raise _broken(path, "no name, or a scale that is not finite")
    return found


def write_static_vectors(folder: Path, vectors: StaticVectors) -> None:
    """Write what `read_static_vectors` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        folder / VECTORS,
        name=np.array(vectors.name),
        steps=vectors.steps,
        scales=vectors.scales.astype(np.float32),
    )


def _broken(path: Path, why: str) -> BackendError:
    return BackendError(
        f"{str(path)!r} cannot be read as static vectors: {why}",
        hint="restore the file, or make it again: magistrate train static --help",
    )
