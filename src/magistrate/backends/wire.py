"""The wire form of an OpenAI-compatible chat server: values to bytes, bytes to values, no I/O.

Servers differ in where they put the reasoning (`reasoning`, `reasoning_content`, `thinking`, or inside `content`), in
which parameters they take and in how they report an error; the differences end here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from magistrate.backends.channels import split_channels
from magistrate.types import AnswerForm, Choices, FinishReason, Request, TokenLogprob, Usage

WORDS, JSON = "structured_outputs", "response_format"
FORMS = frozenset({WORDS, JSON})
"""How the form of an answer is asked for: words by vLLM's parameter, JSON by OpenAI's, which most servers have."""
OPTIONAL = frozenset({"temperature", "seed", "reasoning_effort", "logprobs", "top_logprobs"}) | FORMS
"""What may be left out for a server that does not take it."""
BUDGET = "max_tokens"
"""Sent as `max_completion_tokens` to servers that reject it; the budget itself is never left out."""
LOGPROBS = "logprobs"
"""Stands for `logprobs` and `top_logprobs`, which go together."""

_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
_SPECIAL_TOKEN = re.compile(rb"<[^<>\s]+>\Z")
"""An end-of-turn token behind an answer: `<|return|>`, `</s>`, `<end_of_turn>`."""
_SPECIAL_TOKEN_LENGTH = 40
_SPECIAL_TOKENS_AT_END = 4


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Message(_Wire):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    thinking: str | None = None
    refusal: str | None = None


class _Alternative(_Wire):
    token: str
    logprob: float


class _Token(_Wire):
    token: str
    bytes: list[int] | None = None
    top_logprobs: list[_Alternative] = []


class _Logprobs(_Wire):
    content: list[_Token] | None = None


class _Choice(_Wire):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _UsageDetails(_Wire):
    reasoning_tokens: int | None = None


class _Usage(_Wire):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    completion_tokens_details: _UsageDetails | None = None


class _ChatBody(_Wire):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None
    model: str | None = None


class _TokensChoice(_Wire):
    token_ids: list[Annotated[int, Field(ge=0)]]
    finish_reason: str | None = None


class _TokensBody(_Wire):
    choices: list[_TokensChoice] = Field(min_length=1)
    usage: _Usage | None = None
    model: str | None = None


class _ModelEntry(_Wire):
    id: str
    max_model_len: JsonValue = None
    """vLLM's; anything else under that name must not spoil the list."""


class _ModelsBody(_Wire):
    data: list[_ModelEntry]


class _ErrorFields(_Wire):
    message: str | None = None
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class _Detail(_Wire):
    loc: list[str | int] = []
    msg: str = ""


class _ErrorBody(_ErrorFields):
    error: _ErrorFields | str | None = None
    detail: list[_Detail] | str | None = None


