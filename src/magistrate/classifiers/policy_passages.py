"""The texts of a policy that content is read against: its rules, its examples, what it says of its labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from magistrate.policy.model import Example, Polarity, Policy, Rule


class PassageKind(StrEnum):
    """What a passage is."""

    RULE = "rule"
    EXAMPLE = "example"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPassage:
    """One text of a policy that speaks for a violation or against one."""

    text: str
    violation: bool
    """Which side it speaks for."""
    kind: PassageKind
    rule_id: str | None
    """The rule that it is or shows; None for an example or a label of no rule."""


def passages_of(policy: Policy) -> tuple[PolicyPassage, ...]:
    """All passages: for each rule its text and then its examples, violating rules first; then those of no rule.

    An example shows the side of its own verdict, whichever rule it stands under; one without a verdict is left out.
    """
    found: list[PolicyPassage] = []
    told: set[Example] = set()
    for polarity in (Polarity.VIOLATES, Polarity.ALLOWED):
        violation = polarity is Polarity.VIOLATES
        for rule in policy.rules:
            if rule.polarity is polarity:
                shown = [e for e in rule.examples if e.violation is violation]
                told.update(shown)
                found.append(_rule(rule, violation=violation))
                found += _examples(shown, violation=violation, rule_id=rule.id)
    for violation in (True, False):
        rest = [e for e in policy.examples if e.violation is violation and e not in told]
        found += _examples(rest, violation=violation, rule_id=None)
        found += [
            PolicyPassage(text=label.text, violation=violation, kind=PassageKind.RULE, rule_id=None)
            for label in policy.labels
            if label.text and label.violation is violation
        ]
    return tuple(found)


def _rule(rule: Rule, *, violation: bool) -> PolicyPassage:
    return PolicyPassage(text=rule.text, violation=violation, kind=PassageKind.RULE, rule_id=rule.id)


def _examples(shown: Iterable[Example], *, violation: bool, rule_id: str | None) -> list[PolicyPassage]:
    return [PolicyPassage(text=e.text, violation=violation, kind=PassageKind.EXAMPLE, rule_id=rule_id) for e in shown]
