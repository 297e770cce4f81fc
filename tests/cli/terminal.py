"""The command line, called in this process: what it printed and how it exited."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from magistrate.cli.main import run


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    def rows(self) -> list[dict[str, object]]:
        """What `--json` printed."""
        return [json.loads(line) for line in self.out.splitlines()]


class Terminal:
    """Calls commands."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: str) -> Done:
        """Run `magistrate ARGUMENTS`."""
        self._capture.readouterr()
        status = run(list(arguments))
        printed = self._capture.readouterr()
        return Done(status, printed.out, printed.err)


def answering(answer: Callable[[str], str], *, reasoning: str = "I look at the rules.") -> AbstractContextManager[str]:
    """A chat server on this machine, in a thread; `answer` gets the user message and gives the final channel."""
    return conversing(lambda messages: answer(messages[-1]), reasoning=reasoning)


def conversing(
    answer: Callable[[list[str]], str], *, reasoning: str = "I look at the rules."
) -> AbstractContextManager[str]:
    """The same, with all messages of a request."""
    return sampling(lambda messages, _: answer(messages), reasoning=reasoning)


@contextmanager
def sampling(answer: Callable[[list[str], int], str], *, reasoning: str = "I look at the rules.") -> Generator[str]:
    """The same, with the seed of the request, 0 where it has none."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send({"data": [{"id": "guard"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            final = answer([m["content"] for m in body["messages"]], body.get("seed") or 0)
            message = {"content": final, "reasoning": reasoning}
            usage = {"prompt_tokens": 10, "completion_tokens": 5}
            self._send({"model": "guard", "choices": [{"finish_reason": "stop", "message": message}], "usage": usage})

        def _send(self, value: object) -> None:
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
