"""Ties an engine to who started it. Run as a script, with nothing but the standard library.

`python tether.py GRACE_S COMMAND…` runs the command in its own process group. When the pipe at its standard input is
closed, because whoever held the other end has gone, however it went, the group gets SIGTERM and, GRACE_S seconds later,
SIGKILL. So an engine that holds a GPU never outlives a killed `magistrate model serve`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

SIGNALLED = 128
"""Added to a signal's number in an exit status, as shells do."""


def main(grace_s: float, command: list[str]) -> int:
    """Run the command; its exit status."""
    # A handler and not SIG_IGN, which the engine would inherit. This process goes when the engine has gone.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    try:
        engine = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr, flush=True)  # noqa: T201  # its log
        return 127
    threading.Thread(target=_stop_when_alone, args=(grace_s,), daemon=True).start()
    status = engine.wait()
    return SIGNALLED - status if status < 0 else status


def _stop_when_alone(grace_s: float) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(grace_s)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
