from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from magistrate.case import Case
from magistrate.classifiers import clause_matcher
from magistrate.classifiers.base import Classifier
from magistrate.classifiers.clause_matcher import CLOSE_RULES, DIALECT, ClauseMatcher
from magistrate.digest import text_digest
from magistrate.encoders.base import EncodedPassage, Passage, States
from magistrate.encoders.minilm import MiniLmEncoder
from magistrate.encoders.model_folder import ASSETS, ModelFolder, read_model_folder
from magistrate.errors import UsageError
from magistrate.policy.model import Polarity, Policy
from magistrate.types import Abstained, Code, Content, Decided, Message, Role, Severity, Target, Verdict

MARKET = Policy.parse(
    """# Marketplace

## Violates
- M1. (high) Asks the buyer to pay outside the marketplace.
- M2. (severe) Offers guns, drugs or stolen goods for sale.
- M3. (low) Insults the other person.

## Allowed
- A1. Questions about the size or the colour of an item.
- A2. Arranging a time and a place to collect an item.

## Examples
- "Pay me by bank transfer, not through the site" -> 1 (M1)
- "You stupid idiot" -> 1 (M3)
- "How wide is the table?" -> 0 (A1)
- "Can I pick it up at six on Monday?" -> 0 (A2)
""",
    name="marketplace",
)
GARDEN = Policy.parse(
    "# Garden forum\n\n## Violates\n- G1. Talk about cars and engines.\n\n## Allowed\n- G2. Plants, soil and tools.\n",
    name="garden",
)
PAY_OUTSIDE = "Please pay me by bank transfer and not through the site."
COLLECT = "Can I collect the table on Monday at six?"
CHATTER = "The committee met on Tuesday and discussed the new bicycle lanes near the river. "
TEXTS = [PAY_OUTSIDE, COLLECT, "you idiot", "My engine makes a noise", "", "12 34", "Fresh compost for roses"]


class CountingEncoder:
    """A real encoder that keeps what it was asked for."""

    def __init__(self) -> None:
        self._inner = MiniLmEncoder()
        self.texts: list[str] = []
        self.passages: list[Passage] = []
        self.groups: list[int] = []

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def folder(self) -> ModelFolder:
        return self._inner.folder

    @property
    def dimensions(self) -> int:
        return self._inner.dimensions

    def encode(self, texts: Sequence[str]) -> States:
        self.texts += texts
        return self._inner.encode(texts)

    def encode_tokens(self, passages: Sequence[Passage]) -> list[EncodedPassage]:
        self.passages += passages
        self.groups.append(len(passages))
        return self._inner.encode_tokens(passages)

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inner.__exit__(kind, error, trace)


def judge(*cases: Case, matcher: ClauseMatcher | None = None) -> list[Verdict]:
    async def run() -> list[Verdict]:
        async with matcher or ClauseMatcher(MiniLmEncoder()) as opened:
            return await opened.judge_many(cases)

    return asyncio.run(run())


def judge_text(text: str, policy: Policy = MARKET) -> Verdict:
    return judge(Case(policy, Content.of_text(text)))[0]


def decided(verdict: Verdict) -> Decided:
    assert isinstance(verdict, Decided), verdict
    return verdict


def without_latency(verdict: Verdict) -> Verdict:
    return dataclasses.replace(verdict, trace=dataclasses.replace(verdict.trace, latency_ms=0.0))


def test_is_a_classifier() -> None:
    one: Classifier = ClauseMatcher(MiniLmEncoder())
    assert one.name == read_model_folder(ASSETS).name


def test_a_violation_names_the_deciding_rule_and_the_nearest_allowed_one() -> None:
    verdict = decided(judge_text(PAY_OUTSIDE))
    assert verdict.violation
    assert verdict.rule_ids[0] == "M1"
    assert verdict.label == MARKET.rules[0].label
    assert verdict.severity is Severity.HIGH
    assert verdict.probability is not None and verdict.probability > 0.7
    assert [match.rule_id for match in verdict.evidence] == [*verdict.rule_ids, verdict.evidence[-1].rule_id]
    assert verdict.evidence[-1].rule_id in {"A1", "A2"}
    assert verdict.evidence[0].score > verdict.evidence[-1].score


