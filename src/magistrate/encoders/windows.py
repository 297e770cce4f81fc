"""How a long row of tokens is cut: windows that the model reads at once, and pieces that are shown to people."""

from __future__ import annotations

WINDOW_TOKENS = 254
"""The model reads 256 at once, two of which are its own marks. Shorter windows served worse (docs/decisions/005)."""
WINDOW_STEP = 200
PIECE_TOKENS = 16
PIECE_STEP = 8
"""A readable quote."""


def cut_windows(tokens: int, *, context: int = 0) -> tuple[tuple[int, int], ...]:
    """Cut `tokens` tokens, the first `context` of which are only read, into overlapping ranges.

    The first range begins with the context, the others hold none of it. No tokens after the context: no window.

    Args:
        tokens: All of them.
        context: Fewer than `WINDOW_STEP`.
    """
    if tokens <= context:
        return ()
    starts = range(0, max(1, tokens - WINDOW_TOKENS + WINDOW_STEP), WINDOW_STEP)
    return tuple((start, min(start + WINDOW_TOKENS, tokens)) for start in starts)


def cut_pieces(tokens: int, *, start: int = 0) -> tuple[tuple[int, int], ...]:
    """Cut tokens `start` to `tokens` into overlapping pieces; the last may be shorter."""
    if tokens <= start:
        return ()
    starts = range(start, max(start + 1, tokens - PIECE_TOKENS + PIECE_STEP), PIECE_STEP)
    return tuple((first, min(first + PIECE_TOKENS, tokens)) for first in starts)
