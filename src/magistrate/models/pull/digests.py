"""Whether a file on disk holds the bytes that its hub says it holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from magistrate.models.pull.listing import is_safe_name

CHUNK_BYTES = 1 << 20
DIGESTS_FOLDER = ".magistrate"
"""In a folder of the user's, which has no blobs whose names are their digests."""
_DIGESTS_FILE = "digests.json"
_MOST_DIGESTS_BYTES = 10_000_000


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


def kept_digests(folder: Path) -> dict[str, str]:
    """The digests that files had when they came, by name; of others there is none.

    In the cache of huggingface_hub each name is a link to a blob that is called by its digest; in a folder of the
    user's they were written down beside the files.
    """
    links = {
        path.relative_to(folder).as_posix(): path.resolve().name for path in folder.rglob("*") if path.is_symlink()
    }
    path = folder / DIGESTS_FOLDER / _DIGESTS_FILE
    try:
        with path.open("rb") as opened:
            written = TypeAdapter(dict[str, str]).validate_json(opened.read(_MOST_DIGESTS_BYTES))
    except (OSError, ValidationError):
        written = {}
    return {
        name: digest
        for name, digest in {**links, **written}.items()
        if is_safe_name(name) and is_digest(digest) and (folder / name).is_file()
    }


def keep_digests(folder: Path, digests: Mapping[str, str]) -> None:
    """Write down the digests of files, with those that are there already."""
    path = folder / DIGESTS_FOLDER / _DIGESTS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({**kept_digests(folder), **digests}, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)
