"""Which share of the items a cascade reasons over, as far as its plan tells."""

from __future__ import annotations

from dataclasses import dataclass

from magistrate.classifiers.cascade.plan import CascadePlan, Reference, Stage
from magistrate.errors import UsageError


@dataclass(frozen=True, slots=True)
class Share:
    """A share of all items, in (0, 1], and where it is from in words."""

    value: float
    source: str


def share_of(plan: CascadePlan) -> Share:
    """The share that reaches the last stage: its limit, or what the first screen left of the cases it was fitted on.

    Audited items come on top. With a second screen fewer are left, so that the share errs on the safe side.

    Raises:
        UsageError: the plan has neither a limit nor a record of its first screen's probabilities.
    """
    audited = 0.0 if plan.audit is None else plan.audit.rate
    if plan.limit is not None:
        return Share(plan.limit.share, f"the limit of cascade {plan.name!r}")
    if len(plan.stages) == 1:
        return Share(1.0, f"cascade {plan.name!r} has no screen")
    if plan.reference is None:
        raise UsageError(
            f"cascade {plan.name!r} does not say which share of the items its reasoner gets",
            hint="give it: --share 0.16; or fit the cascade again with magistrate cascade fit",
        )
    left = _left(plan.reference, plan.stages[0])
    cases = plan.reference.cases
    share = min(1.0, max(left + audited * (1 - left), 1 / cases))
    return Share(share, f"what the first screen of cascade {plan.name!r} left of {cases:,} cases, and its audit")


def _left(reference: Reference, screen: Stage) -> float:
    """The part of the spread between both thresholds; parts that a threshold cuts count by the length inside."""
    bins = len(reference.shares)
    low = 0.0 if screen.clear_below is None else screen.clear_below
    high = 1.0 if screen.flag_from is None else screen.flag_from
    inside = (max(0.0, min(high, (place + 1) / bins) - max(low, place / bins)) * bins for place in range(bins))
    return sum(share * part for share, part in zip(reference.shares, inside, strict=True))
