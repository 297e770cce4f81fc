from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.case import Case
from magistrate.classifiers.clause_matcher import ClauseMatcher
from magistrate.classifiers.disguise import second_reading
from magistrate.policy.model import Policy
from magistrate.types import Abstained, Content, Decided


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("k1ll y0urself", "kill yourself"),
        ("h4te th3m all", "hate them all"),
        ("a$$hole", "asshole"),
        ("s p a c e d out words", "spaced out words"),
        ("f.r.e.e money", "free money"),
        ("k i l l  t h e m now", "kill them now"),
        ("k\u0456ll \u0443\u043eu", "kill you"),
        ("k\u200dill", "kill"),
        ("ｆｒｅｅ money", "free money"),
        ("fr\u200bee mon\u00adey", "free money"),
        ("k\u0336i\u0336l\u0336l", "kill"),
    ],
)
def test_words_in_disguise_are_read_as_they_are_meant(text: str, meant: str) -> None:
    found = second_reading(text)
    assert found is not None
    assert found.text == meant


@pytest.mark.parametrize(
    "text",
    [
        "plain text, 3 items for $5!",
        "mp3 b2b covid-19 at 10am v1.2 3d",
        "@user look at #1",
        "my helmet is 57cm, the 2nd and 4th were 10kg",
        "I am a b c student",
        "write to me at a@b.example or https://x.example/a1b2",
        "héllo café, żółć, привет, γειά σου",
        "👨\u200d👩\u200d👧 family",
        "",
    ],
)
def test_what_is_no_disguise_has_no_second_reading(text: str) -> None:
    assert second_reading(text) is None


@given(st.text(max_size=80))
def test_every_character_that_is_read_stands_in_the_text(text: str) -> None:
    found = second_reading(text)
    if found is not None:
        assert len(found.places) == len(found.text)
        assert list(found.places) == sorted(found.places)
        assert all(0 <= place < len(text) for place in found.places)
        start, end = found.original(0, len(found.text))
        assert 0 <= start < end <= len(text)


def test_the_judge_reads_through_a_disguise_and_points_at_the_original() -> None:
    policy = Policy.parse(
        "# Threats\n\n## Violates\n- T1. Threatens to kill or hurt somebody.\n\n## Allowed\n- T2. Anything else.\n"
    )
    plain, hidden = "I will kill you tonight", "I w1ll k\u200bi\u200bll y0u t0night"

    async def judge() -> list[Decided | Abstained]:
        async with ClauseMatcher(abstain_within=0.0) as matcher:
            verdicts = await matcher.judge_many([Case(policy, Content.of_text(text)) for text in (plain, hidden)])
            return [v for v in verdicts if isinstance(v, Decided | Abstained)]

    first, second = asyncio.run(judge())
    assert first.probability is not None and second.probability is not None
    assert second.probability >= first.probability - 0.01
    span = second.evidence[0].span
    assert span is not None and 0 <= span.start < span.end <= len(hidden)


def test_of_a_long_text_what_is_near_a_disguise_is_read_again() -> None:
    before, behind = "The soup was warm. " * 40, " Rain is expected." * 40
    found = second_reading(f"{before}I will k1ll you.{behind}")
    assert found is not None
    assert "I will kill you." in found.text
    assert len(found.text) < 300
    assert found.text in f"{before}I will kill you.{behind}"
    start, end = found.original(0, len(found.text))
    assert f"{before}I will k1ll you.{behind}"[start:end] == found.text.replace("kill", "k1ll")
