from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.classifiers.screens.patterns import first_matches, why_unusable

PATTERNS = ["a+b", "b(a|é)", "é.", "(?i)AB", "日本?", "[^ab]b", "aa|a"]


@given(texts=st.lists(st.text("abé日本 \n", max_size=12), max_size=5), pattern=st.sampled_from(PATTERNS))
def test_the_first_match_is_that_of_re(texts: list[str], pattern: str) -> None:
    found = {number: (start, end) for number, start, end in first_matches(pattern, texts)}
    expected = {number: match.span() for number, text in enumerate(texts) if (match := re.search(pattern, text))}
    assert found == expected


@pytest.mark.parametrize("pattern", PATTERNS)
def test_usable_patterns(pattern: str) -> None:
    assert why_unusable(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "missing"),
        (r"(a)\1", "back-references"),
        ("(?<=a)b", "look-around"),
        ("a*", "empty text"),
        ("a{9999}", "rep"),
    ],
)
def test_unusable_patterns_say_why(pattern: str, why: str) -> None:
    assert why in (why_unusable(pattern) or "")


def test_a_lone_surrogate_moves_nothing() -> None:
    assert list(first_matches("b", ["a\ud800b"])) == [(0, 2, 3)]
