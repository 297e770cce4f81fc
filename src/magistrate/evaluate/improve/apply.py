"""Make an edit, and read the policy back: it is refused if anything else than what was meant has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from magistrate.errors import PolicyError
from magistrate.evaluate.improve.edit import (
    AddExample,
    AddRule,
    AmendRule,
    Edit,
    MendFindings,
    Proposal,
    Refused,
    RemoveRule,
    ReplaceText,
)
from magistrate.evaluate.improve.example_line import example_ways
from magistrate.evaluate.improve.manuscript import Manuscript
from magistrate.evaluate.improve.readback import Changes, changes, example_meaning
from magistrate.evaluate.improve.rule_line import about_alone, amendment_ways, removal_ways, rule_ways
from magistrate.policy.lint.mend import mend
from magistrate.policy.lint.run import lint_text
from magistrate.policy.model import Polarity, Policy, PolicyForm
from magistrate.policy.tokens import estimate_tokens

Check = Callable[[Changes, Policy], bool]


def apply_all(policy: Policy, proposal: Proposal) -> Policy | Refused:
    """Make all edits of a proposal, one after another."""
    for edit in proposal.edits:
        made = apply_edit(policy, edit)
        if isinstance(made, Refused):
            return made
        policy = made
    return policy


def apply_edit(policy: Policy, edit: Edit) -> Policy | Refused:
    """Make one edit.

    >>> policy = Policy.parse("## Violates\\n- V1. Insults\\n\\n## Safe\\n- A1. Criticism\\n", name="manners")
    >>> made = apply_edit(policy, AddRule(text="Jokes among friends", polarity=Polarity.ALLOWED))
    >>> made.text.splitlines()[-2:]
    ['- A1. Criticism', '- A2. Jokes among friends']
    >>> apply_edit(policy, RemoveRule(rule_id="V9"))
    Refused(reason='there is no rule V9')
    """
    match edit:
        case AddExample():
            return _add_example(policy, edit)
        case AddRule():
            return _add_rule(policy, edit)
        case RemoveRule():
            return _remove(policy, edit)
        case AmendRule():
            return _amend(policy, edit)
        case ReplaceText():
            return _replace(policy, edit)
        case MendFindings():
            return _mend(policy)
        case _:
            assert_never(edit)


def parsed(text: str, like: Policy) -> Policy | None:
    """Read an edited text; None where it is no policy any more."""
    try:
        return Policy.parse(text, name=like.name, file=like.file)
    except PolicyError:
        return None


def _first(policy: Policy, ways: Iterable[str], fits: Check, what: str) -> Policy | Refused:
    for text in ways:
        made = parsed(text, policy)
        if made is not None and fits(changes(policy, made), made):
            return made
    return Refused(f"{what} is not read back as it was meant")


def _add_example(policy: Policy, edit: AddExample) -> Policy | Refused:
    if edit.rule_id is not None and policy.rule(edit.rule_id) is None:
        return Refused(f"there is no rule {edit.rule_id[:40]}")
    if not edit.text.strip():
        return Refused("an example has a text")
    if any(shown.text == edit.text for shown in policy.examples):
        return Refused("the policy shows this example already")

    def fits(found: Changes, made: Policy) -> bool:
        wanted = (edit.text, edit.violation, edit.rule_id)
        return found.only_examples and found.new_examples == (wanted,) and not found.lost_examples

    return _first(policy, example_ways(policy, edit), fits, "the example")


def _add_rule(policy: Policy, edit: AddRule) -> Policy | Refused:
    if "\n" in edit.text or "\r" in edit.text or not edit.text.strip():
        return Refused("a rule is one line of text")

    def fits(found: Changes, made: Policy) -> bool:
        free = policy.form is PolicyForm.PROSE
        if len(found.added) != 1 or found.removed or found.changed or found.lost_examples or found.others:
            return False
        told = found.added[0].text
        same = told.startswith(edit.text.rstrip(".!")) if free else _alike(told, edit.text)
        return same and found.added[0].polarity is edit.polarity and not found.new_examples

    return _first(policy, rule_ways(policy, edit), fits, "the rule")


def _alike(told: str, meant: str) -> bool:
    return told.rstrip(" .:") == meant.rstrip(" .:")


def _remove(policy: Policy, edit: RemoveRule) -> Policy | Refused:
    rule = policy.rule(edit.rule_id)
    if rule is None:
        return Refused(f"there is no rule {edit.rule_id[:40]}")
    if rule.polarity is Polarity.VIOLATES and sum(r.polarity is Polarity.VIOLATES for r in policy.rules) == 1:
        return Refused("it is the only rule that violates")
    own = {example_meaning(shown) for shown in policy.examples if shown.rule_id == rule.id}
    alone = {s.text for s in (*policy.precedence, *policy.escalation) if about_alone(policy, rule, s)}

    def fits(found: Changes, made: Policy) -> bool:
        return (
            [gone.id for gone in found.removed] == [rule.id]
            and not (found.added or found.changed or found.new_examples or found.others)
            and set(found.lost_examples) <= own
            and set(found.lost_statements) <= alone
        )

    return _first(policy, removal_ways(policy, edit), fits, f"the policy without {rule.id}")


def _amend(policy: Policy, edit: AmendRule) -> Policy | Refused:
    rule = policy.rule(edit.rule_id)
    if rule is None:
        return Refused(f"there is no rule {edit.rule_id[:40]}")

    def fits(found: Changes, made: Policy) -> bool:
        if found.added or found.removed or found.new_examples or found.lost_examples or found.lost_statements:
            return False
        if found.others or len(found.changed) != 1:
            return False
        old, new = found.changed[0]
        kept = (old.polarity, old.severity, old.label) == (new.polarity, new.severity, new.label)
        return old.id == rule.id and kept and new.text.startswith(old.text.rstrip(" ."))

    return _first(policy, amendment_ways(policy, edit), fits, f"the amended rule {rule.id}")


def _replace(policy: Policy, edit: ReplaceText) -> Policy | Refused:
    text, end = policy.text, Manuscript.of(policy.text).line_end
    find, replacement = (_with_ends(part, end) for part in (edit.find, edit.replacement))
    if not find.strip() or text.count(find) != 1:
        return Refused(f"the words to replace stand in the policy {text.count(find) if find.strip() else 0} times")
    start = text.index(find)
    made = parsed(text[:start] + replacement + text[start + len(find) :], policy)
    if made is None:
        return Refused("what comes of it is no policy")
    touched = _touched(policy, start, start + len(find))
    found = changes(policy, made)
    problem = _beyond(found, touched)
    return made if problem is None else Refused(problem)


def _with_ends(text: str, end: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", end)


def _touched(policy: Policy, start: int, stop: int) -> frozenset[str]:
    """Ids of the rules, and texts of the examples, that begin in a stretch of the text or reach into it."""
    manuscript = Manuscript.of(policy.text)
    named = [(rule.id, rule.place) for rule in policy.rules] + [(x.text, x.place) for x in policy.examples]
    found: set[str] = set()
    for name, place in named:
        last = manuscript.last_of(place.line)
        reach = sum(map(len, manuscript.lines[:last]))
        begin = sum(map(len, manuscript.lines[: place.line - 1]))
        if begin < stop and reach > start:
            found.add(name)
    return frozenset(found)


def _beyond(found: Changes, touched: frozenset[str]) -> str | None:
    """What a replacement changed that it must not: rules may get other words where it touches them, no more."""
    if found.removed:
        return f"it takes away the rule {found.removed[0].id}"
    for old, new in found.changed:
        if old.id not in touched:
            return f"it changes the rule {old.id}, which it does not touch"
        if old.polarity is not new.polarity:
            return f"it turns the rule {old.id} round"
    lost = next((text for text, _, _ in found.lost_examples if text not in touched), None)
    if lost is not None:
        return "it takes away an example that it does not touch"
    broken = [name for name in found.others if name in ("labels", "answers", "form") or name.startswith("a warning")]
    return f"it changes {broken[0]}" if broken else None


def _mend(policy: Policy) -> Policy | Refused:
    mended = mend(policy.text, lambda text: lint_text(text, file=policy.file, count=estimate_tokens))
    made = parsed(mended.text, policy) if mended.made else None
    return Refused("the linter has nothing to mend") if made is None else made
