"""The embedded judge: content against every rule of a policy."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self, TypeVar

import anyio.to_thread
import numpy as np

from magistrate.case import Case
from magistrate.classifiers.clause_rationale import Evidence, explain
from magistrate.classifiers.passage_head import PassageHead
from magistrate.classifiers.rule_index import RuleIndex, RuleScore, Scores
from magistrate.classifiers.segments import Segment, cut_content
from magistrate.digest import Digest
from magistrate.encoders.base import EncodedPassage, Encoder, Window
from magistrate.encoders.minilm import MiniLmEncoder
from magistrate.encoders.windows import cut_pieces
from magistrate.errors import UsageError
from magistrate.policy.model import Polarity, Policy
from magistrate.types import Abstained, Code, Content, Decided, RuleMatch, Span, Trace, Usage, Verdict

DIALECT = "clause-matcher.v3"
"""Changes with anything that changes a verdict besides the model: passages, windows, how scores are joined."""
CLOSE_RULES = 3
CLOSE_WITHIN = 0.7
"""At most this many rules are named, none that speaks less loudly than the deciding one by more than this."""

GROUP_CHARACTERS = 50_000
"""Bound the states that are held at once (about 60 MB), not what is judged."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Loudest:
    """The window of content that speaks loudest for a violation of one policy."""

    log_odds: float
    scores: Scores
    """(1, passages)"""
    window: Window
    segment: Segment


@dataclass(slots=True)
class _Hearing:
    """One content with all its cases: encoded once, judged under each policy."""

    content: Content
    cases: list[tuple[int, Policy]]
    tokens: int = 0


