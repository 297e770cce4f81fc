"""Room on the disk, asked for before the first byte comes."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from magistrate.errors import WeightsError

MARGIN_BYTES = 512 * 1024 * 1024
"""Left free, so that a download does not fill the disk of everything else."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def require_room(folder: Path, needed: int, *, margin: int = MARGIN_BYTES) -> None:
    """Check that so many bytes fit where the folder is, or will be.

    Raises:
        WeightsError: they do not; it says how much is missing.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    missing = needed + margin - free
    if needed > 0 and missing > 0:
        raise WeightsError(
            f"no room at {str(folder)!r}: {in_bytes(needed)} are still to come and {in_bytes(margin)} are kept free, "
            f"but only {in_bytes(free)} are free: {in_bytes(missing)} are missing",
            hint="free them, or choose another place: HF_HOME=/big/disk for the cache, or --into DIR for a folder",
        )


def is_full(error: OSError) -> bool:
    """Whether a write failed because the disk, a quota or a limit is used up."""
    return error.errno in _FULL


def in_bytes(size: int) -> str:
    """A size in words, in powers of 1,000 as disks and hubs count.

    >>> in_bytes(13_761_264_768), in_bytes(90_000_000), in_bytes(512)
    ('13.8 GB', '90 MB', '512 B')
    """
    if size >= 1_000_000_000:
        return f"{size / 1e9:.1f} GB"
    if size >= 1_000_000:
        return f"{size / 1e6:.0f} MB"
    return f"{size / 1e3:.0f} kB" if size >= 1_000 else f"{size} B"