def test_what_is_allowed_names_the_nearest_allowed_rule() -> None:
    verdict = decided(judge_text(COLLECT))
    assert not verdict.violation
    assert verdict.rule_ids == ("A2",)
    assert verdict.severity is None
    assert verdict.probability is not None and verdict.probability < 0.3
    assert verdict.evidence[0].rule_id == "A2"
    label = MARKET.label(verdict.label)
    assert label is not None and not label.violation


def test_the_rationale_says_what_the_evidence_says_and_does_not_quote_the_content() -> None:
    verdict = decided(judge_text(f"Hello Zebediah. {PAY_OUTSIDE}"))
    for match in (verdict.evidence[0], verdict.evidence[-1]):
        assert match.rule_id in verdict.rationale
        assert f"({match.score:.1f})" in verdict.rationale
    span = verdict.evidence[0].span
    assert span is not None
    assert f"haracters {span.start}-{span.end}" in verdict.rationale
    assert "Zebediah" not in verdict.rationale


def test_the_trace_says_where_the_verdict_comes_from() -> None:
    trace = judge_text(PAY_OUTSIDE).trace
    assert (trace.policy, trace.policy_digest) == ("marketplace", MARKET.digest)
    assert (trace.model, trace.dialect) == (read_model_folder(ASSETS).name, DIALECT)
    assert trace.usage.calls == 1
    assert trace.usage.input_tokens == 14
    assert trace.latency_ms > 0
    assert trace.reasoning == ""


def test_a_batch_of_mixed_policies_is_judged_as_one_by_one() -> None:
    cases = [Case(policy, Content.of_text(text)) for text in TEXTS for policy in (MARKET, GARDEN)]
    chat = Content.of_chat([Message(Role.USER, "hi"), Message(Role.ASSISTANT, "you idiot")], Target.CHAT)
    cases = [*cases, Case(MARKET, chat), *reversed(cases)]

    async def run() -> tuple[list[Verdict], list[Verdict]]:
        async with ClauseMatcher(MiniLmEncoder()) as matcher:
            together = await matcher.judge_many(cases)
            alone = [(await matcher.judge_many([case]))[0] for case in cases]
            return together, alone

    together, alone = asyncio.run(run())
    assert [without_latency(verdict) for verdict in together] == [without_latency(verdict) for verdict in alone]
    assert [verdict.trace.policy for verdict in together] == [case.policy.name for case in cases]


def test_the_same_policy_under_two_names_keeps_both_names() -> None:
    other = dataclasses.replace(MARKET, name="bazaar")
    verdicts = judge(*(Case(policy, Content.of_text(COLLECT)) for policy in (MARKET, other)))
    assert [verdict.trace.policy for verdict in verdicts] == ["marketplace", "bazaar"]


def test_no_case_is_no_verdict() -> None:
    assert judge() == []


def test_content_is_encoded_once_for_all_policies_and_rules_once_a_policy() -> None:
    encoder = CountingEncoder()
    cases = [Case(policy, Content.of_text(text)) for text in (PAY_OUTSIDE, COLLECT) for policy in (MARKET, GARDEN)]

    async def run() -> None:
        async with ClauseMatcher(encoder) as matcher:
            await matcher.judge_many(cases)
            await matcher.judge_many(cases)

    asyncio.run(run())
    assert [passage.text for passage in encoder.passages] == [PAY_OUTSIDE, COLLECT] * 2
    assert sorted(encoder.texts) == sorted({*encoder.texts})
    told = {f"{policy.title}: {rule.text}" for policy in (MARKET, GARDEN) for rule in policy.rules}
    assert told < set(encoder.texts)


def test_the_least_recently_used_policy_is_forgotten() -> None:
    encoder = CountingEncoder()
    content = Content.of_text(COLLECT)

    async def run() -> list[int]:
        async with ClauseMatcher(encoder, cached_policies=1) as matcher:
            counts: list[int] = []
            for policy in (MARKET, MARKET, GARDEN, MARKET):
                await matcher.judge_many([Case(policy, content)])
                counts.append(len(encoder.texts))
            return counts

    first, second, third, fourth = asyncio.run(run())
    assert first == second < third < fourth


