"""The part of the page that shows how well founded the reasoning is, and which cases to look at first."""

from __future__ import annotations

from magistrate.evaluate.appraisal import Appraisal
from magistrate.evaluate.grounds import Grounds
from magistrate.evaluate.report.cases import case_article
from magistrate.evaluate.report.markup import bounds, code_word, figure, head, number, row, table, text
from magistrate.evaluate.results import CaseResult

ARTICLES = 5
"""Suspect cases that are shown whole; wrongly judged ones have a part of their own."""
REASONS = 3
ID_SHOWN = 60
"""Characters."""
_WHAT = "does it cite rules that exist, quote what is there, conclude what the verdict says?"


def reasoning_part(test: Appraisal, worst: int) -> str:
    """How often each fault was found, and the worst-founded reasoning first, whatever the verdict."""
    if not test.grounds.checked:
        return f"<h3>Reasoning</h3><p>{text(_unchecked(test))}</p>\n"
    parts = [
        f'<h3>Reasoning <span class="muted small">{text(_WHAT)}</span></h3>',
        f"<p>{text(checked_words(test.grounds))}</p>",
        _rates(test.grounds),
        _ranking(test, worst),
    ]
    return "".join(parts) + "\n"


def checked_words(found: Grounds) -> str:
    """How much reasoning was looked through, in words."""
    return f"The reasoning of {found.checked:,} of {found.cases:,} cases was looked through, without asking a model."


def _unchecked(test: Appraisal) -> str:
    if test.policy is None or test.dataset is None:
        return "The run holds no audit of its reasoning. Give the policy and the golden set to make one."
    return "The judge gives no reasoning to look through."


def _rates(found: Grounds) -> str:
    lines = [
        row(
            [text(r.fault.value), number(r.hits), number(r.trials), figure(r.value), bounds(r.interval)],
            plain=1,
        )
        for r in found.rates
    ]
    return table(head(["what was found", "cases", "of", "share", "95 % interval"], plain=1), lines)


def _ranking(test: Appraisal, worst: int) -> str:
    suspect = test.suspect
    if not suspect:
        return "<p>Nothing was found in any of it.</p>"
    shown = suspect[:worst]
    lines = [row(_suspect(result), plain=3) for result in shown]
    of_all = f"the worst {len(shown)} of {len(suspect):,}" if len(shown) < len(suspect) else f"all {len(shown)}"
    note = f"{of_all} in which anything was found, long reasoning included; the score ranks and is no probability"
    names = ["case", "verdict", "what was found in its reasoning", "score"]
    ranked = table(head(names, plain=3), lines)
    others = [result for result in shown if result.right is not False][:ARTICLES]
    whole = "".join(case_article(result, test.policy) for result in others)
    title = f'<h3>Worst-founded reasoning first <span class="muted small">{text(note)}</span></h3>'
    return f"{title}{ranked}{whole}"


def _suspect(result: CaseResult) -> list[str]:
    reasons = [text(reason) for reason in result.suspicion[:REASONS]]
    more = len(result.suspicion) - len(reasons)
    found = "<br>".join([*reasons, *([f'<span class="muted">and {more} more</span>'] if more else [])])
    score = None if result.audit is None else result.audit.score
    return [code_word(result.row.id[:ID_SHOWN]), text(result.standing), found, figure(score)]
