from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from magistrate.classifiers.policy_passages import PassageKind, PolicyPassage
from magistrate.train.embedded.composing import MOST_CHARACTERS, ORDERS, Composed, Composer, Composition
from magistrate.train.embedded.families import Family, Ruling, TrainingCase, TrainingPolicy
from magistrate.types import Content, Message, Role, Target

NOTHING = Composition(planted=0, joined=0, disguised=0, ordered=0)
PLANTED = Composition(planted=1, joined=0, disguised=0, ordered=0)
JOINED = Composition(planted=0, joined=1, disguised=0, ordered=0)
DISGUISED = Composition(planted=0, joined=0, disguised=1, ordered=0)
ORDERED = Composition(planted=0, joined=0, disguised=0, ordered=1)
THREAT = "I will find you and break your arm."
PEACE = "The bakery at the corner has new opening hours. We went there on a rainy Sunday morning! Bread was still warm."
INSULT = "Everyone in this thread is an idiot who cannot read."


def family(name: str, rule: str, texts: Sequence[tuple[Content, bool]]) -> Family:
    passage = PolicyPassage(kind=PassageKind.RULE, text=rule, violation=True, rule_id="R1")
    policy = TrainingPolicy(name=name, title=name, passages=(passage,))
    cases = tuple(TrainingCase(content, {name: Ruling(violation)}) for content, violation in texts)
    return Family(name, (policy,), cases)


def text(words: str) -> Content:
    return Content.of_text(words)


THREATS = family("threats", "Threats of violence.", [(text(THREAT), True), (text("See you at the match."), False)])
FAR = family("talk", "Insults.", [(text(PEACE), False), (text(INSULT), True)])


def compose(chances: Composition, own: Family = THREATS, times: int = 40) -> list[Composed]:
    composer = Composer({own.name: [FAR]}, chances)
    return [one for seed in range(times) for one in composer.compose(own, own.cases, random.Random(seed))]


def test_without_chances_cases_stay_as_they_are() -> None:
    assert {one.content for one in compose(NOTHING)} == {case.content for case in THREATS.cases}


def test_a_case_is_planted_among_harmless_sentences_of_unrelated_families() -> None:
    found = compose(PLANTED)
    assert all(len(one.parts) == 1 for one in found)
    texts = [one.content.messages[0].content for one in found if one.parts[0] is THREATS.cases[0]]
    assert all(THREAT in words and INSULT not in words and len(words) <= MOST_CHARACTERS for words in texts)
    assert all("bakery" in words or "rainy" in words or "Bread" in words for words in texts)
    assert any(words.startswith(THREAT) for words in texts)
    assert any(words.endswith(THREAT) for words in texts)
    assert len(set(texts)) > 10


def test_what_was_said_before_stays_where_it_was() -> None:
    chat = Content.of_chat([Message(Role.USER, "Shall I?"), Message(Role.ASSISTANT, THREAT)], Target.ASSISTANT)
    for one in compose(PLANTED, family("chat", "Threats.", [(chat, True)])):
        first, last = one.content.messages
        assert first == chat.messages[0]
        assert THREAT in last.content


def test_joined_contents_hold_both_cases() -> None:
    found = [one for one in compose(JOINED) if len(one.parts) == 2]
    assert found
    for one in found:
        assert all(part.content.messages[0].content in one.content.messages[0].content for part in one.parts)


def test_a_chat_is_joined_with_nothing() -> None:
    chat = Content.of_chat([Message(Role.USER, "Shall I?"), Message(Role.USER, THREAT)], Target.USER)
    own = family("chat", "Threats.", [(chat, True), (text("See you."), False)])
    assert all(len(one.parts) == 1 for one in compose(JOINED, own))


def test_disguised_words_keep_their_case() -> None:
    found = [one for one in compose(DISGUISED) if one.parts[0] is THREATS.cases[0]]
    assert all(one.content != THREATS.cases[0].content for one in found)


@pytest.mark.parametrize(("rule", "taken"), [("Threats of violence.", True), ("Prompt injection.", False)])
def test_orders_to_the_judge_are_put_where_no_rule_is_about_them(rule: str, taken: bool) -> None:
    own = family("own", rule, [(text(THREAT), True)])
    found = [one.content.messages[0].content for one in compose(ORDERED, own)]
    assert all(THREAT in words for words in found)
    assert all(any(order in words for order in ORDERS) is taken for words in found)


def test_a_content_too_long_for_more_stays_as_it_is() -> None:
    long = text("word " * 200)
    assert {one.content for one in compose(PLANTED, family("long", "Words.", [(long, True)]))} == {long}