def test_more_policies_than_the_cache_holds_are_each_encoded_once_a_call() -> None:
    encoder = CountingEncoder()
    cases = [Case(policy, Content.of_text(text)) for text in TEXTS for policy in (MARKET, GARDEN)]
    judge(*cases, matcher=ClauseMatcher(encoder, cached_policies=1))
    assert len(encoder.texts) == len({*encoder.texts})


@pytest.mark.parametrize("text", ["", "   \n", "12 345", "?!", "😀😀", "\x00"])
def test_content_without_letters_is_not_judged(text: str) -> None:
    verdict = judge_text(text)
    assert isinstance(verdict, Abstained)
    assert verdict.code is Code.UNSURE
    assert "nothing to judge" in verdict.detail
    assert verdict.probability is None
    assert verdict.trace.usage.calls == 0


def test_close_to_one_half_it_abstains_and_says_how_close() -> None:
    content = Content.of_text(PAY_OUTSIDE)
    (wide,) = judge(Case(MARKET, content), matcher=ClauseMatcher(MiniLmEncoder(), abstain_within=0.49999))
    (narrow,) = judge(Case(MARKET, content), matcher=ClauseMatcher(MiniLmEncoder(), abstain_within=0))
    assert isinstance(wide, Abstained)
    assert wide.code is Code.UNSURE
    assert wide.probability == decided(narrow).probability
    assert f"{wide.probability:.3f}" in wide.detail
    assert wide.evidence[0].rule_id == "M1"


@pytest.mark.parametrize("width", [-0.1, 0.5, 1.0])
def test_a_band_that_cannot_be(width: float) -> None:
    with pytest.raises(UsageError, match="abstain_within"):
        ClauseMatcher(MiniLmEncoder(), abstain_within=width)


def test_a_cache_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="cached_policies"):
        ClauseMatcher(MiniLmEncoder(), cached_policies=0)


def one_sided(polarity: Polarity) -> Policy:
    rules = tuple(rule for rule in MARKET.rules if rule.polarity is polarity)
    examples = tuple(e for e in MARKET.examples if e.violation is (polarity is Polarity.VIOLATES))
    return dataclasses.replace(MARKET, rules=rules, examples=examples, digest=text_digest(polarity.value))


def test_a_policy_without_allowed_rules_decides_both_ways() -> None:
    policy = one_sided(Polarity.VIOLATES)
    bad, good = judge(*(Case(policy, Content.of_text(text)) for text in (PAY_OUTSIDE, CHATTER)))
    assert decided(bad).violation and decided(bad).rule_ids[0] == "M1"
    assert not decided(good).violation and decided(good).rule_ids == ()
    assert "no allowed rule" in decided(bad).rationale
    assert "stands for no rule at all" in decided(good).rationale


def test_a_policy_without_violating_rules_has_nothing_to_judge_by() -> None:
    verdict = judge_text(PAY_OUTSIDE, one_sided(Polarity.ALLOWED))
    assert isinstance(verdict, Abstained)
    assert "no violating rule" in verdict.detail


def test_examples_without_a_rule_decide_without_a_rule_id() -> None:
    only = one_sided(Polarity.VIOLATES)
    verdict = decided(judge_text(PAY_OUTSIDE, dataclasses.replace(only, rules=(), digest=text_digest("examples"))))
    assert verdict.violation
    assert verdict.rule_ids == ()
    assert verdict.label in {label.name for label in MARKET.labels if label.violation}
    assert "belong to no rule" in verdict.rationale


def test_several_rules_are_named_only_where_they_are_nearly_as_near() -> None:
    repeated = "\n".join(f"- R{n}. Asks to pay outside the site{'.' * n}" for n in range(6))
    policy = Policy.parse(f"# Pay\n\n## Violates\n{repeated}\n- R9. Insults people.\n", name="pay")
    verdict = decided(judge_text("pay outside the site", policy))
    assert len(verdict.rule_ids) == CLOSE_RULES
    assert "R9" not in verdict.rule_ids