class ClauseMatcher:
    """Judge by what each rule says of the content: no training on the policy, no network, milliseconds a case.

    Each rule and each example of a policy scores the content by itself; the violating ones are set against the
    allowed ones (`rule_index`). Content is read in windows of 254 tokens that overlap, and the window that speaks
    loudest for a violation decides; so nothing is cut from long content. Words that are disguised are read as they are
    meant, too (`disguise`). A judged message of a chat is read after the
    messages before it. The verdict names the rules that speak loudest, the words that do so by themselves, and the
    nearest rule of the other side. A rule's score does not depend on the other rules: precedence between rules and
    conditions spread over several of them are not read.

    `usage` counts the tokens of the content, the same under every policy; `latency_ms` is a case's share of the time
    of its group.

    Args:
        encoder: Opened and closed with the matcher.
        abstain_within: Abstain where the probability is closer than this to 0.5, in [0, 0.5); the model's own choice
            where not given.
        cached_policies: How many policies stay encoded, the most recently used.
    """

    def __init__(
        self, encoder: Encoder | None = None, *, abstain_within: float | None = None, cached_policies: int = 64
    ) -> None:
        if abstain_within is not None and not 0 <= abstain_within < 0.5:
            raise UsageError(f"abstain_within must be in [0, 0.5), got {abstain_within!r}")
        if cached_policies < 1:
            raise UsageError(f"cached_policies must be at least 1, got {cached_policies!r}")
        self._encoder = encoder or MiniLmEncoder()
        self._model = self._encoder.folder
        self._abstain_within = self._model.abstain_within if abstain_within is None else abstain_within
        self._cached_policies = cached_policies
        self._indexes: OrderedDict[Digest, RuleIndex] = OrderedDict()
        self._lock = threading.Lock()
        self._head: PassageHead | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return self._encoder.name

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self._open)
        return self

    def _open(self) -> None:
        self._head = self._head or PassageHead.load(self._model.path)
        self._encoder.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await anyio.to_thread.run_sync(self._encoder.__exit__, kind, error, trace)

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """Judge each case, in threads beside the event loop."""
        hearings: dict[Content, _Hearing] = {}
        for position, case in enumerate(cases):
            hearing = hearings.setdefault(case.content, _Hearing(case.content, []))
            hearing.cases.append((position, case.policy))
        found: dict[int, Verdict] = {}
        for group in _grouped(hearings.values(), _length):
            found.update(await anyio.to_thread.run_sync(self._judge_group, group))
        return [found[position] for position in range(len(cases))]

    def _judge_group(self, hearings: Sequence[_Hearing]) -> dict[int, Verdict]:
        started = time.perf_counter()
        heard = [(hearing, position, policy) for hearing in hearings for position, policy in hearing.cases]
        indexes = {policy.digest: self._index(policy) for policy in {p.digest: p for _, _, p in heard}.values()}
        loudest = self._loudest_windows(hearings, indexes)
        verdicts = {
            position: self._verdict(indexes[policy.digest], loudest.get(position), policy, self._trace(hearing, policy))
            for hearing, position, policy in heard
        }
        latency_ms = (time.perf_counter() - started) * 1000 / len(heard)
        return {position: _timed(verdict, latency_ms) for position, verdict in verdicts.items()}

    def _loudest_windows(
        self, hearings: Sequence[_Hearing], indexes: Mapping[Digest, RuleIndex]
    ) -> dict[int, _Loudest]:
        """For each position, the window that decides; none where nothing can be judged."""
        found: dict[int, _Loudest] = {}
        work = ((hearing, segment) for hearing in hearings for segment in cut_content(hearing.content))
        for group in _grouped(work, lambda item: len(item[1].passage.text)):
            encoded = self._encoder.encode_tokens([segment.passage for _, segment in group])
            for (hearing, segment), passage in zip(group, encoded, strict=True):
                hearing.tokens += passage.tokens
                for position, policy in hearing.cases:
                    one = _loudest(indexes[policy.digest], segment, passage)
                    if one is not None and (position not in found or one.log_odds > found[position].log_odds):
                        found[position] = one
        return found

    def _opened(self) -> PassageHead:
        if self._head is None:
            raise UsageError("the embedded judge is not open", hint="use it inside `async with`")
        return self._head

    def _index(self, policy: Policy) -> RuleIndex:
        with self._lock:
            index = self._indexes.get(policy.digest)
            if index is not None:
                self._indexes.move_to_end(policy.digest)
                return index
        index = RuleIndex.build(policy, self._encoder, self._opened())
        with self._lock:
            self._indexes[policy.digest] = index
            while len(self._indexes) > self._cached_policies:
                self._indexes.popitem(last=False)
        return index

    def _verdict(self, index: RuleIndex, loudest: _Loudest | None, policy: Policy, trace: Trace) -> Verdict:
        if loudest is None:
            return Abstained(code=Code.UNSURE, detail=_why_nothing(index), trace=trace)
        found = self._find(index, loudest)
        if abs(found.probability - 0.5) < self._abstain_within:
            detail = f"the probability of a violation, {found.probability:.3f}, is too close to one half"
            return Abstained(
                code=Code.UNSURE, detail=detail, trace=trace, probability=found.probability, evidence=found.matches()
            )
        return _decide(policy, found, trace)

    def _find(self, index: RuleIndex, loudest: _Loudest) -> _Findings:
        scores = loudest.scores[0]
        violating, allowed = (index.nearest(scores, side) for side in (Polarity.VIOLATES, Polarity.ALLOWED))
        probability = self._probability(loudest.log_odds)
        violation = probability >= 0.5
        deciding = (violating if violation else allowed)[:1]
        without = [(r.rule.id, self._probability_without(index, loudest, r.rule.id)) for r in deciding]
        # What is looked at in the content is always what speaks for a violation: that is what a reader checks first.
        passage = violating[0].passage if violating else int(np.where(index.violating, scores, -np.inf).argmax())
        return _Findings(
            violation=violation,
            probability=probability,
            violating=violating,
            allowed=allowed,
            nothing=self._opened().nothing,
            span=_span(self._opened(), index, loudest, passage),
            without=without[0] if without else None,
        )

    def _probability(self, log_odds: float) -> float:
        value = max(-500.0, min(500.0, self._model.slope * log_odds + self._model.offset))
        return float(1 / (1 + np.exp(-value)))

    def _probability_without(self, index: RuleIndex, loudest: _Loudest, rule_id: str) -> float:
        return self._probability(float(index.log_odds(loudest.scores, without=rule_id)[0]))

    def _trace(self, hearing: _Hearing, policy: Policy) -> Trace:
        return Trace(
            policy=policy.name,
            policy_digest=policy.digest,
            model=self._encoder.name,
            dialect=DIALECT,
            usage=Usage(input_tokens=hearing.tokens, calls=1 if hearing.tokens else 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Findings:
    """What was measured of a case."""

    violation: bool
    probability: float
    violating: list[RuleScore]
    allowed: list[RuleScore]
    nothing: float
    span: Span
    without: tuple[str, float] | None

    def deciding(self) -> list[RuleScore]:
        """The rules that decide: those that speak about as loudly as the loudest; none where no rule does."""
        if not self.violation:
            return [rule for rule in self.allowed[:1] if rule.score >= self.nothing]
        return [rule for rule in self.violating[:CLOSE_RULES] if rule.score >= self.violating[0].score - CLOSE_WITHIN]

    def matches(self) -> tuple[RuleMatch, ...]:
        """The deciding rules, or what comes closest, and the nearest rule of the other side."""
        first, second = (
            (self.deciding(), self.allowed[:1]) if self.violation else (self.allowed[:1], self.violating[:1])
        )
        return tuple(RuleMatch(found.rule.id, found.score, self.span) for found in (*first, *second))

    def rationale(self) -> str:
        """In words."""
        return explain(
            Evidence(
                violation=self.violation,
                violating=next(iter(self.violating), None),
                allowed=next(iter(self.allowed), None),
                nothing=self.nothing,
                span=self.span,
                without=self.without if self.deciding() else None,
            )
        )


def _timed(verdict: Verdict, latency_ms: float) -> Verdict:
    return replace(verdict, trace=replace(verdict.trace, latency_ms=latency_ms))


def _why_nothing(index: RuleIndex) -> str:
    if not index.can_violate:
        return "nothing to judge by: the policy has no violating rule or example"
    return "nothing to judge: the content has no letters"


def _length(hearing: _Hearing) -> int:
    return sum(len(message.content) for message in hearing.content.judged)


def _grouped(items: Iterable[T], length: Callable[[T], int]) -> Iterator[list[T]]:
    """Join items, in order, to groups of at most `GROUP_CHARACTERS`; a longer item is a group of its own."""
    group: list[T] = []
    total = 0
    for item in items:
        size = length(item)
        if group and total + size > GROUP_CHARACTERS:
            yield group
            group, total = [], 0
        group.append(item)
        total += size
    if group:
        yield group


def _loudest(index: RuleIndex, segment: Segment, passage: EncodedPassage) -> _Loudest | None:
    """The first window of the highest log-odds."""
    if not index.can_violate:
        return None
    scores = index.scores([window.states for window in passage.windows])
    log_odds = index.log_odds(scores)
    best = int(log_odds.argmax())
    return _Loudest(float(log_odds[best]), scores[best : best + 1], passage.windows[best], segment)


def _span(head: PassageHead, index: RuleIndex, loudest: _Loudest, passage: int) -> Span:
    """The piece of the window that by itself speaks loudest for a passage of the policy, in whole words."""
    spans = loudest.window.spans
    tokens = [i for i, span in enumerate(spans) if span is not None]
    segment = loudest.segment
    if not tokens:
        return segment.span(0, len(segment.passage.text))
    pieces = cut_pieces(tokens[-1] + 1, start=tokens[0])
    scores = head.piece_scores(loudest.window.states, index.prepared, passage, pieces)
    first, last = pieces[int(scores.argmax())]
    begin, end = spans[first], spans[last - 1]
    assert begin is not None and end is not None  # noqa: S101  # marks stand only around the tokens
    start, stop = _whole_words(segment.passage.text, begin[0], end[1])
    return segment.span(start, stop)


def _whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    while start > 0 and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
        end += 1
    return start, end


def _decide(policy: Policy, found: _Findings, trace: Trace) -> Decided:
    """By the rules that speak loudest on the side that wins."""
    deciding = found.deciding()
    return Decided(
        violation=found.violation,
        label=deciding[0].rule.label if deciding else policy.first_label(violation=found.violation),
        rule_ids=tuple(one.rule.id for one in deciding),
        severity=deciding[0].rule.severity if deciding and found.violation else None,
        probability=found.probability,
        rationale=found.rationale(),
        trace=trace,
        evidence=found.matches(),
    )
