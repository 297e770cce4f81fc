"""The part of the page that shows cases: content, rules and reasoning side by side."""

from __future__ import annotations

from collections.abc import Iterator
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
    facts = [result.standing, *(f for f in (result.gold.kind, result.gold.lang, result.gold.category) if f)]
    if record.probability is not None:
        facts.append(f"probability of a violation {record.probability:.3f}")
    header = f"<b>{text(record.id)}</b>" + "".join(f"<span>{text(fact)}</span>" for fact in facts)
    sides = f"<div>{_content(result)}</div><div>{_rules(result, policy)}</div><div>{_reasons(result)}</div>"
    look = "case right" if result.right else "case"
    return f'<article class="{look}"><header>{header}</header><div class="sides">{sides}</div></article>\n'


def _content(miss: CaseResult) -> str:
    if miss.content is None:
        return '<h4>Content</h4><p class="muted">Not in the run file. Give the golden set to see it.</p>'
    return f'<h4>Content</h4><div class="text" dir="auto">{_cut(content_text(miss), CONTENT_SHOWN)}</div>'


def _rules(miss: CaseResult, policy: Policy | None) -> str:
    word = "a violation" if miss.gold.violation else "allowed"
    said = "not decided" if miss.right is None else "a violation" if miss.row.violation else "allowed"
    golden = "".join(_each(miss.gold.rule_ids, policy)) or '<p class="muted">names no rule</p>'
    judged = "".join(_each(miss.row.rule_ids, policy)) or '<p class="muted">cites no rule</p>'
    return f"<h4>Golden: {word}</h4>{golden}<h4>Judged: {said}</h4>{judged}"


def _each(rule_ids: tuple[str, ...], policy: Policy | None) -> Iterator[str]:
    for rule_id in rule_ids:
        rule = None if policy is None else policy.rule(rule_id)
        if rule is None or policy is None:
            yield f"<p><b>{text(rule_id)}</b></p>"
        else:
            place = f"{Path(policy.file).name}:{rule.place.line}"
            yield f'<p><b>{text(rule_id)}</b> {text(rule.text[:300])} <span class="place">{text(place)}</span></p>'


def _reasons(miss: CaseResult) -> str:
    record = miss.row
    rationale = f'<h4>Rationale</h4><div class="text">{_cut(record.rationale, REASONING_SHOWN)}</div>'
    reasoning = f'<h4>Reasoning</h4><div class="text">{_cut(record.reasoning, REASONING_SHOWN)}</div>'
    suspicion = "".join(f'<p class="suspect">⚠ {text(reason)}</p>' for reason in miss.suspicion)
    parts = (rationale if record.rationale else "") + (reasoning if record.reasoning else "") + suspicion
    return parts or '<h4>Reasoning</h4><p class="muted">The judge gives none.</p>'


def _cut(words: str, most: int) -> str:
    more = f'\n<span class="muted">and {len(words) - most:,} more characters</span>' if len(words) > most else ""
    return text(words[:most]) + more
