"""Text that hides its words → the words, with where each character came from.

Only what a reader does without thinking: invisible characters are passed over, letters of other alphabets that look
Latin are read as such inside Latin words, digits and signs that stand for letters are read as letters, letters that
are spelled out one by one are joined. A text without any of that has no second reading.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

LOOK_ALIKES: Mapping[str, str] = dict(
    zip("асеіорѕхуԁһјӏАВСЕНІКМОРТХУЅЈ", "aceiopsxydhjlABCEHIKMOPTXYSJ", strict=True)
) | dict(zip("αογνικρτυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aoyvikptuxABEZHIKMNOPTYX", strict=True))
"""Cyrillic and Greek letters and the Latin ones that they look like."""
STAND_INS: Mapping[str, str] = {
    "4": "a",
    "@": "a",
    "3": "e",
    "1": "i",
    "!": "i",
    "0": "o",
    "5": "s",
    "$": "s",
    "7": "t",
}
"""Of letters, in words that have letters left."""
SPELLED_AT_LEAST = 4
"""Single letters in a row that make a word."""

_WORD = re.compile(r"[^\s]+")
_SPELLED = re.compile(rf"(?<![^\W_])[^\W\d_](?:([ .\-_*·•]{{1,2}})[^\W\d_]){{{SPELLED_AT_LEAST - 1},}}(?![^\W_])")
_STAND_IN = re.compile(r"[^\W\d_][4@31!05$7]+[^\W\d_]|[4@31!05$7][^\W\d_]{2}|[^\W\d_]{3}[4@3105$7](?![^\W_])")
_NO_WORD = re.compile(r"\d{3}|[/\\:]|\.\w|@\w+\.|^[@#]|^\d+[^\W\d_]{1,3}\W*$")
"""Amounts, versions, times, addresses, names, and a number with its unit."""


@dataclass(frozen=True, slots=True)
class SecondReading:
    """A text as it is meant to be read."""

    text: str
    places: tuple[int, ...]
    """Where each character of `text` stands in the original."""

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The characters of the original that `text[start:end]` is read from."""
        return (self.places[start], self.places[end - 1] + 1) if start < end else (0, 0)


AROUND = 80
"""Characters on both sides of what is disguised that are read again with it."""


def second_reading(text: str) -> SecondReading | None:
    """Read through disguises, from the first disguised word to the last and a little around them.

    None where that reads no other words.
    """
    if not (_has_odd_characters(text) or _STAND_IN.search(text) or _SPELLED.search(text)):
        return None
    letters = _near_changes(text, _joined(_stood_in(_alike(_seen(text)))))
    plain = "".join(letter for letter, _ in letters)
    return SecondReading(plain, tuple(place for _, place in letters)) if plain.strip() else None


JOINER = "\u200d"
"""Joins emoji, and letters of some scripts; between Latin letters it only hides."""
_Letters = list[tuple[str, int]]
"""Characters with their places in the original."""


def _has_odd_characters(text: str) -> bool:
    """Whether any character is looked through, or taken for another. Looks at each kind of character once."""
    return not text.isascii() and any(
        not c.isascii()
        and (c in LOOK_ALIKES or unicodedata.category(c) == "Cf" or unicodedata.combining(c) > 0 or _is_styled(c))
        for c in set(text)
    )


def _seen(text: str) -> _Letters:
    """Without what is invisible: format characters, marks on Latin letters; wide and styled letters as plain ones."""
    if not _has_odd_characters(text):
        return [(character, place) for place, character in enumerate(text)]
    found: _Letters = []
    for place, character in enumerate(text):
        after_latin = bool(found) and found[-1][0].isascii() and found[-1][0].isalpha()
        if unicodedata.category(character) == "Cf" and (after_latin or character != JOINER):
            continue
        if unicodedata.combining(character) and after_latin:
            continue
        plain = unicodedata.normalize("NFKC", character) if _is_styled(character) else character
        found += [(one, place) for one in plain]
    return found


def _is_styled(character: str) -> bool:
    return not character.isascii() and unicodedata.name(character, "").startswith(_STYLED)


_STYLED = ("MATHEMATICAL", "FULLWIDTH LATIN", "CIRCLED LATIN", "PARENTHESIZED LATIN", "SQUARED LATIN")


def _near_changes(text: str, letters: _Letters) -> _Letters:
    """The stretch that is read otherwise than it is written, with whole words around; empty where there is none."""
    places = [-1, *(place for _, place in letters), len(text)]
    changed = [i for i, (letter, place) in enumerate(letters) if letter != text[place] or place != places[i] + 1]
    if letters and places[-2] != len(text) - 1:
        changed.append(len(letters) - 1)
    if not changed:
        return []
    start, end = max(0, changed[0] - AROUND), min(len(letters), changed[-1] + AROUND)
    while start > 0 and not letters[start - 1][0].isspace():
        start -= 1
    while end < len(letters) and not letters[end][0].isspace():
        end += 1
    return letters[start:end]


def _alike(letters: _Letters) -> _Letters:
    """Look-alikes as Latin letters, in words that have Latin letters too."""
    if LOOK_ALIKES.keys().isdisjoint(letter for letter, _ in letters):
        return letters
    return _in_words(letters, lambda word: any("a" <= c.lower() <= "z" for c in word), LOOK_ALIKES)


def _stood_in(letters: _Letters) -> _Letters:
    return _in_words(letters, _has_stand_in, STAND_INS)


def _has_stand_in(word: str) -> bool:
    """A digit or sign between letters, before two or after three."""
    return bool(_STAND_IN.search(word)) and not _NO_WORD.search(word)


def _in_words(letters: _Letters, wanted: Callable[[str], bool], table: Mapping[str, str]) -> _Letters:
    text = "".join(letter for letter, _ in letters)
    found = list(letters)
    for word in _WORD.finditer(text):
        if not wanted(word[0]):
            continue
        last = max((i for i in range(word.start(), word.end()) if text[i].isalnum()), default=word.end())
        for at in range(word.start(), min(word.end(), last + 1)):
            letter, place = letters[at]
            found[at] = (table.get(letter, letter), place)
    return found


def _joined(letters: _Letters) -> _Letters:
    """Letters that are spelled out, as words; a gap of two is a space between words."""
    text = "".join(letter for letter, _ in letters)
    found: _Letters = []
    at = 0
    for spelled in _SPELLED.finditer(text):
        found += letters[at : spelled.start()]
        found += _without_gaps(letters[spelled.start() : spelled.end()])
        at = spelled.end()
    return found + letters[at:]


def _without_gaps(letters: Sequence[tuple[str, int]]) -> _Letters:
    kept: _Letters = []
    gap = 0
    for letter, place in letters:
        if letter.isalpha():
            kept += [(" ", place)] if gap > 1 else []
            kept.append((letter, place))
            gap = 0
        else:
            gap += 1
    return kept
