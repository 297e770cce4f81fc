"""The frame of every page: it fetches nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files

from magistrate.evaluate.report.markup import text

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'none'; script-src 'none'; "
    "base-uri 'none'; form-action 'none'"
)
"""Content security policy: even if something slipped through, it could neither run nor fetch."""


def document(title: str, parts: Iterable[str], *, foot: str) -> str:
    """A whole page.

    Args:
        title: Words.
        parts: HTML, everything in it escaped.
        foot: Words at the end.
    """
    return "".join(_document(title, parts, foot))


def _document(title: str, parts: Iterable[str], foot: str) -> Iterator[str]:
    style = (files("magistrate.evaluate.report") / "page.css").read_text(encoding="utf-8")
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="referrer" content="no-referrer">\n'
    yield f"<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
    yield f"<h1>{text(title)}</h1>\n"
    yield from parts
    yield f"<footer>{text(foot)}</footer>\n</body>\n</html>\n"
