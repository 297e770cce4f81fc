"""Which prompts are answered together, and what is remembered of them: pure, without an engine."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from magistrate.backends.beginnings import common_length, groups
from magistrate.backends.held_words import HeldWords
from magistrate.backends.transformers.prefix import Prefix, PrefixMemory

tokens = st.lists(st.integers(0, 2), max_size=12).map(tuple)
prompts = st.lists(tokens.filter(bool), max_size=12)


@given(tokens, tokens)
def test_common_length_is_the_first_difference(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    length = common_length(one, other)
    assert one[:length] == other[:length]
    assert length == min(len(one), len(other)) or one[length] != other[length]


@given(prompts, st.integers(1, 5))
def test_groups_are_all_prompts_in_order_and_never_too_many(asked: list[tuple[int, ...]], most: int) -> None:
    cut = [asked[group] for group in groups(asked, most)]
    assert list(itertools.chain.from_iterable(cut)) == asked
    assert all(1 <= len(group) <= most for group in cut)


def under(policy: int, length: int, cases: int) -> list[tuple[int, ...]]:
    """Prompts with one system message, a policy, and cases of very different length."""
    head = (9,) * 60
    return [(*head, *[policy] * length, *[100 + case] * (5 + 400 * (case % 2))) for case in range(cases)]


def test_policies_are_kept_apart_and_cases_of_one_together() -> None:
    asked = [*under(1, 300, 6), *under(2, 900, 5), *under(3, 200, 1), *under(4, 200, 2)]
    assert groups(asked, 16) == [slice(0, 6), slice(6, 11), slice(11, 12), slice(12, 14)]
    assert groups(asked[:6], 4) == [slice(0, 4), slice(4, 6)]


def test_unlike_prompts_stand_alone_or_share_little() -> None:
    assert groups([(1, 2, 3)], 8) == [slice(0, 1)]
    assert groups([], 8) == []


def prefix(*of: int) -> Prefix:
    return Prefix(of, ())


def test_the_memory_finds_the_longest_and_keeps_the_latest() -> None:
    memory = PrefixMemory()
    assert memory.longest((1, 2)) == (None, 0)
    kept = [prefix(1, 2, 3), prefix(2, 2), prefix(3, 3), prefix(4, 4)]
    for one in kept:
        memory.keep(one)
    assert memory.longest((1, 2, 9)) == (kept[0], 2)
    memory.use(kept[0])
    memory.keep(prefix(5, 5))  # pushes out (2, 2), the one used least recently
    assert memory.longest((2, 2))[1] == 0
    assert memory.longest((1, 2, 3, 4)) == (kept[0], 3)
    memory.keep(prefix(1, 2, 4, 4))  # says most of what (1, 2, 3) said, as another case under the same policy
    assert memory.longest((1, 2, 3))[1] == 2
    assert memory.longest((3, 3)) == (kept[2], 2)
    memory.clear()
    assert memory.longest((1, 2, 3)) == (None, 0)


words = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=3).map(tuple), min_size=1, max_size=4, unique=True)


@given(words, st.data())
def test_whatever_is_possible_leads_to_a_word(of: list[tuple[int, ...]], data: st.DataObject) -> None:
    stop = 7
    held, said = HeldWords(of, [stop]), list[int]()
    while not held.is_whole:
        token = data.draw(st.sampled_from(sorted(held.following())))
        if token == stop:
            break
        held.take(token)
        said.append(token)
    assert tuple(said) in of


@given(words)
def test_every_word_can_be_said(of: list[tuple[int, ...]]) -> None:
    for word in of:
        held = HeldWords(of, [7])
        for token in word:
            assert token in held.following()
            held.take(token)
        assert 7 in held.following()
        assert held.is_whole == (not any(other[: len(word)] == word != other for other in of))
