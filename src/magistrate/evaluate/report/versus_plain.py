"""A comparison as plain values and plain words."""

from __future__ import annotations

from dataclasses import asdict
from typing import assert_never

from magistrate.evaluate.appraisal import Cost
from magistrate.evaluate.compare import Comparison, Conclusion, Difference
from magistrate.evaluate.report.plain import grounds_values
from magistrate.evaluate.results import CaseResult
from magistrate.evaluate.versus import Change, Side, Versus


def conclusion_words(found: Versus) -> str:
    """What came of it, behind the word for it: 'new.md than old.md, by accuracy'."""
    compared, first, second = found.comparison, found.first.name, found.second.name
    by = f"by {compared.decided_by.value}"
    match compared.conclusion:
        case Conclusion.CANNOT_TELL:
            return f"{second} against {first}, {by}: {_needs(compared)}"
        case Conclusion.EQUIVALENT:
            return f"{second} and {first}, {by}"
        case Conclusion.BETTER | Conclusion.WORSE:
            return f"{second} than {first}, {by}"
        case _:
            assert_never(compared.conclusion)


def _needs(compared: Comparison) -> str:
    more = compared.more_cases
    return "no number of cases would" if more is None else f"needs about {more:,} more cases"


def cost_lines(first: Cost, second: Cost) -> tuple[tuple[str, float | None, float | None], ...]:
    """Each cost of both; None where the backend does not tell."""
    return (
        ("calls", first.usage.calls, second.usage.calls),
        ("tokens in", first.usage.input_tokens, second.usage.input_tokens),
        ("tokens out", first.usage.output_tokens, second.usage.output_tokens),
        ("median ms a case", first.median_ms, second.median_ms),
        ("95 % below, ms", first.p95_ms, second.p95_ms),
    )


def versus_values(found: Versus) -> dict[str, object]:
    """Everything as plain values, without content."""
    compared = found.comparison
    return {
        "first": _side_values(found.first),
        "second": _side_values(found.second),
        "conclusion": compared.conclusion.value,
        "decided_by": compared.decided_by.value,
        "confidence": compared.confidence,
        "undecided": found.undecided.value,
        "more_cases": compared.more_cases,
        "mcnemar": asdict(compared.mcnemar),
        "differences": [
            {
                **difference_values(line),
                "bootstrap": None if (drawn := found.bootstrap.get(line.metric)) is None else asdict(drawn),
            }
            for line in compared.differences
        ],
        "faults": [
            {
                "fault": line.fault.value,
                "cases": line.cases,
                "difference": line.value,
                "interval": None if line.interval is None else asdict(line.interval),
            }
            for line in found.faults
        ],
        "changes": [_change_values(change) for change in found.changes],
    }


def difference_values(line: Difference) -> dict[str, object]:
    """One metric of both as plain values."""
    return {
        "metric": line.metric.value,
        "cases": line.cases,
        "first": line.first,
        "second": line.second,
        "difference": line.value,
        "interval": None if line.interval is None else asdict(line.interval),
    }


def _side_values(side: Side) -> dict[str, object]:
    header, cost = side.run.header, side.cost
    return {
        "name": side.name,
        "policy": header.policy,
        "policy_digest": header.policy_digest,
        "model": header.model,
        "dialect": header.dialect,
        "effort": header.effort,
        "confusion": asdict(side.run.judged.counts),
        "reasoning": grounds_values(side.grounds),
        "cost": {**asdict(cost.usage), "median_ms": cost.median_ms, "p95_ms": cost.p95_ms},
    }


def _change_values(change: Change) -> dict[str, object]:
    sides = {"first": _verdict_values(change.first), "second": _verdict_values(change.second)}
    return {"id": change.id, "golden": change.golden, **sides}


def _verdict_values(result: CaseResult) -> dict[str, object]:
    row = result.row
    return {
        "violation": row.violation,
        "code": None if row.code is None else row.code.value,
        "rule_ids": list(row.rule_ids),
        "probability": row.probability,
        "suspicion": list(result.suspicion),
    }
