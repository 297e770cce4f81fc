"""Ollama and LM Studio, as far as they are asked: by their lists of models, from a real server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from magistrate.models.profile import Engine
from magistrate.models.registry import profile_named
from magistrate.models.serve.stores import MOST_BYTES, address_of, running_store, running_stores

TAGS = {"models": [{"name": "llama3:latest"}, {"name": "gpt-oss-safeguard:20b", "size": 13}]}
LISTED = {"data": [{"id": "openai/gpt-oss-safeguard-20b"}]}
NOWHERE = {"OLLAMA_HOST": "127.0.0.1:9", "MAGISTRATE_LMSTUDIO": "127.0.0.1:9"}


@contextmanager
def serving(answers: dict[str, bytes]) -> Generator[str]:
    """`host:port` of a server that gives these bodies by path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in answers else 404)
            self.end_headers()
            self.wfile.write(answers.get(self.path, b""))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_ollama_says_what_it_holds() -> None:
    with serving({"/api/tags": json.dumps(TAGS).encode()}) as host:
        store = running_store(Engine.OLLAMA, {"OLLAMA_HOST": host})
    assert store is not None
    assert store.url == f"http://{host}/v1"
    assert store.holds(profile_named("20b")) == "gpt-oss-safeguard:20b"
    assert store.holds(profile_named("120b")) is None


def test_lm_studio_says_what_it_holds() -> None:
    with serving({"/v1/models": json.dumps(LISTED).encode()}) as host:
        (store,) = running_stores({**NOWHERE, "MAGISTRATE_LMSTUDIO": host})
    assert store.engine is Engine.LM_STUDIO
    assert store.holds(profile_named("20b")) == "openai/gpt-oss-safeguard-20b"


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"models": 1}', b'{"models": [{"name": ', b" " * (MOST_BYTES + 1)])
def test_something_else_at_that_port_is_no_store(body: bytes) -> None:
    with serving({"/api/tags": body}) as host:
        assert running_store(Engine.OLLAMA, {"OLLAMA_HOST": host}) is None


def test_nothing_runs() -> None:
    assert running_stores(NOWHERE) == ()
    assert running_store(Engine.OLLAMA, {"OLLAMA_HOST": "http://127.0.0.1:99999"}) is None


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:1", "http://127.0.0.1:1"),
        ("box.example:7", "http://box.example:7"),
        ("https://box.example/", "https://box.example"),
    ],
)
def test_where_ollama_is(said: str, address: str) -> None:
    assert address_of(Engine.OLLAMA, {"OLLAMA_HOST": said}) == address
