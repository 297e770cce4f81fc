"""`--model FOLDER` with a cascade, and `magistrate cascade`."""

from __future__ import annotations

import json
import re
import shlex
from datetime import date
from pathlib import Path
from typing import cast

import pytest
from tests.cli.terminal import Terminal, answering, conversing, sampling

from magistrate.classifiers.cascade.file import plan_json
from magistrate.classifiers.cascade.plan import AuditRule, CascadePlan, Promise, Reuse, Stage
from magistrate.config import Config
from magistrate.errors import UsageError
from magistrate.policy.model import Policy
from magistrate.run.models import batch_shape, classifier_for

POLICY = """# Ads

## Violates
- AD1. (high) Unasked advertising of goods, shops or courses with a link.

## Safe
- ADA1. A question about an order or an account.
"""
ADVERT = "Buy cheap gold rings now at goldrings.example, 50 % off today"
QUESTION = "When will my parcel arrive? My order is late."
FLAG = (
    '{"violation": 1, "policy_category": "AD1", "rule_ids": ["AD1"], "confidence": "high", "rationale": "An advert."}'
)
CLEAR = '{"violation": 0, "policy_category": null, "rule_ids": ["ADA1"], "confidence": "high", "rationale": "Asks."}'


@pytest.fixture(autouse=True)
def policy_file(magistrate: Terminal) -> None:
    Path("ads.md").write_text(POLICY, encoding="utf-8")


def write_plan(
    url: str, *, clear_below: float = 0.999, audit: float = 0.0, reuse: Reuse | None = None, model: str = "embedded"
) -> Path:
    folder = Path("my-cascade")
    folder.mkdir(exist_ok=True)
    plan = CascadePlan(
        name="ads-cascade",
        policy_digest=Policy.read("ads.md").digest,
        stages=(
            Stage(name="screen", model=model, clear_below=clear_below, flag_from=None),
            Stage(name="reasoner", model=url, clear_below=0.5, flag_from=0.5),
        ),
        created=date(2026, 1, 2),
        promise=Promise(recall=0.95, confidence=0.9, cases=1000, positives=100),
        audit=AuditRule(rate=audit),
        reuse=reuse,
    )
    (folder / "cascade.json").write_text(plan_json(plan))
    return folder


def answer(user: str) -> str:
    return FLAG if "gold" in user else CLEAR


def test_a_cascade_judges_and_is_explained(magistrate: Terminal) -> None:
    with answering(answer) as url:
        folder = write_plan(url, clear_below=0.0)
        arguments = ("judge", "--policy", "ads.md", "--model", str(folder), "--json", "--id", "post-7", ADVERT)
        done = magistrate(*arguments)
    assert done.status == 1, done.err
    (row,) = done.rows()
    steps = row["steps"]
    assert isinstance(steps, list)
    assert [(step["stage"], step["course"]) for step in steps] == [("screen", "escalated"), ("reasoner", "flagged")]
    assert row["model"] == "ads-cascade"
    explained = magistrate("cascade", "explain", "post-7")
    assert explained.status == 0
    assert "2. reasoner (guard): flagged" in explained.out
    Path("verdicts.jsonl").write_text(done.out)
    assert magistrate("cascade", "explain", "post-7", "--verdicts", "verdicts.jsonl").out == explained.out
    missing = magistrate("cascade", "explain", "post-8")
    assert (missing.status, "no case 'post-8'" in missing.err) == (64, True)


def test_the_audit_alarms_and_names_the_command_to_fit_again(magistrate: Terminal) -> None:
    with answering(lambda _: FLAG) as url:
        folder = write_plan(url, clear_below=1.0, audit=1.0)
        lines = [json.dumps({"id": str(n), "text": f"{QUESTION} {n}"}) for n in range(12)]
        Path("posts.jsonl").write_text("\n".join(lines) + "\n")
        arguments = ("--policy", "ads.md", "--model", str(folder), "--out", "out.jsonl", "--no-log")
        done = magistrate("batch", "posts.jsonl", *arguments)
    assert done.status == 0, done.err
    found = magistrate("cascade", "audit", "--verdicts", "out.jsonl", "--cascade", str(folder))
    assert found.status == 1
    assert "of these violate: 12" in found.out
    assert "ALARM: the screens clear at least" in found.out
    command = shlex.split(found.out.rstrip().splitlines()[-1])
    assert command[:3] == ["magistrate", "cascade", "fit"]
    assert command[command.index("--recall") + 1] == "0.95"
    assert "reasoner" in found.out
    quiet = magistrate("cascade", "audit", "--verdicts", "out.jsonl")
    assert quiet.status == 0


