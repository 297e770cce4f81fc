"""The reasoner: batches, remedies, bounds and what is recorded of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.contents import contents
from tests.dialects.samples import SPAM, TOXIC, completion, outcome

from magistrate.backends.base import Capabilities
from magistrate.backends.scripted import ScriptedBackend
from magistrate.case import Case
from magistrate.classifiers.base import Classifier, Repeatable
from magistrate.classifiers.ladder import DEFAULT_LADDER, NO_LADDER, Ladder
from magistrate.classifiers.reasoner import Reasoner
from magistrate.dialects.fence import unfence
from magistrate.dialects.registry import dialect_named
from magistrate.errors import BackendError, UsageError
from magistrate.types import (
    Abstained,
    CallFailure,
    Code,
    Completion,
    Content,
    Decided,
    Effort,
    Failed,
    FinishReason,
    Remedy,
    Request,
    Response,
    Role,
    Sampling,
    Usage,
    Verdict,
)

BINARY = dialect_named("safeguard.binary.v1")
REFUSAL = "I’m sorry, but I can’t help with that."
CUT = Completion(final="", finish_reason=FinishReason.LENGTH, model="m")


def judge(reasoner: Reasoner, *texts: str) -> list[Verdict]:
    async def run() -> list[Verdict]:
        async with reasoner:
            return await reasoner.judge_many([Case(SPAM, Content.of_text(text)) for text in texts])

    return asyncio.run(run())


def judged_text(request: Request) -> str:
    user = next(m for m in request.messages if m.role is Role.USER)
    return unfence(user.content).messages[0].content


class Counting(ScriptedBackend):
    """Keeps the sizes of the batches."""

    def __init__(self, answers: Callable[[Request], Response | str]) -> None:
        super().__init__(answers)
        self.sizes: list[int] = []

    async def complete_many(self, requests: Sequence[Request]) -> list[Response]:
        self.sizes.append(len(requests))
        return await super().complete_many(requests)


def test_a_reasoner_is_a_classifier() -> None:
    reasoner: Classifier = Reasoner(BINARY, ScriptedBackend(["INVALID"], model="guard-20b"))
    assert reasoner.name == "guard-20b"


def test_a_batch_is_one_call_in_order() -> None:
    backend = Counting(lambda request: "INVALID" if "bad" in judged_text(request) else "VALID")
    verdicts = judge(Reasoner(BINARY, backend), "bad", "good", "bad")
    assert [outcome(v) for v in verdicts] == ["violation", "allowed", "violation"]
    assert backend.sizes == [3]
    assert all(v.trace.attempts == () for v in verdicts)


def test_no_cases_are_no_call() -> None:
    backend = Counting(lambda _: "VALID")
    assert judge(Reasoner(BINARY, backend)) == []
    assert backend.sizes == []


def test_cases_of_several_policies_share_a_batch() -> None:
    backend = Counting(lambda request: "1" if "toxic" in request.messages[0].content else "VALID")
    reasoner = Reasoner(BINARY, backend)
    cases = [Case(SPAM, Content.of_text("x")), Case(TOXIC, Content.of_text("x"))]
    verdicts = asyncio.run(reasoner.judge_many(cases))
    assert [(v.trace.policy, outcome(v)) for v in verdicts] == [("spam", "allowed"), ("toxic", "violation")]
    assert backend.sizes == [2]


def test_each_round_asks_only_those_without_a_verdict() -> None:
    def answer(request: Request) -> str:
        asked_again = len(request.messages) > 2
        return {"fine": "VALID", "stubborn": REFUSAL}.get(judged_text(request), "INVALID" if asked_again else "MAYBE")

    backend = Counting(answer)
    verdicts = judge(Reasoner(BINARY, backend), "fine", "odd", "stubborn", "fine")
    assert [outcome(v) for v in verdicts] == ["allowed", "violation", "refusal", "allowed"]
    assert backend.sizes == [4, 2, 1]


def test_every_attempt_is_recorded_and_paid_for() -> None:
    answers = [
        Completion(
            final=final, finish_reason=FinishReason.STOP, model="m", latency_ms=ms, usage=Usage(10, tokens, None, 1)
        )
        for final, ms, tokens in ((REFUSAL, 5.0, 3), ("MAYBE", 7.0, 4), ("INVALID", 11.0, 5))
    ]
    (verdict,) = judge(Reasoner(BINARY, ScriptedBackend(answers)), "x")
    assert isinstance(verdict, Decided)
    assert [(a.code, a.remedy) for a in verdict.trace.attempts] == [
        (Code.REFUSAL, None),
        (Code.UNKNOWN_LABEL, Remedy.REPAIR_PROMPT),
        (None, Remedy.REPAIR_PROMPT),
    ]
    assert verdict.trace.latency_ms == 23.0
    assert verdict.trace.usage == Usage(30, 12, None, 3)


def test_at_the_end_of_the_ladder_the_last_failure_stands() -> None:
    (verdict,) = judge(Reasoner(BINARY, ScriptedBackend([REFUSAL, "MAYBE", "[]"])), "x")
    assert isinstance(verdict, Failed)
    assert [a.code for a in verdict.trace.attempts] == [Code.REFUSAL, Code.UNKNOWN_LABEL, verdict.code]


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_attempts_are_bounded(attempts: int) -> None:
    backend = Counting(lambda _: REFUSAL)
    ladder: Ladder = {Code.REFUSAL: (Remedy.SAME_AGAIN,) * 9}
    judge(Reasoner(BINARY, backend, ladder=ladder, max_attempts=attempts), "x")
    assert backend.sizes == [1] * attempts


def test_without_a_ladder_nothing_is_tried_again() -> None:
    backend = Counting(lambda _: REFUSAL)
    judge(Reasoner(BINARY, backend, ladder=NO_LADDER), "x")
    assert backend.sizes == [1]


def test_a_cut_answer_gets_a_larger_budget_then_a_lower_effort() -> None:
    backend = ScriptedBackend([CUT, CUT, "VALID"])
    sampling = Sampling(max_output_tokens=100)
    (verdict,) = judge(Reasoner(BINARY, backend, effort=Effort.HIGH, sampling=sampling), "x")
    assert outcome(verdict) == "allowed"
    first, larger, lower = backend.requests
    assert [r.sampling.max_output_tokens for r in backend.requests] == [100, 400, 400]
    assert larger.messages == first.messages
    assert (lower.sampling.effort, lower.messages[0].content[-17:]) == (Effort.MEDIUM, "Reasoning: medium")


def test_a_remedy_that_changes_nothing_is_passed_over() -> None:
    backend = ScriptedBackend([CUT, "VALID"])
    (verdict,) = judge(Reasoner(BINARY, backend), "x")
    assert [a.remedy for a in verdict.trace.attempts] == [None, Remedy.LOWER_EFFORT]
    lowest = ScriptedBackend([CUT, "VALID"])
    (verdict,) = judge(Reasoner(BINARY, lowest, effort=Effort.LOW), "x")
    assert outcome(verdict) == "truncated"
    assert verdict.trace.attempts == ()


def test_a_budget_stays_inside_the_context() -> None:
    backend = ScriptedBackend([CUT, CUT], capabilities=Capabilities(context_tokens=150))
    judge(Reasoner(BINARY, backend, effort=Effort.LOW, sampling=Sampling(max_output_tokens=100)), "x")
    assert [r.sampling.max_output_tokens for r in backend.requests] == [100, 150]


def test_asking_the_same_again_takes_another_seed() -> None:
    backend = ScriptedBackend(["", "", "VALID"])
    ladder: Ladder = {Code.EMPTY_ANSWER: (Remedy.SAME_AGAIN, Remedy.SAME_AGAIN)}
    judge(Reasoner(BINARY, backend, ladder=ladder, sampling=Sampling(seed=7)), "x")
    assert [r.sampling.seed for r in backend.requests] == [7, 8, 9]
    assert len({r.messages for r in backend.requests}) == 1


def test_each_turn_asks_with_a_seed_of_its_own_in_one_batch() -> None:
    backend = Counting(lambda _: "0")
    reasoner = Reasoner(BINARY, backend, sampling=Sampling(seed=7))
    case = Case(SPAM, Content.of_text("hello"))

    async def run() -> list[Verdict]:
        async with reasoner:
            return await reasoner.judge_again([case, case, case], [0, 1, 2])

    assert len(asyncio.run(run())) == 3
    seeds = [request.sampling.seed for request in backend.requests]
    assert seeds[0] == 7
    assert len(set(seeds)) == 3
    assert backend.sizes == [3]
    assert isinstance(reasoner, Repeatable)


def test_a_failed_call_is_left_to_the_backends() -> None:
    failure = CallFailure(code=Code.RATE_LIMITED, detail="429", model="m", latency_ms=3.0)
    backend = ScriptedBackend([failure, "VALID"])
    (verdict,) = judge(Reasoner(BINARY, backend), "x")
    assert isinstance(verdict, Failed)
    assert (verdict.code, verdict.detail, verdict.trace.latency_ms) == (Code.RATE_LIMITED, "429", 3.0)
    assert (verdict.trace.policy, verdict.trace.dialect) == ("spam", "safeguard.binary.v1")
    assert len(backend.requests) == 1


def test_who_asks_for_a_person_is_not_asked_again() -> None:
    backend = ScriptedBackend(["ESCALATE", "VALID"])
    (verdict,) = judge(Reasoner(BINARY, backend), "x")
    assert isinstance(verdict, Abstained)
    assert len(backend.requests) == 1


def test_every_failure_of_an_answer_has_a_ladder() -> None:
    of_answers = [
        Code.EMPTY_ANSWER, Code.TRUNCATED, Code.REFUSAL, Code.ECHOED_TEMPLATE, Code.ANSWERED_CONTENT,
        Code.UNKNOWN_LABEL, Code.CONTRADICTORY, Code.MALFORMED,
    ]  # fmt: skip
    assert set(DEFAULT_LADDER) == set(of_answers)


def test_a_dialect_of_tokens_needs_a_backend_that_takes_them() -> None:
    with pytest.raises(BackendError, match=r"harmony\.binary\.v1"):
        Reasoner(dialect_named("harmony.binary.v1"), ScriptedBackend([], capabilities=Capabilities()))


def test_missing_log_probabilities_are_said_and_not_asked_for() -> None:
    cope = dialect_named("cope.v1")
    backend = ScriptedBackend(["1"], capabilities=Capabilities())
    reasoner = Reasoner(cope, backend)
    assert "without a probability" in reasoner.notes[0]
    judge(reasoner, "x")
    assert backend.requests[0].sampling.top_logprobs == 0
    assert Reasoner(cope, ScriptedBackend(["1"])).notes == ()


def test_no_attempt_is_not_a_setting() -> None:
    with pytest.raises(UsageError, match="max_attempts"):
        Reasoner(BINARY, ScriptedBackend([]), max_attempts=0)


def test_a_backend_that_loses_an_answer_is_found_out() -> None:
    class Losing(ScriptedBackend):
        async def complete_many(self, requests: Sequence[Request]) -> list[Response]:
            return [completion("VALID")]

    with pytest.raises(BackendError, match="1 of 2"):
        judge(Reasoner(BINARY, Losing([])), "x", "y")


def test_sampling_of_the_user_goes_first() -> None:
    backend = ScriptedBackend(["0"])
    reasoner = Reasoner(dialect_named("cope.v1"), backend, sampling=Sampling(temperature=0.7, max_output_tokens=2))
    asyncio.run(reasoner.judge_many([Case(TOXIC, Content.of_text("x"))]))
    sampling = backend.requests[0].sampling
    assert (sampling.temperature, sampling.max_output_tokens, sampling.top_logprobs) == (0.7, 2, 20)


@given(st.lists(contents, min_size=1, max_size=5), st.sampled_from(["INVALID", "VALID", REFUSAL, "MAYBE", ""]))
def test_no_content_changes_how_an_answer_is_read(batch: list[Content], answer: str) -> None:
    reasoner = Reasoner(BINARY, ScriptedBackend(lambda _: answer))
    verdicts = asyncio.run(reasoner.judge_many([Case(SPAM, content) for content in batch]))
    (plain,) = asyncio.run(reasoner.judge_many([Case(SPAM, Content.of_text("hello"))]))
    assert [outcome(v) for v in verdicts] == [outcome(plain)] * len(batch)


@given(st.lists(st.sampled_from(["VALID", "INVALID", REFUSAL, "MAYBE", "", "ESCALATE"]), min_size=1, max_size=8))
def test_a_batch_is_judged_as_its_cases_one_by_one(answers: list[str]) -> None:
    def answer(request: Request) -> str:
        return answers[int(judged_text(request))]

    cases = [Case(SPAM, Content.of_text(str(place))) for place in range(len(answers))]
    together = asyncio.run(Reasoner(BINARY, ScriptedBackend(answer)).judge_many(cases))
    alone = [asyncio.run(Reasoner(BINARY, ScriptedBackend(answer)).judge_many([case]))[0] for case in cases]
    assert together == alone


def test_a_case_costs_far_less_than_half_a_millisecond() -> None:
    cases = [Case(SPAM, Content.of_text(f"Case {n}: earn money by recruiting")) for n in range(2000)]
    reasoner = Reasoner(dialect_named("safeguard.rationale.v1"), ScriptedBackend(lambda _: '{"violation": 1}'))
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        asyncio.run(reasoner.judge_many(cases))
        best = min(best, time.perf_counter() - started)
    assert best / len(cases) < 0.0005
