from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from magistrate.classifiers.cascade.file import read_plan, read_wordings
from magistrate.classifiers.cascade.ledger import CostUnit
from magistrate.classifiers.cascade.plan import Unit
from magistrate.config import Config
from magistrate.errors import InputError, UsageError
from magistrate.policy.model import Policy
from magistrate.row import verdict_row
from magistrate.train.cascade.fit import CHART, TABLE, FitOptions, fit_cascade
from magistrate.train.cascade.gather import verdict_of
from magistrate.types import Abstained, Code, Decided, Failed, Trace, Usage, Verdict

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


def hesitant(policy: Policy, number: int, *, violation: bool, tokens: int | None = None) -> Decided:
    """A verdict whose reasoning gives nothing away."""
    usage = Usage(tokens, tokens, None, 1)
    trace = Trace(policy=policy.name, policy_digest=policy.digest, model="m", dialect="d", reasoning="Hm.", usage=usage)
    return Decided(
        violation=violation,
        label="",
        rule_ids=(),
        severity=None,
        probability=None,
        rationale=str(number),
        trace=trace,
    )


OTHER = Policy.parse("# Rude\n\n## Violates\n\n- R1. Rude words.\n\n## Allowed\n\n- A1. Kind ones.\n", name="rude")


def write_votes(options: FitOptions, other: Callable[[int], bool], *, tokens: int | None = None) -> FitOptions:
    """The reasoner is wrong about every fifth case; the other wording says what `other` says. The screen is blind."""
    assert options.verdicts is not None
    rows = []
    for number in range(CASES):
        truth = number % 2 == 0
        own = hesitant(POLICY, number, violation=truth != (number % 5 == 0), tokens=tokens)
        rows += [own, hesitant(OTHER, number, violation=other(number), tokens=tokens)]
    written = [verdict_row(f"c{n // 2}", one).to_json() for n, one in enumerate(rows)]
    options.verdicts.write_text("\n".join(written) + "\n", encoding="utf-8")
    lists = options.data.with_name("blind.toml")
    lists.write_text('name = "blind"\n[[list]]\nrule = "I1"\nkeywords = ["qqqqq"]\n', encoding="utf-8")
    return replace(options, screens=(str(lists),), wordings=(OTHER,), budget=1.0)


def test_votes_of_another_wording_are_asked_where_they_pay(options: FitOptions) -> None:
    said: list[str] = []
    asked = write_votes(options, lambda number: number % 2 == 0)
    found = fit_cascade(asked, said.append)
    votes = found.plan.last.votes
    assert votes is not None
    assert votes.calibrator is not None
    assert "vote_share" in votes.calibrator.features
    assert [wording.digest for wording in votes.wordings] == [OTHER.digest]
    assert [one.digest for one in read_wordings(found.plan, options.out)] == [OTHER.digest]
    assert read_plan(options.out).digest == found.plan.digest
    once = fit_cascade(replace(asked, wordings=()), lambda _: None)
    assert found.point.f1.value > once.point.f1.value
    assert once.point.cost < found.point.cost <= 2.01
    assert found.unit == "items"
    assert found.worth is not None
    assert any(line.startswith("votes pay, 2 verdicts") for line in said)


def test_votes_that_do_not_pay_are_left_out(options: FitOptions) -> None:
    said: list[str] = []
    found = fit_cascade(write_votes(options, lambda number: number * 7919 % 101 < 50), said.append)
    assert found.plan.last.votes is None
    assert found.point.cost < 1.01
    assert any(line.startswith("votes don't pay") for line in said)


def test_votes_count_in_a_budget_of_tokens(options: FitOptions) -> None:
    """All tokens of asking everything once buy half of the cases with two votes: not worth it here."""
    said: list[str] = []
    asked = write_votes(options, lambda number: number % 2 == 0, tokens=500)
    found = fit_cascade(replace(asked, cost=CostUnit.TOKENS), said.append)
    assert found.plan.last.votes is None
    assert found.worth is not None
    assert found.worth.pays
    assert found.frontier[-1].cost == pytest.approx(1000)
    assert any(line.startswith("votes are left out, within this budget") for line in said)


def test_a_wording_of_which_rows_are_missing_is_named(options: FitOptions) -> None:
    asked = write_votes(options, lambda number: number % 2 == 0)
    assert asked.verdicts is not None
    rows = asked.verdicts.read_text(encoding="utf-8").splitlines()
    asked.verdicts.write_text("\n".join(rows[:-1]) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="under this policy, 'rude', for 1 of"):
        fit_cascade(asked, lambda _: None)


def test_cost_is_counted_in_tokens_and_money(options: FitOptions) -> None:
    priced = Config.model_validate({"prices": {"m": {"input_per_million": 1, "output_per_million": 3}}})
    asked = replace(write_votes(options, lambda n: n % 2 == 0, tokens=500), wordings=(), config=priced, budget=0.5)
    tokens = fit_cascade(replace(asked, cost=CostUnit.TOKENS), lambda _: None)
    assert tokens.unit == "tokens"
    assert tokens.frontier[-1].cost == pytest.approx(1000 * tokens.frontier[-1].reasoned)
    assert tokens.plan.limit is not None
    assert tokens.plan.limit.unit is Unit.TOKENS
    assert "tokens a case" in (options.out / TABLE).read_text(encoding="utf-8")
    money = fit_cascade(replace(asked, cost=CostUnit.MONEY), lambda _: None)
    assert money.frontier[-1].cost == pytest.approx(500e-6 + 1500e-6)
    with pytest.raises(UsageError, match=r"no price of 'm'[\s\S]*\[prices.\"m\"\]"):
        fit_cascade(replace(asked, cost=CostUnit.MONEY, config=Config()), lambda _: None)
    with pytest.raises(InputError, match="do not tell what they took in seconds"):
        fit_cascade(replace(asked, cost=CostUnit.SECONDS), lambda _: None)


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
        ({"times": 0}, "allowed are 1 to 20"),
        ({"wordings": (POLICY,)}, "the same text as the policy"),
        ({"budget": None, "recall": 1.0}, r"recall must be in \(0, 1\)"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    options: FitOptions, changed: dict[str, object], says: str
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


def test_what_is_just_enough_leaves_enough_to_fit_on(options: FitOptions) -> None:
    rewrite(options.data, 64)
    assert fit_cascade(options, lambda _: None).point.f1.value > 0.9


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