def test_the_command_to_fit_again_repeats_the_votes(magistrate: Terminal) -> None:
    with answering(lambda _: FLAG) as url:
        folder = write_plan(url, clear_below=1.0, audit=1.0)
        file = folder / "cascade.json"
        plan = json.loads(file.read_text())
        other = Policy.parse(POLICY.replace("# Ads", "# Advertising"), name="other")
        (folder / "wording-1.md").write_text(other.text)
        plan["stages"][1]["votes"] = {"times": 2, "wordings": [{"file": "wording-1.md", "digest": other.digest}]}
        file.write_text(json.dumps(plan))
        Path("posts.jsonl").write_text("".join(json.dumps({"id": str(n), "text": QUESTION}) + "\n" for n in range(12)))
        arguments = ("--policy", "ads.md", "--model", str(folder), "--out", "out.jsonl", "--no-log")
        assert magistrate("batch", "posts.jsonl", *arguments).status == 0
    found = magistrate("cascade", "audit", "--verdicts", "out.jsonl", "--cascade", str(folder))
    command = found.out.rstrip().splitlines()[-1]
    assert "--recall 0.95 --confidence 0.9 --votes 2 --wording my-cascade/wording-1.md" in command, found.out
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert rows[0]["steps"][-1]["votes"] == {"violation": 3, "no_violation": 0, "undecided": 0}


def test_repeated_content_is_judged_once(magistrate: Terminal) -> None:
    with answering(answer) as url:
        folder = write_plan(url, clear_below=0.0, reuse=Reuse(judged_anyway=0.0))
        Path("posts.jsonl").write_text("".join(json.dumps({"id": str(n), "text": ADVERT}) + "\n" for n in range(5)))
        arguments = ("--policy", "ads.md", "--model", str(folder), "--out", "out.jsonl", "--no-log")
        assert magistrate("batch", "posts.jsonl", *arguments).status == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["violation"] for row in rows] == [True] * 5
    assert [row["steps"][0]["course"] for row in rows] == ["escalated", *["reused"] * 4]
    assert [row["usage"]["calls"] for row in rows] == [2, 0, 0, 0, 0]


