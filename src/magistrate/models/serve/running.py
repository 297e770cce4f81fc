"""What is served on this machine by `magistrate model serve`: found by files that their owners hold locked.

A server's file lies in a folder of its user and is locked for as long as its supervisor lives. A file that is not
locked is left over, whatever ended the supervisor (a reboot, SIGKILL), and is removed by whoever meets it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from magistrate.backends.address import checked_base_url
from magistrate.errors import BackendError, UsageError
from magistrate.models.profile import Engine

_MOST_BYTES = 16_384
_SUFFIX = ".json"
_Short = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Served(BaseModel):
    """A server that `magistrate model serve` started: the content of its file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Short
    """The model's name at the server, which `--model` takes."""
    profile: _Short | None = None
    url: _Short
    engine: Engine
    dialect: _Short | None = None
    context_tokens: Annotated[int, Field(gt=0)] | None = None
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")] | None = None
    pid: Annotated[int, Field(gt=0)]
    """Of the supervisor."""
    started: AwareDatetime
    log: _Short
    """The engine's log file."""


def served_now(folder: Path) -> tuple[Served, ...]:
    """All servers that run, the latest first. What is left over is removed; what cannot be read is passed over."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX)
    except OSError:
        return ()
    found = [served for served in map(_read, paths) if served is not None]
    return tuple(sorted(found, key=lambda served: served.started, reverse=True))


def served_as(names: frozenset[str], folder: Path) -> Served | None:
    """The latest server of a model that has one of these names; None where there is none."""
    known = {name.casefold() for name in names}
    matching = (s for s in served_now(folder) if {s.name.casefold(), (s.profile or s.name).casefold()} & known)
    return next(matching, None)


@contextmanager
def announced(served: Served, folder: Path) -> Generator[Path]:
    """Say for the length of the context that a server runs; its file.

    Raises:
        BackendError: the folder cannot be used.
    """
    path = folder / f"{served.url.rpartition(':')[2].partition('/')[0]}{_SUFFIX}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = _locked(path)
    except OSError as error:
        raise BackendError(
            f"cannot write {str(path)!r}: {error.strerror}", hint="set MAGISTRATE_HOME to a folder of yours"
        ) from error
    try:
        os.ftruncate(file, 0)
        os.write(file, served.model_dump_json().encode())
        yield path
    finally:
        path.unlink(missing_ok=True)
        os.close(file)  # not before: in between the file would look left over


def _locked(path: Path) -> int:
    """Open and lock the file; made anew where somebody removes it as left over in that moment."""
    import fcntl  # not on Windows

    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        if _is_at(path, file):
            os.fchmod(file, 0o600)
            return file
        os.close(file)


def _is_at(path: Path, file: int) -> bool:
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    here = os.fstat(file)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _read(path: Path) -> Served | None:
    """A file that is held, is the user's own and says what it should; it is removed where nobody holds it."""
    import fcntl

    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        status = os.fstat(file)
        private = status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not (stat.S_ISREG(status.st_mode) and private):
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _parse(os.read(file, _MOST_BYTES))
        if _is_at(path, file):
            path.unlink(missing_ok=True)
        return None
    except OSError:
        return None
    finally:
        os.close(file)


def _parse(data: bytes) -> Served | None:
    try:
        served = Served.model_validate_json(data)
        return served.model_copy(update={"url": checked_base_url(served.url)})
    except (ValidationError, UsageError):
        return None


def started_now() -> datetime:
    """The moment that a server is announced with."""
    return datetime.now(UTC)
