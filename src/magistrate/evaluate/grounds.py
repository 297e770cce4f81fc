"""How well founded the reasoning of a judge is: how often it shows each fault that the audit looks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from magistrate.evaluate.audit import ReasoningAudit
from magistrate.evaluate.interval import Interval, Numbers, share_difference_interval
from magistrate.evaluate.judged import cluster_numbers
from magistrate.evaluate.measure import measure_share
from magistrate.evaluate.metrics import Bools


class Fault(StrEnum):
    """What makes reasoning badly founded. Length, doubts and repetition rank it and are no faults."""

    UNKNOWN_RULE = "cites rules that are not there"
    INVENTED_POLICY = "invents words of the policy"
    INVENTED_CONTENT = "invents words of the content"
    CONTRADICTS = "concludes the other verdict"
    ACTS = "acts on the content"
    ANY = "any of these"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRate:
    """How often one fault was found."""

    fault: Fault
    hits: int
    trials: int
    """Reasonings that it could be found in."""
    interval: Interval | None

    @property
    def value(self) -> float | None:
        """The share; None where it could be found nowhere."""
        return self.hits / self.trials if self.trials else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultDifference:
    """How much more often the second of two judges shows a fault, over the cases whose reasoning of both is known."""

    fault: Fault
    cases: int
    value: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What the audit found in the reasoning of a run."""

    cases: int
    checked: int
    """Cases whose reasoning was looked through; the rest have none, or nobody could."""
    rates: tuple[FaultRate, ...]
    """One for every fault."""


def faults(audit: ReasoningAudit) -> tuple[Fault, ...]:
    """The faults of one reasoning, without `ANY`."""
    return tuple(fault for fault in Fault if fault is not Fault.ANY and _shows(fault, audit))


def grounds(
    audits: Sequence[ReasoningAudit | None], clusters: Numbers | None = None, *, confidence: float = 0.95
) -> Grounds:
    """Count the faults.

    Args:
        audits: One a case; None where its reasoning was not looked through.
        clusters: (n_cases,) numbers 0, 1, ... of what belongs together; None for independent cases.
        confidence: Of every interval, in (0, 1).
    """
    return Grounds(
        cases=len(audits),
        checked=sum(audit is not None for audit in audits),
        rates=tuple(_rate(fault, audits, clusters, confidence) for fault in Fault),
    )


def fault_differences(
    first: Sequence[ReasoningAudit | None],
    second: Sequence[ReasoningAudit | None],
    clusters: Numbers | None = None,
    *,
    confidence: float = 0.95,
) -> tuple[FaultDifference, ...]:
    """Compare two judges on the same cases, in one order: for every fault, second minus first."""
    return tuple(_difference(fault, first, second, clusters, confidence) for fault in Fault)


def _shows(fault: Fault, audit: ReasoningAudit) -> bool:
    match fault:
        case Fault.UNKNOWN_RULE:
            return bool(audit.unknown_ids)
        case Fault.INVENTED_POLICY:
            return bool(audit.invented_policy)
        case Fault.INVENTED_CONTENT:
            return bool(audit.invented_content)
        case Fault.CONTRADICTS:
            return audit.agrees is False
        case Fault.ACTS:
            return audit.acts > 0
        case Fault.ANY:
            return bool(faults(audit))


def _can_show(fault: Fault, audit: ReasoningAudit | None) -> bool:
    """Whether the question arises: only what concludes something can contradict its verdict."""
    return audit is not None and (fault is not Fault.CONTRADICTS or audit.agrees is not None)


def _rate(
    fault: Fault, audits: Sequence[ReasoningAudit | None], clusters: Numbers | None, confidence: float
) -> FaultRate:
    counted, hits = _asked(fault, audits), _found(fault, audits)
    share = measure_share(hits[counted], _part(clusters, counted), confidence=confidence)
    return FaultRate(
        fault=fault,
        hits=int(np.count_nonzero(hits[counted])),
        trials=int(np.count_nonzero(counted)),
        interval=share.interval,
    )


def _difference(
    fault: Fault,
    first: Sequence[ReasoningAudit | None],
    second: Sequence[ReasoningAudit | None],
    clusters: Numbers | None,
    confidence: float,
) -> FaultDifference:
    both = _asked(fault, first) & _asked(fault, second)
    cases = int(np.count_nonzero(both))
    if not cases:
        return FaultDifference(fault=fault, cases=0, value=None, interval=None)
    one, two = (_found(fault, audits)[both] for audits in (first, second))
    return FaultDifference(
        fault=fault,
        cases=cases,
        value=(int(np.count_nonzero(two)) - int(np.count_nonzero(one))) / cases,
        interval=share_difference_interval(one, two, _part(clusters, both), confidence=confidence),
    )


def _asked(fault: Fault, audits: Sequence[ReasoningAudit | None]) -> Bools:
    return np.array([_can_show(fault, audit) for audit in audits], np.bool_)


def _found(fault: Fault, audits: Sequence[ReasoningAudit | None]) -> Bools:
    return np.array([audit is not None and _shows(fault, audit) for audit in audits], np.bool_)


def _part(clusters: Numbers | None, kept: Bools) -> Numbers | None:
    return None if clusters is None else cluster_numbers(clusters[kept])