def test_votes_are_fitted_judged_and_explained(magistrate: Terminal) -> None:
    """The reasoner is often wrong in the policy's own words, and right in others."""
    Path("other.md").write_text(POLICY.replace("# Ads", "# Advertising").replace("AD1", "B1").replace("ADA1", "BA1"))
    rows = [
        {"id": str(n), "text": f"{ADVERT if n % 2 else QUESTION} number {n}", "violation": n % 2 == 1}
        for n in range(140)
    ]
    Path("labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("blind.toml").write_text('name = "blind"\n[[list]]\nrule = "AD1"\nkeywords = ["qqqqq"]\n')

    def unlike(messages: list[str]) -> str:
        is_other = "# Advertising" in messages[0]
        wrong = not is_other and int(re.findall(r"number (\d+)", messages[-1])[0]) % 4 == 0
        flagged = ("gold" in messages[-1]) != wrong
        return (FLAG if flagged else CLEAR).replace("AD1", "B1" if is_other else "AD1").replace("ADB1", "BA1")

    with conversing(unlike) as url:
        arguments = ("--policy", "ads.md", "--data", "labelled.jsonl", "--screen", "blind.toml", "--reasoner", url)
        fit = ("cascade", "fit", *arguments, "--budget", "1", "--out", "voting", "--wording", "other.md")
        counted = magistrate(*fit, "--cost", "tokens")
        assert counted.status == 0, counted.err
        assert "votes are left out, within this budget" in counted.err
        assert "tokens a case" in counted.err
        done = magistrate(*fit)
        assert done.status == 0, done.err
        assert "votes pay, 2 verdicts" in done.err
        wrong_alone = f"{QUESTION} number 4"
        judged = magistrate(
            "judge", "--policy", "ads.md", "--model", "voting", "--json", "--no-log", "--id", "4", wrong_alone
        )
        (row,) = judged.rows()
        assert row["violation"] is False
        steps = cast("list[dict[str, object]]", row["steps"])
        assert steps[-1]["votes"] == {"violation": 1, "no_violation": 1, "undecided": 0}
        Path("verdicts.jsonl").write_text(judged.out)
        explained = magistrate("cascade", "explain", "4", "--verdicts", "verdicts.jsonl").out
        assert "asked 2 times: 1 said violation, 1 no violation" in explained
        refused = magistrate(*fit[:-2], "--votes", "3", "--reasoner", "embedded")
        assert (refused.status, "says the same each time" in refused.err) == (64, True)
        Path("voting/wording-1.md").write_text(POLICY)
        changed = magistrate("judge", "--policy", "ads.md", "--model", "voting", ADVERT)
        assert (changed.status, "missing or was changed" in changed.err) == (64, True)


def test_repeats_are_asked_with_other_seeds_and_outvote_a_slip(magistrate: Terminal) -> None:
    rows = [
        {"id": str(n), "text": f"{ADVERT if n % 2 else QUESTION} number {n}", "violation": n % 2 == 1}
        for n in range(140)
    ]
    Path("labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("blind.toml").write_text('name = "blind"\n[[list]]\nrule = "AD1"\nkeywords = ["qqqqq"]\n')
    seeds: set[int] = set()

    def slips(messages: list[str], seed: int) -> str:
        seeds.add(seed)
        wrong = int(re.findall(r"number (\d+)", messages[-1])[0]) % 8 == seed % 7  # 0, 6 and 5
        return FLAG if ("gold" in messages[-1]) != wrong else CLEAR

    with sampling(slips) as url:
        arguments = ("--policy", "ads.md", "--data", "labelled.jsonl", "--screen", "blind.toml", "--reasoner", url)
        done = magistrate("cascade", "fit", *arguments, "--budget", "1", "--out", "voting", "--votes", "3")
        assert done.status == 0, done.err
        assert "420 calls" in done.err
        assert "votes pay, 3 verdicts" in done.err
        judged = magistrate(
            "judge", "--policy", "ads.md", "--model", "voting", "--json", "--no-log", f"{QUESTION} number 8"
        )
    (row,) = judged.rows()
    assert row["violation"] is False
    steps = cast("list[dict[str, object]]", row["steps"])
    assert steps[-1]["votes"] == {"violation": 1, "no_violation": 2, "undecided": 0}
    assert len(seeds) == 3


def test_screens_decide_what_they_can_while_the_reasoner_is_down(
    magistrate: Terminal, caplog: pytest.LogCaptureFixture
) -> None:
    with answering(answer) as url:
        pass  # gone, and its address is free
    folder = write_plan(url, clear_below=1.0)
    clear = magistrate("judge", "--policy", "ads.md", "--model", str(folder), "--json", "--no-log", QUESTION)
    assert (clear.status, clear.rows()[0]["violation"]) == (0, False)
    assert any("unreachable" in record.message and url in record.message for record in caplog.records)
    folder = write_plan(url, clear_below=0.0)
    failed = magistrate("judge", "--policy", "ads.md", "--model", str(folder), "--json", "--no-log", QUESTION)
    (row,) = failed.rows()
    assert (row["outcome"], row["code"], row["action"]) == ("failed", "unreachable", "hold")


def test_several_votes_at_temperature_0_are_refused(magistrate: Terminal) -> None:
    folder = write_plan("mine")
    plan = json.loads((folder / "cascade.json").read_text())
    plan["stages"][1]["votes"] = {"times": 3}
    (folder / "cascade.json").write_text(json.dumps(plan))
    config = Config.model_validate({"models": {"mine": {"url": "http://127.0.0.1:9/v1", "temperature": 0}}})
    with pytest.raises(UsageError, match="at temperature 0 it says the same"):
        classifier_for(str(folder), config)


def test_another_policy_is_refused(magistrate: Terminal) -> None:
    with answering(answer) as url:
        folder = write_plan(url)
        done = magistrate("judge", "--policy", "hate", "--model", str(folder), ADVERT)
    assert (done.status, "not for 'hate'" in done.err) == (64, True)


def test_what_a_cascade_does_not_take_is_refused(magistrate: Terminal) -> None:
    folder = write_plan("http://127.0.0.1:9/v1")
    with pytest.raises(UsageError, match="says itself how its stages are asked"):
        classifier_for(str(folder), Config(), dialect="x")
    write_plan("http://127.0.0.1:9/v1", model=".")
    with pytest.raises(UsageError, match="is a cascade itself"):
        classifier_for(str(folder / "cascade.json"), Config())
    assert batch_shape(str(folder), Config()) == (64, 2)


def test_no_cascade_and_no_log_are_named(magistrate: Terminal) -> None:
    assert "there is no decision log" in magistrate("cascade", "explain", "1").err
    done = magistrate("judge", "--policy", "ads.md", "--json", "--no-log", ADVERT)
    Path("verdicts.jsonl").write_text(done.out)
    assert "no cascade decided" in magistrate("cascade", "audit", "--verdicts", "verdicts.jsonl").err
