"""A training policy → the same with one known change, and what its labels then are.

Contrast is what makes a model read: the same content under the inverted policy, without the rule that it breaks, with
that rule moved to the other side. Each change maps a ruling to the ruling under the changed policy, or to None where
the labels do not tell.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from magistrate.classifiers.policy_passages import PassageKind, PolicyPassage
from magistrate.train.embedded.families import Ruling, TrainingPolicy

Relabel = Callable[[Ruling], bool | None]
"""Whether the content violates the changed policy; None where that is not known."""


class Change(StrEnum):
    """How a policy is changed."""

    NONE = "none"
    INVERTED = "inverted"
    """Violating and allowed are swapped."""
    REMOVED = "removed"
    """Some rules are gone with their examples."""
    MOVED = "moved"
    """A rule stands on the other side."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A changed policy."""

    policy: TrainingPolicy
    change: Change
    relabel: Relabel


def vary(policy: TrainingPolicy, change: Change, chance: random.Random) -> Variant:
    """Change a policy; where the change is not possible, it stays as it is."""
    made = _CHANGES[change](policy, chance)
    return made if made is not None else Variant(policy, Change.NONE, _same)


def thin_out(
    passages: Sequence[PolicyPassage], chance: random.Random, *, drop_examples: float, most: int
) -> tuple[PolicyPassage, ...]:
    """Drop examples, which changes no label, and never the last passage of a side. At most `most` passages stay."""
    kept = [p for p in passages if p.kind is PassageKind.RULE or chance.random() >= drop_examples]
    while len(kept) > most:
        examples = [p for p in kept if p.kind is PassageKind.EXAMPLE]
        if not examples:
            break
        kept.remove(chance.choice(examples))
    sides = {p.violation for p in kept}
    return tuple(kept) if sides == {p.violation for p in passages} else tuple(passages)


def _same(ruling: Ruling) -> bool | None:
    return ruling.violation


def _unchanged(policy: TrainingPolicy, chance: random.Random) -> Variant | None:
    return Variant(policy, Change.NONE, _same)


def _inverted(policy: TrainingPolicy, chance: random.Random) -> Variant | None:
    """What is allowed by no rule in particular is allowed by what the policy allows, and so violates the inverse."""
    if not any(not p.violation for p in policy.passages):
        return None
    turned = tuple(replace(p, violation=not p.violation) for p in policy.passages)
    return Variant(replace(policy, passages=turned), Change.INVERTED, lambda ruling: not ruling.violation)


def _removed(policy: TrainingPolicy, chance: random.Random) -> Variant | None:
    violating, allowed = (_rule_ids(policy, violation=side) for side in (True, False))
    gone = frozenset(
        chance.sample(violating, chance.randint(0, max(0, len(violating) // 2)))
        + chance.sample(allowed, chance.randint(0, max(0, len(allowed) // 2)))
    )
    kept = tuple(p for p in policy.passages if p.rule_id is None or p.rule_id not in gone)
    violating_gone = gone & frozenset(violating)

    def relabel(ruling: Ruling) -> bool | None:
        if not ruling.violation or not violating_gone:
            return ruling.violation
        if not ruling.rules_known:
            return None
        return not frozenset(ruling.rule_ids) <= violating_gone

    return Variant(replace(policy, passages=kept), Change.REMOVED, relabel) if gone else None


def _moved(policy: TrainingPolicy, chance: random.Random) -> Variant | None:
    violating = _rule_ids(policy, violation=True)
    choice = _rule_ids(policy, violation=False) + (violating if len(violating) > 1 else [])
    if not choice:
        return None
    moved = chance.choice(choice)
    turned = tuple(replace(p, violation=not p.violation) if p.rule_id == moved else p for p in policy.passages)

    def relabel(ruling: Ruling) -> bool | None:
        if not ruling.rules_known:
            return True if ruling.violation and moved not in violating else None
        if moved in ruling.rule_ids:
            return not ruling.violation if len(ruling.rule_ids) == 1 else None
        return ruling.violation

    return Variant(replace(policy, passages=turned), Change.MOVED, relabel)


def _rule_ids(policy: TrainingPolicy, *, violation: bool) -> list[str]:
    found = (p.rule_id for p in policy.passages if p.violation is violation and p.kind is PassageKind.RULE)
    return [rule_id for rule_id in dict.fromkeys(found) if rule_id is not None]


_CHANGES: dict[Change, Callable[[TrainingPolicy, random.Random], Variant | None]] = {
    Change.NONE: _unchanged,
    Change.INVERTED: _inverted,
    Change.REMOVED: _removed,
    Change.MOVED: _moved,
}
