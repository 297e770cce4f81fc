"""The part of the page that shows cases: content, rules and reasoning side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from magistrate.evaluate.appraisal import Appraisal
from magistrate.evaluate.report.markup import code_word, head, number, row, table, text
from magistrate.evaluate.report.plain import content_text
from magistrate.evaluate.results import CaseResult
from magistrate.policy.model import Policy

CONTENT_SHOWN = 4000
REASONING_SHOWN = 6000
UNDECIDED_SHOWN = 10
"""Cases without a verdict that are shown of each code."""


def misses_part(test: Appraisal, worst: int) -> str:
    """The cases that were judged wrongly, worst first."""
    if not test.wrong:
        return "<h3>Judged wrongly</h3><p>None of the decided cases.</p>\n"
    shown = test.wrong[:worst]
    of_all = f"the worst {len(shown)} of {len(test.wrong)}" if len(shown) < len(test.wrong) else f"all {len(shown)}"
    order = "furthest probability first; without probabilities the most suspect reasoning first"
    cases = "".join(case_article(miss, test.policy) for miss in shown)
    return f'<h3>Judged wrongly <span class="muted small">{of_all}; {order}</span></h3>{cases}\n'


def undecided_part(test: Appraisal) -> str:
    """The cases without a verdict, by code."""
    if not test.undecided:
        return ""
    lines: list[str] = []
    for code, count in test.codes.items():
        misses = [m for m in test.undecided if m.row.code is not None and m.row.code.value == code]
        ids = ", ".join(m.row.id for m in misses[:UNDECIDED_SHOWN]) + (" ..." if count > UNDECIDED_SHOWN else "")
        detail = next((m.row.detail for m in misses if m.row.detail), "")
        violating = sum(m.gold.violation for m in misses)
        outcome = misses[0].row.outcome.value if misses else ""
        cells = [code_word(code), code_word(outcome), text(ids), text(detail[:200]), number(count), number(violating)]
        lines.append(row(cells, plain=4))
    names = ["code", "outcome", "cases", "for example", "n", "of these violating"]
    return f"<h3>Not decided</h3>{table(head(names, plain=4), lines)}\n"


def case_article(result: CaseResult, policy: Policy | None) -> str:
    """A case with its content, its rules and its reasoning side by side."""
    record = result.row
    facts = [result.standing, *case_facts(result)]
    if record.probability is not None:
        facts.append(f"probability of a violation {record.probability:.3f}")
    golden = f"<h4>Golden: {_word(result.gold.violation)}</h4>{rules_list(result.gold.rule_ids, policy, 'names')}"
    judged = f"<h4>Judged: {text(said(result))}</h4>{rules_list(record.rule_ids, policy, 'cites')}"
    return article(
        "case right" if result.right else "case",
        record.id,
        facts,
        (content_side(result), golden + judged, reasons_side(result)),
    )


def article(look: str, case_id: str, facts: Sequence[str], sides: Sequence[str]) -> str:
    """A case under its id; `look` is its class, `sides` are HTML."""
    header = f"<b>{text(case_id)}</b>" + "".join(f"<span>{text(fact)}</span>" for fact in facts)
    columns = "".join(f"<div>{side}</div>" for side in sides)
    return f'<article class="{look}"><header>{header}</header><div class="sides">{columns}</div></article>\n'


def case_facts(result: CaseResult) -> list[str]:
    """What the golden set says of a case besides its verdict."""
    return [fact for fact in (result.gold.kind, result.gold.lang, result.gold.category) if fact]


def said(result: CaseResult) -> str:
    """The verdict in words."""
    if result.right is None:
        return "not decided" if result.row.code is None else f"not decided, {result.row.code.value}"
    return _word(bool(result.row.violation))


def content_side(result: CaseResult) -> str:
    """What was judged."""
    if result.content is None:
        return '<h4>Content</h4><p class="muted">Not in the run file. Give the golden set to see it.</p>'
    return f'<h4>Content</h4><div class="text" dir="auto">{_cut(content_text(result), CONTENT_SHOWN)}</div>'


def rules_list(rule_ids: Sequence[str], policy: Policy | None, verb: str) -> str:
    """Rules with their words and their places in the policy."""
    return "".join(_each(rule_ids, policy)) or f'<p class="muted">{text(verb)} no rule</p>'


def reasons_side(result: CaseResult) -> str:
    """Why it was judged so, and what is wrong with that."""
    record = result.row
    rationale = f'<h4>Rationale</h4><div class="text">{_cut(record.rationale, REASONING_SHOWN)}</div>'
    reasoning = f'<h4>Reasoning</h4><div class="text">{_cut(record.reasoning, REASONING_SHOWN)}</div>'
    suspicion = "".join(f'<p class="suspect">⚠ {text(reason)}</p>' for reason in result.suspicion)
    parts = (rationale if record.rationale else "") + (reasoning if record.reasoning else "") + suspicion
    return parts or '<h4>Reasoning</h4><p class="muted">The judge gives none.</p>'


def _word(violation: bool) -> str:
    return "a violation" if violation else "allowed"


def _each(rule_ids: Sequence[str], policy: Policy | None) -> Iterator[str]:
    for rule_id in rule_ids:
        rule = None if policy is None else policy.rule(rule_id)
        if rule is None or policy is None:
            yield f"<p><b>{text(rule_id)}</b></p>"
        else:
            place = f"{Path(policy.file).name}:{rule.place.line}"
            yield f'<p><b>{text(rule_id)}</b> {text(rule.text[:300])} <span class="place">{text(place)}</span></p>'


def _cut(words: str, most: int) -> str:
    more = f'\n<span class="muted">and {len(words) - most:,} more characters</span>' if len(words) > most else ""
    return text(words[:most]) + more
