"""What is the same for all engines in process, shown on one that says what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.backends.base import Capabilities
from magistrate.backends.engine import EngineBackend, EngineError, Generated, Prompt
from magistrate.errors import BackendError
from magistrate.types import (
    CallFailure,
    Choices,
    Code,
    Completion,
    Constraint,
    Effort,
    FinishReason,
    Message,
    Request,
    Response,
    Role,
    Sampling,
    TokenLogprob,
)

CHANNEL, FINAL, ANALYSIS, MESSAGE, RETURN = 1, 2, 3, 4, 5
MARK = (CHANNEL, FINAL, MESSAGE)
YES = Choices(("yes", "no"))


@dataclass
class WordEngine:
    """Tokens are code points from 100 on; it writes `script` token by token until something stops it."""

    script: Callable[[Prompt], Sequence[int]]
    context: int | None = 1000
    constrained: bool = True
    batches: list[list[Prompt]] = field(default_factory=list[list[Prompt]])
    loads: int = 0

    model = "words"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(token_ids=True, constrained=self.constrained, context_tokens=self.context)

    def load(self) -> None:
        self.loads += 1

    def close(self) -> None:
        self.loads -= 1

    def template(self, messages: Sequence[Message], effort: Effort | None) -> tuple[int, ...]:
        if messages[0].role is Role.TOOL:
            raise EngineError("the template takes no tools")
        return tuple(100 + ord(letter) for message in messages for letter in message.content)

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join(chr(token - 100) for token in token_ids)

    def generate(self, prompts: Sequence[Prompt]) -> list[Generated]:
        self.batches.append(list(prompts))
        return [self.write(prompt) for prompt in prompts]

    def write(self, prompt: Prompt) -> Generated:
        written: list[int] = []
        for token in self.script(prompt):
            if len(written) == prompt.max_output_tokens:
                break
            if token in prompt.stop_token_ids:
                return generated(written, prompt, FinishReason.STOP, token)
            written.append(token)
        else:
            return generated(written, prompt, FinishReason.STOP, None)
        return generated(written, prompt, FinishReason.LENGTH, None)


def generated(tokens: list[int], prompt: Prompt, finish: FinishReason, stopped_by: int | None) -> Generated:
    logprobs = tuple((TokenLogprob(str(token), -1.0),) for token in tokens) if prompt.top_logprobs else ()
    return Generated(token_ids=tuple(tokens), finish_reason=finish, stopped_by=stopped_by, logprobs=logprobs)


def says(text: str) -> Callable[[Prompt], Sequence[int]]:
    return lambda prompt: [100 + ord(letter) for letter in text]


def ask(engine: WordEngine, *requests: Request) -> list[Response]:
    async def run() -> list[Response]:
        async with EngineBackend(engine) as backend:
            return await backend.complete_many(requests)

    return asyncio.run(run())


def chat(text: str, max_output_tokens: int | None = None) -> Request:
    sampling = Sampling(max_output_tokens=max_output_tokens)
    return Request(messages=(Message(Role.USER, text),), sampling=sampling)


def test_a_chat_is_rendered_by_the_template_and_its_channels_are_split() -> None:
    engine = WordEngine(says("<think>hm</think>yes"))
    (answer,) = ask(engine, chat("hello"))
    assert isinstance(answer, Completion)
    assert (answer.final, answer.reasoning, answer.finish_reason) == ("yes", "hm", FinishReason.STOP)
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.model) == (5, 20, "words")
    assert answer.latency_ms > 0


def test_tokens_go_in_and_come_back_as_they_are() -> None:
    engine = WordEngine(lambda prompt: [7, 8, RETURN, 9])
    request = Request(messages=(), token_ids=(50, 60), stop_token_ids=(RETURN,))
    (answer,) = ask(engine, request)
    assert isinstance(answer, Completion)
    assert (answer.token_ids, answer.final, engine.batches[0][0].token_ids) == ((7, 8), "", (50, 60))


@given(st.lists(st.text("ab", min_size=1, max_size=4), max_size=8))
def test_answers_come_in_the_order_of_the_requests_and_prompts_are_sorted(texts: list[str]) -> None:
    engine = WordEngine(lambda prompt: prompt.token_ids)
    answers = ask(engine, *map(chat, texts))
    assert [answer.final for answer in answers if isinstance(answer, Completion)] == texts
    asked = [prompt.token_ids for batch in engine.batches for prompt in batch]
    assert asked == sorted(asked)


def test_a_prompt_that_does_not_fit_fails_by_how_much_and_the_others_are_answered() -> None:
    engine = WordEngine(says("ok"), context=40)
    too_long, fits = ask(engine, chat("x" * 30), chat("x" * 20))
    assert isinstance(too_long, CallFailure)
    assert too_long.code is Code.TOO_LONG
    assert "30 tokens and needs 16" in too_long.detail
    assert "6 too many" in too_long.detail
    assert isinstance(fits, Completion)
    assert engine.batches[0][0].max_output_tokens == 20  # the rest of the context


def test_a_small_budget_needs_only_its_own_room() -> None:
    (answer,) = ask(WordEngine(says("yes"), context=33), chat("x" * 30, max_output_tokens=3))
    assert isinstance(answer, Completion)


def test_the_budget_cuts_off() -> None:
    (answer,) = ask(WordEngine(says("a long answer")), chat("x", max_output_tokens=4))
    assert isinstance(answer, Completion)
    assert (answer.final, answer.finish_reason) == ("a lo", FinishReason.LENGTH)


def test_what_the_engine_raises_is_a_failure_of_each_request() -> None:
    def break_down(prompt: Prompt) -> Sequence[int]:
        raise EngineError("out of memory")

    answers = ask(WordEngine(break_down), chat("a"), chat("b"))
    assert [(a.code, a.detail) for a in answers if isinstance(a, CallFailure)] == [
        (Code.SERVER_ERROR, "out of memory")
    ] * 2


def test_a_chat_that_the_template_refuses_is_rejected() -> None:
    (answer,) = ask(WordEngine(says("")), Request(messages=(Message(Role.TOOL, "x"),)))
    assert isinstance(answer, CallFailure)
    assert answer.code is Code.REJECTED


def held(*, stop: int = RETURN, budget: int | None = None, top_logprobs: int = 0) -> Request:
    return Request(
        messages=(),
        token_ids=(50,),
        stop_token_ids=(stop,),
        sampling=Sampling(max_output_tokens=budget, top_logprobs=top_logprobs),
        constraint=Constraint(form=YES, after=MARK),
    )


THOUGHT = (CHANNEL, ANALYSIS, MESSAGE, 200, 201, CHANNEL, FINAL)


def reasons_then_answers(prompt: Prompt) -> Sequence[int]:
    """What a reasoner says, gone on with from wherever the prompt ends."""
    whole = (50, *THOUGHT, MESSAGE, 300, RETURN)
    return whole[len(prompt.token_ids) :]


def test_the_form_holds_behind_the_mark_alone() -> None:
    engine = WordEngine(reasons_then_answers)
    (answer,) = ask(engine, held(top_logprobs=1))
    assert isinstance(answer, Completion)
    assert answer.token_ids == (*THOUGHT, MESSAGE, 300)
    prompts = [prompt for batch in engine.batches for prompt in batch]
    assert [prompt.form for prompt in prompts] == [None, None, YES]
    assert prompts[-1].token_ids == (50, *THOUGHT, MESSAGE)
    assert prompts[-1].stop_token_ids == (RETURN,)
    assert answer.first_token == (TokenLogprob("300", -1.0),)


def test_an_answer_without_the_mark_is_left_free() -> None:
    engine = WordEngine(lambda prompt: [200, RETURN])
    (answer,) = ask(engine, held())
    assert isinstance(answer, Completion)
    assert answer.token_ids == (200,)
    assert [batch[0].form for batch in engine.batches] == [None]


@given(st.integers(1, 12))
def test_all_calls_together_keep_the_budget(budget: int) -> None:
    (answer,) = ask(WordEngine(reasons_then_answers), held(budget=budget))
    assert isinstance(answer, Completion)
    assert answer.token_ids == (*THOUGHT, MESSAGE, 300)[:budget]
    whole = len(THOUGHT) + 3  # the stop token takes its place in the budget too
    assert (answer.finish_reason is FinishReason.LENGTH) == (budget < whole)


def test_a_form_without_a_mark_holds_from_the_start() -> None:
    engine = WordEngine(says("yes"))
    request = Request(messages=(Message(Role.USER, "x"),), constraint=Constraint(form=YES))
    ask(engine, request)
    assert [batch[0].form for batch in engine.batches] == [YES]


def test_a_form_is_never_dropped_in_silence() -> None:
    (answer,) = ask(WordEngine(says("yes"), constrained=False), held())
    assert isinstance(answer, CallFailure)
    assert answer.code is Code.REJECTED


def test_the_weights_are_loaded_once_and_given_back() -> None:
    engine = WordEngine(says("yes"))
    backend = EngineBackend(engine)

    async def run() -> list[int]:
        seen: list[int] = []
        async with backend, backend:
            seen.append(engine.loads)
        return [*seen, engine.loads]

    assert asyncio.run(run()) == [1, 0]
    with pytest.raises(BackendError, match="not loaded"):
        asyncio.run(backend.complete_many([chat("x")]))
