"""Keywords, patterns and hashes as a screen: a hit decides, and names its rule and place; no hit says nothing."""

from __future__ import annotations

import hashlib
import re
import time
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio.to_thread

from magistrate.case import Case
from magistrate.classifiers.disguise import SecondReading, second_reading
from magistrate.classifiers.screens.lists_file import ListsFile, RuleList, read_lists
from magistrate.policy.model import Polarity, Policy, Rule
from magistrate.types import Abstained, Code, Content, Decided, RuleMatch, Span, Trace, Verdict

DIALECT = "lists.v1"
WIDEST_GAP = 3
"""Characters between the words of a keyword, none of them a letter or digit."""
NAMED_HITS = 8
"""In a verdict, at the most."""

_WORD = re.compile(r"\w+")
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts that put no spaces between words."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Something of a list that stands in the content."""

    rule: str
    what: str
    """In words: keyword 'free followers'."""
    span: Span | None
    """None for a hash, which is of the whole."""
    probability: float | None
    disguised: bool = False


@dataclass(frozen=True, slots=True)
class _Reading:
    """A judged message in one of the ways to read it."""

    text: str
    message: int
    second: SecondReading | None = None

    def span(self, start: int, end: int) -> Span:
        if self.second is not None:
            start, end = self.second.original(start, end)
        return Span(start, end, self.message)


class ListScreen:
    """Looks for keywords, patterns and hashes.

    Keywords match whole words without regard to case, also where they are disguised (`disguise`); in scripts without
    spaces, and without any letter, anywhere. Patterns match as they are written, in both readings. A hash is of a
    whole text in `normal_form`. A hit of a violating rule decides before one of an allowed rule, but a hash of an
    allowed rule before all. A list whose rule the policy has not is passed over.

    Args:
        path: A file of lists; see docs/screens.md.

    Raises:
        InputError: the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._file = read_lists(path)
        self._keywords = _Keywords(self._file.lists)

    @property
    def name(self) -> str:
        """Name of the lists with the beginning of their digest."""
        return f"lists/{self._file.name}/{self._file.digest.removeprefix('sha256:')[:12]}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """Judge each case, in a thread beside the event loop."""
        return await anyio.to_thread.run_sync(self._judge, cases)

    def _judge(self, cases: Sequence[Case]) -> list[Verdict]:
        started = time.perf_counter()
        contents = list(dict.fromkeys(case.content for case in cases))
        hits = dict(zip(contents, self.hits(contents), strict=True))
        each_ms = (time.perf_counter() - started) * 1000 / max(1, len(cases))
        return [self._verdict(case.policy, hits[case.content], each_ms) for case in cases]

    def hits(self, contents: Sequence[Content]) -> list[list[Hit]]:
        """All that is found in each content, in the order of the lists' entries: hashes, keywords, patterns."""
        readings = [list(_readings(content)) for content in contents]
        found = [[*_hash_hits(self._file, content)] for content in contents]
        for own, texts in zip(found, readings, strict=True):
            own.extend(hit for reading in texts for hit in self._keywords.hits(reading))
        flat = [(number, reading) for number, texts in enumerate(readings) for reading in texts]
        for number, hit in _pattern_hits(self._file, flat):
            found[number].append(hit)
        return found

    def _verdict(self, policy: Policy, hits: Sequence[Hit], latency_ms: float) -> Verdict:
        trace = Trace(
            policy=policy.name, policy_digest=policy.digest, model=self.name, dialect=DIALECT, latency_ms=latency_ms
        )
        rules = {one.rule: policy.rule(one.rule) for one in self._file.lists}
        if not any(rules.values()):
            named = ", ".join(sorted(rules))
            detail = f"no list of {self._file.name!r} is for this policy: it has none of the rules {named}"
            return Abstained(code=Code.UNSURE, detail=detail, trace=trace)
        own = [(hit, rule) for hit in hits if (rule := rules[hit.rule]) is not None]
        if not own:
            detail = f"nothing of the lists {self._file.name!r} is in it, which says nothing of the rest"
            return Abstained(code=Code.UNSURE, detail=detail, trace=trace)
        return _decided(own, trace)


def _decided(hits: Sequence[tuple[Hit, Rule]], trace: Trace) -> Decided:
    def first(one: tuple[Hit, Rule]) -> tuple[bool, bool]:
        hit, rule = one
        return not (hit.span is None and rule.polarity is Polarity.ALLOWED), rule.polarity is Polarity.ALLOWED

    hits = sorted(hits, key=first)
    polarity = hits[0][1].polarity
    deciding = [(hit, rule) for hit, rule in hits if rule.polarity is polarity]
    hit, rule = deciding[0]
    violation = polarity is Polarity.VIOLATES
    return Decided(
        violation=violation,
        label=rule.label,
        rule_ids=tuple(dict.fromkeys(rule.id for _, rule in deciding)),
        severity=rule.severity if violation else None,
        probability=hit.probability,
        rationale="; ".join(dict.fromkeys(_said(hit, rule) for hit, rule in deciding[:NAMED_HITS])),
        trace=trace,
        evidence=tuple(RuleMatch(rule.id, 1.0, hit.span) for hit, rule in deciding[:NAMED_HITS]),
    )