@dataclass(frozen=True, slots=True)
class ServerError:
    """What a server says about a request that it did not answer. All of it is text from outside."""

    message: str = ""
    type: str = ""
    param: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """The first choice of a chat completion."""

    final: str
    reasoning: str
    finish_reason: FinishReason
    usage: Usage
    first_token: tuple[TokenLogprob, ...]
    served_model: str
    """The name under which the server says it answered; empty where it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensAnswer:
    """What a server added to a prompt of tokens."""

    token_ids: tuple[int, ...]
    """The one that stopped it included."""
    finish_reason: FinishReason
    usage: Usage
    served_model: str


class GarbageError(ValueError):
    """A body that is not what the protocol says. The message names the field, never the value."""


def chat_parameters(request: Request, *, withheld: Collection[str]) -> dict[str, object]:
    """Name every sampling parameter that the request sets, without those that the server does not take."""
    sampling = request.sampling
    parameters: dict[str, object] = {
        BUDGET: sampling.max_output_tokens,
        "temperature": sampling.temperature,
        "seed": sampling.seed,
        "reasoning_effort": None if sampling.effort is None else sampling.effort.value,
    }
    if sampling.top_logprobs:
        parameters |= {LOGPROBS: True, "top_logprobs": sampling.top_logprobs}
    if request.constraint is not None:
        parameters |= _form_parameter(request.constraint.form)
    left_out = {*withheld, "top_logprobs"} if LOGPROBS in withheld else set(withheld)
    sent = {name: value for name, value in parameters.items() if value is not None and name not in left_out}
    if BUDGET in withheld and sampling.max_output_tokens is not None:
        sent["max_completion_tokens"] = sampling.max_output_tokens
    return sent


def _form_parameter(form: AnswerForm) -> dict[str, object]:
    """The parameter that holds an answer to a form. The reasoning before it is the server's to leave free.

    OpenAI's `json_schema` with an `enum` would put quotation marks around a word, so words go by vLLM's `choice`.
    """
    if isinstance(form, Choices):
        return {WORDS: {"choice": list(form.words)}}
    schema: object = json.loads(form.schema)
    named = {"name": "answer", "strict": True, "schema": schema}
    return {JSON: {"type": "json_schema", "json_schema": named}}


def tokens_parameters(request: Request, *, withheld: Collection[str], context: int) -> dict[str, object]:
    """Name every parameter for going on with `Request.token_ids`, as vLLM takes them at `/completions`.

    Without a budget vLLM would stop after 16 tokens. The context as a budget is lowered by it to what is left.
    """
    sampling = request.sampling
    parameters: dict[str, object] = {"temperature": sampling.temperature, "seed": sampling.seed}
    return {
        **{name: value for name, value in parameters.items() if value is not None and name not in withheld},
        BUDGET: context if sampling.max_output_tokens is None else min(sampling.max_output_tokens, context),
        "stop_token_ids": list(request.stop_token_ids),
        "return_token_ids": True,
    }


def tokens_body(request: Request, model: str, parameters: dict[str, object]) -> bytes:
    """Encode a prompt of tokens."""
    body = {"model": model, "prompt": list(request.token_ids or ()), **parameters}
    return json.dumps(body, separators=(",", ":")).encode()


def form_name(form: AnswerForm) -> str:
    """The parameter that asks for a form."""
    return WORDS if isinstance(form, Choices) else JSON


def keeps_form(form: AnswerForm, final: str) -> bool:
    """Whether a complete answer is of the form, as far as tells a server that enforces it from one that does not."""
    if isinstance(form, Choices):
        return final.strip() in form.words
    try:
        return isinstance(json.loads(final), dict)
    except (ValueError, RecursionError):
        return False


def chat_body(request: Request, model: str, parameters: dict[str, object]) -> bytes:
    """Encode a request. Lone surrogates, which UTF-8 cannot carry and servers choke on, become question marks."""
    messages = [{"role": m.role.value, "content": m.content} for m in request.messages]
    body = {"model": model, "messages": messages, **parameters}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def read_chat(body: bytes) -> ChatAnswer:
    """Read a chat completion.

    Raises:
        GarbageError: not JSON, or not of the form.
    """
    try:
        chat = _ChatBody.model_validate_json(body)
    except ValidationError as error:
        raise GarbageError(f"the answer is not a chat completion ({_first_fault(error)})") from None
    choice = chat.choices[0]
    final, reasoning = _channels(choice.message)
    return ChatAnswer(
        final=final,
        reasoning=reasoning,
        finish_reason=_FINISH_REASONS.get(choice.finish_reason or "", FinishReason.OTHER),
        usage=_usage(chat.usage),
        first_token=_first_token(choice.logprobs, final),
        served_model=chat.model or "",
    )


def read_tokens(body: bytes) -> TokensAnswer:
    """Read what a server added to a prompt of tokens.

    Raises:
        GarbageError: not JSON, or without the tokens.
    """
    try:
        answer = _TokensBody.model_validate_json(body)
    except ValidationError as error:
        raise GarbageError(f"the answer is no completion in tokens ({_first_fault(error)})") from None
    choice = answer.choices[0]
    return TokensAnswer(
        token_ids=tuple(choice.token_ids),
        finish_reason=_FINISH_REASONS.get(choice.finish_reason or "", FinishReason.OTHER),
        usage=_usage(answer.usage),
        served_model=answer.model or "",
    )


def read_models(body: bytes) -> tuple[str, ...]:
    """Read the answer to `GET /models`: the ids, in the server's order.

    Raises:
        GarbageError: not JSON, or not of the form.
    """
    try:
        return tuple(entry.id for entry in _ModelsBody.model_validate_json(body).data)
    except ValidationError as error:
        raise GarbageError(f"the answer is not a list of models ({_first_fault(error)})") from None


def read_context(body: bytes, model: str) -> int | None:
    """How long a model's context is, by the answer to `GET /models`; None where the server does not say.

    Raises:
        GarbageError: not JSON, or not of the form.
    """
    read_models(body)
    entries = _ModelsBody.model_validate_json(body).data
    length = next((entry.max_model_len for entry in entries if entry.id == model), None)
    return length if type(length) is int and length > 0 else None


def read_error(body: bytes) -> ServerError:
    """Read an error in any of the forms that servers use; a body of another form says nothing."""
    try:
        outer = _ErrorBody.model_validate_json(body)
    except ValidationError:
        return ServerError()
    fields: _ErrorFields = outer.error if isinstance(outer.error, _ErrorFields) else outer
    message = outer.error if isinstance(outer.error, str) else fields.message or ""
    param = fields.param or ""
    if isinstance(outer.detail, str):
        message = message or outer.detail
    elif outer.detail:
        message = message or outer.detail[0].msg
        param = param or str(outer.detail[0].loc[-1] if outer.detail[0].loc else "")
    code = "" if fields.code is None else str(fields.code)
    return ServerError(message, fields.type or "", param, code)


def rejected_parameter(error: ServerError, sent: Collection[str]) -> str | None:
    """The one parameter, of those sent, that the server objects to; None if it names none or several.

    `param` and the place of a validation error are sure. Several servers name the parameter in the sentence alone
    (`reasoning_effort is not supported with this model`); the caller must confirm that by a request without it.
    A budget is refused only by its name, never for its size, which is the caller's to lower.
    """
    names = OPTIONAL | {BUDGET} if error.code == "unsupported_parameter" else OPTIONAL
    spoken = {_plain_name(name): LOGPROBS if name == "top_logprobs" else name for name in names.intersection(sent)}
    if error.param:
        return spoken.get(_plain_name(error.param))
    words = {_plain_name(word) for word in re.findall(r"[A-Za-z][A-Za-z_.]*", error.message)}
    mentioned = {name for word, name in spoken.items() if word in words}
    return mentioned.pop() if len(mentioned) == 1 else None


def _plain_name(name: str) -> str:
    """`reasoning_effort`, `reasoningEffort` and `reasoning.effort` are one name."""
    return name.lower().replace("_", "").replace(".", "")


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['type']}" if place else first["type"]


def _channels(message: _Message) -> tuple[str, str]:
    final = message.content or ""
    reasoning = message.reasoning or message.reasoning_content or message.thinking or ""
    if not reasoning:
        split = split_channels(final)
        final, reasoning = split.final, split.reasoning
    return final or message.refusal or "", reasoning


def _usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage(calls=1)
    details = usage.completion_tokens_details
    return Usage(usage.prompt_tokens, usage.completion_tokens, details.reasoning_tokens if details else None, 1)


def _first_token(logprobs: _Logprobs | None, final: str) -> tuple[TokenLogprob, ...]:
    """Find the alternatives of the token in which the answer begins, most likely first.

    Some servers report the tokens of the reasoning and of the channel marks too. The answer is what is generated
    last, so it is looked for at the end; where it is not found nothing is reported rather than a wrong token.
    """
    tokens = (logprobs.content if logprobs else None) or []
    wanted = final.strip().encode("utf-8", "replace")
    if not tokens or not wanted:
        return ()
    pieces = [_token_bytes(token) for token in tokens]
    start = _last_begin(b"".join(pieces), wanted)
    if start is None:
        return ()
    end = 0
    for token, piece in zip(tokens, pieces, strict=True):
        end += len(piece)
        if end > start:
            known = [TokenLogprob(a.token, a.logprob) for a in token.top_logprobs if not math.isnan(a.logprob)]
            return tuple(sorted(known, key=lambda alternative: -alternative.logprob))
    return ()


def _token_bytes(token: _Token) -> bytes:
    """A token may hold a part of a character, which only `bytes` tells."""
    if token.bytes is None or not all(0 <= value < 256 for value in token.bytes):
        return token.token.encode("utf-8", "replace")
    return bytes(token.bytes)


def _last_begin(generated: bytes, wanted: bytes) -> int | None:
    """Where `wanted` begins if nothing but blanks and a few special tokens follow it."""
    generated = generated.rstrip()
    for _ in range(_SPECIAL_TOKENS_AT_END):
        if generated.endswith(wanted):
            return len(generated) - len(wanted)
        shorter = _SPECIAL_TOKEN.sub(b"", generated[-_SPECIAL_TOKEN_LENGTH:])
        generated = (generated[:-_SPECIAL_TOKEN_LENGTH] + shorter).rstrip()
    return len(generated) - len(wanted) if generated.endswith(wanted) else None
