"""A new rule in the form that a policy's own rules have, and rules taken out or amended where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from magistrate.evaluate.improve.edit import AddRule, AmendRule, RemoveRule
from magistrate.evaluate.improve.example_line import end_of_rules
from magistrate.evaluate.improve.manuscript import Manuscript
from magistrate.policy.model import Polarity, Policy, PolicyForm, Rule, Statement

_HEADINGS = {Polarity.VIOLATES: "## Violates", Polarity.ALLOWED: "## Allowed"}
_SENTENCES = {Polarity.VIOLATES: "{text} is not allowed.", Polarity.ALLOWED: "{text} is allowed."}


def rule_ways(policy: Policy, edit: AddRule) -> Iterator[str]:
    """Texts of the policy with the rule in it, the most natural place first."""
    manuscript = Manuscript.of(policy.text)
    same = [rule for rule in policy.rules if rule.polarity is edit.polarity]
    last = max(same or policy.rules, key=lambda rule: rule.place)
    below = manuscript.last_of(last.place.line)
    if policy.form is PolicyForm.PROSE:
        sentence = _SENTENCES[edit.polarity].format(text=edit.text.rstrip(".!"))
        yield manuscript.insert(below, ["", sentence]).text
        return
    if same:
        for line in _like(policy, manuscript.bare(last.place.line), last, edit.text):
            yield manuscript.insert(below, [line]).text
    for before in (manuscript.next_heading(last.place.line), end_of_rules(policy)):
        yield manuscript.insert(
            manuscript.last_filled(before), ["", _HEADINGS[edit.polarity], "", f"- {edit.text}"]
        ).text


def removal_ways(policy: Policy, edit: RemoveRule) -> Iterator[str]:
    """Texts of the policy without the rule, its examples, and what is said of it alone."""
    rule = policy.rule(edit.rule_id)
    if rule is None:
        return
    manuscript = Manuscript.of(policy.text)
    gone = set(range(rule.place.line, manuscript.last_of(rule.place.line) + 1))
    gone |= {shown.place.line for shown in policy.examples if shown.rule_id == rule.id}
    said = [said.place.line for said in (*policy.precedence, *policy.escalation) if about_alone(policy, rule, said)]
    for lines in ([*gone, *said], gone):
        kept = manuscript
        for number in sorted(set(lines), reverse=True):
            kept = kept.delete(number, number)
        yield kept.text


def about_alone(policy: Policy, rule: Rule, said: Statement) -> bool:
    """Whether a statement cites a rule and no other."""
    cited = [other.id for other in policy.rules if _cites(said.text, other.id)]
    return cited == [rule.id]


def amendment_ways(policy: Policy, edit: AmendRule) -> Iterator[str]:
    """Texts of the policy with the sentence behind the rule's last word."""
    rule = policy.rule(edit.rule_id)
    if rule is None:
        return
    manuscript = Manuscript.of(policy.text)
    start = manuscript.offset(rule.place)
    words = r"[\s*_`>#-]+".join(re.escape(word) for word in rule.text.rstrip(" .").split())
    found = re.compile(words).search(policy.text, start)
    if found is None:
        return
    stop = found.end() + (policy.text[found.end() : found.end() + 1] == ".")
    mark = "" if policy.text[found.end() : stop] else "."
    yield f"{policy.text[:stop]}{mark} {edit.sentence}{policy.text[stop:]}"


def _like(policy: Policy, line: str, rule: Rule, text: str) -> Iterator[str]:
    """A line as that of a rule, with an id of its own where ids are written."""
    start = rule.place.column - 1
    first = re.escape(rule.text.split()[0])
    if line[start : start + len(rule.id)].casefold() == rule.id.casefold():
        rest = line[start + len(rule.id) :]
        words = re.search(first, rest)
        between = rest[: words.start()] if words else ". "
        yield f"{line[:start]}{next_id(policy, rule.id)}{between}{text}"
        yield f"{line[:start].rstrip('*_`[(')}{next_id(policy, rule.id)}. {text}"
    front = line[:start].rstrip("*_`")
    yield f"{front}{text}" if front.strip() else f"{front}- {text}"


def next_id(policy: Policy, rule_id: str) -> str:
    """The id behind another one, free in the policy: SP6 → SP7, SP2.b → SP2.c."""
    taken = {rule.id.casefold() for rule in policy.rules} | {label.name.casefold() for label in policy.labels}
    number = re.fullmatch(r"(.*?)(\d+)", rule_id)
    letter = re.fullmatch(r"(.*\.)([a-y])", rule_id)
    candidates = (
        (f"{number[1]}{n}" for n in range(int(number[2]) + 1, int(number[2]) + 1000))
        if number
        else (f"{letter[1]}{chr(n)}" for n in range(ord(letter[2]) + 1, ord("z") + 1))
        if letter
        else iter(())
    )
    return next((name for name in candidates if name.casefold() not in taken), f"{rule_id}2")


def _cites(text: str, rule_id: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(rule_id)}(?!\w)", text, re.IGNORECASE) is not None
