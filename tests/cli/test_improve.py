from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from pathlib import Path

from tests.cli.terminal import Done, Terminal, answering, conversing
from tests.evaluate.improve.judges import ADS

from magistrate.config import Config, ModelConfig
from magistrate.dialects.fence import unfence
from magistrate.run.models import server_settings

TEXTS = ("buy my rings", "where is my order", "we loved the hotel beach")


def write(policy: str = ADS, *, cases: int = 80) -> None:
    """A policy, and a golden set in which a third of the texts is of rings, and violates."""
    Path("ads.md").write_bytes(policy.encode())
    lines = [f"c{n:03},{TEXTS[n % 3]} {n},{int(n % 3 == 0)}" for n in range(cases)]
    Path("golden.csv").write_text("\n".join(["id,text,violation", *lines]), encoding="utf-8")


def hotels(*, up_to: int = 1000, missing: int = 0) -> Callable[[list[str]], str]:
    """A judge that takes hotels for adverts until the policy speaks of them, and misses the first rings always."""

    def answer(messages: list[str]) -> str:
        content = unfence(messages[1]).messages[0].content
        number = int(content.split()[-1])
        if "hotel" in content:
            return str(int("hotel" not in messages[0] and number < up_to))
        return str(int("rings" in content and number >= missing))

    return answer


def improve(magistrate: Terminal, judge: Callable[[list[str]], str], *options: str) -> Done:
    with conversing(judge) as url:
        basic = ("--data", "golden.csv", "--model", url, "--dialect", "safeguard.binary.v1")
        proposer = () if "--proposer" in options else ("--proposer", "templates")
        return magistrate("improve", "ads.md", *basic, *proposer, *options)


def test_a_better_policy_is_shown_and_written_only_where_that_is_asked(magistrate: Terminal) -> None:
    write()
    done = improve(magistrate, hotels())
    assert done.status == 0
    assert re.search(r"80 cases: \d+ to analyse, \d+ held out; 1,600 judgements at the most", done.err)
    assert re.search(r"false alarm +13 cases  no rule is cited", done.out)
    assert "I look at the rules." in done.out
    assert "BETTER  the edited policy than ads.md, by accuracy" in done.out
    assert re.search(r"held-out cases: \d+ mended, 0 broken", done.out)
    assert "+++ ads.md (edited)" in done.out
    assert "nothing is written: add --out FILE, or --write" in done.err
    assert Path("ads.md").read_text(encoding="utf-8") == ADS
    out = improve(magistrate, hotels(), "--out", "better.md")
    assert (out.status, "better.md is written" in out.err) == (0, True)
    better = Path("better.md").read_text(encoding="utf-8")
    assert "hotel" in better
    assert Path("ads.md").read_text(encoding="utf-8") == ADS
    assert improve(magistrate, hotels(), "--write").status == 0
    assert Path("ads.md").read_text(encoding="utf-8") == better


def test_a_model_is_asked_for_edits(magistrate: Terminal) -> None:
    write()
    edit = {"kind": "rule", "violation": False, "text": "Talk of a hotel stay.", "why": "travel"}
    asked: list[str] = []

    def proposer(content: str) -> str:
        asked.append(content)
        return json.dumps({"edits": [edit, {"kind": "wish"}]})

    with answering(proposer) as url:
        done = improve(magistrate, hotels(), "--proposer", url, "--max-calls", "400", "--json")
    assert "400 judgements at the most, and 6 requests for edits" in done.err
    values = json.loads(done.out)
    assert done.status == 0
    assert values["requests"] == len(asked) == 1
    assert "The judge took them for violations" in asked[0]
    assert (values["proposals"][0]["origin"], values["proposals"][0]["why"]) == ("reasoner", "travel")
    assert values["no_proposals"][0]["code"] == "malformed"
    assert values["judgements"] <= 400
    assert sum(values["cases"].values()) == 80
    assert all(mistake["content"] for group in values["groups"] for mistake in group["mistakes"])
    assert {line["metric"] for line in values["differences"]} >= {"accuracy", "F1"}
    assert "+- ADA2. Talk of a hotel stay." in values["diff"]


