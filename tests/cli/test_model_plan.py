"""`magistrate model plan`, typed as users type it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal

from magistrate.classifiers.cascade.file import FILE_NAME, plan_json
from magistrate.classifiers.cascade.plan import AuditRule, CascadePlan, Limit, Reference, Stage

SCREEN = Stage(name="screen", model="embedded", clear_below=0.2, flag_from=0.9)
LAST = Stage(name="reasoner", model="http://127.0.0.1:8000/v1", clear_below=0.5, flag_from=0.5)
SHARES = (0.7, 0.1, 0.05, 0.05, 0.02, 0.02, 0.01, 0.01, 0.02, 0.02)
PLAN = CascadePlan(
    name="spam",
    policy_digest=None,
    created=date(2026, 11, 25),
    stages=(SCREEN, LAST),
    reference=Reference(shares=SHARES, cases=5000, base_rate=0.05),
)


def written(folder: Path, plan: CascadePlan) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / FILE_NAME).write_text(plan_json(plan), encoding="utf-8")
    return folder


def test_a_plan_has_the_demand_its_variants_and_all_assumptions(magistrate: Terminal) -> None:
    out = magistrate("model", "plan", "--rate", "100/s", "--policy", "spam", "--share", "0.16", "--price", "2").out
    for told in (
        "16.0% reasoned over",
        "16/s",
        "as asked",
        "twice as long",
        "no reuse of the policy's part",
        "in bursts",
        "cost a day",
        "Assumed:",
        "1,539 public calls",
        "no failures",
    ):
        assert told in " ".join(out.split()), told


def test_json_gives_the_same_and_cost_is_gpus_times_hours(magistrate: Terminal) -> None:
    asked = ("model", "plan", "--rate", "36000/h", "--policy", "spam", "--price", "2", "--json")
    (plan,) = magistrate(*asked).rows()
    assert plan["rate_per_s"] == pytest.approx(10)
    assert plan["share"] == 1.0
    cases = plan["cases"]
    assert isinstance(cases, list)
    first = cases[0]
    assert first["cost_per_day"] == first["gpus"] * 24 * 2
    assert first["p50_s"] < first["p90_s"] < first["p99_s"]
    assert magistrate(*asked).rows() == [plan]  # the same seed


@pytest.mark.parametrize(
    ("plan", "share"),
    [
        (PLAN, 0.05 + 0.05 + 0.02 + 0.02 + 0.01 + 0.01 + 0.02),  # between 0.2 and 0.9
        (replace(PLAN, limit=Limit(share=0.07)), 0.07),
        (replace(PLAN, audit=AuditRule(rate=0.1)), 0.18 + 0.1 * 0.82),
        (replace(PLAN, stages=(LAST,)), 1.0),
    ],
)
def test_the_share_is_taken_from_a_cascade(
    magistrate: Terminal, tmp_path: Path, plan: CascadePlan, share: float
) -> None:
    folder = written(tmp_path / "spam.cascade", plan)
    asked = ("model", "plan", "--rate", "50/s", "--policy", "spam", "--cascade", str(folder), "--json")
    (found,) = magistrate(*asked).rows()
    assert found["share"] == pytest.approx(share)


def test_a_cascade_without_a_record_needs_a_share(magistrate: Terminal, tmp_path: Path) -> None:
    folder = written(tmp_path / "spam.cascade", replace(PLAN, reference=None))
    done = magistrate("model", "plan", "--rate", "50/s", "--policy", "spam", "--cascade", str(folder))
    assert done.status == 64
    assert "--share 0.16" in done.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--rate", "fast"), "write items and a time"),
        (("--rate", "5/week"), "write items and a time"),
        (("--rate", "0/s"), "write items and a time"),
        (("--rate", "10/s", "--gpu", "H100:4"), "names one kind"),
        (("--rate", "10/s", "--gpu", "H10"), "did you mean"),
        (("--rate", "10/s", "--model", "20"), "20b"),
        (("--rate", "10/s", "--p99", "0.5"), "cannot be kept"),
        (("--rate", "10/s", "--cascade", "nowhere"), "no cascade at 'nowhere'"),
    ],
)
def test_what_cannot_be_planned_is_said(magistrate: Terminal, options: tuple[str, ...], told: str) -> None:
    done = magistrate("model", "plan", "--policy", "spam", *options)
    assert done.status != 0
    assert told in done.err


def test_a_model_that_does_not_reason_answers_in_one_word(magistrate: Terminal) -> None:
    asked = ("model", "plan", "--rate", "30/s", "--policy", "spam", "--model", "shieldgemma-2b", "--gpu", "L4")
    out = " ".join(magistrate(*asked).out.split())
    assert "does not reason" in out
    assert "twice as long" not in out
