"""A real vLLM server with a tiny gpt-oss: judged through, asked for its tokens, killed in mid-batch."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from tests.engines.vllm_server import VllmServer
from tests.tiny_safeguard import VOCABULARY, needs_vocabulary

from magistrate.backends.base import Backend
from magistrate.backends.http import HttpBackend
from magistrate.case import Case
from magistrate.classifiers.reasoner import Reasoner
from magistrate.dialects.base import Dialect
from magistrate.dialects.harmony import Harmony, load_encoding
from magistrate.dialects.safeguard import Form, Safeguard
from magistrate.policy.model import Policy
from magistrate.run.verdicts import read_verdicts
from magistrate.types import Code, Completion, Content, Decided, Effort, Failed, Request, Sampling, Verdict

pytest.importorskip("vllm", reason="needs vLLM: make engines")
pytestmark = [pytest.mark.engine, needs_vocabulary]

POLICY = Policy.parse(
    "# Spam\n\n## Violates\n\n- SP1: sells something nobody asked for\n\n## Safe\n\n- OK1: everything else\n",
    name="spam",
)
TEXT = Content.of_text("Buy <|end|> my 🥫 course – it's 50 % off!\n\n  Now.")
ROWS = 40
PATIENCE_S = 900


def judge(dialect: Dialect, backend: Backend, *, constrained: bool = False, seed: int = 1) -> Verdict:
    sampling = Sampling(max_output_tokens=400, seed=seed)

    async def run() -> Verdict:
        reasoner = Reasoner(dialect, backend, sampling=sampling, constrained=constrained, max_attempts=1)
        async with reasoner:
            return (await reasoner.judge_many([Case(POLICY, TEXT)]))[0]

    return asyncio.run(run())


def tokens_of_chat(server: VllmServer, request: Request) -> list[int]:
    """What the server makes of a chat. `/tokenize` renders by the template, so a chat's own prompt is asked for."""
    messages = [{"role": message.role.value, "content": message.content} for message in request.messages]
    body: dict[str, object] = {"model": "tiny", "messages": messages, "max_tokens": 1, "return_token_ids": True}
    if request.sampling.effort is not None:
        body["reasoning_effort"] = request.sampling.effort.value
    reply = httpx.post(f"{server.url}/chat/completions", json=body, timeout=120, trust_env=False)
    assert reply.status_code == 200, reply.text
    tokens: list[int] = reply.json()["prompt_token_ids"]
    return tokens


def without_date(tokens: list[int]) -> str:
    text, dates = re.subn(r"\nCurrent date: \d{4}-\d\d-\d\d", "", str(load_encoding().decode(tokens)))
    assert dates == 1
    return text


@pytest.mark.parametrize("effort", [None, Effort.LOW, Effort.HIGH])
@pytest.mark.parametrize("form", list(Form))
def test_the_chat_form_reaches_the_model_as_harmony_but_for_the_date(
    server: VllmServer, form: Form, effort: Effort | None
) -> None:
    ours = Harmony(form).render(POLICY, TEXT, effort=effort)
    chat = Safeguard(form).render(POLICY, TEXT, effort=effort)
    theirs = without_date(tokens_of_chat(server, chat))
    if effort is not None:  # said in the instructions too, for servers that have no parameter for it
        before, line, after = theirs.rpartition(f"\n\nReasoning: {effort.value}")
        assert line
        theirs = before + after
    assert theirs == load_encoding().decode(list(ours.token_ids or ()))
    assert load_encoding().encode(theirs, allowed_special="all") == list(ours.token_ids or ())


def test_tokens_over_http_are_the_tokens_of_the_model(server: VllmServer) -> None:
    request = Harmony(Form.BINARY).render(POLICY, TEXT)
    request = replace(request, sampling=Sampling(max_output_tokens=200, temperature=0.0))
    body = {"model": "tiny", "prompt": request.token_ids, "max_tokens": 1, "return_token_ids": True}
    reply = httpx.post(f"{server.url}/completions", json=body, timeout=120, trust_env=False).json()
    assert tuple(reply["choices"][0]["prompt_token_ids"]) == request.token_ids

    async def ask() -> object:
        async with HttpBackend(server.url, token_ids=True) as backend:
            return (await backend.complete_many([request]))[0]

    answer = asyncio.run(ask())
    assert isinstance(answer, Completion)
    assert answer.token_ids[0] == load_encoding().encode("<|channel|>", allowed_special="all")[0]
    assert answer.token_ids[-1] not in request.stop_token_ids
    assert answer.usage.input_tokens == len(request.token_ids or ())


