"""One self-contained HTML page of a comparison. It fetches nothing, runs nothing, and escapes all that it shows."""

from __future__ import annotations

from collections.abc import Iterator

from magistrate.evaluate.compare import Conclusion, Difference
from magistrate.evaluate.grounds import Fault, FaultDifference, FaultRate
from magistrate.evaluate.interval import Interval
from magistrate.evaluate.judged import Undecided
from magistrate.evaluate.report.cases import article, case_facts, content_side, reasons_side, rules_list, said
from magistrate.evaluate.report.charts import confusion_chart
from magistrate.evaluate.report.document import document
from magistrate.evaluate.report.markup import badge, bounds, card, figure, head, number, row, table, text
from magistrate.evaluate.report.versus_charts import differences_chart
from magistrate.evaluate.report.versus_plain import conclusion_words, cost_lines
from magistrate.evaluate.results import CaseResult
from magistrate.evaluate.versus import Change, Side, Versus
from magistrate.row import Outcome

_GROUPS = (
    ("broken", "Broken", "only the first has them right"),
    ("mended", "Mended", "only the second has them right"),
    ("changed", "Wrong in another way", "neither has them right"),
)


def versus_page(found: Versus, *, shown: int = 25) -> str:
    """Write the page.

    Args:
        found: The comparison.
        shown: Changed cases shown of each kind: broken, mended, wrong in another way.
    """
    level = f"{100 * found.comparison.confidence:g} %"
    foot = (
        f"Intervals are of {level}, for pairs of verdicts on the same cases. One metric decides; looking at the others "
        f"decides nothing. Written by magistrate {found.second.run.header.magistrate}."
    )
    title = f"Comparison: {found.second.name} against {found.first.name}"
    return document(title, _parts(found, level, shown), foot=foot)


def _parts(found: Versus, level: str, shown: int) -> Iterator[str]:
    yield f"<p>{badge(found.comparison.conclusion)} {text(conclusion_words(found))}</p>\n"
    yield f'<p class="muted">{text(_what_was_compared(found))}</p>\n'
    yield _cards(found)
    yield _charts(found, level)
    yield _figures(found, level)
    yield _reasoning(found, level)
    yield _costs(found)
    yield _not_decided(found)
    for word, title, note in _GROUPS:
        yield _changes(found, word, title, note, shown)
    yield _identity(found)


def _what_was_compared(found: Versus) -> str:
    test = found.comparison.mcnemar
    return (
        f"{len(found.first.run):,} cases, {int(found.first.run.judged.truth.sum()):,} of them violating: "
        f"{test.only_second:,} mended, {test.only_first:,} broken (McNemar's mid-p {test.p_value:.3g}, "
        f"exact {test.exact_p_value:.3g})."
    )


def _cards(found: Versus) -> str:
    compared, deciding = found.comparison, found.comparison.deciding
    name = compared.decided_by.value
    cards = [
        card(f"{name}, first", figure(deciding.first), found.first.name),
        card(f"{name}, second", figure(deciding.second), found.second.name),
        card("difference", _signed(deciding.value), _signed_bounds(deciding.interval)),
    ]
    if compared.conclusion is Conclusion.CANNOT_TELL:
        more = "none" if compared.more_cases is None else f"{compared.more_cases:,}"
        cards.append(card("more cases", more, "would tell such a difference in four of five tries"))
    return f'<div class="cards">{"".join(cards)}</div>\n'


def _charts(found: Versus, level: str) -> str:
    caption = f"second minus first with {level} intervals; green speaks for the second, red against it; bold decides"
    drawn = _figure("Paired differences", caption, differences_chart(found))
    sides = "".join(
        _figure(f"Confusion table, {place}", _confusion_note(side), confusion_chart(side.run.judged.counts))
        for place, side in (("first", found.first), ("second", found.second))
    )
    return f'<div class="wide">{drawn}</div><div class="charts">{sides}</div>\n'


def _confusion_note(side: Side) -> str:
    decided = side.run.judged.counts.total
    return f"{side.name}; {decided:,} decided cases, {len(side.run) - decided:,} not decided"


def _figure(title: str, note: str, picture: str) -> str:
    return f"<figure><figcaption>{text(title)}<span>{text(note)}</span></figcaption>{picture}</figure>"


def _figures(found: Versus, level: str) -> str:
    lines = [row(_figure_cells(line, found), plain=1) for line in found.comparison.differences]
    names = ["metric", "first", "second", "difference", f"{level} interval", "paired bootstrap", "cases"]
    counted = "is left out" if found.undecided is Undecided.EXCLUDED else f"counts as {found.undecided.value}"
    note = f'<span class="muted small">{text(f"a case without a verdict {counted}")}</span>'
    return f"<h3>Figures {note}</h3>{table(head(names, plain=1), lines)}\n"


def _figure_cells(line: Difference, found: Versus) -> list[str]:
    name = text(line.metric.value)
    return [
        f"<b>{name}</b>" if line.metric is found.comparison.decided_by else name,
        figure(line.first),
        figure(line.second),
        _signed(line.value),
        _signed_bounds(line.interval),
        _signed_bounds(found.bootstrap.get(line.metric)),
        number(line.cases),
    ]