def test_who_judges_is_asked_for_edits_where_nothing_else_is_said(magistrate: Terminal) -> None:
    write()
    asked: list[str] = []

    def both(messages: list[str]) -> str:
        if "You improve a content policy" not in messages[0]:
            return hotels()(messages)
        asked.append(messages[1])
        return '{"edits": []}'

    with conversing(both) as url:
        options = ("--data", "golden.csv", "--model", url, "--dialect", "safeguard.binary.v1")
        assert magistrate("improve", "ads.md", *options).status == 0
    assert len(asked) == 1


def test_out_and_write_leave_what_is_there_alone(magistrate: Terminal) -> None:
    write()
    Path("better.md").write_text("mine", encoding="utf-8")
    for options, message in (
        (("--out", "better.md"), "is there already"),
        (("--out", "ads.md"), "is there already"),
        (("--out", "new.md", "--write"), "two places"),
    ):
        done = improve(magistrate, hotels(), *options)
        assert (done.status, done.out) == (64, "")
        assert message in done.err
    assert "starter policy and is not changed" in magistrate("improve", "spam", "--write").err
    assert Path("better.md").read_text(encoding="utf-8") == "mine"


def test_a_policy_that_was_changed_in_the_meantime_is_left_alone(magistrate: Terminal) -> None:
    write()
    changed = ADS.replace("accounts", "logins")

    def judge(messages: list[str]) -> str:
        Path("ads.md").write_text(changed, encoding="utf-8")
        return hotels()(messages)

    done = improve(magistrate, judge, "--write")
    assert (done.status, "was changed in the meantime" in done.err) == (64, True)
    assert "BETTER" in done.out
    assert Path("ads.md").read_text(encoding="utf-8") == changed


def test_what_is_not_known_to_be_better_is_written_by_force_with_its_mark_and_line_ends(magistrate: Terminal) -> None:
    policy = "\ufeff" + ADS.replace("\n", "\r\n")
    write(policy)
    judge = hotels(up_to=20, missing=40)
    done = improve(magistrate, judge, "--write")
    assert (done.status, "CANNOT TELL  the edited policy against ads.md" in done.out) == (2, True)
    assert "more cases in the golden set" in done.out
    assert "not known to be better (--force writes them)" in done.err
    assert Path("ads.md").read_bytes() == policy.encode()
    forced = improve(magistrate, judge, "--write", "--force")
    assert (forced.status, "ads.md is written" in forced.err) == (2, True)
    data = Path("ads.md").read_bytes()
    assert data.startswith(codecs.BOM_UTF8)
    assert data.count(b"\r\n") == data.count(b"\n") > policy.count("\n")


def test_few_mistakes_say_how_many_cases_are_needed(magistrate: Terminal) -> None:
    write()
    done = improve(magistrate, hotels(up_to=20), "--out", "new.md")
    assert done.status == 2
    assert re.search(r"\d held-out cases are wrong, and 5 must be mended to tell it .* about [\d,]+ more", done.out)
    assert "new.md is not written: there is no edit to write" in done.err


def test_bad_usage_is_told_before_anything_is_judged(magistrate: Terminal) -> None:
    write(cases=12)
    few = improve(magistrate, hotels())
    assert (few.status, "to the golden set" in few.err) == (64, True)
    write()
    budget = improve(magistrate, hotels(), "--max-calls", "100")
    assert (budget.status, "100 judgements are too few for 80 cases" in budget.err) == (64, True)
    assert improve(magistrate, hotels(), "--proposer", "nobody").status == 64
    assert magistrate("improve", ".").status == 64
    assert magistrate("improve", "ads.md").status == 64


def test_the_embedded_judge_needs_nothing_and_a_starter_is_left_alone(magistrate: Terminal) -> None:
    done = magistrate("improve", "spam", "--worst", "1", "--max-calls", "200")
    assert done.status in (0, 1, 2)
    assert "65 cases: 32 to analyse, 33 held out; 200 judgements at the most" in done.err
    assert "note: 33 held-out cases are few" in done.err
    assert done.out.startswith("spam judged by")
    assert "<starter>/spam.md:" in done.out
    assert list(Path().iterdir()) == []


def test_a_folder_of_an_embedded_model_is_no_server_to_ask(tmp_path: Path) -> None:
    assert server_settings(str(tmp_path), Config()) is None
    assert server_settings("http://127.0.0.1:8000/v1", Config()) == ModelConfig(url="http://127.0.0.1:8000/v1")
