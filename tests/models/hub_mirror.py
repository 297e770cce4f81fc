"""A mirror of the Hugging Face hub on this machine, for one repository of a model; it can misbehave."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
LARGE_BYTES = 1_000
"""From this size on, a file is kept as the hub keeps large ones: named by SHA-256."""


@dataclass(frozen=True)
class Refusal:
    """An answer in place of what was asked for."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Mirror:
    """What it gives, what it was asked for, and how it misbehaves."""

    repo: str
    files: dict[str, bytes]
    url: str = ""
    refusals: list[Refusal] = field(default_factory=list)
    """Used up one by one, before anything is given."""
    cut_after: list[int] = field(default_factory=list)
    """Used up one by one: the connection breaks after so many bytes of a file's body."""
    corrupt: list[str] = field(default_factory=list)
    """Used up one by one: that file's first byte is changed on its way."""
    hold_after: list[int] = field(default_factory=list)
    """Used up one by one: after so many bytes of a file's body nothing more comes, and the connection stays."""
    released: threading.Event = field(default_factory=threading.Event)
    """Set, it lets go of the connections that are held."""
    instead: dict[str, bytes] = field(default_factory=dict)
    """What is given for a file in place of what is listed."""
    page: bytes = b""
    """Answered in place of the description of the repository."""
    without_ranges: bool = False
    elsewhere: str = ""
    """Address of the server that has the files, where it is not this one."""
    sent: dict[str, int] = field(default_factory=dict)
    ranges: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    before_body: Callable[[str], None] = lambda _: None

    def described(self) -> dict[str, object]:
        return {"id": self.repo, "sha": COMMIT, "siblings": [_sibling(p, d) for p, d in self.files.items()]}


def _sibling(path: str, data: bytes) -> dict[str, object]:
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    found: dict[str, object] = {"rfilename": path, "size": len(data), "blobId": blob}
    if len(data) >= LARGE_BYTES:
        found["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mirror: Mirror

    def do_GET(self) -> None:
        mirror, path = self.mirror, unquote(urlsplit(self.path).path)
        mirror.tokens.append(self.headers.get("Authorization"))
        if mirror.refusals:
            refusal = mirror.refusals.pop(0)
            self._answer(refusal.status, b"", refusal.headers)
        elif path in (f"/api/models/{mirror.repo}", f"/api/models/{mirror.repo}/revision/main"):
            described = mirror.page or json.dumps(mirror.described()).encode()
            self._answer(200, described, {"Content-Type": "application/json"})
        elif path.startswith(f"/api/models/{mirror.repo}/revision/"):
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif (name := path.removeprefix(f"/{mirror.repo}/resolve/{COMMIT}/")) in mirror.files:
            self._give(name, mirror.instead.get(name, mirror.files[name]))
        else:
            self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _give(self, name: str, data: bytes) -> None:
        mirror = self.mirror
        if mirror.elsewhere:
            self._answer(302, b"", {"Location": mirror.elsewhere + self.path})
            return
        mirror.before_body(name)
        asked = self.headers.get("Range", "")
        mirror.ranges.append(f"{name} {asked}")
        found = None if mirror.without_ranges else re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
        start, end = (int(found[1]), int(found[2]) + 1) if found else (0, len(data))
        body = data[start:end]
        if name in mirror.corrupt:
            mirror.corrupt.remove(name)
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_response(206 if found else 200)
        self.send_header("Content-Length", str(len(body)))
        if found:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.end_headers()
        if mirror.cut_after and len(body) > mirror.cut_after[0]:
            body = body[: mirror.cut_after.pop(0)]
            self.close_connection = True
        held = bool(mirror.hold_after) and len(body) > mirror.hold_after[0]
        if held:
            body = body[: mirror.hold_after.pop(0)]
        # Counted first: who has all of it may look at the count before this thread goes on.
        mirror.sent[name] = mirror.sent.get(name, 0) + len(body)
        self.wfile.write(body)
        if held:
            self.close_connection = True
            mirror.released.wait(30)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that it overrides
        """Say nothing."""


@contextmanager
def hub_mirror(repo: str, files: Mapping[str, bytes]) -> Generator[Mirror]:
    mirror = Mirror(repo, dict(files))
    handler = type("Handler", (_Handler,), {"mirror": mirror})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    mirror.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield mirror
    finally:
        mirror.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