def _reasoning(found: Versus, level: str) -> str:
    first, second = found.first.grounds, found.second.grounds
    title = '<h3>Reasoning <span class="muted small">how often each fault was found in it</span></h3>'
    checked = f"Looked through: {first.checked:,} of {first.cases:,} of the first, {second.checked:,} of the second."
    if not first.checked and not second.checked:
        return f"{title}<p>Neither judge gives reasoning that was looked through.</p>\n"
    lines = [row(_fault_cells(*parts), plain=1) for parts in zip(first.rates, second.rates, found.faults, strict=True)]
    names = ["what was found", "first", f"{level} interval", "second", f"{level} interval", "difference", "interval"]
    return f"{title}<p>{text(checked)}</p>{table(head(names, plain=1), lines)}\n"


def _fault_cells(one: FaultRate, two: FaultRate, gap: FaultDifference) -> list[str]:
    name = text(one.fault.value)
    return [
        f"<b>{name}</b>" if one.fault is Fault.ANY else name,
        figure(one.value),
        bounds(one.interval),
        figure(two.value),
        bounds(two.interval),
        _signed(gap.value),
        _signed_bounds(gap.interval),
    ]


def _costs(found: Versus) -> str:
    lines = [
        row([text(name), _rounded(one), _rounded(two), "-" if not one or two is None else f"{two / one:.2f}"], plain=1)
        for name, one, two in cost_lines(found.first.cost, found.second.cost)
    ]
    return f"<h3>Cost and latency</h3>{table(head(['', 'first', 'second', 'times'], plain=1), lines)}\n"


def _rounded(value: float | None) -> str:
    return number(None if value is None else round(value))


def _not_decided(found: Versus) -> str:
    sides = (found.first.run, found.second.run)
    codes = dict.fromkeys(code for run in sides for code in run.codes if code is not None)
    if not codes:
        return "<h3>Not decided</h3><p>Both decided every case.</p>\n"
    lines = [row([text(code.value), *(number(run.codes.count(code)) for run in sides)], plain=1) for code in codes]
    totals = [number(len(run) - run.outcomes.count(Outcome.DECIDED)) for run in sides]
    lines.append(row(["<b>all</b>", *totals], plain=1))
    return f"<h3>Not decided</h3>{table(head(['code', 'first', 'second'], plain=1), lines)}\n"


def _changes(found: Versus, word: str, title: str, note: str, shown: int) -> str:
    changes = [change for change in found.changes if change.word == word]
    if not changes:
        return f"<h3>{text(title)}</h3><p>No case.</p>\n"
    of_all = f"{min(shown, len(changes))} of {len(changes):,}; {note}"
    articles = "".join(_article(change, found) for change in changes[:shown])
    return f'<h3>{text(title)} <span class="muted small">{text(of_all)}</span></h3>{articles}\n'


def _article(change: Change, found: Versus) -> str:
    golden = "a violation" if change.golden else "allowed"
    rules = rules_list(change.first.gold.rule_ids, found.second.policy, "names")
    sides = (
        content_side(_with_content(change)) + f"<h4>Golden: {golden}</h4>{rules}",
        _verdict("First", change.first, found.first),
        _verdict("Second", change.second, found.second),
    )
    return article(f"case {change.word}", change.id, [change.word, *case_facts(change.first)], sides)


def _with_content(change: Change) -> CaseResult:
    return change.first if change.first.content is not None else change.second


def _verdict(place: str, result: CaseResult, side: Side) -> str:
    probability = result.row.probability
    at = "" if probability is None else f", probability of a violation {probability:.3f}"
    rules = rules_list(result.row.rule_ids, side.policy, "cites")
    return f"<h4>{text(f'{place}: {said(result)}{at}')}</h4>{rules}{reasons_side(result)}"


def _identity(found: Versus) -> str:
    sides = (found.first, found.second)
    facts = {
        "name": [side.name for side in sides],
        "policy": [f"{side.run.header.policy} {side.run.header.policy_digest}" for side in sides],
        "judge": [_judge(side) for side in sides],
        "settings": [
            ", ".join(f"{name} {value}" for name, value in side.run.header.settings.items()) or "-" for side in sides
        ],
        "judged": [side.run.header.started.isoformat(timespec="seconds") for side in sides],
        "golden set": [
            f"{side.run.header.dataset.name}, {side.run.header.dataset.cases} cases, {side.run.header.dataset.digest}"
            for side in sides
        ],
    }
    lines = [row([text(name), *(text(value) for value in values)], plain=3) for name, values in facts.items()]
    inner = table(head(["", "first", "second"], plain=3), lines)
    return f'<h3>What was compared</h3><div class="small">{inner}</div>\n'


def _judge(side: Side) -> str:
    header = side.run.header
    return f"{header.model}, {header.dialect}" + (f", effort {header.effort}" if header.effort else "")


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _signed_bounds(interval: Interval | None) -> str:
    return "" if interval is None else f"({interval.low:+.3f} to {interval.high:+.3f})"
