"""The text of a policy as lines that keep the line ends they have, so that an edit leaves all else byte for byte."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from magistrate.policy.diagnostic import Place

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_ENDS = "\r\n"
_ITEM = re.compile(r"[ \t]*(?:[-*+•|>#]|\d{1,3}[.)]\s)")


@dataclass(frozen=True, slots=True)
class Manuscript:
    """Lines with their ends. Line numbers count from 1, as in places."""

    lines: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Manuscript:
        """Cut a text; joined again the lines are the text.

        >>> Manuscript.of("a\\r\\nb").lines
        ('a\\r\\n', 'b')
        """
        return cls(tuple(_LINE.findall(text)))

    @property
    def text(self) -> str:
        """The lines joined."""
        return "".join(self.lines)

    @property
    def line_end(self) -> str:
        """What ends the first line."""
        first = self.lines[0] if self.lines else ""
        return first[len(first.rstrip(_ENDS)) :] or "\n"

    def bare(self, number: int) -> str:
        """A line without its end; empty where there is none of that number."""
        return self.lines[number - 1].rstrip(_ENDS) if 0 < number <= len(self.lines) else ""

    def offset(self, place: Place) -> int:
        """Where a place is in the text."""
        return sum(map(len, self.lines[: place.line - 1])) + place.column - 1

    def insert(self, after: int, new: Sequence[str]) -> Manuscript:
        """Put lines behind the one of a number, 0 for the top."""
        above, below = list(self.lines[:after]), self.lines[after:]
        added = [line + self.line_end for line in new]
        if above and not above[-1].endswith(("\r", "\n")):
            above[-1] += self.line_end
            added[-1] = added[-1].rstrip(_ENDS)  # the file had no end of line at its end, and has none now
        return Manuscript((*above, *added, *below))

    def delete(self, first: int, last: int) -> Manuscript:
        """Take lines out, both numbers included."""
        return Manuscript((*self.lines[: first - 1], *self.lines[last:]))

    def replace(self, number: int, line: str) -> Manuscript:
        """Put other words into a line."""
        old = self.lines[number - 1]
        return Manuscript(
            (*self.lines[: number - 1], line + old[len(old.rstrip(_ENDS)) :], *self.lines[number:]),
        )

    def last_of(self, number: int) -> int:
        """The last line of what begins in a line: what is indented deeper, or goes on without a mark of its own."""
        depth = _indent(self.bare(number))
        while number < len(self.lines):
            below = self.bare(number + 1)
            if not below.strip() or (_indent(below) <= depth and _ITEM.match(below)):
                break
            number += 1
        return number

    def next_heading(self, number: int) -> int:
        """The line of the first Markdown heading behind a line, or one more than there are lines."""
        rest = range(number + 1, len(self.lines) + 1)
        return next((n for n in rest if re.match(r"#{1,6} ", self.bare(n))), len(self.lines) + 1)

    def last_filled(self, before: int) -> int:
        """The last line in front of a line that is not blank; 0 where there is none."""
        return next((n for n in range(before - 1, 0, -1) if self.bare(n).strip()), 0)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
