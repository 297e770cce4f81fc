from __future__ import annotations

import json
import re
from pathlib import Path

from tests.cli.terminal import Terminal, answering

OLD = "# Adverts\n\n## Violates\n- AD1. Selling OLD goods to strangers.\n\n## Safe\n- ADA1. Questions.\n"
NEW = OLD.replace("OLD goods", "NEW goods")
DIALECT = ("--dialect", "safeguard.binary.v1")


def write(*, cases: int = 40) -> None:
    """Two policies, and a golden set beside the first in which every other case violates."""
    Path("old.md").write_text(OLD, encoding="utf-8")
    Path("new.md").write_text(NEW, encoding="utf-8")
    lines = [
        json.dumps({"id": f"c{n}", "text": f"case {n} is {'bad' if n % 2 else 'fine'}", "violation": bool(n % 2)})
        for n in range(cases)
    ]
    Path("old.golden.jsonl").write_text("\n".join(lines), encoding="utf-8")


def test_a_better_policy_is_told_with_what_it_mends(magistrate: Terminal) -> None:
    write()
    with answering(lambda content: "1" if "bad" in content else "0") as good, answering(lambda _: "0") as poor:
        runs = ("--run", "poor.jsonl"), ("--run", "good.jsonl")
        assert magistrate("test", "old.md", "--model", poor, *DIALECT, *runs[0]).status == 0
        assert (
            magistrate("test", "new.md", "--data", "old.golden.jsonl", "--model", good, *DIALECT, *runs[1]).status == 0
        )
    better = magistrate("compare", "poor.jsonl", "good.jsonl")
    assert better.status == 0
    assert better.out.startswith("BETTER  good.jsonl than poor.jsonl, by accuracy")
    assert "40 cases: 20 mended, 0 broken" in better.out
    assert better.out.count("mended   c") == 20
    worse = magistrate("compare", "good.jsonl", "poor.jsonl", "--json")
    assert worse.status == 1
    values = json.loads(worse.out)
    assert values["conclusion"] == "worse"
    assert values["mcnemar"]["only_first"] == 20
    accuracy = next(line for line in values["differences"] if line["metric"] == "accuracy")
    assert accuracy["difference"] == -0.5
    assert accuracy["bootstrap"]["high"] < 0
    assert values["first"]["cost"]["input_tokens"] == 400


def test_a_report_shows_the_cases_that_changed_side_by_side(magistrate: Terminal) -> None:
    write(cases=6)
    reasoning = 'The policy states "Anything at all is forbidden here".'
    inventing = answering(lambda content: "1" if "bad" in content else "0", reasoning=reasoning)
    with inventing as good, answering(lambda _: "0") as poor:
        options = ("--model", poor, "--model-b", good, *DIALECT, "--dialect-b", "safeguard.binary.v1")
        runs = ("--run-a", "poor.jsonl", "--run-b", "good.jsonl")
        done = magistrate("compare", "old.md", *options, *runs, "--report", "out/r.html")
    assert re.search(r"invents words of the policy +0\.000 +1\.000 +\+1\.000", done.out)
    page = Path("out/r.html").read_text(encoding="utf-8")
    assert "case 1 is bad" in page
    assert "Anything at all is forbidden here" in page
    assert json.loads(Path("out/r.json").read_text(encoding="utf-8"))["mcnemar"]["only_second"] == 3
    again = ("compare", "poor.jsonl", "good.jsonl", "--report", "again.html")
    magistrate(*again)
    assert "case 1 is bad" not in Path("again.html").read_text(encoding="utf-8")
    magistrate(*again, "--data", "old.golden.jsonl", "-p", "old.md")
    assert "case 1 is bad" in Path("again.html").read_text(encoding="utf-8")
    assert "neither run is of new.md" in magistrate(*again, "-p", "new.md").err
    assert magistrate("compare", "old.md", "new.md", "-p", "old.md").status == 64
    assert magistrate("compare", "old.md", "new.md", "--report", "r.pdf").status == 64


def test_models_are_compared_on_one_policy(magistrate: Terminal) -> None:
    write()
    with answering(lambda content: "1" if "bad" in content else "0") as good, answering(lambda _: "0") as poor:
        options = ("--model", good, "--model-b", poor, *DIALECT, "--dialect-b", "safeguard.binary.v1")
        done = magistrate("compare", "old.md", *options)
    assert done.status == 1
    assert done.out.startswith(f"WORSE  {poor} safeguard.binary.v1 than {good} safeguard.binary.v1")


def test_a_small_difference_needs_more_cases(magistrate: Terminal) -> None:
    write()
    with answering(lambda content: "1" if "bad" in content else "0") as good:
        magistrate("test", "old.md", "--model", good, *DIALECT, "--run", "good.jsonl")
    with answering(lambda content: "1" if "bad" in content and "case 1 " not in content else "0") as near:
        magistrate("test", "old.md", "--model", near, *DIALECT, "--run", "near.jsonl")
    done = magistrate("compare", "good.jsonl", "near.jsonl")
    assert done.status == 2
    assert "CANNOT TELL" in done.out
    assert "more cases" in done.out
    assert "broken   c1 " in done.out
    equal = magistrate("compare", "good.jsonl", "good.jsonl", "--margin", "0.2")
    assert (equal.status, equal.out.split()[0]) == (0, "EQUIVALENT")


def test_runs_of_unlike_cases_are_refused(magistrate: Terminal) -> None:
    with answering(lambda _: "0") as url:
        for name, cases in (("a.jsonl", 6), ("b.jsonl", 8)):
            write(cases=cases)
            magistrate("test", "old.md", "--model", url, *DIALECT, "--run", name)
    done = magistrate("compare", "a.jsonl", "b.jsonl")
    assert done.status == 64
    assert "unlike cohorts" in done.err
    assert "digest" in done.err


def test_a_run_that_was_broken_off_is_refused(magistrate: Terminal) -> None:
    write(cases=6)
    with answering(lambda _: "0") as url:
        magistrate("test", "old.md", "--model", url, *DIALECT, "--run", "a.jsonl")
    lines = Path("a.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    Path("b.jsonl").write_text("".join(lines[:-1]), encoding="utf-8")
    for pair in (("a.jsonl", "b.jsonl"), ("b.jsonl", "a.jsonl")):
        done = magistrate("compare", *pair)
        assert done.status == 64
        assert "not in the run" in done.err


def test_what_cannot_be_compared_is_bad_usage(magistrate: Terminal) -> None:
    write(cases=6)
    Path("run.jsonl").write_text("{}", encoding="utf-8")
    assert "nothing to compare with" in magistrate("compare", "old.md").err
    assert magistrate("compare", "old.md", "run.jsonl").status == 64
    assert magistrate("compare", "run.jsonl", "run.jsonl").status == 64
    assert magistrate("compare", ".", "old.md").status == 64
    assert magistrate("compare", "new.md", "old.md").status == 64
