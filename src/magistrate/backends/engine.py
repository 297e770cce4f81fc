"""Engines in this process: weights that are loaded here, asked in batches of tokens.

vLLM, Transformers and llama.cpp differ in how they load and sample. What is the same for all is here: rendering a
chat by the model's own template, the check against the context, prompts with the same beginning side by side, a
constraint that holds for the answer and not for the reasoning, and the way back from tokens to a response.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Protocol

import anyio
import anyio.to_thread

from magistrate.backends.base import Capabilities
from magistrate.backends.channels import split_channels
from magistrate.backends.lifecycle import Openable
from magistrate.errors import BackendError
from magistrate.types import (
    AnswerForm,
    CallFailure,
    Code,
    Completion,
    Effort,
    FinishReason,
    Message,
    Request,
    Response,
    TokenLogprob,
    Usage,
)

SPARE_TOKENS = 16
"""Least room for an answer that a prompt must leave in the context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What an engine goes on with."""

    token_ids: tuple[int, ...]
    max_output_tokens: int
    """Never so many that prompt and output exceed the context."""
    temperature: float | None = None
    """None for the model's own; 0 for the likeliest token."""
    seed: int | None = None
    top_logprobs: int = 0
    """Alternatives to report for each generated token."""
    stop_token_ids: tuple[int, ...] = ()
    """Besides the model's own ends."""
    form: AnswerForm | None = None
    """Holds from the first generated token on; only for engines whose capabilities say `constrained`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """What an engine added to a prompt."""

    token_ids: tuple[int, ...]
    """Without the token that stopped it."""
    finish_reason: FinishReason
    stopped_by: int | None = None
    """The token that stopped it, where one did."""
    logprobs: tuple[tuple[TokenLogprob, ...], ...] = ()
    """Alternatives of each token of `token_ids`, most likely first; empty where not asked for."""


class EngineError(Exception):
    """An engine could not answer a batch. The message names no content."""


class Engine(Protocol):
    """Weights that are loaded and run here. Not shared between threads: `EngineBackend` asks one batch at a time."""

    @property
    def model(self) -> str:
        """The model's name in verdicts; known before loading."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; `context_tokens` is known after loading at the latest."""
        ...

    def load(self) -> None:
        """Read the weights.

        Raises:
            BackendError: they are not there, or not what the engine can run.
            MissingExtraError: the engine is not installed.
        """
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...

    def template(self, messages: Sequence[Message], effort: Effort | None) -> tuple[int, ...]:
        """Render a chat by the model's own template, up to where the answer begins.

        Raises:
            EngineError: the model has no template, or its template refuses this chat.
        """
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Write tokens as text, special tokens included, so that channels can be told apart."""
        ...

    def generate(self, prompts: Sequence[Prompt]) -> list[Generated]:
        """Go on with each: same length, same order. Prompts with the same beginning stand side by side.

        Raises:
            EngineError: the engine failed; nothing of the batch was answered.
        """
        ...


class EngineBackend(Openable):
    """Answer requests by an engine in this process.

    Requests with `token_ids` go to the engine as they are, and what comes back stays tokens, for the dialect to take
    apart. Others are rendered by the model's template, and their channels are split here. Calls that arrive while a
    batch is under way wait for it: give the engine many requests at once, not many calls.
    """

    def __init__(self, engine: Engine) -> None:
        """Store the engine; entering the context loads its weights."""
        super().__init__()
        self._engine = engine
        self._lock: anyio.Lock | None = None

    @property
    def model(self) -> str:
        """The model that answers."""
        return self._engine.model

    @property
    def capabilities(self) -> Capabilities:
        """What the engine can do."""
        return self._engine.capabilities

    async def _open(self, stack: AsyncExitStack) -> None:
        await anyio.to_thread.run_sync(self._engine.load)
        stack.callback(self._engine.close)
        self._lock = anyio.Lock()
        stack.callback(self._forget_lock)

    def _forget_lock(self) -> None:
        self._lock = None

    async def complete_many(self, requests: Sequence[Request]) -> list[Response]:
        """Answer each request, all in one batch of the engine.

        Raises:
            BackendError: the backend is not entered.
        """
        if self._lock is None:
            raise BackendError("the engine is not loaded", hint="use it inside `async with backend:`")
        async with self._lock:
            return await anyio.to_thread.run_sync(self._answer, tuple(requests))

    def _answer(self, requests: tuple[Request, ...]) -> list[Response]:
        started = time.perf_counter()
        responses: dict[int, Response] = {}
        waiting: list[_Asked] = []
        for place, request in enumerate(requests):
            asked = self._prepare(place, request)
            if isinstance(asked, CallFailure):
                responses[place] = asked
            else:
                waiting.append(asked)
        waiting.sort(key=lambda asked: asked.prompt)  # policies side by side, so that engines reuse their part
        try:
            self._generate(waiting)
            responses |= {asked.place: self._response(asked) for asked in waiting}
        except EngineError as error:
            failure = self._failure(Code.SERVER_ERROR, str(error))
            responses |= {asked.place: failure for asked in waiting}
        latency_ms = (time.perf_counter() - started) * 1000
        return [replace(responses[place], latency_ms=latency_ms) for place in range(len(requests))]

    def _prepare(self, place: int, request: Request) -> _Asked | CallFailure:
        """Render where the dialect has not, and see whether it fits."""
        if request.constraint is not None and not self.capabilities.constrained:
            return self._failure(Code.REJECTED, "the engine cannot enforce the form of an answer")
        try:
            prompt = request.token_ids or self._engine.template(request.messages, request.sampling.effort)
        except EngineError as error:
            return self._failure(Code.REJECTED, str(error))
        context = self.capabilities.context_tokens
        wanted = request.sampling.max_output_tokens
        if context is None:
            raise BackendError(f"the engine of {self.model!r} does not say how long its context is")
        least = min(wanted or SPARE_TOKENS, SPARE_TOKENS)
        if len(prompt) + least > context:
            detail = f"the prompt has {len(prompt)} tokens and needs {least} for an answer; the context is {context}"
            return self._failure(Code.TOO_LONG, f"{detail}: {len(prompt) + least - context} too many")
        room = context - len(prompt)
        return _Asked(place=place, request=request, prompt=prompt, budget=room if wanted is None else min(wanted, room))

    def _generate(self, waiting: Sequence[_Asked]) -> None:
        """Ask the engine until every answer is whole.

        Without a constraint that is one call. With one behind a mark, the first calls stop at the mark's last token;
        where the whole mark stands, the next call is held to the form, and elsewhere it goes on free.
        """
        open_ones = list(waiting)
        while open_ones:
            generated = self._engine.generate([asked.next_prompt() for asked in open_ones])
            if len(generated) != len(open_ones):
                raise EngineError(f"the engine answered {len(generated)} of {len(open_ones)} prompts")
            for asked, more in zip(open_ones, generated, strict=True):
                asked.take(more)
            open_ones = [asked for asked in open_ones if asked.finish is None]

    def _response(self, asked: _Asked) -> Completion:
        output = tuple(asked.output)
        usage = Usage(len(asked.prompt), len(output), None, 1)
        finish = asked.finish or FinishReason.OTHER
        if asked.request.token_ids is not None:
            return Completion(
                final="",
                finish_reason=finish,
                model=self.model,
                usage=usage,
                token_ids=output,
                first_token=asked.first_token(),
            )
        channels = split_channels(self._engine.decode(output))
        return Completion(
            final=channels.final,
            reasoning=channels.reasoning,
            finish_reason=finish,
            model=self.model,
            usage=usage,
            # Behind reasoning the place of the answer's first token is not known from the text.
            first_token=() if channels.reasoning else asked.first_token(),
        )

    def _failure(self, code: Code, detail: str) -> CallFailure:
        return CallFailure(code=code, detail=detail, model=self.model, usage=Usage(calls=0))


@dataclass(slots=True, kw_only=True)
class _Asked:
    """One request on its way."""

    place: int
    request: Request
    prompt: tuple[int, ...]
    budget: int
    output: list[int] = field(default_factory=list[int])
    logprobs: list[tuple[TokenLogprob, ...]] = field(default_factory=list[tuple[TokenLogprob, ...]])
    finish: FinishReason | None = None

    @property
    def _mark(self) -> tuple[int, ...]:
        """Tokens behind which the answer begins, for a request that is to be held to a form."""
        return () if self.request.constraint is None else self.request.constraint.after

    @property
    def _answer_at(self) -> int | None:
        """Where the answer begins in the output; 0 where there is no mark to wait for, None before it was seen."""
        mark, length = self._mark, len(self._mark)
        ends = range(length, len(self.output) + 1)
        return next((end for end in ends if tuple(self.output[end - length : end]) == mark), None)

    def next_prompt(self) -> Prompt:
        sampling, constraint = self.request.sampling, self.request.constraint
        held = constraint is not None and self._answer_at is not None
        return Prompt(
            token_ids=(*self.prompt, *self.output),
            max_output_tokens=self.budget - len(self.output),
            temperature=sampling.temperature,
            seed=sampling.seed,
            top_logprobs=sampling.top_logprobs,
            stop_token_ids=self.request.stop_token_ids if held else (*self.request.stop_token_ids, *self._mark[-1:]),
            form=constraint.form if constraint is not None and held else None,
        )

    def take(self, more: Generated) -> None:
        was_held = self._answer_at is not None
        self.output += more.token_ids
        self.logprobs += more.logprobs
        stopped_at_mark = bool(self._mark) and more.stopped_by == self._mark[-1]
        if stopped_at_mark and not was_held and more.stopped_by not in self.request.stop_token_ids:
            self.output.append(self._mark[-1])
            self.logprobs += [()] if more.logprobs else []
            self.finish = FinishReason.LENGTH if len(self.output) >= self.budget else None
        else:
            self.finish = more.finish_reason

    def first_token(self) -> tuple[TokenLogprob, ...]:
        """Alternatives of the token in which the answer begins, where they were reported.

        Tokens go back unread, so without a mark only the dialect could tell where their answer begins.
        """
        place = self._answer_at if self._mark or self.request.token_ids is None else None
        return self.logprobs[place] if place is not None and place < len(self.logprobs) else ()
