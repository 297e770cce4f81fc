"""The server of llama-cpp-python with a small model, asked as any server is; and in what it differs from others."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.dialects.samples import SPAM
from tests.gguf_models import smollm2

from magistrate.backends.http import HttpBackend
from magistrate.backends.retry import RetryBackend
from magistrate.case import Case
from magistrate.classifiers.ladder import NO_LADDER
from magistrate.classifiers.reasoner import Reasoner
from magistrate.dialects.safeguard import Form, Safeguard
from magistrate.types import (
    CallFailure,
    Code,
    Completion,
    Content,
    Decided,
    Failed,
    Message,
    Request,
    Response,
    Role,
    Sampling,
    Verdict,
)

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="needs llama-cpp-python: make llamacpp"),
    pytest.mark.skipif(importlib.util.find_spec("sse_starlette") is None, reason="needs llama-cpp-python[server]"),
]
PATIENCE_S = 180
CONTEXT = 1024


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = smollm2()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--model_alias", "smollm2"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", str(CONTEXT), "--n_threads", "1"]
    with said.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_until_it_answers(f"http://127.0.0.1:{port}/v1", process, said)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(30)


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes], said: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, said.read_text(errors="replace")[-2000:]
        try:
            if httpx.get(f"{url}/models", timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail(f"no answer in {PATIENCE_S} s")


def ask(url: str, *requests: Request) -> list[Response]:
    async def run() -> list[Response]:
        async with HttpBackend(url, timeout_s=PATIENCE_S, concurrency=1) as backend:
            return await backend.complete_many(requests)

    return asyncio.run(run())


def request(text: str = "Is 'buy now' spam?", **sampling: Any) -> Request:
    settings: dict[str, Any] = {"max_output_tokens": 6, **sampling}
    return Request(
        messages=(Message(Role.SYSTEM, "Answer VALID or INVALID."), Message(Role.USER, text)),
        sampling=Sampling(**settings),
    )


def post(url: str, **body: Any) -> httpx.Response:
    messages = [{"role": "user", "content": "Is 'buy now' spam?"}]
    whole = {"model": "smollm2", "messages": messages, "max_tokens": 24, "temperature": 0, **body}
    return httpx.post(f"{url}/chat/completions", json=whole, timeout=PATIENCE_S, trust_env=False)


def test_it_judges(url: str) -> None:
    async def run() -> list[Verdict]:
        backend = RetryBackend(HttpBackend(url, timeout_s=PATIENCE_S, concurrency=1))
        sampling = Sampling(max_output_tokens=8, seed=1)
        async with Reasoner(Safeguard(Form.BINARY), backend, sampling=sampling, ladder=NO_LADDER) as judge:
            return await judge.judge_many([Case(SPAM, Content.of_text(t)) for t in ("Buy now!", "When do you open?")])

    verdicts = asyncio.run(run())
    assert all(isinstance(verdict, Decided | Failed) for verdict in verdicts)
    assert all(verdict.trace.usage.calls == 1 and verdict.trace.usage.input_tokens for verdict in verdicts)
    # It answers: what fails is what this small model says, and not the call.
    assert all(verdict.trace.answer for verdict in verdicts if isinstance(verdict, Failed))


def test_a_seed_repeats_an_answer(url: str) -> None:
    first, again = ask(url, request(temperature=1.0, seed=5), request(temperature=1.0, seed=5))
    assert isinstance(first, Completion)
    assert isinstance(again, Completion)
    assert first.final == again.final


def test_alternatives_come_in_the_common_form(url: str) -> None:
    (answer,) = ask(url, request(temperature=0.0, top_logprobs=3))
    assert isinstance(answer, Completion)
    assert len(answer.first_token) == 3
    assert answer.first_token[0].logprob >= answer.first_token[1].logprob


def test_a_prompt_that_does_not_fit_is_told(url: str) -> None:
    (answer,) = ask(url, request("word " * CONTEXT))
    assert isinstance(answer, CallFailure)
    assert answer.code is Code.TOO_LONG


def test_forms_are_had_by_a_grammar_or_by_its_own_kind_of_schema(url: str) -> None:
    words = post(url, grammar='root ::= "VALID" | "INVALID"').json()["choices"][0]["message"]["content"]
    assert words in ("VALID", "INVALID")
    schema = {"type": "object", "properties": {"violation": {"enum": [0, 1]}}, "required": ["violation"]}
    said = post(url, response_format={"type": "json_object", "schema": schema})
    assert json.loads(said.json()["choices"][0]["message"]["content"])["violation"] in (0, 1)


def test_what_it_does_not_know_it_passes_over_and_what_it_cannot_read_it_calls_its_own_fault(url: str) -> None:
    """If this fails, the server has changed: say so in docs/running/llamacpp.md."""
    passed_over = post(url, structured_outputs={"choice": ["VALID", "INVALID"]})
    assert passed_over.status_code == 200
    assert passed_over.json()["choices"][0]["message"]["content"] not in ("VALID", "INVALID")
    strict = post(url, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {}}})
    assert strict.status_code == 500
    developer = post(url, messages=[{"role": "developer", "content": "x"}])
    assert developer.status_code == 500


@pytest.mark.parametrize("form", [Form.BINARY, Form.CATEGORY])
def test_what_constrained_is_worth_there(url: str, form: Form) -> None:
    """Words are passed over, which is found out and said; a schema is its own fault, which is a typed failure."""

    async def run() -> tuple[Verdict, tuple[str, ...]]:
        backend = HttpBackend(url, timeout_s=PATIENCE_S, concurrency=1)
        sampling = Sampling(max_output_tokens=4, temperature=0.0)
        judge = Reasoner(Safeguard(form), backend, sampling=sampling, ladder=NO_LADDER, constrained=True)
        async with judge:
            (verdict,) = await judge.judge_many([Case(SPAM, Content.of_text("Buy now!"))])
            return verdict, (*judge.notes, *backend.notes)

    verdict, notes = asyncio.run(run())
    assert isinstance(verdict, Failed)
    assert (verdict.code is Code.SERVER_ERROR) == (form is Form.CATEGORY)
    assert bool(notes) or form is Form.CATEGORY or verdict.code is Code.TRUNCATED, (verdict, notes)
