"""What is checked before the first call."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.backends.chat_server import Answer, Asked, ChatServer, Raw, Script, chat_json

from magistrate.backends.base import Capabilities
from magistrate.backends.http import HttpBackend
from magistrate.backends.scripted import ScriptedBackend
from magistrate.case import Case
from magistrate.config import Config, ModelConfig
from magistrate.dialects.registry import dialect_named
from magistrate.errors import UsageError
from magistrate.models.limits import (
    LEAST_ANSWER,
    CheckedReasoner,
    Limits,
    check_asked,
    check_policy,
    is_known_service,
    limits_of,
    prompt_tokens,
)
from magistrate.policy.model import Policy
from magistrate.policy.starter import read_starter
from magistrate.run.judge import Judge
from magistrate.types import Code, Content, Decided, Effort, Failed, Sampling, Verdict

SPAM = read_starter("spam")
RATIONALE = dialect_named("safeguard.rationale.v1")
BINARY = dialect_named("safeguard.binary.v1")
LOCAL = "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("url", "model", "context", "source"),
    [
        ("https://api.groq.com/openai/v1", "openai/gpt-oss-safeguard-20b", 131_072, "api.groq.com"),
        ("https://api.runware.ai/v1", "mistralai:shieldstral@1.0-3b", 8_192, "api.runware.ai"),
        ("https://api.featherless.ai/v1", "openai/gpt-oss-safeguard-20b", 32_768, "api.featherless.ai"),
        ("https://ai-gateway.vercel.sh/v1", "openai/gpt-oss-safeguard-120b", 128_000, "ai-gateway.vercel.sh"),
        (LOCAL, "openai/gpt-oss-safeguard-20b", 131_072, "gpt-oss-safeguard-20b"),
        (LOCAL, "google/shieldgemma-2b", 8_192, "shieldgemma-2b"),
        (LOCAL, "my-own-model", None, ""),
        (LOCAL, None, None, ""),
        ("https://runware.ai.example.org/v1", "x", None, ""),
        ("https://notapi.runware.ai/v1", "x", None, ""),
    ],
)
def test_what_is_known_of_a_model_at_a_server(url: str, model: str | None, context: int | None, source: str) -> None:
    limits = limits_of(url, model)
    assert (limits.context_tokens, limits.source) == (context, source)


def test_what_the_user_says_goes_first() -> None:
    limits = limits_of("https://api.runware.ai/v1", "x", context_tokens=16_000)
    assert (limits.context_tokens, limits.source) == (16_000, "this server (as the settings say)")


def test_services_are_told_by_their_host() -> None:
    assert is_known_service("https://api.groq.com/openai/v1")
    assert not is_known_service(LOCAL)
    assert not is_known_service("http://[half/v1")


@pytest.mark.parametrize(
    ("limits", "dialect", "asked", "told"),
    [
        (Limits(), "cope.v1", {"effort": Effort.LOW}, "dialect 'cope.v1' takes no effort, and 'low' was asked for"),
        (
            limits_of(LOCAL, "cope-b-a4b"),
            "safeguard.binary.v1",
            {"effort": Effort.HIGH},
            "cope-b-a4b takes no effort",
        ),
        (
            limits_of("https://api.anthropic.com/v1", "claude"),
            "safeguard.binary.v1",
            {"effort": Effort.HIGH},
            "api.anthropic.com takes no effort",
        ),
        (
            limits_of("https://api.anthropic.com/v1", "claude"),
            "safeguard.binary.v1",
            {"seed": 7},
            "api.anthropic.com ignores a seed, and 7 was asked for",
        ),
        (
            limits_of("https://api.groq.com/openai/v1", "openai/gpt-oss-safeguard-20b"),
            "safeguard.binary.v1",
            {"max_output_tokens": 70_000},
            "api.groq.com gives 65,536 at the most: 4,464 too many",
        ),
        (
            limits_of("https://api.runware.ai/v1", "openai/gpt-oss-safeguard-20b"),
            "safeguard.binary.v1",
            {"max_output_tokens": 8_193},
            "api.runware.ai gives 8,192 at the most: 1 too many",
        ),
    ],
)
def test_what_a_model_does_not_take_is_refused(
    limits: Limits, dialect: str, asked: dict[str, object], told: str
) -> None:
    settings = {"effort": None, "seed": None, "max_output_tokens": None, **asked}
    with pytest.raises(UsageError) as caught:
        check_asked(limits, dialect=dialect_named(dialect), **settings)  # type: ignore[arg-type]  # a table of three
    assert told in str(caught.value)
    assert caught.value.hint


def test_what_is_not_known_to_be_ignored_is_let_through() -> None:
    check_asked(Limits(), dialect=RATIONALE, effort=Effort.LOW, seed=1, max_output_tokens=10**9)
    check_asked(limits_of(LOCAL, "20b"), dialect=RATIONALE, effort=Effort.LOW, seed=1, max_output_tokens=131_072)


def test_a_policy_that_does_not_fit_says_by_how_much() -> None:
    prompt = prompt_tokens(SPAM, RATIONALE, 1_000)
    context = prompt.low + 500
    with pytest.raises(UsageError) as caught:
        check_policy(SPAM, RATIONALE, context_tokens=context, max_output_tokens=2_048, who="this server")
    over = prompt.tokens + 2_048 - context
    told = str(caught.value)
    assert f"policy {prompt} + answer 2,048 = {prompt.tokens + 2_048:,} tokens" in told
    assert f"the context of this server is {context:,}: {over:,} too many" in told
    assert "--plan" in told


def test_an_answer_of_unknown_length_is_given_the_least_room() -> None:
    low = prompt_tokens(SPAM, RATIONALE, 1_000).low
    assert check_policy(SPAM, RATIONALE, context_tokens=low + LEAST_ANSWER, max_output_tokens=None, who="x") == 0
    with pytest.raises(UsageError):
        check_policy(SPAM, RATIONALE, context_tokens=low + LEAST_ANSWER - 1, max_output_tokens=None, who="x")


@given(st.integers(1, 200_000), st.integers(1, 20_000))
def test_room_for_content_is_what_policy_and_answer_leave(context: int, answer: int) -> None:
    low = prompt_tokens(SPAM, BINARY, context).low
    try:
        room = check_policy(SPAM, BINARY, context_tokens=context, max_output_tokens=answer, who="x")
    except UsageError:
        assert low + answer > context
    else:
        assert room == context - answer - low >= 0


def long_policy(words: int) -> Policy:
    return Policy.parse(SPAM.text + "\n\n" + "buy followers now " * words, name=f"spam-{words}")


def test_a_longer_policy_is_counted_as_longer() -> None:
    short, long = (prompt_tokens(policy, RATIONALE, 10**6) for policy in (SPAM, long_policy(1_000)))
    assert long.tokens - short.tokens == pytest.approx(3_000, rel=0.1)


def checked(context: int | None, limits: Limits, budget: int | None = 200) -> tuple[CheckedReasoner, ScriptedBackend]:
    backend = ScriptedBackend(lambda request: "0", capabilities=Capabilities(context_tokens=context))
    return CheckedReasoner(BINARY, backend, limits, sampling=Sampling(max_output_tokens=budget)), backend


def judge(classifier: CheckedReasoner, *cases: Case) -> list[Verdict]:
    async def run() -> list[Verdict]:
        async with classifier as opened:
            return await opened.judge_many(cases)

    return asyncio.run(run())


def case(words: int = 1, policy: Policy = SPAM) -> Case:
    return Case(policy, Content.of_text("hello " * words))


def test_a_policy_that_does_not_fit_is_an_error_before_any_call() -> None:
    classifier, backend = checked(None, Limits(context_tokens=2_000, source="there"))
    with pytest.raises(UsageError) as caught:
        judge(classifier, case(), case(policy=long_policy(2_000)))
    assert "the context of there is 2,000" in str(caught.value)
    assert backend.requests == ()


def test_a_content_that_does_not_fit_is_a_verdict_without_a_call() -> None:
    classifier, backend = checked(None, Limits(context_tokens=2_000))
    short, long, other = judge(classifier, case(3), case(3_000), case(5))
    assert isinstance(short, Decided)
    assert isinstance(other, Decided)
    assert isinstance(long, Failed)
    assert long.code is Code.TOO_LONG
    assert long.trace.usage.calls == 0
    assert "too many" in long.detail
    assert len(backend.requests) == 2


def test_the_servers_own_word_goes_before_what_was_known() -> None:
    classifier, _ = checked(1_000, Limits(context_tokens=131_072, source="gpt-oss"), budget=2_000)
    with pytest.raises(UsageError, match="the context of this server is 1,000"):
        judge(classifier, case())
    classifier, backend = checked(131_072, Limits(context_tokens=600), budget=500)
    judge(classifier, case())
    assert len(backend.requests) == 1


def test_nothing_is_checked_where_nothing_is_known() -> None:
    classifier, backend = checked(None, Limits(), budget=10**9)
    (verdict,) = judge(classifier, case(5_000))
    assert isinstance(verdict, Decided)
    assert len(backend.requests) == 1


def test_each_turn_of_a_vote_is_checked_and_keeps_its_own_seed() -> None:
    classifier, backend = checked(None, Limits(context_tokens=2_000))

    async def run() -> list[Verdict]:
        async with classifier as opened:
            return await opened.judge_again([case(1), case(3_000), case(1)], [1, 1, 2])

    one, long, two = asyncio.run(run())
    assert isinstance(one, Decided)
    assert isinstance(two, Decided)
    assert isinstance(long, Failed)
    assert len({request.sampling.seed for request in backend.requests}) == 2


def test_the_name_is_the_models() -> None:
    assert checked(None, Limits())[0].name == ScriptedBackend([]).model


def test_a_parsed_policy_is_measured_as_it_is_written() -> None:
    policy = Policy.parse("# Spam\n\nNo spam.\n", name="mine")
    assert prompt_tokens(policy, BINARY, 10**6).tokens < prompt_tokens(SPAM, BINARY, 10**6).tokens


def serving(max_model_len: object, url_model: str = "m") -> Script:
    """A server that says its context as vLLM does, and answers everything with 0."""
    listed = json.dumps({"object": "list", "data": [{"id": url_model, "max_model_len": max_model_len}]}).encode()
    return lambda asked: Answer(listed) if asked.method == "GET" else Answer(chat_json("0"))


def told(script: Script, **settings: object) -> tuple[int | None, list[str]]:
    """The context that a backend knows of once it is open, and what was asked until then."""

    async def run() -> tuple[int | None, list[str]]:
        async with ChatServer(script) as server:
            backend = HttpBackend(server.url, **{"model": "m", **settings})  # type: ignore[arg-type]  # a table
            async with backend:
                return backend.capabilities.context_tokens, [asked.path for asked in server.seen]

    return asyncio.run(run())


def test_a_server_says_its_context() -> None:
    assert told(serving(8_192), ask_context=True) == (8_192, ["/v1/models"])
    assert told(serving(8_192)) == (None, []), "only where it is asked for"
    assert told(serving(8_192), ask_context=True, context_tokens=99) == (99, []), "only where it is not given"
    assert told(serving(8_192), model=None, ask_context=True)[0] == 8_192


@pytest.mark.parametrize("said", [None, 0, -1, True, "many", 1.5, {"tokens": 3}])
def test_a_context_that_makes_no_sense_is_not_believed_and_spoils_nothing(said: object) -> None:
    assert told(serving(said), ask_context=True)[0] is None
    assert told(serving(said), model=None, ask_context=True)[0] is None


def not_found(asked: Asked) -> Answer | Raw:
    return Answer(b"{}", status=404)


def no_json(asked: Asked) -> Answer | Raw:
    return Answer(b"not json")


def cut_off(asked: Asked) -> Answer | Raw:
    return Raw(())


def late(asked: Asked) -> Answer | Raw:
    return Answer(b"", delay_s=3.0)


@pytest.mark.parametrize("script", [not_found, no_json, cut_off, late])
def test_a_server_that_does_not_say_it_is_used_all_the_same(script: Script) -> None:
    assert told(script, ask_context=True)[0] is None


def test_a_judge_learns_the_context_of_its_server_before_the_first_call() -> None:
    seen: list[str] = []

    def script(asked: Asked) -> Answer | Raw:
        seen.append(asked.method)
        return serving(512)(asked)

    async def run() -> None:
        async with ChatServer(script) as server, Judge(server.url, model_name="m", config=Config()) as judge:
            await judge.ajudge(SPAM, "hello")

    with pytest.raises(UsageError, match="the context of this server is 512"):
        asyncio.run(run())
    assert seen == ["GET"]


def test_settings_that_a_model_does_not_take_are_refused_before_anything_is_opened() -> None:
    with pytest.raises(UsageError, match="takes no effort"):
        Judge(LOCAL, model_name="zentropi-ai/cope-b-a4b", dialect="cope.v1", effort="low", config=Config())
    settings = ModelConfig(
        url="https://api.runware.ai/v1", model="openai/gpt-oss-safeguard-20b", max_output_tokens=9_000
    )
    with pytest.raises(UsageError, match="808 too many"):
        Judge("there", config=Config(models={"there": settings}))
