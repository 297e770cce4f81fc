"""A tested policy as plain values, for JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict

from magistrate.evaluate.appraisal import Appraisal, Cost, Part
from magistrate.evaluate.audit import AUDIT_VERSION
from magistrate.evaluate.gate import GateReport
from magistrate.evaluate.grounds import Grounds, faults
from magistrate.evaluate.interval import Interval
from magistrate.evaluate.measure import Estimate
from magistrate.evaluate.results import CaseResult
from magistrate.row import Outcome, valid_text

FIGURE_COLUMNS = ("policy", "model", "part", "name", "metric", "value", "low", "high", "cases")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def appraisal_values(test: Appraisal) -> dict[str, object]:
    """Everything that was measured, ready for JSON. Content is not in it."""
    header = test.run.header
    return {
        "policy": header.policy,
        "policy_digest": header.policy_digest,
        "model": header.model,
        "dialect": header.dialect,
        "effort": header.effort,
        "settings": dict(header.settings),
        "started": header.started.isoformat(),
        "magistrate": header.magistrate,
        "data_set": asdict(header.dataset),
        "result": test.result.value,
        "complete": test.run.complete,
        "cases": len(test.run),
        "outcomes": {outcome.value: test.outcomes.get(outcome, 0) for outcome in Outcome},
        "rates": {outcome.value: _rate(test, outcome) for outcome in (Outcome.ABSTAINED, Outcome.FAILED)},
        "codes": dict(test.codes),
        "confusion": asdict(test.measures.counts),
        "figures": [_estimate(e) for e in test.measures.estimates],
        "calibration": [asdict(found) for found in test.measures.calibrations],
        "rules": [_part(part) for part in test.rules],
        "labels": [_part(part) for part in test.labels],
        "kinds": [_part(part) for part in test.kinds],
        "languages": [_part(part) for part in test.languages],
        "thresholds": _gate(test.gate),
        "reasoning": grounds_values(test.grounds) | {"ranking": [_suspect(result) for result in test.suspect]},
        "cost": _cost(test.cost),
        "wrong": [_miss(miss) for miss in test.wrong],
        "undecided": [_miss(miss) for miss in test.undecided],
    }


def figures_csv(tests: Sequence[Appraisal]) -> str:
    """All figures, one a line, with the interval and the number of cases."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(FIGURE_COLUMNS)
    for test in tests:
        start = [_cell(test.name), _cell(test.run.header.model)]
        for e in test.measures.estimates:
            writer.writerow([*start, "verdict", "", e.metric.value, *_bounded(e.value, e.interval), len(test.run)])
        for outcome in (Outcome.ABSTAINED, Outcome.FAILED):
            hits, interval = test.share(outcome)
            rate = hits / len(test.run) if len(test.run) else None
            writer.writerow([*start, "verdict", "", f"{outcome.value} rate", *_bounded(rate, interval), len(test.run)])
        sides = {"rule": test.rules, "label": test.labels, "kind": test.kinds, "language": test.languages}
        for title, parts in sides.items():
            for part in parts:
                for metric, value, interval in _of_part(part):
                    writer.writerow([*start, title, _cell(part.name), metric, *_bounded(value, interval), part.cases])
        for found in test.grounds.rates:
            bounded = _bounded(found.value, found.interval)
            writer.writerow([*start, "reasoning", found.fault.value, "share", *bounded, found.trials])
    return out.getvalue()


def reasoning_csv(tests: Sequence[Appraisal]) -> str:
    """The cases whose reasoning is suspect, one a line, worst-founded first."""
    out = io.StringIO()
    writer = csv.writer(out)
    columns = ("policy", "rank", "id", "score", "standing", "golden", "judged", "faults", "found")
    writer.writerow([*columns, "reasoning", "content"])
    for test in tests:
        for rank, result in enumerate(test.suspect, start=1):
            writer.writerow([_cell(test.name), rank, *_suspect_cells(result)])
    return out.getvalue()


def cases_csv(tests: Sequence[Appraisal]) -> str:
    """Every case that was judged wrongly or not decided, one a line, with content where it is at hand."""
    out = io.StringIO()
    writer = csv.writer(out)
    columns = ("policy", "id", "outcome", "code", "golden", "judged", "golden_rules", "judged_rules", "probability")
    writer.writerow([*columns, "rationale", "reasoning", "suspicion", "content"])
    for test in tests:
        for miss in (*test.wrong, *test.undecided):
            writer.writerow([_cell(test.name), *_case_cells(miss)])
    return out.getvalue()


