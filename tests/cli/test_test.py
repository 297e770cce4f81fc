from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.cli.terminal import Terminal, answering

POLICY = """# Adverts

## Violates
- AD1. Selling goods to strangers.
- AD2. Begging for followers.

## Safe
- ADA1. Questions about an order.
"""
CASES = (
    ("a1", "buy gold rings", True, "AD1"),
    ("a2", "cheap pills here", True, "AD1"),
    ("a3", "follow me please", True, "AD2"),
    ("b1", "where is my order", False, ""),
    ("b2", "thank you all", False, ""),
    ("b3", "buy is a verb", False, ""),
)
HOSTILE = "x</system-out><script>alert(1)</script>&\x00\x1b[31m\u202e\ud800"


def write_policy(folder: Path, name: str = "ads") -> Path:
    """A policy with a golden set beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.md"
    path.write_text(POLICY, encoding="utf-8")
    lines = [
        json.dumps({"id": i, "text": t, "violation": v, "rule_ids": [r] if r else [], "kind": "clear"})
        for i, t, v, r in CASES
    ]
    (folder / f"{name}.golden.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return path


def answer(user: str) -> str:
    """Flags what has the word `buy`; says nothing about thanks."""
    if "thank you all" in user:
        return ""
    return "1" if "buy" in user else "0"


def judged_by(url: str) -> tuple[str, ...]:
    return ("--model", url, "--dialect", "safeguard.binary.v1")


def test_one_line_a_policy_and_the_wrong_cases(magistrate: Terminal) -> None:
    write_policy(Path("policies"))
    with answering(answer) as url:
        done = magistrate("test", "policies", *judged_by(url))
    assert done.status == 0
    first, *rest = done.out.splitlines()
    # tp 1 (a1), fn 2, fp 1 (b3), tn 1: precision .5, recall 1/3, F1 .4
    assert first == "MEASURED  ads  F1 0.400  precision 0.500  recall 0.333  6 cases, 3 wrong, 1 not decided"
    assert any("not decided  empty_answer 1" in line for line in rest)
    assert any("false alarm" in line and "b3" in line for line in rest)
    assert sum("missed" in line for line in rest) == 2


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("--require", "min_precision=0.5"), 0),
        (("--require", "min_recall=0.9"), 1),
        (("--require", "min_recall=0.3", "--mode", "confident"), 2),
        (("--require", "max_failed_rate=0.1"), 1),
        (("--require", "max_undecided_rate=0.2"), 0),
        (("--require", "min_f2=0.1"), 64),
        (("--require", "min_f1=80"), 64),
    ],
)
def test_thresholds_decide_the_exit_status(magistrate: Terminal, options: tuple[str, ...], status: int) -> None:
    write_policy(Path("policies"))
    with answering(answer) as url:
        assert magistrate("test", "policies", *judged_by(url), *options).status == status


def test_thresholds_of_the_settings_and_of_one_policy(magistrate: Terminal) -> None:
    write_policy(Path("policies"))
    write_policy(Path("policies"), "other")
    Path("magistrate.toml").write_text("[test]\nmin_recall = 0.3\n[test.other]\nmin_recall = 0.9\n", encoding="utf-8")
    with answering(answer) as url:
        done = magistrate("test", "policies", *judged_by(url))
    assert done.status == 1
    assert "PASSED  ads" in done.out
    assert "FAILED  other" in done.out
    assert "min_recall: 0.333" in done.out


def test_nothing_decided_is_not_passed(magistrate: Terminal) -> None:
    write_policy(Path("policies"))
    with answering(lambda _: "") as url:
        done = magistrate("test", "policies", *judged_by(url))
    assert done.status == 2
    assert done.out.startswith("UNDETERMINED")


def test_a_run_is_kept_and_measured_again_without_the_model(magistrate: Terminal) -> None:
    path = write_policy(Path("policies"))
    with answering(answer) as url:
        first = magistrate("test", str(path), *judged_by(url), "--run", "ads.run.jsonl", "-v")
    again = magistrate("test", str(path), "--from-run", "ads.run.jsonl", "-v")
    assert again.out == first.out
    assert "by rule" in again.out
    alone = magistrate("test", "--from-run", "ads.run.jsonl", "--require", "min_recall=0.9")
    assert alone.status == 1


def test_a_run_goes_on_where_it_was_and_asks_for_nothing_twice(magistrate: Terminal) -> None:
    path = write_policy(Path("policies"))
    asked: list[str] = []

    def counting(user: str) -> str:
        asked.append(user)
        return "0"

    with answering(counting) as url:
        options = (str(path), *judged_by(url), "--run", "ads.run.jsonl")
        magistrate("test", *options)
        lines = Path("ads.run.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        Path("ads.run.jsonl").write_text("".join(lines[:-2]), encoding="utf-8")
        before = len(asked)
        magistrate("test", *options)
        assert len(asked) - before == 2
        magistrate("test", *options, "--restart")
    assert len(asked) - before == 8


def test_a_run_of_another_wording_is_refused(magistrate: Terminal) -> None:
    path = write_policy(Path("policies"))
    with answering(answer) as url:
        magistrate("test", str(path), *judged_by(url), "--run", "ads.run.jsonl")
    path.write_text(POLICY.replace("strangers", "people"), encoding="utf-8")
    done = magistrate("test", str(path), "--from-run", "ads.run.jsonl")
    assert done.status == 64
    assert "another wording" in done.err


@pytest.mark.parametrize("name", ["ads_golden.jsonl", "golden/ads.jsonl", "ads.golden.csv"])
def test_golden_sets_are_found_by_name(magistrate: Terminal, name: str) -> None:
    path = write_policy(Path("policies"))
    golden = path.with_name("ads.golden.jsonl")
    (path.parent / name).parent.mkdir(exist_ok=True)
    if name.endswith(".csv"):
        rows = "".join(f"{i},{t},{int(v)}\n" for i, t, v, _ in CASES)
        golden.unlink()
        (path.parent / name).write_text("id,text,violation\n" + rows, encoding="utf-8")
    else:
        golden.rename(path.parent / name)
    (path.parent / "notes.md").write_text("Notes on policies.", encoding="utf-8")
    with answering(answer) as url:
        done = magistrate("test", "policies", *judged_by(url))
    assert done.status == 0, done.err
    assert "6 cases" in done.out
    assert "notes.md has no golden set" in done.err


def test_what_cannot_be_tested_is_bad_usage(magistrate: Terminal) -> None:
    path = write_policy(Path("policies"))
    assert magistrate("test").status == 64
    assert magistrate("test", "nowhere.md").status == 64
    Path("empty").mkdir()
    assert "no policy with a golden set" in magistrate("test", "empty").err
    (path.parent / "golden").mkdir()
    (path.parent / "golden" / "ads.jsonl").write_text("{}", encoding="utf-8")
    done = magistrate("test", str(path))
    assert done.status == 64
    assert "2 golden sets" in done.err
    path.with_name("ads.golden.jsonl").unlink()
    (path.parent / "golden" / "ads.jsonl").unlink()
    assert "no golden set beside it" in magistrate("test", str(path)).err


def test_junit_holds_hostile_text_as_text(magistrate: Terminal) -> None:
    path = write_policy(Path("policies"))
    golden = path.with_name("ads.golden.jsonl")
    lines = [{"id": HOSTILE, "text": "buy", "violation": False}, {"id": "2", "text": "thank you all", "violation": 1}]
    golden.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    with answering(answer) as url:
        options = ("--junit", "out/junit.xml", "--require", "min_recall=1", "--require", "max_undecided_rate=0")
        done = magistrate("test", str(path), *judged_by(url), *options)
    assert done.status == 1
    body = Path("out/junit.xml").read_bytes()
    text = body.decode("utf-8")
    assert "<script" not in text
    assert all(c in "\n\t\r" or ord(c) >= 32 for c in text)
    root = ET.fromstring(body)
    assert {k: root.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    names = [case.get("name") or "" for case in root.iter("testcase")]
    assert any("alert(1)" in name for name in names)


def test_json_and_report_files(magistrate: Terminal) -> None:
    write_policy(Path("policies"))
    with answering(answer) as url:
        done = magistrate("test", "policies", *judged_by(url), "--json", "-", "--report", "r/out.html")
    (values,) = json.loads(done.out)
    assert values["confusion"] == {"tp": 1, "fp": 1, "fn": 2, "tn": 1}
    assert values["outcomes"] == {"decided": 5, "abstained": 0, "failed": 1}
    assert "MEASURED" in done.err
    assert {p.name for p in Path("r").iterdir()} == {
        "out.html",
        "out.json",
        "out.csv",
        "out.cases.csv",
        "out.reasoning.csv",
    }
    rows = list(csv.DictReader(Path("r/out.csv").read_text(encoding="utf-8").splitlines()))
    f1 = next(row for row in rows if row["metric"] == "F1" and row["part"] == "verdict")
    assert float(f1["value"]) == pytest.approx(0.4)


def test_the_worst_founded_reasoning_is_named_with_its_faults(magistrate: Terminal) -> None:
    path = write_policy(Path("policies"))
    with answering(answer, reasoning='The policy states "Orders are always forbidden". See AD7.') as url:
        done = magistrate("test", str(path), *judged_by(url), "--run", "ads.run.jsonl", "-v", "--worst", "1")
    assert "reasoning of 6 cases looked through; badly founded 6 of 6, 1.000 (0.610 to 1.000)" in done.out
    assert "cites rules that are not there 6 of 6" in done.out
    assert done.out.count("  suspect 0.70") == 1
    row = json.loads(Path("ads.run.jsonl").read_text(encoding="utf-8").splitlines()[1])
    assert row["audit"]["version"] == "audit.v1"
    assert row["audit"]["found"]["unknown_ids"] == ["AD7"]


def test_what_cannot_be_written_is_refused_before_anything_is_judged(magistrate: Terminal) -> None:
    path = write_policy(Path("policies"))
    asked: list[str] = []

    def counting(user: str) -> str:
        asked.append(user)
        return "0"

    with answering(counting) as url:
        for wrong in (("--report", "out.pdf"), ("--png",), ("--data", "policies/ads.golden.jsonl")):
            assert magistrate("test", "policies", *judged_by(url), *wrong).status == 64
        assert magistrate("test", str(path), "--from-run", "nowhere.jsonl").status == 64
        assert asked == []
        Path("file").write_text("", encoding="utf-8")
        assert magistrate("test", str(path), *judged_by(url), "--junit", "file/junit.xml").status == 74


def test_several_policies_keep_their_runs_in_a_folder(magistrate: Terminal) -> None:
    for name in ("ads", "other"):
        write_policy(Path("policies"), name)
    with answering(answer) as url:
        first = magistrate("test", "policies", *judged_by(url), "--run", "runs", "-v")
    names = sorted(path.name for path in Path("runs").iterdir())
    assert names == ["001-ads.run.jsonl", "002-other.run.jsonl"]
    options = [part for name in names for part in ("--from-run", f"runs/{name}")]
    assert magistrate("test", "policies", *options, "-v").out == first.out


def test_pictures_are_svg_and_png_needs_an_extra(magistrate: Terminal) -> None:
    done = magistrate("test", "spam", "--pictures", "pictures")
    assert done.status == 0
    names = {path.name for path in Path("pictures").iterdir()}
    expected = ("figures", "confusion", "precision-recall", "reliability")
    assert names == {f"spam.{chart}.svg" for chart in expected}
    for path in Path("pictures").iterdir():
        assert ET.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert magistrate("test", "spam", "--png").status == 64
