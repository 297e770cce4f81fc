"""Say in a few sentences why the embedded judge decided, from what it measured and nothing else.

The content is not quoted: a rationale is stored in logs that may not hold content. Characters are given instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from magistrate.classifiers.rule_index import RuleScore
from magistrate.types import Span

SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a verdict rests on."""

    violation: bool
    violating: RuleScore | None
    """The violating rule that speaks loudest; None where only examples of no rule do."""
    allowed: RuleScore | None
    nothing: float
    """The score of "no rule speaks of this"."""
    span: Span
    without: tuple[str, float] | None = None
    """A rule, and the probability of a violation if the policy did not have it."""


def explain(evidence: Evidence) -> str:
    """The rule that decided and where, the nearest rule of the other side, and what would change the verdict."""
    place = evidence.span
    where = f"characters {place.start}-{place.end}" + (f" of message {place.message + 1}" if place.message else "")
    said = [_why_violation(evidence, where) if evidence.violation else _why_allowed(evidence, where)]
    if evidence.without is not None:
        said.append(_what_if(evidence, *evidence.without))
    return " ".join(said)


def _why_violation(evidence: Evidence, where: str) -> str:
    loudest = _name(evidence.violating) if evidence.violating else "examples that belong to no rule"
    said = f"Violates by {loudest}, which speaks loudest in {where}"
    if evidence.allowed is None:
        return f"{said}; the policy has no allowed rule to set against it."
    return f"{said}; the nearest allowed rule is {_name(evidence.allowed)}{_margin(evidence)}."


def _why_allowed(evidence: Evidence, where: str) -> str:
    nearest = _name(evidence.violating) if evidence.violating else "examples that belong to no rule"
    said = f"No rule is broken: what comes closest is {nearest}, in {where}"
    if evidence.allowed is None or evidence.allowed.score < evidence.nothing:
        return f"{said}, and that is too weak ({evidence.nothing:.1f} stands for no rule at all)."
    return f"{said}; {_name(evidence.allowed)} speaks for allowing it{_margin(evidence)}."


def _margin(evidence: Evidence) -> str:
    if evidence.violating is None or evidence.allowed is None:
        return ""
    apart = evidence.allowed.score - evidence.violating.score
    return f", {abs(apart):.1f} {'more' if apart >= 0 else 'less'}"


def _what_if(evidence: Evidence, rule_id: str, probability: float) -> str:
    turned = (probability >= 0.5) is not evidence.violation
    verdict = "a violation" if probability >= 0.5 else "allowed"
    return f"Without {rule_id} it would {'' if turned else 'still '}be {verdict} ({probability:.2f})."


def _name(found: RuleScore) -> str:
    return f"{found.rule.id}, “{_shorten(found.rule.text)}” ({found.score:.1f})"


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    if len(line) <= SHOWN_CHARACTERS:
        return line.rstrip(".")
    return line[:SHOWN_CHARACTERS].rsplit(" ", 1)[0].rstrip(" ,.;:") + " …"
