"""Equal and nearly equal content is judged once, within bounds that keep an attacker from making use of it.

Equal content takes over a verdict as it is. Nearly equal content does so only if a screen, asked about the new content
and about the pieces that were edited, finds that the edit leaves the case far from the threshold: one word can turn an
innocent text into a violating one. A verdict answers a bounded number of cases for a bounded time, under its own
policy only, and some of them are judged anyway; where that says otherwise, the verdict is dropped.
"""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from magistrate.case import Case
from magistrate.classifiers.base import Classifier
from magistrate.classifiers.cascade.minhash import Bands, Signature, Signer, similarity
from magistrate.classifiers.cascade.plan import Reuse
from magistrate.classifiers.cascade.signals import logit
from magistrate.digest import Digest
from magistrate.row import content_digest
from magistrate.types import Abstained, Content, Course, Decided, Message, Step, Usage, Verdict

STAGE = "duplicates"


@dataclass(slots=True)
class _Kept:
    """A verdict that may answer other cases."""

    case: Case
    verdict: Decided
    since: float
    signature: Signature | None
    answered: int = 0


_Key = tuple[Digest, Digest]
"""Of the policy and of the content."""


class Deduplicated:
    """A classifier in front of another one, that judges equal content once.

    Args:
        inner: Judges what is new. Opened and closed with this.
        reuse: Bounds.
        screen: Asked about nearly equal content; only equal content is answered where not given. Cheap, and of the same
            sense as `inner`: the first stage of a cascade. Opened and closed with this.
        decide_at: The threshold of `inner` on its probability.
        clock: Seconds.
        chance: Which cases are judged anyway; unpredictable where not given.
    """

    def __init__(
        self,
        inner: Classifier,
        reuse: Reuse | None = None,
        *,
        screen: Classifier | None = None,
        decide_at: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._inner = inner
        self._reuse = reuse or Reuse()
        self._screen = screen
        self._decide_at = decide_at
        self._clock = clock
        self._chance = chance or random.SystemRandom()
        self._store = _Store(self._reuse, signs=screen is not None)
        self._opened = AsyncExitStack()

    @property
    def name(self) -> str:
        """The inner classifier's."""
        return self._inner.name

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """Judge each case, or answer it by an earlier verdict: same length, same order."""
        now = self._clock()
        self._store.forget(now)
        found: dict[int, Verdict] = {}
        fresh: dict[_Key, list[int]] = {}
        near: list[tuple[int, _Kept]] = []
        for place, case in enumerate(cases):
            key = _key(case)
            kept = self._store.equal(key)
            if key in fresh or kept is None:
                close = None if key in fresh or self._screen is None else self._store.near(case)
                if close is not None and not self._judged_anyway():
                    near.append((place, close))
                else:
                    fresh.setdefault(key, []).append(place)
            elif self._is_spent(kept) or self._judged_anyway():
                fresh.setdefault(key, []).append(place)
            else:
                found[place] = self._answer(kept, case, "the same content as")
        for place, verdict in (await self._answer_near(cases, near)).items():
            if verdict is None:
                fresh.setdefault(_key(cases[place]), []).append(place)
            else:
                found[place] = verdict
        found.update(await self._judge(cases, fresh, now))
        return [found[place] for place in range(len(cases))]

    async def _judge(self, cases: Sequence[Case], fresh: dict[_Key, list[int]], now: float) -> dict[int, Verdict]:
        """Judge the first of each equal content, and answer as many of the rest by it as it may."""
        asked = [place for places in fresh.values() for place in _asked(places, self._reuse.cap)]
        verdicts = dict(
            zip(asked, await self._inner.judge_many([cases[place] for place in asked]) if asked else [], strict=True)
        )
        found: dict[int, Verdict] = dict(verdicts)
        for key, places in fresh.items():
            kept: _Kept | None = None
            again: list[int] = []
            for place in places:
                if place in verdicts:
                    kept = self._store.keep(key, cases[place], verdicts[place], now)
                elif kept is not None:
                    found[place] = self._answer(kept, cases[place], "the same content as")
                else:
                    again.append(place)
            # What was not decided answers for nobody else.
            for place, verdict in zip(
                again, await self._inner.judge_many([cases[place] for place in again]) if again else [], strict=True
            ):
                found[place] = verdict
        return found

    async def _answer_near(self, cases: Sequence[Case], near: Sequence[tuple[int, _Kept]]) -> dict[int, Verdict | None]:
        """For nearly equal content, the verdict if the edit keeps it far from the threshold; else None."""
        if not near or self._screen is None:
            return {}
        answers: dict[int, Verdict | None] = {place: None for place, _ in near}
        asked: list[Case] = []
        parts: list[tuple[int, _Kept, slice]] = []
        for place, kept in near:
            pieces = _edits(kept, cases[place])
            if pieces is None:
                continue
            parts.append((place, kept, slice(len(asked), len(asked) + 2 + len(pieces))))
            asked += [kept.case, cases[place], *(Case(cases[place].policy, Content.of_text(piece)) for piece in pieces)]
        scores = [_score(verdict) for verdict in await self._screen.judge_many(asked)] if asked else []
        for place, kept, part in parts:
            before, after, *edits = scores[part]
            left = distance_left(kept.verdict, before, after, edits, decide_at=self._decide_at)
            if left >= self._reuse.margin and not self._is_spent(kept):
                how = (
                    f"{left:.2f} of log-odds from the threshold, whatever the edit changes; nearly the same content as"
                )
                answers[place] = self._answer(kept, cases[place], how)
        return answers

    def _is_spent(self, kept: _Kept) -> bool:
        return kept.answered >= self._reuse.cap

    def _judged_anyway(self) -> bool:
        return self._chance.random() < self._reuse.judged_anyway

    def _answer(self, kept: _Kept, case: Case, how: str) -> Verdict:
        kept.answered += 1
        step = Step(
            stage=STAGE,
            model=kept.verdict.trace.model,
            course=Course.REUSED,
            probability=kept.verdict.probability,
            clear_below=None,
            flag_from=None,
            detail=f"{how} case {kept.case.id!r}; it answers {kept.answered} of {self._reuse.cap} cases",
        )
        # Names and file of the policy are the case's own: equal digests are equal texts, not equal files.
        trace = replace(
            kept.verdict.trace, policy=case.policy.name, latency_ms=0.0, usage=Usage(), attempts=(), steps=(step,)
        )
        return replace(kept.verdict, trace=trace)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._inner)
            if self._screen is not None and self._screen is not self._inner:
                await stack.enter_async_context(self._screen)
            self._opened = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.__aexit__(kind, error, trace)


