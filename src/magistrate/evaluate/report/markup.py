"""Pieces of HTML. Functions that take words escape them; cells of tables are taken as they are."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from magistrate.evaluate.compare import Conclusion
from magistrate.evaluate.gate import Result
from magistrate.evaluate.interval import Interval
from magistrate.row import valid_text

_HIDDEN = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of what follows: content could rewrite the page around it."""


def text(words: str) -> str:
    """Words as they are seen: markup escaped, control characters and marks of direction made visible."""
    return escape("".join(_seen(c) for c in valid_text(words)))


def _seen(character: str) -> str:
    if character in "\n\t":
        return character
    if character in _HIDDEN or ord(character) < 32 or 127 <= ord(character) < 160:
        return "\ufffd"
    return character


def badge(result: Result | Conclusion, word: str = "") -> str:
    """A result as a coloured word; `word` is shown in its place."""
    return f'<span class="badge {result.value.replace(" ", "-")}">{text(word or result.value)}</span>'


def card(name: str, value: str, said: str) -> str:
    """A figure in large print, with its name above and what is to be said of it below."""
    return f'<div class="card"><span>{text(name)}</span><b>{text(value)}</b><span>{text(said)}</span></div>'


def code_word(word: str) -> str:
    """A word that is not broken into lines."""
    return f'<span class="code">{text(word)}</span>'


def head(names: Sequence[str], *, plain: int = 0) -> str:
    """The head of a table; the first `plain` columns are words, the others numbers."""
    return (
        "<tr>" + "".join(f"<th{_class(place, plain)}>{text(name)}</th>" for place, name in enumerate(names)) + "</tr>"
    )


def row(cells: Sequence[str], *, plain: int = 0) -> str:
    """A line of a table, of cells that are HTML."""
    return "<tr>" + "".join(f"<td{_class(place, plain)}>{cell}</td>" for place, cell in enumerate(cells)) + "</tr>"


def _class(place: int, plain: int) -> str:
    return "" if place < plain else ' class="n"'


def table(header: str, lines: Sequence[str]) -> str:
    """A table that scrolls in itself where it is wide."""
    top = f"<thead>{header}</thead>" if header else ""
    return f'<div class="scroll"><table>{top}<tbody>{"".join(lines)}</tbody></table></div>'


def figure(value: float | None) -> str:
    """Three digits, or a dash."""
    return "-" if value is None else f"{value:.3f}"


def bounds(interval: Interval | None) -> str:
    """Bounds in brackets, or nothing."""
    return "" if interval is None else f"({interval.low:.3f} to {interval.high:.3f})"


def number(value: int | None) -> str:
    """A count, or a dash where it is not known."""
    return "-" if value is None else f"{value:,}"