def content_text(miss: CaseResult) -> str:
    """What was judged, messages with their roles where there are several; empty where it is not at hand."""
    if miss.content is None:
        return ""
    judged = miss.content.judged
    if len(judged) == 1:
        return valid_text(judged[0].content)
    return valid_text("\n".join(f"{message.role.value}: {message.content}" for message in judged))


def grounds_values(found: Grounds) -> dict[str, object]:
    """What the audit found in the reasoning of a judge, ready for JSON."""
    rates = [
        {
            "fault": rate.fault.value,
            "cases": rate.hits,
            "of": rate.trials,
            "share": rate.value,
            "interval": _interval(rate.interval),
        }
        for rate in found.rates
    ]
    return {"audit": AUDIT_VERSION, "cases": found.cases, "checked": found.checked, "faults": rates}


def _suspect(result: CaseResult) -> dict[str, object]:
    audit = result.audit
    return {
        "id": result.row.id,
        "score": None if audit is None else audit.score,
        "right": result.right,
        "golden": result.gold.violation,
        "judged": result.row.violation,
        "faults": [] if audit is None else [fault.value for fault in faults(audit)],
        "found": list(result.suspicion),
    }


def _suspect_cells(result: CaseResult) -> list[object]:
    audit = result.audit
    return [
        _cell(result.row.id),
        "" if audit is None else f"{audit.score:.6f}",
        result.standing,
        result.gold.violation,
        "" if result.row.violation is None else result.row.violation,
        "" if audit is None else "; ".join(fault.value for fault in faults(audit)),
        _cell("; ".join(result.suspicion)),
        _cell(result.row.reasoning),
        _cell(content_text(result)),
    ]


def _case_cells(miss: CaseResult) -> list[object]:
    row = miss.row
    return [
        _cell(row.id),
        row.outcome.value,
        "" if row.code is None else row.code.value,
        miss.gold.violation,
        "" if row.violation is None else row.violation,
        _cell(" ".join(miss.gold.rule_ids)),
        _cell(" ".join(row.rule_ids)),
        "" if row.probability is None else row.probability,
        _cell(row.rationale or row.detail),
        _cell(row.reasoning),
        _cell("; ".join(miss.suspicion)),
        _cell(content_text(miss)),
    ]


def _cell(text: str) -> str:
    """A text that no spreadsheet runs as a formula.

    The writers keep to CRLF (RFC 4180): with another line end, Python 3.11 leaves a lone CR unquoted, and what
    follows it begins a cell.
    """
    clean = valid_text(text).replace("\x00", "\ufffd")
    return f"'{clean}" if clean.startswith(_FORMULA) else clean


def _of_part(part: Part) -> list[tuple[str, float | None, Interval | None]]:
    return [
        ("verdict right", part.share, part.interval),
        *((e.metric.value, e.value, e.interval) for e in part.estimates),
    ]


def _bounded(value: float | None, interval: Interval | None) -> list[object]:
    ends = ["", ""] if interval is None else [f"{interval.low:.6f}", f"{interval.high:.6f}"]
    return ["" if value is None else f"{value:.6f}", *ends]


def _interval(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _estimate(e: Estimate) -> dict[str, object]:
    return {"metric": e.metric.value, "value": e.value, "interval": _interval(e.interval)}


def _rate(test: Appraisal, outcome: Outcome) -> dict[str, object]:
    hits, interval = test.share(outcome)
    return {"cases": hits, "rate": hits / len(test.run) if len(test.run) else None, "interval": _interval(interval)}


def _part(part: Part) -> dict[str, object]:
    return {
        "name": part.name,
        "cases": part.cases,
        "right": part.right,
        "interval": _interval(part.interval),
        "figures": [_estimate(e) for e in part.estimates],
    }


def _gate(found: GateReport) -> dict[str, object]:
    checks = [
        {
            "name": check.name,
            "threshold": check.threshold,
            "value": check.value,
            "interval": _interval(check.interval),
            "result": check.result.value,
        }
        for check in found.checks
    ]
    return {"mode": found.mode.value, "checks": checks}


def _cost(cost: Cost) -> dict[str, object]:
    return {**asdict(cost.usage), "median_ms": cost.median_ms, "p95_ms": cost.p95_ms}


def _miss(miss: CaseResult) -> dict[str, object]:
    row = miss.row
    return {
        "id": row.id,
        "outcome": row.outcome.value,
        "code": None if row.code is None else row.code.value,
        "golden": miss.gold.violation,
        "judged": row.violation,
        "golden_rules": list(miss.gold.rule_ids),
        "judged_rules": list(row.rule_ids),
        "probability": row.probability,
        "kind": miss.gold.kind,
        "lang": miss.gold.lang,
        "suspicion": list(miss.suspicion),
    }