class _Store:
    """Verdicts by policy and content, the oldest first, and their signatures."""

    def __init__(self, reuse: Reuse, *, signs: bool) -> None:
        self._reuse = reuse
        self._signs = signs
        self._kept: OrderedDict[_Key, tuple[int, _Kept]] = OrderedDict()
        self._keys: dict[int, _Key] = {}
        self._bands = Bands()
        self._signer = Signer()
        self._numbers = 0

    def equal(self, key: _Key) -> _Kept | None:
        """The verdict on this very content under this policy."""
        found = self._kept.get(key)
        return None if found is None else found[1]

    def near(self, case: Case) -> _Kept | None:
        """The verdict on the content most like it, under the same policy and of the same form; None of none alike."""
        signature = self._signer.signature(_text(case.content))
        if signature is None:
            return None
        best, most = None, self._reuse.alike
        for number in self._bands.sharing(signature):
            kept = self._kept[self._keys[number]][1]
            if kept.signature is None or not _same_form(kept.case, case):
                continue
            alike = similarity(kept.signature, signature)
            if alike >= most:
                best, most = kept, alike
        return best

    def keep(self, key: _Key, case: Case, verdict: Verdict, now: float) -> _Kept | None:
        """Put a verdict in, in place of an earlier one on the same content; what is not decided is not kept."""
        self._drop(key)
        if not isinstance(verdict, Decided):
            return None
        kept = _Kept(case, verdict, now, self._signer.signature(_text(case.content)) if self._signs else None)
        self._numbers += 1
        self._kept[key] = (self._numbers, kept)
        self._keys[self._numbers] = key
        if kept.signature is not None:
            self._bands.add(self._numbers, kept.signature)
        while len(self._kept) > self._reuse.items:
            self._drop(next(iter(self._kept)))
        return kept

    def forget(self, now: float) -> None:
        """Drop what is too old."""
        while self._kept:
            key = next(iter(self._kept))
            if now - self._kept[key][1].since < self._reuse.seconds:
                return
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        if key not in self._kept:
            return
        number, kept = self._kept.pop(key)
        del self._keys[number]
        if kept.signature is not None:
            self._bands.remove(number, kept.signature)


