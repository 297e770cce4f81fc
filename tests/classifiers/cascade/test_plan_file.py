"""Plans and their file: what is written is read back, and what cannot be used is refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.classifiers.cascade.scripted import DAY, stage
from tests.classifiers.cascade.test_drivers import plans

from magistrate.classifiers.cascade.calibrator import Calibrator
from magistrate.classifiers.cascade.file import MOST_BYTES, cascade_file, parse_plan, plan_json, read_plan
from magistrate.classifiers.cascade.plan import (
    AuditRule,
    CascadePlan,
    Limit,
    Promise,
    Reference,
    Reuse,
    Stage,
    Unit,
    Votes,
    Wording,
)
from magistrate.digest import text_digest
from magistrate.errors import InputError

FULL = CascadePlan(
    name="hate-cascade",
    policy_digest=text_digest("hate"),
    stages=(
        stage("embedded", 0.05, None),
        replace(
            stage(
                "reasoner",
                0.4,
                0.4,
                Calibrator(("violation", "screen:embedded"), (0.1, -2.0), (0.3, 1.5), (1.0, 0.5), -0.2),
            ),
            votes=Votes(
                times=2,
                wordings=(Wording(file="wording-1.md", digest=text_digest("other")),),
                ask_from=0.1,
                ask_to=0.9,
                calibrator=Calibrator(("vote_share", "screen:embedded"), (0.1, -2.0), (0.3, 1.5), (1.0, 0.5), -0.2),
            ),
        ),
    ),
    created=DAY,
    promise=Promise(recall=0.95, confidence=0.9, cases=900, positives=80),
    limit=Limit(share=0.16, unit=Unit.TOKENS, miss_cost=5.0),
    audit=AuditRule(rate=0.01, key="k"),
    reuse=Reuse(cap=9),
    reference=Reference(shares=(0.75, 0.25), cases=900, base_rate=0.08),
)


@given(plans())
def test_what_is_written_is_read_back(plan: CascadePlan) -> None:
    again = parse_plan(plan_json(plan))
    assert again == plan
    assert again.digest == plan.digest


def test_a_folder_or_the_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "cascade.json"
    file.write_text(plan_json(FULL))
    assert read_plan(tmp_path) == read_plan(file) == FULL
    assert cascade_file(tmp_path) == cascade_file(file) == file
    assert cascade_file(tmp_path / "other") is None


def test_the_digest_names_what_changes_verdicts() -> None:
    assert replace(FULL, created=DAY.replace(year=2027), promise=None, name="x").digest == FULL.digest
    for changed in (
        replace(FULL, audit=None),
        replace(FULL, limit=None),
        replace(FULL, reuse=None),
        replace(FULL, stages=(replace(FULL.stages[0], clear_below=0.06), FULL.stages[1])),
        replace(FULL, stages=(FULL.stages[0], replace(FULL.stages[1], votes=None))),
    ):
        assert changed.digest != FULL.digest


def _set(*place: str | int, value: object) -> Callable[[Any], None]:  # Any: JSON of any shape
    def change(data: Any) -> None:
        for part in place[:-1]:
            data = data[part]
        data[place[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("form", value="magistrate.cascade.v9"), "form"),
        (_set("extra", value=1), "extra"),
        (_set("stages", value=[]), "1 to 16 stages"),
        (_set("stages", 0, "clear_below", value=1.5), r"clear_below must be in \[0, 1\], got 1.5"),
        (_set("stages", 0, "clear_below", value="NaN"), "stages.0.clear_below"),
        (_set("stages", 0, "name", value="reasoner"), "names of their own"),
        (_set("stages", 0, "name", value="other"), "no feature 'screen:embedded'; allowed: violation"),
        (_set("stages", 1, "flag_from", value=0.5), "the last stage, 'reasoner', must decide every case"),
        (_set("stages", 1, "calibrator", "scales", value=[0, 1]), "scales must be above 0"),
        (_set("stages", 1, "calibrator", "means", value=[0]), "as many means"),
        (_set("policy_digest", value="hate"), "policy_digest"),
        (_set("policy_digest", value=None), "the plan serves any"),
        (_set("stages", 1, "votes", "times", value=0), "votes are 2 to 20"),
        (_set("stages", 1, "votes", "ask_to", value=0.05), "must rise"),
        (_set("stages", 1, "votes", "wordings", 0, "file", value="../../etc/passwd"), "named without a folder"),
        (_set("stages", 1, "votes", "wordings", 0, "digest", value="x"), "wordings.0.digest"),
        (
            _set("stages", 1, "votes", "calibrator", "features", value=["screen:x", "violation"]),
            "no feature 'screen:x'",
        ),
        (_set("limit", "share", value=0), "share must be in"),
        (_set("audit", "rate", value=2), "rate must be in"),
        (_set("reuse", "cap", value=0), "above 0"),
        (_set("promise", "recall", value=1), "recall and confidence"),
        (_set("reference", "shares", value=[0.5, 0.1]), "add up to 1"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, change: Callable[[Any], None], message: str) -> None:
    data = json.loads(plan_json(FULL))
    change(data)
    file = tmp_path / "cascade.json"
    file.write_text(json.dumps(data))
    with pytest.raises(InputError, match=message) as caught:
        read_plan(file)
    assert "magistrate cascade fit" in str(caught.value)


@given(data=st.binary(max_size=60))
def test_any_bytes_that_are_no_plan_are_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        parse_plan(data)


def test_large_and_missing_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "cascade.json"
    with pytest.raises(InputError, match="cannot read"):
        read_plan(file)
    file.write_bytes(b" " * (MOST_BYTES + 1))
    with pytest.raises(InputError, match="more than 1,000,000 bytes"):
        read_plan(file)


def test_thresholds_that_cross_are_refused() -> None:
    with pytest.raises(ValueError, match="is above flag_from"):
        Stage(name="s", model="m", clear_below=0.6, flag_from=0.5)
