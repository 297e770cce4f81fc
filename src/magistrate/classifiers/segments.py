"""Content as the embedded judge reads it: stretches of the judged messages, the first of each after what was said.

A stretch that hides its words is read twice, as it is written and as it is meant to be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from magistrate.classifiers.disguise import SecondReading, second_reading
from magistrate.encoders.base import Passage
from magistrate.types import Content, Message, Role, Span

SEGMENT_CHARACTERS = 20_000
SEGMENT_OVERLAP = 200
"""Bound what is encoded at once, not what is judged."""

_SPEAKERS = frozenset({Role.USER, Role.ASSISTANT, Role.TOOL})


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one judged message, short enough to encode at once."""

    message: int
    offset: int
    """Where the stretch begins in the message."""
    passage: Passage
    reading: SecondReading | None = None
    """Where the passage is not the stretch as it is written."""

    def span(self, start: int, end: int) -> Span:
        """Characters of the passage as characters of the message."""
        if self.reading is not None:
            start, end = self.reading.original(start, end)
        return Span(self.offset + start, self.offset + end, self.message)


def cut_content(content: Content) -> Iterator[Segment]:
    """Cut each judged message that has letters into segments that overlap; the first is read in its context."""
    first = content.judged_index or 0
    for number, message in enumerate(content.judged):
        if not any(character.isalpha() for character in message.content):
            continue
        context = spoken_before(content.messages[: first + number])
        for offset in range(0, max(1, len(message.content) - SEGMENT_OVERLAP), SEGMENT_CHARACTERS - SEGMENT_OVERLAP):
            text = message.content[offset : offset + SEGMENT_CHARACTERS]
            before = context if offset == 0 else ""
            yield Segment(number, offset, Passage(text, before))
            reading = second_reading(text)
            if reading is not None:
                yield Segment(number, offset, Passage(reading.text, before), reading)


def spoken_before(earlier: Sequence[Message]) -> str:
    """What was said before. Instructions of the operator are no part of the talk."""
    return "\n".join(message.content for message in earlier if message.role in _SPEAKERS)
