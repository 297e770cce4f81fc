"""What an edit changed in a policy as it is read: nothing but what was meant may differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from magistrate.policy.model import Example, Policy, PolicyForm, Rule

ExampleMeaning = tuple[str, bool | None, str | None]
"""Text, verdict, and the rule it is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Differences between two readings, places aside."""

    added: tuple[Rule, ...]
    removed: tuple[Rule, ...]
    changed: tuple[tuple[Rule, Rule], ...]
    """Rules with other words, or another side, severity or label; examples are counted apart."""
    new_examples: tuple[ExampleMeaning, ...]
    lost_examples: tuple[ExampleMeaning, ...]
    lost_statements: tuple[str, ...]
    """Of precedence and escalation."""
    others: tuple[str, ...]
    """What else differs: labels, answers, instructions, definitions, new statements, new warnings."""

    @property
    def only_examples(self) -> bool:
        """Whether nothing but examples was added or lost."""
        return not (self.added or self.removed or self.changed or self.lost_statements or self.others)


def changes(before: Policy, after: Policy) -> Changes:
    """Compare two readings."""
    old, new = ({rule.id: rule for rule in policy.rules} for policy in (before, after))
    told, shown = _statements(before), _statements(after)
    examples = Counter(map(example_meaning, before.examples)), Counter(map(example_meaning, after.examples))
    return Changes(
        added=tuple(rule for name, rule in new.items() if name not in old),
        removed=tuple(rule for name, rule in old.items() if name not in new),
        changed=tuple((rule, new[name]) for name, rule in old.items() if name in new and _differ(rule, new[name])),
        new_examples=tuple((examples[1] - examples[0]).elements()),
        lost_examples=tuple((examples[0] - examples[1]).elements()),
        lost_statements=tuple((told - shown).elements()),
        others=tuple(_others(before, after, new_statements=bool(shown - told))),
    )


def example_meaning(shown: Example) -> ExampleMeaning:
    """An example without its place."""
    return shown.text, shown.violation, shown.rule_id


def _differ(old: Rule, new: Rule) -> bool:
    return (old.text, old.polarity, old.severity, old.label) != (new.text, new.polarity, new.severity, new.label)


def _statements(policy: Policy) -> Counter[str]:
    return Counter(said.text for said in (*policy.precedence, *policy.escalation))


def _others(before: Policy, after: Policy, *, new_statements: bool) -> list[str]:
    pairs = {
        "labels": ([(x.name, x.violation, x.severity, x.text) for x in policy.labels] for policy in (before, after)),
        "answers": (policy.answers for policy in (before, after)),
        # Free text is instructions too where it stands under the title, which a second heading makes of the first.
        "instructions": ("" if policy.form is PolicyForm.PROSE else policy.instructions for policy in (before, after)),
        "definitions": ([(d.term, d.text) for d in policy.definitions] for policy in (before, after)),
        "form": (policy.form for policy in (before, after)),
    }
    found: list[str] = []
    for name, values in pairs.items():
        old, new = values
        if old != new:
            found.append(name)
    if new_statements:
        found.append("statements")
    warned = Counter(w.code for w in after.warnings) - Counter(w.code for w in before.warnings)
    return found + [f"a warning ({code})" for code in warned]
