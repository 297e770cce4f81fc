"""The lines of a run file, plain or gzip, as far as they are whole."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from magistrate.errors import InputError


class RunLines:
    """The lines of a run file. One that was cut off at the end is left out, and `torn` says so."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.torn = False

    def read(self, *, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Lines with their numbers from 1, from the one after `start` on."""
        try:
            with self._opened() as file:
                for number, line in enumerate(file, start=1):
                    if not line.endswith(b"\n"):
                        self.torn = True
                    elif number > start:
                        yield number, line
        except EOFError:  # of gzip data that ends early
            self.torn = True
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                f"{str(self._path)!r} is damaged: {error}", hint="take a copy of it, or judge again"
            ) from error
        except OSError as error:
            raise InputError(
                f"cannot read {str(self._path)!r}: {error.strerror or error}", hint="check the path and its rights"
            ) from error

    @contextmanager
    def _opened(self) -> Generator[Iterable[bytes]]:
        with self._path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                yield file
                return
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked
