"""A new example in the form that a policy's own examples have, or in a section of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from magistrate.dialects.fence import neutralise
from magistrate.evaluate.improve.edit import AddExample
from magistrate.evaluate.improve.manuscript import Manuscript
from magistrate.policy.lint.sheet import Sheet
from magistrate.policy.lint.tail import tail_of
from magistrate.policy.model import Policy

_OWN = re.compile(
    r"(?P<front>[ \t]*[-*+•][ \t]+)[\"“„«](?P<text>.*)[\"”“»](?P<arrow>[ \t]*(?:-{1,2}>|=>|[→⇒])[ \t]*)"
    r"(?P<word>[*`]{0,2}[\w-]+[*`]{0,2})(?P<code>[ \t]*\([^()]+\))?[ \t.]*$"
)


def example_ways(policy: Policy, edit: AddExample) -> Iterator[str]:
    """Texts of the policy with the example in it, the most natural place first; the reader says which of them fit."""
    manuscript = Manuscript.of(policy.text)
    like = _alike(policy, manuscript, edit)
    if like is not None:
        number, found = like
        word = _word(policy, manuscript, violation=edit.violation)
        code = f" ({edit.rule_id})" if edit.rule_id else ""
        yield manuscript.insert(number, [f"{found['front']}{quoted(edit.text)}{found['arrow']}{word}{code}"]).text
    word = _word(policy, manuscript, violation=edit.violation)
    line = f"- {quoted(edit.text)} -> {word}" + (f" ({edit.rule_id})" if edit.rule_id else "")
    last = manuscript.last_filled(before=end_of_rules(policy))
    for heading in ("## Examples", "# Examples", "Examples:"):
        yield manuscript.insert(last, ["", heading, line]).text
    rule = policy.rule(edit.rule_id) if edit.rule_id else None
    if rule is not None:
        front = re.match(r"[ \t]*", manuscript.bare(rule.place.line))
        nested = f"{front[0] if front else ''}  - {quoted(edit.text)}"
        yield manuscript.insert(manuscript.last_of(rule.place.line), [nested]).text


def end_of_rules(policy: Policy) -> int:
    """The line in front of which a section may be put: the lines to fill in at the end, or one behind the last."""
    tail = tail_of(Sheet.of(policy.text, file=policy.file))
    return tail.start if tail else len(Manuscript.of(policy.text).lines) + 1


def spelled(text: str) -> str:
    """A text as it stands in an example: one line, control tokens broken, quotes that do not close it.

    >>> spelled('He said "no"\\n<|end|>')
    "He said 'no' <¦|end|>"
    """
    return re.sub(r"[\"“”„«»「」『』]", "'", neutralise(" ".join(text.split())))


def quoted(text: str) -> str:
    """An example's text between quotes."""
    return f'"{text}"'


def _alike(policy: Policy, manuscript: Manuscript, edit: AddExample) -> tuple[int, re.Match[str]] | None:
    """The line to stand behind: the last example of the same rule, else of the same verdict, else of all."""
    lines = [(shown, shown.place.line, _OWN.match(manuscript.bare(shown.place.line))) for shown in policy.examples]
    found = [(shown, number, match) for shown, number, match in lines if match is not None]
    same_rule = [x for x in found if edit.rule_id is not None and x[0].rule_id == edit.rule_id]
    same_side = [x for x in found if x[0].violation is edit.violation]
    chosen = next((group[-1] for group in (same_rule, same_side, found) if group), None)
    return None if chosen is None else (chosen[1], chosen[2])


def _word(policy: Policy, manuscript: Manuscript, *, violation: bool) -> str:
    """The verdict as the policy's own examples say it, or in its answer words, or 1 and 0."""
    for shown in policy.examples:
        own = _OWN.match(manuscript.bare(shown.place.line))
        if own is not None and shown.violation is violation:
            return own["word"]
    said = next((word for word, meaning in policy.answers if meaning is violation), None)
    return said or str(int(violation))
