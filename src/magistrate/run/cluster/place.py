"""Where a batch is judged: in this process, or by replicas on Ray."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from magistrate.errors import UsageError

LOCAL = "local"
RAY = "ray"
CLIENT_PORT = 10001
"""Where a head node of Ray listens for drivers outside of the cluster, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class RayPlace:
    """A Ray cluster."""

    host: str | None = None
    """Of its head; None for the cluster that `RAY_ADDRESS` names, or one of this machine alone where it is not set."""
    port: int = CLIENT_PORT

    @property
    def address(self) -> str | None:
        """As Ray writes it."""
        host = f"[{self.host}]" if self.host and ":" in self.host else self.host
        return None if host is None else f"ray://{host}:{self.port}"


def place_named(name: str) -> RayPlace | None:
    """Read what `--on` says; None for this process.

    Raises:
        UsageError: it is none of `local`, `ray` and `ray://HOST:PORT`.
    """
    if name == LOCAL:
        return None
    if name == RAY:
        return RayPlace()
    try:
        parts = urlsplit(name)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _unknown(name) from None
    if parts.scheme != RAY or not host or name != f"ray://{parts.netloc}" or "@" in parts.netloc:
        raise _unknown(name)
    return RayPlace(host, CLIENT_PORT if port is None else port)


def _unknown(name: str) -> UsageError:
    return UsageError(
        f"--on {name!r} is no place to judge", hint=f"allowed: {LOCAL}, {RAY}, ray://HOST or ray://HOST:PORT"
    )
