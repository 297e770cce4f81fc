"""The form of an answer, asked of servers: which parameter, and what is said where it does not hold."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from tests.backends.chat_server import Answer, Asked, ChatServer, a_request, chat_json, error_json

from magistrate.backends.http import HttpBackend
from magistrate.backends.wire import chat_parameters, keeps_form
from magistrate.types import AnswerForm, Choices, Completion, Constraint, JsonSchema, Request, Response

WORDS = Choices(("VALID", "INVALID"))
SCHEMA = JsonSchema('{"type": "object"}')


def held(form: AnswerForm) -> Request:
    return replace(a_request(), constraint=Constraint(form=form))


def ask(server: ChatServer, *requests: Request) -> tuple[list[Response], HttpBackend]:
    async def run() -> tuple[list[Response], HttpBackend]:
        async with server, HttpBackend(server.url, "m") as backend:
            return [(await backend.complete_many([request]))[0] for request in requests], backend

    return asyncio.run(run())


def test_words_go_by_vllms_parameter_and_json_by_openais() -> None:
    assert chat_parameters(held(WORDS), withheld=()) == {"structured_outputs": {"choice": ["VALID", "INVALID"]}}
    sent = chat_parameters(held(SCHEMA), withheld=())
    schema = {"name": "answer", "strict": True, "schema": {"type": "object"}}
    assert sent == {"response_format": {"type": "json_schema", "json_schema": schema}}
    assert chat_parameters(held(WORDS), withheld=("structured_outputs",)) == {}


@pytest.mark.parametrize("form", [WORDS, SCHEMA])
def test_a_server_that_rejects_a_form_gets_requests_without_it_and_a_note(form: AnswerForm) -> None:
    def script(asked: Asked) -> Answer:
        (unknown,) = {"structured_outputs", "response_format"} & set(asked.body) or {""}
        if unknown:
            return Answer(error_json(f"Unrecognized request argument supplied: {unknown}"), status=400)
        return Answer(chat_json("VALID", model="m"))

    server = ChatServer(script)
    responses, backend = ask(server, held(form), held(form))
    assert [response.final for response in responses if isinstance(response, Completion)] == ["VALID"] * 2
    assert len(server.seen) == 3
    assert any("rejects" in note and "go without it" in note for note in backend.notes)


def test_a_backend_holds_to_forms_until_both_are_rejected() -> None:
    def script(asked: Asked) -> Answer:
        for name in ("structured_outputs", "response_format"):
            if name in asked.body:
                return Answer(error_json("unknown", param=name), status=400)
        return Answer(chat_json("VALID", model="m"))

    _, once = ask(ChatServer(script), held(WORDS))
    _, twice = ask(ChatServer(script), held(WORDS), held(SCHEMA))
    assert once.capabilities.constrained
    assert not twice.capabilities.constrained


@pytest.mark.parametrize(
    ("form", "final", "noted"),
    [
        (WORDS, "VALID", False),
        (WORDS, " INVALID\n", False),
        (WORDS, "It is VALID", True),
        (SCHEMA, '{"violation": 1}', False),
        (SCHEMA, "violation: 1", True),
        (SCHEMA, "[" * 100_000, True),
    ],
)
def test_a_server_that_takes_the_form_and_ignores_it_is_found_out(form: AnswerForm, final: str, *, noted: bool) -> None:
    assert keeps_form(form, final) is not noted
    _, backend = ask(ChatServer(lambda asked: Answer(chat_json(final, model="m"))), held(form))
    assert any("another form" in note for note in backend.notes) is noted


def test_a_cut_answer_says_nothing_about_the_form() -> None:
    answer = Answer(chat_json("It is VAL", finish_reason="length", model="m"))
    _, backend = ask(ChatServer(lambda asked: answer), held(WORDS))
    assert backend.notes == ()


def tokens_json(tokens: list[int], finish_reason: str = "stop") -> bytes:
    choice = {"index": 0, "text": "?", "finish_reason": finish_reason, "token_ids": tokens}
    usage = {"prompt_tokens": 3, "completion_tokens": len(tokens)}
    return json.dumps({"choices": [choice], "model": "m", "usage": usage}).encode()


MODELS = Answer(json.dumps({"data": [{"id": "m", "max_model_len": 90}]}).encode())
PROMPT = Request(messages=(), token_ids=(5, 6, 7), stop_token_ids=(2, 3))


def go_on(answer: Answer, request: Request = PROMPT, *, models: Answer = MODELS) -> tuple[Response, ChatServer]:
    async def run() -> tuple[Response, ChatServer]:
        server = ChatServer(lambda asked: models if asked.method == "GET" else answer)
        async with server, HttpBackend(server.url, "m", token_ids=True) as backend:
            assert backend.capabilities.token_ids
            assert not backend.capabilities.constrained
            return (await backend.complete_many([request]))[0], server

    return asyncio.run(run())


def test_tokens_go_out_with_the_context_as_budget_and_come_back_without_the_stop() -> None:
    response, server = go_on(Answer(tokens_json([8, 9, 2])))
    assert isinstance(response, Completion)
    assert (response.token_ids, response.final, response.usage.input_tokens) == ((8, 9), "", 3)
    asked = server.seen[-1]
    assert asked.path == "/v1/completions"
    assert asked.body == {
        "model": "m",
        "prompt": [5, 6, 7],
        "max_tokens": 90,
        "stop_token_ids": [2, 3],
        "return_token_ids": True,
    }


def test_tokens_that_were_cut_off_are_kept_whole() -> None:
    response, _ = go_on(Answer(tokens_json([8, 2], finish_reason="length")))
    assert isinstance(response, Completion)
    assert response.token_ids == (8, 2)


def test_a_server_that_reports_no_tokens_has_not_answered() -> None:
    response, _ = go_on(Answer(json.dumps({"choices": [{"text": "0", "finish_reason": "stop"}]}).encode()))
    assert not isinstance(response, Completion)
    assert "completion in tokens" in response.detail


def test_a_chat_goes_the_chat_way_beside_tokens() -> None:
    response, server = go_on(Answer(chat_json("0", model="m")), a_request())
    assert isinstance(response, Completion)
    assert server.seen[-1].path == "/v1/chat/completions"