def test_long_content_is_read_to_its_end() -> None:
    planted = f"{PAY_OUTSIDE} " * 5
    text = CHATTER * 700 + planted
    verdict = decided(judge_text(text))
    assert verdict.violation and verdict.rule_ids[0] == "M1"
    span = verdict.evidence[0].span
    assert span is not None
    assert span.end > len(text) - len(planted)
    assert "bank transfer" in text[span.start : span.end]
    assert not decided(judge_text(CHATTER * 20)).violation


def test_many_texts_are_judged_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clause_matcher, "GROUP_CHARACTERS", 200)
    encoder = CountingEncoder()
    cases = [Case(GARDEN, Content.of_text(f"{number:02d} {text}")) for number in range(3) for text in TEXTS]
    grouped = judge(*cases, matcher=ClauseMatcher(encoder))
    assert len(encoder.groups) > 2 and max(encoder.groups) > 1
    monkeypatch.undo()
    assert [without_latency(verdict) for verdict in grouped] == [without_latency(verdict) for verdict in judge(*cases)]


CHAT = (
    Message(Role.SYSTEM, "You help on a marketplace."),
    Message(Role.USER, PAY_OUTSIDE),
    Message(Role.ASSISTANT, "The table is two metres wide and blue."),
)


def test_only_the_judged_message_decides() -> None:
    user, assistant = judge(
        *(Case(MARKET, Content.of_chat(CHAT, target)) for target in (Target.USER, Target.ASSISTANT))
    )
    assert decided(user).violation
    span = decided(user).evidence[0].span
    assert span is not None and span.message == 0 and 0 <= span.start < span.end <= len(PAY_OUTSIDE)
    assert assistant.trace.usage.input_tokens != user.trace.usage.input_tokens
    for match in decided(assistant).evidence:
        assert match.span is not None and match.span.end <= len(CHAT[2].content)


def test_in_a_whole_chat_the_loudest_message_decides() -> None:
    (verdict,) = judge(Case(MARKET, Content.of_chat(CHAT)))
    assert decided(verdict).violation
    span = decided(verdict).evidence[0].span
    assert span is not None and span.message == 1
    assert "of message 2" in decided(verdict).rationale


def test_a_judged_message_is_read_after_what_was_said_but_not_after_instructions() -> None:
    encoder = CountingEncoder()
    judge(Case(MARKET, Content.of_chat(CHAT, Target.ASSISTANT)), matcher=ClauseMatcher(encoder))
    assert encoder.passages == [Passage(CHAT[2].content, PAY_OUTSIDE)]


def test_the_event_loop_goes_on_while_it_judges() -> None:
    async def run() -> int:
        ticks = 0
        async with ClauseMatcher(MiniLmEncoder()) as matcher:
            content = [Content.of_text(f"{number} {CHATTER * 10}") for number in range(20)]
            judging = asyncio.create_task(matcher.judge_many([Case(MARKET, one) for one in content]))
            while not judging.done():
                ticks += 1
                await asyncio.sleep(0.001)
            await judging
        return ticks

    assert asyncio.run(run()) > 10


@settings(max_examples=25)
@example(texts=["\ud800 a", "[SEP]", "a" * 300])
@given(st.lists(st.text(st.characters(), max_size=60), max_size=4))
def test_no_content_raises_and_all_that_is_named_is_in_the_policy(texts: list[str]) -> None:
    verdicts = judge(*(Case(MARKET, Content.of_text(text)) for text in texts))
    assert len(verdicts) == len(texts)
    ids = {rule.id for rule in MARKET.rules}
    for text, verdict in zip(texts, verdicts, strict=True):
        assert isinstance(verdict, Decided | Abstained)
        for match in verdict.evidence:
            assert match.rule_id in ids and match.span is not None and np.isfinite(match.score)
            assert 0 <= match.span.start <= match.span.end <= len(text)
        if isinstance(verdict, Decided):
            assert set(verdict.rule_ids) <= ids
            assert verdict.violation is (verdict.probability is not None and verdict.probability >= 0.5)
            assert np.isfinite(verdict.probability or 0)
