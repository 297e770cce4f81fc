"""Any server with an OpenAI-compatible chat endpoint: vLLM, llama.cpp, Ollama, LM Studio, hosted."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import anyio
import httpx

from magistrate.backends.address import checked_base_url, is_loopback, origin_of
from magistrate.backends.base import Capabilities
from magistrate.backends.failures import code_of_error, code_of_status, retry_after_s, shown_message
from magistrate.backends.lifecycle import Openable
from magistrate.backends.wire import (
    BUDGET,
    FORMS,
    LOGPROBS,
    ChatAnswer,
    GarbageError,
    chat_body,
    chat_parameters,
    form_name,
    keeps_form,
    read_chat,
    read_context,
    read_error,
    read_models,
    read_tokens,
    rejected_parameter,
    tokens_body,
    tokens_parameters,
)
from magistrate.errors import BackendError, UnreachableError, UsageError
from magistrate.types import CallFailure, Code, Completion, FinishReason, Request, Response, Usage

_log = logging.getLogger(__name__)

CONNECT_LIMIT_S = 10.0
KEEP_ALIVE_S = 60.0
MAX_BODY_BYTES = 8_000_000
MODELS_SHOWN = 8
CONTEXT_LIMIT_S = 2.0
"""For asking a server for its context, which is not needed to go on."""


class HttpBackend(Openable):
    """Ask a chat server over HTTP.

    Connections are kept and reused. Redirects are not followed and TLS certificates are verified. The proxy settings
    of the environment are honoured, except on the way to this machine.
    """

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        *,
        api_key_env: str | None = None,
        timeout_s: float = 120.0,
        concurrency: int = 16,
        max_body_bytes: int = MAX_BODY_BYTES,
        context_tokens: int | None = None,
        ask_context: bool = False,
        token_ids: bool = False,
    ) -> None:
        """Store the settings; nothing is opened or sent.

        Args:
            base_url: Up to and including the version: `http://127.0.0.1:8000/v1`.
            model: As the server names it; None or "" for a server that serves exactly one.
            api_key_env: Name of the environment variable that holds the key, read on entering.
            timeout_s: From sending a request to the last byte of its answer, the repetitions without an
                unsupported parameter included; waiting for a free place among `concurrency` is not counted.
            concurrency: Most requests under way at once, over all calls of this instance.
            max_body_bytes: A larger answer is refused while it is read.
            context_tokens: The model's context, where known.
            ask_context: Ask the server for it on entering, where it is not given; one that does not tell is used all
                the same.
            token_ids: Send prompts that a dialect rendered as tokens to `/completions`, which vLLM takes; the same
                tokens reach the model as in process. The form of an answer is not enforced on this way.

        Raises:
            UsageError: a setting that cannot be used.
        """
        super().__init__()
        self._base_url = checked_base_url(base_url)
        if timeout_s <= 0:
            raise UsageError(f"timeout_s must be above 0, got {timeout_s!r}")
        if concurrency < 1:
            raise UsageError(f"concurrency must be at least 1, got {concurrency!r}")
        self._asked_model = (model or "").strip()
        self._model = self._asked_model
        self._api_key_env = api_key_env
        self._api_key: str | None = None
        self._timeout_s = timeout_s
        self._concurrency = concurrency
        self._max_body_bytes = max_body_bytes
        self._context_tokens = context_tokens
        self._ask_context = ask_context and context_tokens is None
        self._token_ids = token_ids
        self._places: _Places | None = None
        self._withheld: frozenset[str] = frozenset()
        self._notes: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"HttpBackend({self._base_url!r}, {self._model!r})"

    @property
    def model(self) -> str:
        """The model's name; empty until entered if none was given."""
        return self._model

    @property
    def capabilities(self) -> Capabilities:
        """Log-probabilities, effort and forms count as supported until the server rejects them."""
        return Capabilities(
            logprobs=LOGPROBS not in self._withheld,
            token_ids=self._token_ids,
            constrained=not self._token_ids and not self._withheld >= FORMS,
            effort="reasoning_effort" not in self._withheld,
            context_tokens=self._context_tokens,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about this server: parameters it does not take, another model than was asked."""
        return tuple(self._notes.values())

    async def _open(self, stack: AsyncExitStack) -> None:
        self._load_key()
        if self._api_key is not None and self._base_url.startswith("http:") and not is_loopback(self._base_url):
            self._note("key", "the key is sent without encryption: the address begins with http://")
        self._places = _Places(self._concurrency, functools.partial(self._new_client, self._new_tls()))
        stack.push_async_callback(self._places.aclose)
        stack.callback(self._forget_places)
        if not self._asked_model:
            self._model = _only_model(await self.list_models(), self._base_url)
        if self._ask_context:
            await self._learn_context(self._places)
        if self._token_ids and self._context_tokens is None:
            self._context_tokens = await self._require_context(self._places)

    async def _learn_context(self, places: _Places) -> None:
        """Let the server say its context. One that does not answer is left to the first request."""
        with anyio.move_on_after(CONTEXT_LIMIT_S), contextlib.suppress(BackendError):
            async with places.take() as client:
                self._context_tokens = read_context(await self._get_models(client), self._model)

    async def _require_context(self, places: _Places) -> int:
        """Read how long the model's context is: what is sent as tokens needs a budget.

        Raises:
            BackendError: the server does not say.
        """
        async with places.take() as client:
            context = read_context(await self._get_models(client), self._model)
        if context is None:
            raise BackendError(
                f"{self._base_url} does not say how long the context of {self._model!r} is",
                hint="vLLM does; leave token_ids out for other servers, or give context_tokens",
            )
        return context

    def _forget_places(self) -> None:
        self._places = None

    def _load_key(self) -> None:
        self._api_key = None if self._api_key_env is None else _read_key(self._api_key_env)

    def _new_tls(self) -> ssl.SSLContext:
        """Read the trusted certificates, once for all connections, where there is something to verify."""
        if self._base_url.startswith("https:"):
            return httpx.create_ssl_context(trust_env=not is_loopback(self._base_url))
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, and takes no time

    def _new_client(self, tls: ssl.SSLContext) -> httpx.AsyncClient:
        # Decoding is left out: a few compressed bytes could unpack to more than any bound on what was received.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Content-Type": "application/json"}
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key}"
        return httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(self._timeout_s, connect=min(CONNECT_LIMIT_S, self._timeout_s)),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S),
            verify=tls,
            trust_env=not is_loopback(self._base_url),
            follow_redirects=False,
        )

    async def list_models(self) -> tuple[str, ...]:
        """Ask which models are served (`GET /models`). Works without entering too.

        Raises:
            BackendError: the server cannot be reached, refuses, or answers something else.
        """
        if self._places is not None:
            async with self._places.take() as client:
                return await self._list_models(client)
        self._load_key()
        async with self._new_client(self._new_tls()) as client:
            return await self._list_models(client)

    async def _list_models(self, client: httpx.AsyncClient) -> tuple[str, ...]:
        return read_models(await self._get_models(client))

    async def _get_models(self, client: httpx.AsyncClient) -> bytes:
        """A body that can be read as a list of models."""
        url = f"{self._base_url}/models"
        try:
            with anyio.fail_after(self._timeout_s):
                reply = await self._exchange(client, "GET", url, None)
            if not reply.ok:
                code, detail = self._read_refusal(reply, None)
                kind = UnreachableError if reply.status in (502, 503, 504) else BackendError  # of a server that starts
                raise kind(f"{url}: {code.value}: {detail}", hint=_status_hint(reply.status, self._api_key_env))
            read_models(reply.body)
            return reply.body
        except (httpx.RequestError, TimeoutError) as error:
            code = code_of_error(error)
            raise UnreachableError(
                f"{url}: {code.value}: {_error_name(error)}", hint="is the server running at this address?"
            ) from error
        except GarbageError as error:
            raise BackendError(f"{url}: {error}", hint="base_url usually ends in /v1") from error

    async def complete_many(self, requests: Sequence[Request]) -> list[Response]:
        """Answer each request, at most `concurrency` at once; as many tasks, not one for each request.

        Raises:
            BackendError: the backend is not entered.
        """
        places = self._places
        if places is None:
            raise BackendError(f"{self!r} is not open", hint="use it inside `async with backend:`")
        responses: dict[int, Response] = {}
        waiting = iter(enumerate(requests))

        async def work() -> None:
            for index, request in waiting:
                async with places.take() as client:
                    responses[index] = await self._complete(client, request)

        if len(requests) == 1:
            await work()
        else:
            async with anyio.create_task_group() as workers:
                for _ in range(min(self._concurrency, len(requests))):
                    workers.start_soon(work)
        return [responses[index] for index in range(len(requests))]

    async def _complete(self, client: httpx.AsyncClient, request: Request) -> Response:
        started = time.perf_counter()
        call = _Call()
        try:
            with anyio.fail_after(self._timeout_s):
                reply = await self._ask(client, request, call)
            response = self._read_reply(reply, request)
        except (httpx.RequestError, TimeoutError) as error:
            response = self._failure(code_of_error(error), _error_name(error))
        latency_ms = (time.perf_counter() - started) * 1000
        return replace(response, latency_ms=latency_ms, usage=replace(response.usage, calls=call.sent))

    async def _ask(self, client: httpx.AsyncClient, request: Request, call: _Call) -> _Reply:
        """Send the request; if the server rejects an optional parameter, once more without it.

        A parameter is left out from then on only if its absence was what the server wanted.
        """
        withheld = self._withheld
        while True:
            path, parameters, body = self._call(request, withheld)
            call.sent += 1
            reply = await self._exchange(client, "POST", f"{self._base_url}/{path}", body)
            rejected = rejected_parameter(read_error(reply.body), parameters) if reply.status in (400, 422) else None
            if rejected is None:
                if reply.ok:
                    self._withhold(withheld)
                return reply
            withheld |= {rejected}

    def _call(self, request: Request, withheld: frozenset[str]) -> tuple[str, dict[str, object], bytes]:
        """The path, the parameters and the body that put a request to the server."""
        if request.token_ids is not None and self._token_ids:
            parameters = tokens_parameters(request, withheld=withheld, context=self._context_tokens or 0)
            return "completions", parameters, tokens_body(request, self._model, parameters)
        parameters = chat_parameters(request, withheld=withheld)
        return "chat/completions", parameters, chat_body(request, self._model, parameters)

    def _withhold(self, parameters: frozenset[str]) -> None:
        for name in sorted(parameters - self._withheld):
            if name == BUDGET:
                self._note(name, "the server takes max_completion_tokens in place of max_tokens")
            elif name == LOGPROBS:
                self._note(name, "the server rejects logprobs: requests go without, and no probability is had from it")
            else:
                self._note(name, f"the server rejects {name}: requests go without it")
        self._withheld |= parameters

    def _note(self, key: str, text: str) -> None:
        if key not in self._notes:
            self._notes[key] = text
            _log.warning("%s: %s", self._base_url, text)

    async def _exchange(self, client: httpx.AsyncClient, method: str, url: str, body: bytes | None) -> _Reply:
        async with client.stream(method, url, content=body) as response:
            chunks: list[bytes] = []
            size = 0
            fault = ""
            encoding = response.headers.get("content-encoding", "identity")
            if encoding.lower() != "identity":
                fault = "the answer is compressed, which was not asked for"
            else:
                async for chunk in response.aiter_raw():
                    size += len(chunk)
                    if size > self._max_body_bytes:
                        fault = f"the answer is larger than {self._max_body_bytes} bytes"
                        chunks.clear()
                        break
                    chunks.append(chunk)
            return _Reply(response.status_code, response.headers, b"".join(chunks), fault)

    def _read_reply(self, reply: _Reply, request: Request) -> Response:
        if not reply.ok:
            code, detail = self._read_refusal(reply, request)
            return self._failure(code, detail, retry_after_s(reply.headers))
        if reply.fault:
            return self._failure(Code.SERVER_ERROR, reply.fault)
        try:
            if request.token_ids is not None and self._token_ids:
                return self._read_tokens(reply, request)
            answer = read_chat(reply.body)
        except GarbageError as garbage:
            return self._read_error_in_success(reply, request, garbage)
        self._note_surprises(answer, request)
        return Completion(
            final=answer.final,
            reasoning=answer.reasoning,
            finish_reason=answer.finish_reason,
            model=self._model,
            usage=answer.usage,
            first_token=answer.first_token,
        )

    def _read_tokens(self, reply: _Reply, request: Request) -> Completion:
        """Take off the token that stopped it, as engines in process do."""
        answer = read_tokens(reply.body)
        self._note_other_model(answer.served_model)
        tokens = answer.token_ids
        if answer.finish_reason is FinishReason.STOP and tokens and tokens[-1] in request.stop_token_ids:
            tokens = tokens[:-1]
        return Completion(
            final="",
            finish_reason=answer.finish_reason,
            model=self._model,
            usage=answer.usage,
            token_ids=tokens,
        )

    def _read_error_in_success(self, reply: _Reply, request: Request, garbage: GarbageError) -> CallFailure:
        """Some gateways answer 200 with an error in the body and the true status in its code."""
        error = read_error(reply.body)
        if re.fullmatch("[45][0-9][0-9]", error.code) is None:
            return self._failure(Code.SERVER_ERROR, str(garbage))
        code, detail = self._read_refusal(replace(reply, status=int(error.code)), request)
        return self._failure(code, detail, retry_after_s(reply.headers))

    def _read_refusal(self, reply: _Reply, request: Request | None) -> tuple[Code, str]:
        if 300 <= reply.status < 400:
            target = origin_of(reply.headers.get("location", "")) or "another path"
            return Code.REJECTED, f"HTTP {reply.status}: redirected to {target}; redirects are not followed"
        error = read_error(reply.body)
        private = () if request is None else (m.content for m in request.messages)
        message = shown_message(error.message, private=private, secret=self._api_key)
        if reply.status == 404 and not message:
            message = "no such path or model; base_url usually ends in /v1"
        code = code_of_status(reply.status, error)
        return code, f"HTTP {reply.status}: {message}" if message else f"HTTP {reply.status}"

    def _note_surprises(self, answer: ChatAnswer, request: Request) -> None:
        wanted = request.sampling.top_logprobs and LOGPROBS not in self._withheld
        if wanted and answer.final.strip() and not answer.first_token:
            self._note("no " + LOGPROBS, "the server was asked for logprobs and reported none for the answer")
        self._note_broken_form(answer, request)
        self._note_other_model(answer.served_model)

    def _note_broken_form(self, answer: ChatAnswer, request: Request) -> None:
        """Some servers take a parameter that they do not know, and do nothing."""
        if request.constraint is None or answer.finish_reason is not FinishReason.STOP or not answer.final.strip():
            return
        form = request.constraint.form
        if form_name(form) not in self._withheld and not keeps_form(form, answer.final):
            self._note("form", f"the server took {form_name(form)} and gave an answer of another form")

    def _note_other_model(self, served: str) -> None:
        if served and served != self._model:
            name = shown_message(served, private=(), secret=self._api_key)
            self._note("model", f"the server was asked for {self._model!r} and answers as {name!r}")

    def _failure(self, code: Code, detail: str, retry_after: float | None = None) -> CallFailure:
        return CallFailure(code=code, detail=detail, model=self._model, retry_after_s=retry_after, usage=Usage())


class _Places:
    """As many clients as requests may be under way, each with a connection of its own, opened when first needed.

    httpcore's pool walks over all of its connections several times a request: with 32 connections that took 4.3 ms
    of processor time a request, server included, against 1.8 ms with one. The last used is taken first.
    """

    def __init__(self, count: int, new_client: Callable[[], httpx.AsyncClient]) -> None:
        self._free = anyio.Semaphore(count)
        self._new_client = new_client
        self._clients: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []

    @asynccontextmanager
    async def take(self) -> AsyncGenerator[httpx.AsyncClient]:
        """Wait for a place and hold it."""
        async with self._free:
            client = self._idle.pop() if self._idle else self._open_another()
            try:
                yield client
            finally:
                self._idle.append(client)

    def _open_another(self) -> httpx.AsyncClient:
        client = self._new_client()
        self._clients.append(client)
        return client

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.aclose()


@dataclass(slots=True)
class _Call:
    """How many times a request was sent; kept outside of the scope that a deadline cuts off."""

    sent: int = 0


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: httpx.Headers
    body: bytes
    fault: str
    """Why the body was not taken; empty if it was."""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


def _read_key(name: str) -> str:
    key = os.environ.get(name, "").strip()
    if not key:
        raise BackendError(f"the environment variable {name!r} is not set", hint=f"export {name}=… in your shell")
    if not key.isascii() or not key.isprintable():
        raise BackendError(
            f"the key in the environment variable {name!r} has characters that no header can carry",
            hint="was it copied with a line break or a quotation mark?",
        )
    return key


def _only_model(served: Sequence[str], base_url: str) -> str:
    if len(served) == 1:
        return served[0]
    if not served:
        raise BackendError(f"{base_url} serves no model", hint="load a model in the server, or name one")
    shown = ", ".join(repr(name[:80]) for name in served[:MODELS_SHOWN])
    more = f" and {len(served) - MODELS_SHOWN} more" if len(served) > MODELS_SHOWN else ""
    raise BackendError(f"{base_url} serves {len(served)} models, and none was named", hint=f"name one: {shown}{more}")


def _error_name(error: httpx.RequestError | TimeoutError) -> str:
    """The kind of the error alone: the text of some repeats what the server sent."""
    return "deadline passed" if isinstance(error, TimeoutError) else type(error).__name__


def _status_hint(status: int, api_key_env: str | None) -> str:
    if status in (401, 403):
        return "name the environment variable that holds the key" if api_key_env is None else f"check ${api_key_env}"
    if status == 404:
        return "base_url usually ends in /v1"
    return "is this an OpenAI-compatible server?"
