"""The audit of a cascade in use: how many violating cases its screens clear, and whether its traffic has changed.

A random share of what the screens cleared was judged by the last stage anyway (`plan.AuditRule`). What it says of
them is the truth here: a miss is a cleared case that the last stage flags.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from magistrate.classifiers.cascade.plan import CascadePlan, Promise, Reference
from magistrate.row import VerdictRow
from magistrate.types import Course

PRIOR = (0.5, 0.5)
"""Beta prior of the mixture. Any choice keeps the coverage; this one is narrow for the rare misses of a good screen."""
PARTS = 10
"""Equal parts of [0, 1] that scores are counted in."""
SHIFTED, MUCH_SHIFTED = 0.1, 0.25
"""Customary bounds of the population stability index: below, no change; above, a change to act on."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """A share, between two ends that hold at every moment at once."""

    low: float
    high: float


def anytime_bounds(hits: int, trials: int, *, confidence: float = 0.95) -> Bounds:
    """Bound the rate of a stream of independent yes-or-no draws; may be looked at after every draw.

    With at least `confidence`, *all* the bounds that are ever computed for the stream hold the true rate: looking
    often, or stopping when it looks bad, does not spoil it. The rates p are kept whose mixture martingale,
    `Beta(a + hits, b + misses) / Beta(a, b) / (p^hits (1 - p)^misses)`, has not come to `1 / (1 - confidence)`
    (Ville's inequality).

    Args:
        hits: Draws that said yes, 0 <= hits <= trials.
        trials: Draws so far; none give (0, 1).
        confidence: In (0, 1).

    Source: Robbins (1970), Ann. Math. Stat. 41:1397, the beta-binomial mixture; Waudby-Smith and Ramdas (2023),
    JRSS B 86:1 for its place among confidence sequences, whose betting ones serve bounded values, too; for yes or no
    this one is exact and needs no tuning.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"hits must be in 0..trials, got {hits!r} of {trials!r}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence!r}")
    if not trials:
        return Bounds(0.0, 1.0)
    least = _log_beta(PRIOR[0] + hits, PRIOR[1] + trials - hits) - _log_beta(*PRIOR) + math.log(1 - confidence)
    estimate = hits / trials
    return Bounds(
        0.0 if hits == 0 else _crossing(hits, trials, least, outside=0.0, inside=estimate),
        1.0 if hits == trials else _crossing(hits, trials, least, outside=1.0, inside=estimate),
    )


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _crossing(hits: int, trials: int, least: float, *, outside: float, inside: float) -> float:
    """Where the log-likelihood falls to `least`, between a rate that is excluded and one that is kept."""
    for _ in range(60):
        middle = (outside + inside) / 2
        misses = trials - hits
        likelihood = (hits * math.log(middle) if hits else 0.0) + (misses * math.log1p(-middle) if misses else 0.0)
        if likelihood > least:
            inside = middle
        else:
            outside = middle
    return outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Misses:
    """What the audit says about the screens."""

    cleared: int
    """Cases that the screens cleared, audited or not."""
    audited: int
    """Of them, those that the last stage decided anyway."""
    undecided: int
    """Drawn, but without a verdict of the last stage; they count as not drawn."""
    missed: int
    """Audited cases that the last stage flags."""
    found: int
    """Violations that the screens did not clear: flagged by a screen, or escalated and flagged."""
    rate: Bounds
    """Of misses among the cleared."""

    @property
    def lost(self) -> Bounds:
        """Of all violating cases, the share that the screens clear: what a promise is about."""
        return Bounds(self._lost(self.rate.low), self._lost(self.rate.high))

    def _lost(self, rate: float) -> float:
        missed = self.cleared * rate
        return missed / (missed + self.found) if missed + self.found else 0.0

    def breaks(self, promise: Promise) -> bool:
        """Whether the promise is surely broken: the least that is lost is more than was promised."""
        return self.lost.low > promise.most_lost


