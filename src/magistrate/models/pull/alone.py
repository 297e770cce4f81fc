"""One pull of a file at a time: two would write into the same partial file."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from magistrate.errors import WeightsError


@contextmanager
def alone(lock: Path, what: str) -> Generator[None]:
    """Hold a lock on this machine. The system lets go of it when the process ends, however it ends.

    Raises:
        WeightsError: another process, or another pull in this one, holds it.
    """
    # The package that huggingface_hub takes for its own locks; it comes with it.
    from filelock import FileLock, Timeout

    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock, mode=0o664)
    try:
        held.acquire(blocking=False)
    except Timeout as error:
        raise WeightsError(
            f"another pull of {what} is under way",
            hint=f"wait for its end, then pull again: what it brought is not fetched again; it holds {str(lock)!r}",
        ) from error
    try:
        yield
    finally:
        held.release()
