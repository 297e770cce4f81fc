"""Proposals without a model: examples from what was misjudged, rules from its words, and weak rules amended or dropped.

A template knows nothing of meaning. What it proposes is tested like everything else, and a person reads the diff.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.improve.edit import (
    AddExample,
    AddRule,
    AmendRule,
    MendFindings,
    Origin,
    Proposal,
    RemoveRule,
)
from magistrate.evaluate.improve.example_line import spelled
from magistrate.evaluate.improve.mistakes import Group, Kind, Mistake
from magistrate.policy.lint.run import lint_text
from magistrate.policy.model import Polarity, Policy
from magistrate.policy.tokens import estimate_tokens

LONGEST_EXAMPLE = 240
"""Characters. A longer text is no example: the judge reads every example in every prompt."""
BUNDLE = 6
"""Examples that are tried together at the most."""
FEWEST_OF_A_RULE = 3
"""Mistakes from which on a rule is made of their words, or a rule that makes them is dropped."""
MOST_WORDS = 4
NARROWER = "A mere mention, report, question, joke or quotation of it is not enough."
WIDER = "Hints, slang, misspellings and other disguises of it count too."


def template_proposals(policy: Policy, groups: Sequence[Group], cases: Sequence[GoldenCase]) -> list[Proposal]:
    """What may help, the most promising first.

    Args:
        policy: That was judged under.
        groups: Of its mistakes.
        cases: Of the part that is analysed; their words tell which words mark a group.
    """
    every = [mistake for group in groups for mistake in group.mistakes]
    found = itertools.chain(
        _halves("of all mistakes", every),
        (proposal for group in groups for proposal in _halves(f"for {group.heading} ({group.kind})", group.mistakes)),
        _rules(groups, cases),
        _amendments(groups),
        _removals(policy, groups),
        _lint_fixes(policy),
        _singles(groups),
    )
    return list({proposal.edits: proposal for proposal in reversed(list(found))}.values())[::-1]


def example_of(mistake: Mistake) -> AddExample | None:
    """The mistake as an example; None where its text is too long, or a chat."""
    messages = mistake.case.content.judged
    text = spelled(messages[0].content) if len(messages) == 1 else ""
    if not text or len(text) > LONGEST_EXAMPLE or not any(c.isalpha() for c in text):
        return None
    own = mistake.rule_id if mistake.kind is not Kind.FALSE_ALARM else mistake.other_id
    return AddExample(text=text, violation=mistake.case.violation, rule_id=own)


def _halves(title: str, mistakes: Sequence[Mistake]) -> Iterator[Proposal]:
    """Every other mistake as an example: the other half shows whether it helps, for no case is scored on itself."""
    shown = [(mistake, edit) for mistake in mistakes if (edit := example_of(mistake)) is not None]
    if len(mistakes) < 4 or len(shown) < 2:
        return
    for start in (0, 1):
        chosen = shown[start::2][:BUNDLE]
        if len(chosen) > 1:
            yield Proposal(
                title=f"{len(chosen)} examples {title}, {_HALVES[start]} half",
                edits=tuple(edit for _, edit in chosen),
                taken=frozenset(mistake.case.id for mistake, _ in chosen),
            )


_HALVES = ("one", "the other")


def _singles(groups: Sequence[Group]) -> Iterator[Proposal]:
    """The worst mistake of each group as an example, then the next of each."""
    for rank in itertools.zip_longest(*(group.mistakes for group in groups)):
        for mistake in rank:
            edit = None if mistake is None else example_of(mistake)
            if mistake is not None and edit is not None:
                yield Proposal(
                    title=f"an example from {mistake.case.id} for {mistake.heading} ({mistake.kind})",
                    edits=(edit,),
                    taken=frozenset([mistake.case.id]),
                )


def _rules(groups: Sequence[Group], cases: Sequence[GoldenCase]) -> Iterator[Proposal]:
    """A rule from the words that mark a group; for what the policy has no rule for, from its name in the golden set."""
    for group in groups:
        if len(group.mistakes) < FEWEST_OF_A_RULE or group.kind is Kind.UNSURE:
            continue
        allowed = group.kind is Kind.FALSE_ALARM
        polarity = Polarity.ALLOWED if allowed else Polarity.VIOLATES
        if group.rule is None and not allowed and re.search(r"[^\W\d_]{3}", group.heading.rpartition(":")[2]):
            name = " ".join(re.sub(r"[_/-]+", " ", group.heading.rpartition(":")[2]).split())
            yield Proposal(
                title=f"a rule for {group.heading}", edits=(AddRule(text=f"{name.capitalize()}.", polarity=polarity),)
            )
        words = marking_words([m.text for m in group.mistakes], _others(group, cases))
        if len(words) < 2:
            continue
        subject = f"{', '.join(words[:-1])} or {words[-1]}"
        text = f"Talk of {subject} that breaks no rule." if allowed else f"Talk of {subject} in the same way."
        side = "an allowed" if allowed else "a violating"
        yield Proposal(title=f"{side} rule: {subject}", edits=(AddRule(text=text, polarity=polarity),))


def _others(group: Group, cases: Sequence[GoldenCase]) -> list[str]:
    """Texts of the other side, whose words do not mark the group."""
    wanted = group.mistakes[0].case.violation
    return [" ".join(m.content for m in case.content.judged) for case in cases if case.violation is not wanted]


def marking_words(texts: Sequence[str], others: Sequence[str]) -> list[str]:
    """Words that several texts share and the others seldom have, the most frequent first.

    >>> marking_words(["the hotel by the beach", "my hotel, a long beach walk"], ["by the sea", "a long story"])
    ['hotel', 'beach']
    """
    own, foreign = (Counter(word for text in group for word in _words(text)) for group in (texts, others))
    share = {word: count / len(texts) for word, count in own.items() if count > 1}
    marks = [word for word, part in share.items() if part > 4 * foreign[word] / max(1, len(others))]
    return sorted(marks, key=lambda word: (-share[word], texts[0].casefold().find(word), word))[:MOST_WORDS]


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[^\W\d_]{4,20}", text.casefold())}


def _amendments(groups: Sequence[Group]) -> Iterator[Proposal]:
    for group in groups:
        if group.rule is None or len(group.mistakes) < 2 or group.rule.polarity is not Polarity.VIOLATES:
            continue
        if group.kind is Kind.FALSE_ALARM:
            edit = AmendRule(rule_id=group.rule.id, sentence=NARROWER)
            yield Proposal(title=f"{group.rule.id} made narrower", edits=(edit,))
        elif group.kind is Kind.MISSED:
            edit = AmendRule(rule_id=group.rule.id, sentence=WIDER)
            yield Proposal(title=f"{group.rule.id} made wider", edits=(edit,))


def _removals(policy: Policy, groups: Sequence[Group]) -> Iterator[Proposal]:
    """Rules that are cited wrongly more often than rightly, and allowed rules that hide more than they keep."""
    for group in groups:
        false = len(group.mistakes)
        weak = false >= FEWEST_OF_A_RULE and false > group.right
        if group.kind is Kind.FALSE_ALARM and group.rule is not None and weak:
            title = f"without {group.rule.id}: {false} of its {false + group.right} alarms are false"
            yield Proposal(title=title, edits=(RemoveRule(rule_id=group.rule.id),))
    hiding = Counter(m.other_id for group in groups if group.kind is Kind.MISSED for m in group.mistakes)
    for rule_id, count in hiding.most_common(2):
        if rule_id is not None and count >= FEWEST_OF_A_RULE and policy.rule(rule_id) is not None:
            title = f"without {rule_id}: {count} violations pass by it"
            yield Proposal(title=title, edits=(RemoveRule(rule_id=rule_id),))


def _lint_fixes(policy: Policy) -> Iterator[Proposal]:
    found = [each for each in lint_text(policy.text, file=policy.file, count=estimate_tokens) if each.fix is not None]
    if found:
        yield Proposal(title=f"{len(found)} findings of the linter mended", edits=(MendFindings(),), origin=Origin.LINT)
