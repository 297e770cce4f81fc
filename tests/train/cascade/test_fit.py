from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from magistrate.classifiers.cascade.file import read_plan
from magistrate.config import Config
from magistrate.errors import InputError, UsageError
from magistrate.policy.model import Policy
from magistrate.row import verdict_row
from magistrate.train.cascade.fit import CHART, TABLE, FitOptions, fit_cascade, verdict_of
from magistrate.types import Abstained, Code, Decided, Failed, Trace, Verdict

POLICY = Policy.parse(
    "# Insults\n\n## Violates\n\n- I1. Insults of a person.\n\n## Allowed\n\n- A1. Friendly talk.\n",
    name="insults",
    file="insults.md",
)
CASES = 160


def verdict(number: int, *, violation: bool) -> Verdict:
    trace = Trace(
        policy=POLICY.name,
        policy_digest=POLICY.digest,
        model="m",
        dialect="d",
        latency_ms=900,
        reasoning="The user insults someone." if violation else "Friendly, so 0.",
    )
    if number % 41 == 0:
        return Failed(code=Code.REFUSAL, detail="", trace=trace)
    wrong = number % 13 == 0
    return Decided(
        violation=violation != wrong,
        label="",
        rule_ids=("I1",) if violation else (),
        severity=None,
        probability=None,
        rationale="",
        trace=trace,
    )


@pytest.fixture
def options(tmp_path: Path) -> FitOptions:
    """Labelled cases and the recorded verdicts of a reasoner."""
    rows, verdicts = [], []
    for number in range(CASES):
        violating = number % 2 == 0
        text = f"you are a stupid worthless idiot {number}" if violating else f"have a lovely evening, friend {number}"
        rows.append(json.dumps({"id": f"c{number}", "text": text, "violation": violating}))
        verdicts.append(verdict_row(f"c{number}", verdict(number, violation=violating)).to_json())
    (tmp_path / "data.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "verdicts.jsonl").write_text("\n".join(verdicts) + "\n", encoding="utf-8")
    return FitOptions(
        policy=POLICY,
        data=tmp_path / "data.jsonl",
        out=tmp_path / "out",
        config=Config(),
        reasoner="http://localhost:1/v1",
        verdicts=tmp_path / "verdicts.jsonl",
        budget=0.2,
        today=date(2026, 1, 2),
    )


def test_a_cascade_is_fitted_for_a_budget_and_written(options: FitOptions) -> None:
    said: list[str] = []
    found = fit_cascade(options, said.append)
    assert read_plan(options.out).digest == found.plan.digest
    assert [stage.name for stage in found.plan.stages] == ["embedded", "reasoner"]
    assert found.plan.policy_digest == POLICY.digest
    assert found.plan.promise is None
    assert found.point.reasoned < 0.4
    assert found.point.f1.value > 0.9
    assert found.unit == "seconds"
    assert (options.out / CHART).read_text(encoding="utf-8").startswith("<svg")
    assert "| 16% |" in (options.out / TABLE).read_text(encoding="utf-8")
    assert any("not fitted on: F1" in line for line in said)


def test_a_promise_that_the_sample_bears_is_written_into_the_plan(options: FitOptions) -> None:
    found = fit_cascade(replace(options, budget=None, recall=0.9, confidence=0.9), lambda _: None)
    assert found.lacking == 0
    assert found.plan.promise is not None
    assert found.plan.promise.positives >= 22
    assert found.plan.stages[0].clear_below is not None


def test_a_promise_that_is_too_great_clears_nothing_and_says_how_many_more(options: FitOptions) -> None:
    said: list[str] = []
    found = fit_cascade(replace(options, budget=None, recall=0.99, confidence=0.95), said.append)
    assert found.plan.promise is None
    assert found.plan.stages[0].clear_below is None
    assert any(f"label {found.lacking} more" in line for line in said)
    assert 299 - CASES / 2 < found.lacking < 299


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"recall": 0.9}, "for a recall or for a budget"),
        ({"budget": None}, "for a recall or for a budget"),
        ({"screens": ()}, "needs a screen"),
        ({"budget": None, "recall": 1.0}, r"recall must be in \(0, 1\)"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    options: FitOptions, changed: dict[str, float | tuple[str, ...] | None], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        fit_cascade(replace(options, **changed), lambda _: None)  # type: ignore[arg-type]  # of several types


def rewrite(path: Path, keep: int, *, violation: bool | None = None) -> None:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()][:keep]
    for row in rows:
        row["violation"] = row["violation"] if violation is None else violation
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_ten_labels_are_refused(options: FitOptions) -> None:
    rewrite(options.data, 10)
    with pytest.raises(InputError, match=r"5 violating cases among 10 .*\n.*label 25 more violating"):
        fit_cascade(options, lambda _: None)


def test_one_class_is_refused(options: FitOptions) -> None:
    rewrite(options.data, CASES, violation=True)
    with pytest.raises(InputError, match="0 allowed cases"):
        fit_cascade(options, lambda _: None)


def test_labels_that_contradict_are_refused(options: FitOptions) -> None:
    with options.data.open("a", encoding="utf-8") as file:
        text = "you are a stupid worthless idiot 0"
        file.write(json.dumps({"id": "again", "text": text, "violation": False}) + "\n")
    with pytest.raises(InputError, match="opposite labels"):
        fit_cascade(options, lambda _: None)


def test_verdicts_that_are_missing_are_named(options: FitOptions) -> None:
    assert options.verdicts is not None
    rows = options.verdicts.read_text(encoding="utf-8").splitlines()
    options.verdicts.write_text("\n".join(rows[:-3]) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"for 3 of {CASES} cases, the first of them 'c{CASES - 3}'"):
        fit_cascade(options, lambda _: None)


@pytest.mark.parametrize("number", [0, 1, 13, 26])
def test_a_row_gives_back_what_calibration_reads(number: int) -> None:
    original = verdict(number, violation=number % 2 == 0)
    assert verdict_of(verdict_row("c", original)) == original


def test_an_abstention_keeps_its_probability() -> None:
    trace = Trace(policy="p", policy_digest="d", model="m", dialect="x")
    original = Abstained(code=Code.UNSURE, detail="", trace=trace, probability=0.48)
    assert verdict_of(verdict_row("c", original)) == original


def test_equal_seeds_give_equal_cascades(options: FitOptions) -> None:
    first = fit_cascade(options, lambda _: None).plan
    assert fit_cascade(options, lambda _: None).plan == first
    assert np.isfinite(first.stages[-1].flag_from or np.nan)
