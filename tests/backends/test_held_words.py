from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from magistrate.backends.held_words import HeldWords

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
