"""What was judged wrongly, sorted by the rule whose wording is at fault: cited wrongly, or not heard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from magistrate.evaluate.audit import audit_reasoning
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.improve.bench import is_right, probability_of
from magistrate.policy.model import Polarity, Policy, Rule
from magistrate.types import Abstained, Decided, Failed, Verdict


class Kind(StrEnum):
    """How a verdict is wrong."""

    FALSE_ALARM = "false alarm"
    MISSED = "missed"
    UNSURE = "unsure"
    """The judge abstained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A case that was not judged as the golden set has it."""

    case: GoldenCase
    verdict: Decided | Abstained
    kind: Kind
    rule_id: str | None
    """The rule at fault: cited for a false alarm; not heard, or else the nearest one, for what was missed."""
    other_id: str | None
    """The rule of the other side that should have won, or that won: the nearest allowed one, or the one it cites."""
    heading: str
    """What its group is called: the rule, or a label or category of the golden set that the policy does not have."""
    told: bool
    """Whether golden set or verdict name the rule; otherwise it is the nearest one by the judge's evidence."""
    piece: str
    """The piece of content that spoke loudest, where the judge tells."""
    suspicion: tuple[str, ...]
    """What is wrong with the reasoning, worst first."""
    weight: float
    """How bad: the distance of the probability from the truth, or else how suspect the reasoning is."""

    @property
    def text(self) -> str:
        """What was judged."""
        return " / ".join(message.content for message in self.case.content.judged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Mistakes of one kind that are owed to one rule, worst first."""

    kind: Kind
    heading: str
    rule: Rule | None
    mistakes: tuple[Mistake, ...]
    right: int
    """False alarms: right verdicts that cite the rule first. Missed: cases of the rule that were judged rightly."""

    @property
    def others(self) -> tuple[tuple[str, int], ...]:
        """Rules of the other side with how often they won, or should have, the most frequent first."""
        return tuple(Counter(m.other_id for m in self.mistakes if m.other_id is not None).most_common())


def find_mistakes(policy: Policy, cases: Sequence[GoldenCase], verdicts: Sequence[Verdict]) -> list[Mistake]:
    """Mistakes that a wording can be at fault for, in the order of the cases: failures to answer are none."""
    return [
        _mistake(policy, case, verdict)
        for case, verdict in zip(cases, verdicts, strict=True)
        if not isinstance(verdict, Failed) and not is_right(case, verdict)
    ]


def group_mistakes(
    policy: Policy, cases: Sequence[GoldenCase], verdicts: Sequence[Verdict], mistakes: Sequence[Mistake]
) -> list[Group]:
    """Sort mistakes into groups, the largest first."""
    by_key: dict[tuple[Kind, str], list[Mistake]] = {}
    for mistake in mistakes:
        by_key.setdefault((mistake.kind, mistake.heading), []).append(mistake)
    groups = [
        Group(
            kind=kind,
            heading=heading,
            rule=None if found[0].rule_id is None else policy.rule(found[0].rule_id),
            mistakes=tuple(sorted(found, key=lambda m: (-m.weight, m.case.id))),
            right=sum(_right_with(kind, heading, *pair) for pair in zip(cases, verdicts, strict=True)),
        )
        for (kind, heading), found in by_key.items()
    ]
    return sorted(groups, key=lambda group: (-len(group.mistakes), group.kind, group.heading))


def _right_with(kind: Kind, heading: str, case: GoldenCase, verdict: Verdict) -> bool:
    if not isinstance(verdict, Decided) or not is_right(case, verdict):
        return False
    if kind is Kind.FALSE_ALARM:
        return verdict.violation and heading in verdict.rule_ids[:1]
    return heading in case.rule_ids[:1] or (not case.rule_ids and heading in (case.label, case.category))


def _mistake(policy: Policy, case: GoldenCase, verdict: Decided | Abstained) -> Mistake:
    cited = verdict.rule_ids if isinstance(verdict, Decided) else ()
    near = {polarity: _nearest(policy, verdict, polarity) for polarity in Polarity}
    own = Polarity.VIOLATES if case.violation else Polarity.ALLOWED
    kind = Kind.UNSURE if isinstance(verdict, Abstained) else Kind.MISSED if case.violation else Kind.FALSE_ALARM
    if kind is Kind.FALSE_ALARM:
        named = _first(policy, cited, Polarity.VIOLATES)
        other = _first(policy, case.rule_ids, Polarity.ALLOWED) or near[Polarity.ALLOWED]
        rule_id, heading = named or near[Polarity.VIOLATES], "no rule is cited"
    else:
        named = _first(policy, case.rule_ids, own)
        other = _first(policy, cited, Polarity.ALLOWED) if case.violation else near[Polarity.VIOLATES]
        heading = _said(policy, case) or "the golden set names no rule"
        # A label or category of the source tells more than the rule that the judge thinks is nearest.
        rule_id = named or (None if _said(policy, case) else near[own])
    audit = audit_reasoning(policy, case.content, verdict)
    probability = probability_of(verdict)
    return Mistake(
        case=case,
        verdict=verdict,
        kind=kind,
        rule_id=rule_id,
        other_id=other,
        heading=rule_id or heading,
        told=named is not None,
        piece=_piece(case, verdict),
        suspicion=audit.reasons,
        weight=audit.score if probability is None else abs(probability - case.violation),
    )


def _said(policy: Policy, case: GoldenCase) -> str:
    """What the golden set calls it, where that is more than 'violates' or 'safe'."""
    label = policy.label(case.label) if case.label else None
    plain = {x.name for x in policy.labels if sum(y.violation is x.violation for y in policy.labels) == 1}
    return case.category or (case.label or "" if label is None or label.name not in plain else "")


def _first(policy: Policy, rule_ids: Sequence[str], polarity: Polarity) -> str | None:
    rules = (policy.rule(rule_id) for rule_id in rule_ids)
    return next((rule.id for rule in rules if rule is not None and rule.polarity is polarity), None)


def _nearest(policy: Policy, verdict: Decided | Abstained, polarity: Polarity) -> str | None:
    best = sorted(verdict.evidence, key=lambda match: -match.score)
    return _first(policy, [match.rule_id for match in best], polarity)


def _piece(case: GoldenCase, verdict: Decided | Abstained) -> str:
    span = next((match.span for match in verdict.evidence if match.span is not None), None)
    return "" if span is None else case.content.judged[span.message].content[span.start : span.end]
