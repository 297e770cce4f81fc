"""Whether a file on disk holds the bytes that its hub says it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

CHUNK_BYTES = 1 << 20


def is_digest(text: str) -> bool:
    """Whether it is a SHA-256, or git's SHA-1 of a blob, in lower-case hexadecimal digits."""
    return len(text) in (40, 64) and all(c in "0123456789abcdef" for c in text)


def digest_of(path: Path, like: str, *, read: Callable[[int], None] = lambda _: None) -> str:
    """The digest of a file, of the same kind as another: SHA-256 (64 digits) or git's of a blob (40 digits).

    Args:
        path: The file.
        like: A digest of the kind that is wanted.
        read: Called with the number of bytes of each piece.

    Raises:
        OSError: the file cannot be read.
    """
    found = (
        hashlib.sha256() if len(like) == 64 else hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    )
    with path.open("rb") as opened:
        while piece := opened.read(CHUNK_BYTES):
            found.update(piece)
            read(len(piece))
    return found.hexdigest()
