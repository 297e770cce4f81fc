"""One file over HTTP into a partial file that the next attempt, or the next process, goes on with.

huggingface_hub 2.4 resumes within one process only: it deletes what came when the process ends. A shard of these
models has gigabytes, so the partial file is kept here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from magistrate.errors import WeightsError
from magistrate.models.pull.failures import PassingError, of_status
from magistrate.models.pull.room import in_bytes, is_full

TRIES = 5
LONGEST_WAIT_S = 60.0
PIECE_BYTES = 32 * 1024**3
"""Asked for at once: the hub gives no more than 50 GB in one answer."""
_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """How files come."""

    client: httpx.Client
    got: Callable[[int], None] = lambda _: None
    """Called with the number of bytes of each piece; negative where they are thrown away."""
    sleep: Callable[[float], None] = time.sleep

    def fetch(self, address: str, partial: Path, size: int, *, what: str) -> None:
        """Fill the partial file up to its size.

        Raises:
            WeightsError: refused, no room, or nothing new in several attempts; what came is kept.
        """
        quiet = 0
        while (have := _size(partial)) != size:
            if have > size:
                partial.unlink()
                continue
            try:
                self._stream(address, partial, have, size, what)
            except PassingError as error:
                quiet = 1 if _size(partial) > have else quiet + 1
                wait_s = error.retry_after_s if error.retry_after_s is not None else min(0.5 * 2**quiet, 30.0)
                if quiet >= TRIES or wait_s > LONGEST_WAIT_S:
                    raise
                self.sleep(wait_s)
        if size == 0:
            partial.touch()

    def _stream(self, address: str, partial: Path, have: int, size: int, what: str) -> None:
        last = min(have + PIECE_BYTES, size) - 1
        headers = {"Range": f"bytes={have}-{last}", "Accept-Encoding": "identity"}
        try:
            with self.client.stream("GET", address, headers=headers) as response:
                start = _start(response, have, size, what)
                self._write(response, partial, start, size, what)
        except (httpx.TransportError, httpx.TooManyRedirects) as error:
            raise PassingError(f"the connection broke at {what}: {type(error).__name__}") from error
        if _size(partial) <= have:
            raise PassingError(f"the hub sent nothing of {what}")

    def _write(self, response: httpx.Response, partial: Path, start: int, size: int, what: str) -> None:
        at = start
        try:
            with partial.open("r+b" if partial.exists() else "wb") as opened:
                self.got(start - _size(partial))
                opened.truncate(start)
                opened.seek(start)
                for piece in response.iter_raw():
                    at += len(piece)
                    if at > size:
                        opened.truncate(0)
                        raise WeightsError(
                            f"the hub sent more of {what} than the {in_bytes(size)} that it has",
                            hint="check HF_ENDPOINT",
                        )
                    opened.write(piece)
                    opened.flush()  # or a killed process would take the last of it along
                    self.got(len(piece))
        except OSError as error:
            if not is_full(error):
                raise WeightsError(
                    f"cannot write {what}: {error.strerror}", hint="check the folder's rights"
                ) from error
            raise WeightsError(
                f"the disk is full at {what}, {in_bytes(min(at, size))} of {in_bytes(size)} had come",
                hint="free some, and pull again: it goes on from there; or set HF_HOME to another disk, or give --into",
            ) from error


def _start(response: httpx.Response, have: int, size: int, what: str) -> int:
    """Where the bytes that come belong: 0 where the server does not give ranges."""
    if response.status_code == 200:
        return 0
    if response.status_code != 206:
        raise of_status(response.status_code, response.headers, what)
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != have or found[3] not in ("*", str(size)):
        raise WeightsError(
            f"the hub answers with another range or size of {what} than was asked for", hint="check HF_ENDPOINT"
        )
    return have


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
