from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.test_report import ELEMENTS, HOSTILE, POLICY, Seen, case, decided, trace

from magistrate.errors import CohortMismatchError, UsageError
from magistrate.evaluate.compare import Conclusion
from magistrate.evaluate.dataset import Dataset, identify
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.grounds import Fault
from magistrate.evaluate.metrics import Metric
from magistrate.evaluate.report.files import versus_files
from magistrate.evaluate.report.versus_charts import differences_chart
from magistrate.evaluate.report.versus_page import versus_page
from magistrate.evaluate.report.versus_plain import versus_values
from magistrate.evaluate.runfile import RunHeader, write_run
from magistrate.evaluate.versus import Versus, versus
from magistrate.policy.model import Policy
from magistrate.row import verdict_row
from magistrate.types import Code, Failed, Verdict


def versus_of(
    folder: Path, cases: Sequence[GoldenCase], first: Sequence[Verdict], second: Sequence[Verdict], name: str = "new"
) -> Versus:
    dataset = Dataset(identity=identify(cases, name="golden"), cases=tuple(cases))
    for file, verdicts in (("a.jsonl", first), ("b.jsonl", second)):
        header = RunHeader(
            dataset=dataset.identity, policy="ads", policy_digest=POLICY.digest, model="m", dialect=f"d {file}"
        )
        rows = [(c, verdict_row(c.id, v)) for c, v in zip(cases, verdicts, strict=True)]
        # The second run is in another order, as a batch may leave it.
        write_run(folder / file, header, rows if file == "a.jsonl" else rows[::-1], policy=POLICY)
    return versus(
        folder / "a.jsonl", folder / "b.jsonl", names=("old", name), policies=(POLICY, POLICY), dataset=dataset
    )


def usual(folder: Path) -> Versus:
    """Of four violating and two allowed cases two are mended, one is broken and one is wrong in another way."""
    cases = [
        *(case(n, violation=True, rule="AD1") for n in range(4)),
        case(4, violation=False),
        case(5, violation=False),
    ]
    no = decided(violation=False, rule="ADA1", words="Rule AD9 allows it. So output 0.")
    yes = decided(violation=True, words="It sells. So output 1.")
    failed = Failed(code=Code.REFUSAL, detail="no", trace=trace())
    return versus_of(folder, cases, [no, no, yes, no, no, no], [yes, yes, no, failed, no, no])


def test_changes_are_broken_mended_or_wrong_in_another_way(tmp_path: Path) -> None:
    found = usual(tmp_path)
    assert [(change.id, change.word) for change in found.changes] == [
        ("c2", "broken"),
        ("c0", "mended"),
        ("c1", "mended"),
        ("c3", "changed"),
    ]
    assert found.comparison.conclusion is Conclusion.CANNOT_TELL
    assert found.changes[0].second.content is not None
    assert (found.comparison.mcnemar.only_first, found.comparison.mcnemar.only_second) == (1, 2)


def test_reasoning_is_compared_over_the_cases_of_both_whatever_their_order(tmp_path: Path) -> None:
    found = usual(tmp_path)
    assert (found.first.grounds.checked, found.second.grounds.checked) == (6, 5)
    unknown = next(line for line in found.faults if line.fault is Fault.UNKNOWN_RULE)
    # The first invents a rule in c0, c1, c4, c5 of the five, the second in c2, c4, c5.
    assert unknown.cases == 5
    assert unknown.value == pytest.approx(-0.2)


def test_the_page_says_it_all_and_fetches_nothing(tmp_path: Path) -> None:
    page = versus_page(usual(tmp_path))
    seen = Seen(page)
    words = " ".join(seen.words)
    for said in (
        "cannot tell",
        "new against old, by accuracy: needs about",
        "2 mended, 1 broken",
        "Paired differences",
        "Confusion table, first",
        "old; 6 decided cases, 0 not decided",
        "new; 5 decided cases, 1 not decided",
        "a case without a verdict counts as wrong",
        "First: a violation",
        "Second: not decided, refusal",
        "text 2",
        "ads.md:2",
        "Rule AD9 allows it.",
        "cites what the policy does not have: AD9",
        "cites rules that are not there",
        "tokens in",
        "Wrong in another way",
    ):
        assert said in words, said
    assert seen.elements <= ELEMENTS
    assert {value for name, value in seen.attributes if name in ("src", "href", "action", "data")} == set()
    assert any("default-src 'none'" in value for name, value in seen.attributes if name == "content")
    assert "url(" not in page
    assert "@import" not in page


@settings(max_examples=25, deadline=None)
@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=60)))
def test_hostile_words_stay_words(words: str) -> None:
    with TemporaryDirectory() as folder:
        cases = [case(0, violation=True, rule="AD1", words=words), case(1, violation=False, words=words)]
        first: list[Verdict] = [
            decided(violation=False, words=words),
            Failed(code=Code.MALFORMED, detail=words, trace=trace(words)),
        ]
        second = [decided(violation=True, words=words), decided(violation=False, words=words)]
        found = versus_of(Path(folder), cases, first, second, name=words)
        files = versus_files(Path(folder) / "r.html", found)
    page = files[Path(folder) / "r.html"].decode()
    seen = Seen(page)
    assert seen.elements <= ELEMENTS
    assert not any(name.startswith("on") or "script:" in value for name, value in seen.attributes)
    assert page.count("<style>") == 1
    assert all(c in "\n\t" or c.isprintable() or ord(c) > 159 for c in page)
    json.loads(files[Path(folder) / "r.json"])


def test_values_hold_no_content_and_no_reasoning(tmp_path: Path) -> None:
    values = versus_values(usual(tmp_path))
    text = json.dumps(values)
    assert "text 2" not in text
    assert "allows it" not in text
    assert [line["metric"] for line in json.loads(text)["differences"]] == [metric.value for metric in Metric]
    assert json.loads(text)["second"]["confusion"] == {"tp": 2, "fp": 0, "fn": 1, "tn": 2}
    with pytest.raises(UsageError, match="HTML"):
        versus_files(tmp_path / "out.pdf", usual(tmp_path))


def test_equal_judges_have_a_page_and_a_chart_too(tmp_path: Path) -> None:
    cases, verdicts = [case(0, violation=False)], [decided(violation=False)]
    found = versus_of(tmp_path, cases, verdicts, verdicts)
    assert ET.fromstring(differences_chart(found)).tag == "{http://www.w3.org/2000/svg}svg"
    assert "not defined" in differences_chart(found)
    page = " ".join(Seen(versus_page(found)).words)
    assert "Neither judge gives reasoning" in page
    assert "Both decided every case." in page


def test_a_policy_that_is_not_the_run_s_is_refused(tmp_path: Path) -> None:
    usual(tmp_path)
    other = Policy.parse("## Violates\n- X1. Else.\n\n## Safe\n- X2. No.", name="other")
    with pytest.raises(CohortMismatchError, match="another wording"):
        versus(tmp_path / "a.jsonl", tmp_path / "b.jsonl", policies=(POLICY, other))