def _said(hit: Hit, rule: Rule) -> str:
    place = "" if hit.span is None else f" at characters {hit.span.start} to {hit.span.end}"
    return f"{rule.id}: {hit.what}{place}{' (disguised)' if hit.disguised else ''}"


def normal_form(text: str) -> str:
    """The form of a text that is hashed: compatible characters as one, without case, invisible ones and extra spaces.

    >>> normal_form("  Buy\\u200b NOW\\n")
    'buy now'
    """
    seen = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return " ".join(seen.casefold().split())


def text_hash(text: str) -> str:
    """What goes into `hashes` for a text.

    >>> text_hash("Buy now") == text_hash(" buy  NOW")
    True
    """
    return "sha256:" + _hashed(text).hex()


def _hashed(text: str) -> bytes:
    return hashlib.sha256(normal_form(text).encode("utf-8", "surrogatepass")).digest()


def _readings(content: Content) -> Iterator[_Reading]:
    for number, message in enumerate(content.judged):
        yield _Reading(message.content, number)
        second = second_reading(message.content)
        if second is not None:
            yield _Reading(second.text, number, second)


def _hash_hits(file: ListsFile, content: Content) -> Iterator[Hit]:
    if any(one.hashes for one in file.lists):
        hashes = {_hashed(message.content) for message in content.judged}
        for one in file.lists:
            for found in sorted(hashes & one.hashes):
                yield Hit(one.rule, f"hash {found.hex()[:12]}…", None, one.probability)


class _Keywords:
    """Keywords by their first word, and those that are looked for anywhere."""

    def __init__(self, lists: Sequence[RuleList]) -> None:
        self._by_word: dict[str, list[tuple[tuple[str, ...], str, RuleList]]] = {}
        self._anywhere: list[tuple[str, str, RuleList]] = []
        for one in lists:
            for keyword in one.keywords:
                words = tuple(_WORD.findall(keyword.casefold()))
                if not words or any(map(_is_unspaced, keyword)):
                    self._anywhere.append((keyword.casefold(), keyword, one))
                else:
                    self._by_word.setdefault(words[0], []).append((words, keyword, one))

    def hits(self, reading: _Reading) -> Iterator[Hit]:
        text, places = _folded(reading.text)
        if self._by_word:
            for start, end, keyword, one in self._whole_words(text):
                yield _hit(one, f"keyword {keyword!r}", reading, places[start], places[end - 1] + 1)
        for folded, keyword, one in self._anywhere:
            at = text.find(folded)
            if at >= 0:
                yield _hit(one, f"keyword {keyword!r}", reading, places[at], places[at + len(folded) - 1] + 1)

    def _whole_words(self, text: str) -> Iterator[tuple[int, int, str, RuleList]]:
        words = [(match[0], match.start(), match.end()) for match in _WORD.finditer(text)]
        seen: set[tuple[str, str]] = set()
        for at, (word, start, _) in enumerate(words):
            for wanted, keyword, one in self._by_word.get(word, ()):
                run = words[at : at + len(wanted)]
                if (one.rule, keyword) in seen or tuple(found for found, _, _ in run) != wanted:
                    continue
                if all(b[1] - a[2] <= WIDEST_GAP for a, b in pairwise(run)):
                    seen.add((one.rule, keyword))
                    yield start, run[-1][2], keyword, one


def _hit(one: RuleList, what: str, reading: _Reading, start: int, end: int) -> Hit:
    return Hit(one.rule, what, reading.span(start, end), one.probability, reading.second is not None)


def _is_unspaced(character: str) -> bool:
    return not character.isascii() and unicodedata.name(character, "").startswith(_UNSPACED)


def _folded(text: str) -> tuple[str, Sequence[int]]:
    """Without case, and where each character stands in the text: folding may make one into several."""
    folded = text.casefold()
    if len(folded) == len(text):
        return folded, range(len(text))
    parts = [character.casefold() for character in text]
    return "".join(parts), [place for place, part in enumerate(parts) for _ in part]


def _pattern_hits(file: ListsFile, readings: Sequence[tuple[int, _Reading]]) -> Iterator[tuple[int, Hit]]:
    """The first match of each pattern in each reading, with the number of the content."""
    if not readings or not any(one.patterns for one in file.lists):
        return
    from magistrate.classifiers.screens.patterns import first_matches  # loads pyarrow

    texts = [reading.text for _, reading in readings]
    for one in file.lists:
        for pattern in one.patterns:
            for place, start, end in first_matches(pattern, texts):
                number, reading = readings[place]
                yield number, _hit(one, f"pattern {pattern!r}", reading, start, end)