def misses_of(rows: Iterable[VerdictRow], *, confidence: float = 0.95) -> Misses:
    """Count what came of cleared and audited cases."""
    cleared = audited = undecided = missed = found = 0
    for row in rows:
        fate = _fate(row)
        cleared += fate in ("cleared", "right", "missed", "undecided")
        audited += fate in ("right", "missed")
        missed += fate == "missed"
        undecided += fate == "undecided"
        found += fate == "found"
    rate = anytime_bounds(missed, audited, confidence=confidence)
    return Misses(cleared=cleared, audited=audited, undecided=undecided, missed=missed, found=found, rate=rate)


def _fate(row: VerdictRow) -> str:
    """What a row says of the screens; empty where nothing: reused, denied, not decided, cleared by the last stage."""
    courses = [step.course for step in row.steps]
    if Course.AUDITED in courses:
        return {Course.CLEARED: "right", Course.FLAGGED: "missed"}.get(courses[-1], "undecided")
    if not courses or courses[-1] is Course.REUSED:
        return ""
    if row.violation and courses[-1] is Course.FLAGGED:
        return "found"
    last = row.steps[-1]
    by_screen = last.clear_below != last.flag_from  # only the last stage decides every case
    return "cleared" if last.course is Course.CLEARED and by_screen else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How far the scores of the first stage have moved."""

    index: float
    """Population stability index; 0 where nothing moved."""
    noise: float
    """What the index stays under with 99 % where nothing moved, by the size of the samples alone."""
    cases: int

    @property
    def shifted(self) -> bool:
        """More than customary, and more than chance."""
        return self.index >= SHIFTED and self.index > self.noise

    @property
    def much_shifted(self) -> bool:
        """So much that thresholds should be chosen anew."""
        return self.index >= MUCH_SHIFTED and self.index > self.noise


def shares_of(scores: Sequence[float], parts: int = PARTS) -> tuple[float, ...]:
    """The share of scores in each of the equal parts of [0, 1].

    Raises:
        ValueError: no scores, or one that is not in [0, 1].
    """
    if not scores or not all(0 <= score <= 1 for score in scores):
        raise ValueError("shares need scores in [0, 1], at least one")
    counts = [0] * parts
    for score in scores:
        counts[min(parts - 1, int(score * parts))] += 1
    return tuple(count / len(scores) for count in counts)


def shift_of(reference: Sequence[float], cases: int, scores: Sequence[float]) -> Shift:
    """Compare scores with those of a reference.

    Args:
        reference: Its shares, as `shares_of` gives them.
        cases: How many cases it is of.
        scores: The scores of now, at least one.

    Source: the index is Siddiqi's (2006), with half a case added to every part so that an empty one stays finite. Where
    nothing moved it is about chi-squared with parts - 1 degrees of freedom times 1 / cases + 1 / len(scores)
    (Yurdakul and Naranjo 2020, J. Risk Model Validation 14:4); its 99 % quantile is by Wilson and Hilferty (1931).
    """
    parts = len(reference)
    now = shares_of(scores, parts)
    before = [(share * cases + 0.5) / (cases + 0.5 * parts) for share in reference]
    after = [(share * len(scores) + 0.5) / (len(scores) + 0.5 * parts) for share in now]
    index = sum((b - a) * math.log(b / a) for a, b in zip(before, after, strict=True))
    freedom = parts - 1
    root = 1 - 2 / (9 * freedom) + NormalDist().inv_cdf(0.99) * math.sqrt(2 / (9 * freedom))
    return Shift(index=index, noise=freedom * root**3 * (1 / cases + 1 / len(scores)), cases=len(scores))


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that the audit finds in some verdicts of one policy."""

    policy: str
    decided: int
    flagged: int
    flagged_rate: Bounds
    misses: Misses
    promise: Promise | None
    shift: Shift | None
    """None without a reference, or without scores."""
    reference: Reference | None
    confidence: float

    @property
    def alarms(self) -> tuple[str, ...]:
        """What is surely no longer as promised; none where all is well, or too little was audited to say."""
        found: list[str] = []
        if self.promise is not None and self.misses.breaks(self.promise):
            found.append(
                f"the screens clear at least {self.misses.lost.low:.1%} of the violating cases, "
                f"promised were at most {self.promise.most_lost:.1%}"
            )
        if self.shift is not None and self.shift.much_shifted:
            found.append(f"the scores of the first stage have moved: index {self.shift.index:.2f}")
        if self.reference is not None and self.decided:
            low, high = self.flagged_rate.low, self.flagged_rate.high
            if not low <= self.reference.base_rate <= high:
                found.append(
                    f"{low:.1%} to {high:.1%} of the cases are flagged, "
                    f"{self.reference.base_rate:.1%} were when the cascade was fitted"
                )
        return tuple(found)

    def render(self) -> str:
        """In words, one finding a line."""
        m, sure = self.misses, f"{self.confidence:.0%} at every moment"
        lines = [
            f"policy {self.policy}: {self.decided:,} decided, {self.flagged:,} flagged "
            f"({self.flagged_rate.low:.2%} to {self.flagged_rate.high:.2%}, {sure})",
            f"cleared by screens: {m.cleared:,}; reasoned over anyway: {m.audited:,}; "
            f"of these violate: {m.missed:,}" + (f"; without a verdict: {m.undecided:,}" if m.undecided else ""),
        ]
        if m.audited:
            lines += [
                f"miss rate among the cleared: {m.rate.low:.3%} to {m.rate.high:.3%} ({sure})",
                f"violating cases lost at the screens: {m.lost.low:.1%} to {m.lost.high:.1%}{self._promised()}",
            ]
        else:
            lines.append("nothing was audited: give the plan an audit rate, such as 0.01")
        if self.shift is not None:
            word = "moved much" if self.shift.much_shifted else "moved" if self.shift.shifted else "as they were"
            lines.append(
                f"scores of the first stage: {word} (stability index {self.shift.index:.3f}; "
                f"{self.shift.noise:.3f} by chance; {self.shift.cases:,} cases)"
            )
        lines += [f"ALARM: {alarm}" for alarm in self.alarms] or ["no alarm"]
        return "\n".join(lines)

    def _promised(self) -> str:
        if self.promise is None:
            return "; no promise to hold it against"
        if self.misses.breaks(self.promise):
            word = "broken"
        elif self.misses.lost.high <= self.promise.most_lost:
            word = "kept"
        else:
            word = "not known yet, audit more"
        return f"; promised at most {self.promise.most_lost:.1%}: {word}"


