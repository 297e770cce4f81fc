"""An engine's server that behaves, or misbehaves, as its flags say. Run as a script; standard library only.

It takes the options of `vllm serve` that matter, and of its own: --slow S (healthy after S seconds), --deaf (ignores
SIGTERM), --child FILE (starts a process that ignores SIGTERM, and notes its id), --exit CODE with --message (ends at
once), --other (serves another model), --broken FILE (health is 503 while FILE exists), --fail (completions are 500),
--pids FILE (notes its id), --environment FILE (notes its variables). GET /crash ends it. VLLM_API_KEY is asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    parser.add_argument("--served-model-name", default="guard")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slow", type=float, default=0)
    parser.add_argument("--deaf", action="store_true")
    parser.add_argument("--child", type=Path)
    parser.add_argument("--exit", type=int)
    parser.add_argument("--message", default="")
    parser.add_argument("--other", action="store_true")
    parser.add_argument("--broken", type=Path)
    parser.add_argument("--fail", action="store_true")
    parser.add_argument("--pids", type=Path)
    parser.add_argument("--environment", type=Path)
    return parser.parse_known_args()[0]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    said: argparse.Namespace
    ready_at: float

    def do_GET(self) -> None:
        if self.path == "/health":
            late = time.monotonic() < self.ready_at
            broken = self.said.broken is not None and self.said.broken.exists()
            self.send(503 if late or broken else 200, {})
        elif self.path == "/crash":
            os._exit(3)
        elif self.allowed():
            self.send(200, {"data": [{"id": "another" if self.said.other else self.said.served_model_name}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self.allowed():
            return
        if self.said.fail:
            self.send(500, {"error": {"message": "no kernel for this device"}})
            return
        answer = "1" if "followers" in body["messages"][-1]["content"] else "0"
        message = {"role": "assistant", "content": answer, "reasoning": "I look at the rules."}
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self.send(200, {"model": body.get("model"), "choices": [choice], "usage": usage})

    def allowed(self) -> bool:
        key = os.environ.get("VLLM_API_KEY")
        if key is not None and self.headers.get("authorization") != f"Bearer {key}":
            self.send(401, {"error": {"message": "no"}})
            return False
        return True

    def send(self, status: int, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Say nothing."""


def main() -> None:
    said = options()
    if said.pids is not None:
        with said.pids.open("a") as file:
            file.write(f"{os.getpid()}\n")
    if said.environment is not None:
        said.environment.write_text(json.dumps(dict(os.environ)))
    print(f"loading {said.words}", flush=True)  # noqa: T201  # its log
    if said.exit is not None:
        print(said.message, file=sys.stderr, flush=True)  # noqa: T201  # its log
        sys.exit(said.exit)
    if said.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))
    if said.child is not None:
        deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", deaf])
        said.child.write_text(str(child.pid))
    Handler.said = said
    Handler.ready_at = time.monotonic() + said.slow
    server = ThreadingHTTPServer((said.host, said.port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
