"""Texts that are nearly equal, found without comparing each with each: MinHash signatures in keyed bands.

Why not `datasketch`: its index loads SciPy on import, it forgets nothing by itself, and its hash functions are the same
everywhere, so that texts can be made up elsewhere that collide here. This is the same method (Broder 1997; Leskovec,
Rajaraman and Ullman, Mining of Massive Datasets, chapter 3) with hash functions of its own in every process.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Signature = NDArray[np.uint64]

SHINGLE = 5
"""Characters of a shingle."""
BANDS, ROWS = 16, 4
"""Texts whose shingles agree to 0.9 share a band with 1 - (1 - 0.9**4)**16, more than 0.9999; to 0.3 with 0.12."""
LONGEST = 20_000
"""Longer texts have no signature: they are only compared as a whole."""
_MASK = np.uint64(0xFFFF_FFFF)


class Signer:
    """Makes signatures. Only those of one signer can be compared.

    Args:
        key: Of the hash functions; random where not given.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = secrets.token_bytes(16) if key is None else key
        seed = int.from_bytes(hashlib.sha256(self._key).digest(), "big")
        draw = np.random.default_rng(seed)
        self._factors = draw.integers(1, 1 << 63, BANDS * ROWS, dtype=np.uint64) | np.uint64(1)
        self._offsets = draw.integers(0, 1 << 63, BANDS * ROWS, dtype=np.uint64)

    def signature(self, text: str) -> Signature | None:
        """The least value of each hash function over the shingles; None for a text that is empty or too long."""
        read = " ".join(text.casefold().split())
        if not read or len(read) > LONGEST:
            return None
        shingles = {read[at : at + SHINGLE] for at in range(max(1, len(read) - SHINGLE + 1))}
        hashed = np.array([self._hash(shingle) for shingle in shingles], dtype=np.uint64)
        least = np.full(BANDS * ROWS, np.iinfo(np.uint64).max, dtype=np.uint64)
        for start in range(0, len(hashed), 1024):  # bounds what is held at once
            part = hashed[start : start + 1024, None] * self._factors + self._offsets  # wraps around: modulo 2**64
            least = np.minimum(least, (part >> np.uint64(32)).min(axis=0) & _MASK)
        return least

    def _hash(self, shingle: str) -> int:
        data = shingle.encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(data, digest_size=8, key=self._key).digest(), "little")


def similarity(a: Signature, b: Signature) -> float:
    """Estimate the share of shingles that two texts have in common, to about 0.06."""
    return float((a == b).mean())


class Bands:
    """Names by the bands of their signatures."""

    def __init__(self) -> None:
        self._names: dict[int, list[int]] = {}

    def add(self, name: int, signature: Signature) -> None:
        """Put a name in."""
        for band in _bands(signature):
            self._names.setdefault(band, []).append(name)

    def remove(self, name: int, signature: Signature) -> None:
        """Take a name out."""
        for band in _bands(signature):
            names = [other for other in self._names.pop(band, []) if other != name]
            if names:
                self._names[band] = names

    def sharing(self, signature: Signature) -> set[int]:
        """Names that have at least one band in common with a signature."""
        return {name for band in _bands(signature) for name in self._names.get(band, ())}


def _bands(signature: Signature) -> Iterator[int]:
    """A number a band; two that are equal by chance only cost a comparison."""
    for band in range(BANDS):
        yield hash((band, signature[band * ROWS : (band + 1) * ROWS].tobytes()))
