"""Equal and nearly equal content: judged once, within bounds, and never to an attacker's profit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.classifiers.cascade.scripted import OTHER, POLICY, Scripted, abstains, case, fails, says

from magistrate.case import Case
from magistrate.classifiers.cascade.duplicates import Deduplicated, distance_left, new_pieces
from magistrate.classifiers.cascade.minhash import Bands, Signer, similarity
from magistrate.classifiers.cascade.plan import Reuse
from magistrate.types import Content, Course, Decided, Failed, Message, Role, Target, Verdict

ALWAYS = Reuse(judged_anyway=0.0)
LONG = (
    "Our club meets every Tuesday in the old library to read poems and to drink tea, and all are welcome to join. " * 3
)
BAD = "murder"


def reasoned(asked: Case) -> Verdict:
    """A reasoner that sees what is there."""
    return says(0.97 if BAD in asked.content.judged[-1].content else 0.01)


def screened(asked: Case) -> Verdict:
    """A screen that a long innocent text can lull: it counts bad words against all words."""
    words = asked.content.judged[-1].content.split()
    share = sum(BAD in word for word in words) / max(1, len(words))
    return says(min(0.95, 0.02 + 0.9 * share))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(judge: Deduplicated, *batches: Sequence[Case]) -> list[list[Verdict]]:
    async def all_of_them() -> list[list[Verdict]]:
        async with judge:
            return [await judge.judge_many(batch) for batch in batches]

    return asyncio.run(all_of_them())


def is_reused(verdict: Verdict) -> bool:
    return any(step.course is Course.REUSED for step in verdict.trace.steps)


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 4), st.integers(1, 4))
def test_equal_content_gets_the_verdict_that_it_would_have_got(texts: list[int], rows: int, cap: int) -> None:
    answers: list[Verdict] = [says(0.9), says(0.1), abstains(0.5), fails()]
    inner = Scripted(lambda asked: answers[int(asked.content.messages[0].content)])
    cases = [case(str(text), str(place)) for place, text in enumerate(texts)]
    batches = [cases[start : start + rows] for start in range(0, len(cases), rows)]
    judge = Deduplicated(inner, Reuse(judged_anyway=0.0, cap=cap))
    verdicts = [verdict for batch in run(judge, *batches) for verdict in batch]
    for asked, verdict in zip(cases, verdicts, strict=True):
        expected = answers[int(asked.content.messages[0].content)]
        assert type(verdict) is type(expected)
        if isinstance(verdict, Decided) and isinstance(expected, Decided):
            assert (verdict.violation, verdict.probability) == (expected.violation, expected.probability)
        else:
            assert not is_reused(verdict)
    for text in range(2):
        asked_count = sum(asked.content.messages[0].content == str(text) for asked in inner.cases)
        assert asked_count == -(-texts.count(text) // (cap + 1))


def test_a_reused_verdict_costs_nothing_and_says_whose_it_is() -> None:
    inner = Scripted(lambda _: says(0.9))
    ((first,), (second,)) = run(Deduplicated(inner, ALWAYS), [case("spam", "a")], [case("spam", "b")])
    assert (first.trace.usage.calls, second.trace.usage.calls) == (1, 0)
    assert "the same content as case 'a'; it answers 1 of 50" in second.trace.steps[0].detail
    assert len(inner.cases) == 1


def test_another_policy_never_shares() -> None:
    inner = Scripted(lambda _: says(0.1))
    run(Deduplicated(inner, ALWAYS), [case("spam", "a")], [case("spam", "a", OTHER)])
    assert [asked.policy.name for asked in inner.cases] == ["ads", "other"]


def test_a_chat_is_not_the_text_that_it_ends_with() -> None:
    inner = Scripted(lambda _: says(0.1))
    screen = Scripted(screened)
    text = Case(POLICY, Content.of_text(LONG), "a")
    chats = [
        Case(POLICY, Content.of_chat([Message(Role.ASSISTANT, before), Message(Role.USER, LONG)], Target.USER), before)
        for before in ("Hello", "Shall I harm you?")
    ]
    run(Deduplicated(inner, ALWAYS, screen=screen), [text], [chats[0]], [chats[1]])
    assert len(inner.cases) == 3


def test_verdicts_are_kept_for_their_time_and_their_number() -> None:
    inner, clock = Scripted(lambda _: says(0.1)), Clock()
    judge = Deduplicated(inner, Reuse(judged_anyway=0.0, items=2, seconds=100), clock=clock)
    run(judge, [case("1"), case("2"), case("3")], [case("3"), case("2")])
    assert len(inner.cases) == 3
    run(judge, [case("1")])
    assert len(inner.cases) == 4
    clock.now = 100.0
    run(judge, [case("1"), case("3")])
    assert len(inner.cases) == 6


def test_some_are_judged_anyway_and_a_wrong_verdict_is_then_replaced() -> None:
    opinions = iter([says(0.1), *[says(0.9)] * 1000])
    inner = Scripted(lambda _: next(opinions))
    judge = Deduplicated(inner, Reuse(judged_anyway=0.2, cap=1000), chance=random.Random(1))
    verdicts = [batch[0] for batch in run(judge, *([case("spam", str(n))] for n in range(200)))]
    assert len(inner.cases) == pytest.approx(40, abs=20)
    said = [isinstance(verdict, Decided) and verdict.violation for verdict in verdicts]
    assert said.index(True) < 40
    assert all(said[said.index(True) :])


def test_nearly_equal_content_is_answered_where_the_edit_changes_nothing() -> None:
    inner, screen = Scripted(reasoned), Scripted(screened)
    edited_text = LONG.replace("Tuesday", "Thursday", 1)
    ((_,), (second,)) = run(Deduplicated(inner, ALWAYS, screen=screen), [case(LONG, "a")], [case(edited_text, "b")])
    assert is_reused(second)
    assert "nearly the same content as case 'a'" in second.trace.steps[0].detail
    assert len(inner.cases) == 1


def test_without_a_screen_only_equal_content_is_answered() -> None:
    inner = Scripted(reasoned)
    run(Deduplicated(inner, ALWAYS), [case(LONG, "a")], [case(LONG + "!", "b")])
    assert len(inner.cases) == 2


def test_a_cleared_text_does_not_let_violating_variations_of_it_pass() -> None:
    """The attack: have an innocent text cleared, then post it again and again with a few words put in."""
    draw = random.Random(5)
    inner, screen = Scripted(reasoned), Scripted(screened)
    words = LONG.split()
    variations = []
    for number in range(60):
        at = draw.randrange(len(words))
        put_in = f"{BAD} them" if number % 2 else BAD
        variations.append(case(" ".join([*words[:at], put_in, *words[at:]]), f"v{number}"))
    signer = Signer()
    original = signer.signature(LONG)
    assert original is not None
    alike = [signer.signature(one.content.messages[0].content) for one in variations]
    assert sum(similarity(original, one) > 0.8 for one in alike if one is not None) > 50
    judge = Deduplicated(inner, ALWAYS, screen=screen)
    _, *answers = run(judge, [case(LONG, "innocent")], *([one] for one in variations))
    assert all(isinstance(v, Decided) and v.violation for (v,) in answers)


def test_a_flagged_text_does_not_take_innocent_variations_with_it() -> None:
    inner, screen = Scripted(reasoned), Scripted(screened)
    bad = LONG.replace("poems", BAD, 1)
    judge = Deduplicated(inner, ALWAYS, screen=screen)
    _, (verdict,) = run(judge, [case(bad, "bad")], [case(LONG, "good")])
    assert isinstance(verdict, Decided)
    assert not verdict.violation


def test_variations_count_against_the_cap() -> None:
    inner, screen = Scripted(reasoned), Scripted(screened)
    judge = Deduplicated(inner, Reuse(judged_anyway=0.0, cap=3), screen=screen)
    batches = [[case(LONG.replace("Tuesday", f"Day{n}", 1), str(n))] for n in range(9)]
    verdicts = [batch[0] for batch in run(judge, *batches)]
    assert sum(is_reused(verdict) for verdict in verdicts) <= 6
    assert len(inner.cases) >= 3


def test_a_failure_of_the_screen_reuses_nothing() -> None:
    inner = Scripted(reasoned)
    judge = Deduplicated(inner, ALWAYS, screen=Scripted(lambda _: fails()))
    run(judge, [case(LONG, "a")], [case(LONG + "!", "b")])
    assert len(inner.cases) == 2


def test_failures_answer_for_nobody() -> None:
    inner = Scripted(lambda _: fails())
    verdicts = run(Deduplicated(inner, ALWAYS), [case("spam", "a"), case("spam", "b")], [case("spam", "c")])
    assert all(isinstance(verdict, Failed) for batch in verdicts for verdict in batch)
    assert len(inner.cases) == 3


words = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=8)


@given(words, words, words)
def test_the_pieces_hold_every_new_word_and_none_is_new_where_nothing_changed(
    before: list[str], put_in: list[str], after: list[str]
) -> None:
    fresh = [f"new{place}" for place in range(len(put_in))]
    old, new = " ".join([*before, *after]), " ".join([*before, *fresh, *after])
    pieces = new_pieces(old, new)
    assert pieces is not None
    assert all(any(word in piece.split() for piece in pieces) for word in fresh)
    assert all(piece in new for piece in pieces)
    assert new_pieces(old, old) == ()
    if fresh:
        assert " ".join(fresh) in pieces


def test_what_is_between_two_edits_is_in_no_piece() -> None:
    old = " ".join(f"w{n}" for n in range(50))
    new = f"bad {old} end"
    pieces = new_pieces(old, new)
    assert pieces is not None
    assert {"bad", "end"} <= set(pieces)
    assert max(len(piece.split()) for piece in pieces) == 3
    assert new_pieces(old, " ".join(f"w{n}" if n % 5 else "x" for n in range(50))) is None


def test_words_taken_out_leave_the_place_where_the_others_met() -> None:
    assert new_pieces("i do not like this at all", "i do like this at all") == ("i do like this",)


@given(st.floats(0.001, 0.999), st.floats(-9, 9), st.floats(-9, 9), st.floats(-9, 9))
def test_an_edit_only_ever_takes_distance_away(p: float, before: float, after: float, edit: float) -> None:
    left = distance_left(says(p), before, after, [edit], decide_at=0.5)
    assert left <= distance_left(says(p), before, before, [before], decide_at=0.5) + 1e-9
    assert distance_left(says(p), before, None, [edit], decide_at=0.5) == 0.0
    assert distance_left(says(p), before, after, [edit, None], decide_at=0.5) == 0.0


@given(st.text(max_size=80))
def test_signatures_are_of_the_text_whatever_its_case_and_spacing(text: str) -> None:
    signer = Signer(b"key")
    one, two = signer.signature(text), signer.signature(f"  {text} ")
    assert (one is None) == (two is None)
    if one is not None and two is not None:
        assert similarity(one, two) == 1.0


def test_the_estimate_is_near_the_true_share_of_shingles() -> None:
    draw = random.Random(3)
    signer = Signer(b"key")
    words = [f"w{draw.randrange(10_000)}" for _ in range(300)]
    changed = [*words[:240], *(f"x{n}" for n in range(60))]
    texts = [" ".join(words), " ".join(changed)]
    shingles = [{text[at : at + 5] for at in range(len(text) - 4)} for text in texts]
    true = len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])
    one, two = (signer.signature(text) for text in texts)
    assert one is not None
    assert two is not None
    assert similarity(one, two) == pytest.approx(true, abs=0.15)


def test_bands_forget_what_is_removed() -> None:
    signer, bands = Signer(b"key"), Bands()
    one = signer.signature(LONG)
    assert one is not None
    bands.add(1, one)
    bands.add(2, one)
    bands.remove(1, one)
    assert bands.sharing(one) == {2}
    bands.remove(2, one)
    assert bands.sharing(one) == set()
