"""Which prompts are answered together."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from magistrate.backends.beginnings import common_length, groups

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
