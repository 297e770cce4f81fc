"""One self-contained HTML page of tested policies. It fetches nothing, runs nothing, and escapes all that it shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from magistrate.evaluate.appraisal import Appraisal, Part
from magistrate.evaluate.gate import Check
from magistrate.evaluate.junit import check_text
from magistrate.evaluate.metrics import Metric
from magistrate.evaluate.report.cases import misses_part, undecided_part
from magistrate.evaluate.report.charts import charts
from magistrate.evaluate.report.document import document
from magistrate.evaluate.report.markup import badge, bounds, card, code_word, figure, head, number, row, table, text
from magistrate.evaluate.report.reasoning import reasoning_part
from magistrate.row import Outcome

CARDS = (Metric.F1, Metric.PRECISION, Metric.RECALL, Metric.FALSE_POSITIVE_RATE, Metric.AVERAGE_PRECISION)
CAPTIONS = {
    "figures": ("Figures", "over decided cases; lines are 95 % intervals; red is better when small"),
    "confusion": ("Confusion table", "decided cases; shaded by share of the row"),
    "precision-recall": ("Precision and recall", "over all thresholds, every case that has a probability"),
    "reliability": ("Reliability", "bins of equal size with 95 % bounds; on the dashed line probabilities are right"),
}


def report_page(tests: Sequence[Appraisal], *, worst: int = 25) -> str:
    """Write the page.

    Args:
        tests: At least one.
        worst: Wrong cases shown of each policy.
    """
    names = ", ".join(test.name for test in tests[:3]) + (" and more" if len(tests) > 3 else "")
    foot = (
        "Intervals are of 95 %. Figures are over decided cases; cases without a verdict are counted apart. "
        f"Written by magistrate {tests[0].run.header.magistrate}."
    )
    return document(f"Policy test: {names}", _parts_of_page(tests, worst), foot=foot)


def _parts_of_page(tests: Sequence[Appraisal], worst: int) -> Iterator[str]:
    yield _byline(tests)
    if len(tests) > 1:
        yield _overview(tests)
    for place, test in enumerate(tests, start=1):
        yield from _policy(test, place, worst)


def _byline(tests: Sequence[Appraisal]) -> str:
    header = tests[0].run.header
    models = ", ".join(sorted({test.run.header.model for test in tests}))
    started = header.started.strftime("%Y-%m-%d %H:%M UTC")
    return f'<p class="muted">{text(models)} · {started} · {sum(len(t.run) for t in tests):,} cases</p>\n'


def _overview(tests: Sequence[Appraisal]) -> str:
    lines = [
        row(
            [
                f'<a href="#policy-{place}">{text(test.name)}</a>',
                badge(test.result, test.word),
                number(len(test.run)),
                *(figure(test.estimate(m).value) for m in (Metric.F1, Metric.PRECISION, Metric.RECALL)),
                bounds(test.estimate(Metric.F1).interval),
                number(len(test.run) - test.outcomes.get(Outcome.DECIDED, 0)),
            ],
            plain=2,
        )
        for place, test in enumerate(tests, start=1)
    ]
    names = ["policy", "result", "cases", "F1", "precision", "recall", "F1, 95 % interval", "not decided"]
    return f"<nav>{table(head(names, plain=2), lines)}</nav>\n"


def _policy(test: Appraisal, place: int, worst: int) -> Iterator[str]:
    header = test.run.header
    first = ' class="first"' if place == 1 else ""
    yield f'<h2 id="policy-{place}"{first}>{text(test.name)} {badge(test.result, test.word)}</h2>\n'
    yield f"<p>{text(_summary(test))}</p>\n"
    if not test.run.complete:
        yield f'<p class="suspect">Broken off: {len(test.run)} of {header.dataset.cases} cases were judged.</p>\n'
    yield _cards(test)
    yield _thresholds(test.gate.checks)
    yield _charts(test)
    yield _parts("Rules", test.rules, test, "of cases that the golden set gives the rule to")
    yield _parts("Labels", test.labels, test, "of cases that the golden set gives the label to")
    groups = _parts("Kinds of cases", test.kinds, test, "") + _parts("Languages", test.languages, test, "")
    yield f'<div class="charts">{groups}</div>\n'
    yield reasoning_part(test, worst)
    yield _cost(test)
    yield undecided_part(test)
    yield misses_part(test, worst)
    yield _identity(test)


def _summary(test: Appraisal) -> str:
    counts = test.measures.counts
    undecided = len(test.run) - test.outcomes.get(Outcome.DECIDED, 0)
    return (
        f"{len(test.run):,} cases, {int(test.run.judged.truth.sum()):,} of them violating. {counts.total:,} decided: "
        f"{counts.tp + counts.tn:,} right, {counts.fn:,} missed, {counts.fp:,} false alarms. {undecided:,} not decided."
    )


def _cards(test: Appraisal) -> str:
    cards = [card(m.value, figure(test.estimate(m).value), bounds(test.estimate(m).interval)) for m in CARDS]
    for outcome in (Outcome.ABSTAINED, Outcome.FAILED):
        hits, interval = test.share(outcome)
        rate = f"{hits / len(test.run):.1%}" if len(test.run) else "-"
        said = "" if interval is None else f"({interval.low:.1%} to {interval.high:.1%})"
        cards.append(card(outcome.value, rate, said))
    return f'<div class="cards">{"".join(cards)}</div>\n'


def _thresholds(checks: Sequence[Check]) -> str:
    if not checks:
        return '<p class="muted small">No thresholds were asked for.</p>\n'
    lines = [row([badge(check.result), text(check_text(check))], plain=2) for check in checks]
    return f"<h3>Thresholds</h3>{table(head(['result', 'threshold'], plain=2), lines)}\n"


def _charts(test: Appraisal) -> str:
    drawn = "".join(
        f"<figure><figcaption>{CAPTIONS[name][0]}"
        f"<span>{text(CAPTIONS[name][1])}{text(_calibration(test, name))}</span></figcaption>{picture}</figure>"
        for name, picture in charts(test).items()
    )
    return f'<div class="charts">{drawn}</div>\n'


def _calibration(test: Appraisal, name: str) -> str:
    if name != "reliability":
        return ""
    found = test.measures.calibrations[0]
    return f"; error {found.error:.3f}, by chance about {found.floor:.3f}"


def _parts(title: str, parts: Sequence[Part], test: Appraisal, said: str) -> str:
    if not parts:
        return ""
    named = any(part.estimates for part in parts)
    names = [title.split()[0].rstrip("s").lower(), *(["text"] if title == "Rules" else [])]
    plain = len(names)
    names += ["cases", "verdict right", "95 % interval"]
    names += ["named: precision", "recall", "F1"] if named else []
    lines = [row([*_name(title, part, test), *_numbers(part, named=named)], plain=plain) for part in parts]
    note = f' <span class="muted small">verdict right: share {text(said)}</span>' if said else ""
    return f"<section><h3>{text(title)}{note}</h3>{table(head(names, plain=plain), lines)}</section>\n"


def _name(title: str, part: Part, test: Appraisal) -> list[str]:
    if title != "Rules":
        return [text(part.name)]
    rule = None if test.policy is None else test.policy.rule(part.name)
    if rule is None or test.policy is None:
        return [code_word(part.name), '<span class="muted">not in the policy at hand</span>']
    place = f'<span class="place">line {rule.place.line}</span>'
    return [f"{code_word(part.name)}<br>{place}", text(rule.text[:240])]


def _numbers(part: Part, *, named: bool) -> list[str]:
    cells = [number(part.cases), figure(part.share), bounds(part.interval)]
    for metric in (Metric.PRECISION, Metric.RECALL, Metric.F1) if named else ():
        found = part.estimate(metric)
        cells.append(figure(None if found is None else found.value))
    return cells


def _cost(test: Appraisal) -> str:
    usage, cost = test.cost.usage, test.cost
    facts = [
        ("calls", number(usage.calls)),
        ("tokens in", number(usage.input_tokens)),
        ("tokens out", number(usage.output_tokens)),
        ("of these reasoning", number(usage.reasoning_tokens)),
        ("median time of a case", f"{cost.median_ms:,.0f} ms"),
        ("95 % of cases below", f"{cost.p95_ms:,.0f} ms"),
    ]
    return f"<h3>Cost</h3>{table(head([name for name, _ in facts]), [row([v for _, v in facts])])}\n"


def _identity(test: Appraisal) -> str:
    header = test.run.header
    facts = {
        "policy": f"{header.policy} {header.policy_digest}",
        "judge": f"{header.model}, {header.dialect}" + (f", effort {header.effort}" if header.effort else ""),
        "settings": ", ".join(f"{name} {value}" for name, value in header.settings.items()) or "-",
        "golden set": f"{header.dataset.name} {header.dataset.split}".strip() + f", {header.dataset.cases} cases",
        "golden set, bytes": header.dataset.revision,
        "golden set, cases": header.dataset.digest,
        "judged": header.started.isoformat(timespec="seconds"),
    }
    lines = [row([text(name), text(value)], plain=2) for name, value in facts.items()]
    return f'<h3>What was measured</h3><div class="small">{table("", lines)}</div>\n'