def audit(rows: Sequence[VerdictRow], plan: CascadePlan | None = None, *, confidence: float = 0.95) -> list[Report]:
    """Audit verdicts, a policy at a time.

    Args:
        rows: In the order in which they were made; those that no cascade decided are left out.
        plan: Gives the promise, and the reference that scores are compared with, for the policy that it was fitted for;
            without one, or without a reference in it, the second half of the scores is compared with the first.
        confidence: Of each bound, in (0, 1).
    """
    by_policy: dict[str, list[VerdictRow]] = {}
    for row in rows:
        if row.steps:
            by_policy.setdefault(row.policy_digest, []).append(row)
    return [
        _report(found, plan if plan is not None and plan.policy_digest in (None, digest) else None, confidence)
        for digest, found in by_policy.items()
    ]


def _report(rows: Sequence[VerdictRow], plan: CascadePlan | None, confidence: float) -> Report:
    decided = [row for row in rows if row.violation is not None]
    flagged = sum(row.violation is True for row in decided)
    reference = None if plan is None else plan.reference
    return Report(
        policy=rows[0].policy,
        decided=len(decided),
        flagged=flagged,
        flagged_rate=anytime_bounds(flagged, len(decided), confidence=confidence),
        misses=misses_of(rows, confidence=confidence),
        promise=None if plan is None else plan.promise,
        shift=_shift(rows, reference),
        reference=reference,
        confidence=confidence,
    )


def _shift(rows: Sequence[VerdictRow], reference: Reference | None) -> Shift | None:
    first = (row.steps[0] for row in rows)
    scores = [step.probability for step in first if step.probability is not None]
    if reference is not None and scores:
        return shift_of(reference.shares, reference.cases, scores)
    half = len(scores) // 2
    return shift_of(shares_of(scores[:half]), half, scores[half:]) if half else None