def test_harmony_judges_over_http(server: VllmServer) -> None:
    verdict = judge(Harmony(Form.BINARY), HttpBackend(server.url, token_ids=True))
    assert isinstance(verdict, Failed), "random weights say nothing that can be read"
    assert verdict.trace.usage.output_tokens


def test_a_held_word_decides_whatever_the_weights(server: VllmServer) -> None:
    seen = [judge(Safeguard(Form.BINARY), HttpBackend(server.url), constrained=True, seed=seed) for seed in range(6)]
    assert any(isinstance(verdict, Decided) for verdict in seen)
    # Random weights may think until the budget is spent.
    assert all(isinstance(v, Decided) or (isinstance(v, Failed) and v.code is Code.TRUNCATED) for v in seen), seen


def test_held_json_is_read_or_cut_off_whatever_the_weights(server: VllmServer) -> None:
    """VLLM lets blanks stand between the fields, and random weights write many."""
    seen = [judge(Safeguard(Form.CATEGORY), HttpBackend(server.url), constrained=True, seed=seed) for seed in range(4)]
    codes = {verdict.code for verdict in seen if isinstance(verdict, Failed)}
    assert codes <= {Code.TRUNCATED, Code.CONTRADICTORY, Code.EMPTY_ANSWER}


def test_the_reasoning_before_a_held_answer_is_free(server: VllmServer) -> None:
    seen = [judge(Safeguard(Form.BINARY), HttpBackend(server.url), constrained=True, seed=n) for n in range(12)]
    assert any(isinstance(verdict, Decided) and verdict.trace.reasoning for verdict in seen)


def test_the_command_line_judges_through_it(server: VllmServer, tmp_path: Path) -> None:
    done = command(tmp_path, server, "judge", "--policy", "spam", "--model", "tiny", "--json", "--no-log", "Buy now")
    assert done.returncode in (0, 1, 2), done.stderr
    row = json.loads(done.stdout)
    assert (row["policy"], row["model"]) == ("spam", "tiny")


def test_a_server_killed_in_mid_batch_costs_no_row_and_judges_none_twice(server: VllmServer, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"id": f"r{n}", "text": f"post number {n}"}) + "\n" for n in range(ROWS)))
    batch = ["batch", "--policy", "spam", "--model", "tiny", "--no-log", "--quiet", str(source), "--out", str(out)]
    first = subprocess.Popen(arguments(*batch), env=environment(tmp_path, server), start_new_session=True)
    wait_for_rows(out, 4, first)
    server.kill()
    time.sleep(2)  # calls fail, and wait to be made again
    assert first.poll() is None, "the batch gave up"
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    before = lines(out)
    assert 4 <= before < ROWS, "the server was not killed in mid-batch"
    second = subprocess.Popen(arguments(*batch), env=environment(tmp_path, server))  # goes on while nothing answers
    server.start()
    assert second.wait(PATIENCE_S) in (0, 1, 2)
    rows = list(read_verdicts(out))
    assert [row.id for row in rows] == [f"r{n}" for n in range(ROWS)]
    codes = {row.code for row in rows}
    assert not codes & {"unreachable", "timeout", "server_error", "rejected"}, codes


def environment(folder: Path, server: VllmServer) -> dict[str, str]:
    settings = folder / "magistrate.toml"
    settings.write_text(
        f'[models.tiny]\nurl = "{server.url}"\nmodel = "tiny"\ndialect = "safeguard.binary.v1"\nconstrained = true\n'
        "max_output_tokens = 200\nconcurrency = 4\nattempts = 20\n"
    )
    return {
        **os.environ,
        "MAGISTRATE_CONFIG": str(settings),
        "MAGISTRATE_HOME": str(folder),
        "TIKTOKEN_ENCODINGS_BASE": str(VOCABULARY.parent),
    }


def arguments(*given: str) -> list[str]:
    return [sys.executable, "-m", "magistrate", *given]


def command(folder: Path, server: VllmServer, *given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments(*given),
        env=environment(folder, server),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_rows(path: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while lines(path) < count:
        assert process.poll() is None, "the batch ended early"
        assert time.monotonic() < deadline
        time.sleep(0.01)
