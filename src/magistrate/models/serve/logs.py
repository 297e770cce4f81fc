"""An engine's log: a file that its user alone can read, and what its last lines mean."""

from __future__ import annotations

import os
import re
from pathlib import Path

from magistrate.errors import BackendError

LINES_SHOWN = 12
MOST_BYTES = 64_000_000
"""A log that has grown beyond is emptied; engines write one line every few seconds."""
_TAIL_BYTES = 65_536
_LINE_CHARACTERS = 240
_KILLED = 128 + 9
_NAMES_AN_ERROR = re.compile(r"\b\w*(Error|Exception): \S")

_MEANINGS = (
    (
        r"Available memory on node|Free memory on device",
        "it wants a share of all memory, and others hold it: --flag=--gpu-memory-utilization=0.5 lets it take half, "
        "on a CPU too",
    ),
    (
        r"load vocab file|o200k_base",
        "gpt-oss needs its vocabulary: without a network, set TIKTOKEN_ENCODINGS_BASE to a folder with "
        "o200k_base.tiktoken",
    ),
    (
        r"out of memory|OutOfMemory|No available memory for the cache|KV cache memory|"
        r"failed to allocate|unable to allocate|bad_alloc|Cannot allocate memory",
        "it needs more memory: a smaller --context, other weights, or a smaller model; see magistrate model fit",
    ),
    (r"address already in use|Errno 98|EADDRINUSE", "the port is in use: take another --port"),
    (r"No module named|ModuleNotFoundError|ImportError", "the engine is not completely installed: install it anew"),
    (r"unrecognized arguments|invalid argument|unknown argument", "it does not know a flag: see --flag"),
    (r"can't be loaded|failed to load model|not a valid|Invalid repository|does not appear to have|is gated",
     "it cannot read the weights: check --weights"),
)  # fmt: skip


def open_log(path: Path) -> int:
    """Open it anew, readable by its owner alone; a file descriptor for the engine to append to.

    Raises:
        BackendError: it cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_NOFOLLOW
        file = os.open(path, flags, 0o600)
        os.fchmod(file, 0o600)
    except OSError as error:
        raise BackendError(
            f"cannot write the log {str(path)!r}: {error.strerror}", hint="set MAGISTRATE_HOME to a folder of yours"
        ) from error
    return file


def keep_short(file: int) -> None:
    """Empty a log that has grown too long; who appends to it goes on at its beginning."""
    if os.fstat(file).st_size > MOST_BYTES:
        os.ftruncate(file, 0)


def last_lines(path: Path) -> tuple[str, ...]:
    """What was written last, some hundred lines, fit to show on a terminal."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read(_TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return ()
    # A progress bar overwrites its line: only what it shows last counts.
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    plain = (re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line) for line in lines)
    shown = ("".join(c for c in line if c.isprintable())[:_LINE_CHARACTERS].rstrip() for line in plain)
    return tuple(line for line in shown if line)


def telling(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The lines to show: the last, and before them the first that names an error, which is mostly the cause."""
    shown = lines[-LINES_SHOWN:]
    cause = next((line for line in lines if _NAMES_AN_ERROR.search(line)), None)
    return shown if cause is None or cause in shown else (cause, *shown)


def meaning(lines: tuple[str, ...], status: int | None) -> str | None:
    """What to do about an engine that ended so; None where its lines say nothing that is known.

    Args:
        lines: Its last.
        status: How it ended; None where it still runs.
    """
    text = "\n".join(lines)
    said = next((advice for pattern, advice in _MEANINGS if re.search(pattern, text, re.IGNORECASE)), None)
    if said is None and status == _KILLED:
        return "it was killed, mostly by the system for want of memory; see magistrate model fit"
    return said