def new_pieces(before: str, after: str) -> tuple[str, ...] | None:
    """The pieces of a text that another one does not have: runs of words, each bare and with two words around it.

    What is between two edits is not in them: a long innocent text there would drown what was put in. Words that were
    only taken out leave the place where the others have met. Linear in the length, whatever the texts.

    Returns:
        None where there are more than `MOST_PIECES` edits: that is another text.
    """
    words = after.split()
    known = set(_triples(before.split()))
    is_known = [triple in known for triple in _triples(words)]
    # Word n is in the triples n, n + 1 and n + 2, since two marks stand before the first word.
    bare = _runs([not any(is_known[place : place + 3]) for place in range(len(words))])
    wide = _runs([not all(is_known[place : place + 3]) for place in range(len(words))])
    if max(len(bare), len(wide)) > MOST_PIECES:
        return None
    return tuple(dict.fromkeys(" ".join(words[start:stop]) for start, stop in (*bare, *wide)))


MOST_PIECES = 4


def _triples(words: Sequence[str]) -> list[tuple[str, str, str]]:
    marked = ["", "", *words, "", ""]
    return [(marked[at], marked[at + 1], marked[at + 2]) for at in range(len(words) + 2)]


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Where flags that are set begin and end."""
    edges = [
        place
        for place in range(len(flags) + 1)
        if (place > 0 and flags[place - 1]) != (place < len(flags) and flags[place])
    ]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _edits(kept: _Kept, case: Case) -> tuple[str, ...] | None:
    """The pieces that may turn the verdict: what was put into a cleared text, or taken out of a flagged one.

    Returns:
        None where the texts differ too much.
    """
    old, new = _text(kept.case.content), _text(case.content)
    if kept.verdict.violation:
        old, new = new, old
    pieces = new_pieces(old, new)
    return (new,) if pieces == () else pieces  # other spaces only: the whole speaks for itself


def distance_left(
    verdict: Decided, before: float | None, after: float | None, edits: Sequence[float | None], *, decide_at: float
) -> float:
    """How far, in log-odds, a verdict stays from the threshold after all that an edit may have changed.

    Args:
        verdict: On the content before the edit.
        before: The screen's log-odds of that content.
        after: Of the edited content.
        edits: Of each piece that was put in, or, where the verdict flags, that was taken out.
        decide_at: The judge's threshold.

    Returns:
        At most 0 where any of the numbers is missing.
    """
    known = [edit for edit in edits if edit is not None]
    if verdict.probability is None or before is None or after is None or len(known) < len(edits):
        return 0.0
    side = 1.0 if verdict.violation else -1.0
    distance = side * (logit(verdict.probability) - logit(decide_at))
    # A piece by itself may speak more loudly for a violation than inside of a long text.
    loud = max((edit - (after if verdict.violation else before) for edit in known), default=0.0)
    return distance - abs(after - before) - max(0.0, loud)


def _score(verdict: Verdict) -> float | None:
    """Log-odds of a screen's verdict."""
    match verdict:
        case Decided(violation=violation, probability=None):
            return logit(float(violation))
        case Decided(probability=float(probability)) | Abstained(probability=float(probability)):
            return logit(probability)
        case _:
            return None


def _asked(places: Sequence[int], cap: int) -> list[int]:
    """Of equal cases in one batch, those that are judged: the first, and one more whenever it has answered enough."""
    return [place for number, place in enumerate(places) if number % (cap + 1) == 0]


def _key(case: Case) -> _Key:
    return case.policy.digest, content_digest(case.content)


def _same_form(a: Case, b: Case) -> bool:
    """Whether two cases differ in one judged message at the most: context and policy are the same."""
    if a.policy.digest != b.policy.digest or a.content.target is not b.content.target:
        return False
    if a.content.judged_index is None or a.content.judged_index != b.content.judged_index:
        return False
    return _context(a.content) == _context(b.content)


def _context(content: Content) -> list[Message]:
    return [message for place, message in enumerate(content.messages) if place != content.judged_index]


def _text(content: Content) -> str:
    return "\n".join(message.content for message in content.judged)
