from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from magistrate.encoders.windows import PIECE_TOKENS, WINDOW_TOKENS, cut_pieces, cut_windows


@given(tokens=st.integers(0, 3000), context=st.integers(0, 97))
def test_windows_hold_every_token_after_the_context(tokens: int, context: int) -> None:
    windows = cut_windows(tokens, context=context)
    assert set(range(context, tokens)) <= set[int]().union(*(range(start, end) for start, end in windows))
    assert all(context < end <= tokens for _, end in windows)
    assert all(0 < end - start <= WINDOW_TOKENS for start, end in windows)
    assert all(start == 0 or start > context for start, _ in windows)
    assert list(windows) == sorted(windows)


def test_no_text_is_no_window() -> None:
    assert cut_windows(0) == cut_windows(5, context=5) == ()


def test_a_short_text_is_one_window() -> None:
    assert cut_windows(254) == ((0, 254),)
    assert cut_windows(255) == ((0, 254), (200, 255))
    assert cut_windows(255, context=97) == ((0, 254), (200, 255))


@given(tokens=st.integers(0, 600), start=st.integers(0, 100))
def test_pieces_hold_every_token_and_are_short(tokens: int, start: int) -> None:
    pieces = cut_pieces(tokens, start=start)
    assert set(range(start, tokens)) == set[int]().union(*(range(first, last) for first, last in pieces))
    assert all(0 < last - first <= PIECE_TOKENS for first, last in pieces)
