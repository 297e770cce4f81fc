from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magistrate.errors import CohortMismatchError, MissingExtraError, UsageError
from magistrate.evaluate.appraisal import Appraisal, appraise
from magistrate.evaluate.audit import AUDIT_VERSION
from magistrate.evaluate.dataset import Dataset, DatasetIdentity, identify
from magistrate.evaluate.gate import Mode, Result, Thresholds
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.grounds import Fault
from magistrate.evaluate.junit import junit_xml
from magistrate.evaluate.metrics import Metric
from magistrate.evaluate.report.charts import charts
from magistrate.evaluate.report.files import picture_files, png_of, report_files
from magistrate.evaluate.report.page import report_page
from magistrate.evaluate.report.plain import appraisal_values
from magistrate.evaluate.runfile import RunHeader, write_run
from magistrate.policy.model import Policy
from magistrate.row import verdict_row
from magistrate.types import Code, Content, Decided, Failed, Trace, Usage, Verdict

POLICY = Policy.parse(
    "## Violates\n- AD1. Selling goods.\n- AD2. Begging for followers.\n\n## Safe\n- ADA1. Questions.\n",
    name="ads",
    file="ads.md",
)
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "h4", "p", "span", "b", "br"),
    *("div", "figure", "figcaption", "svg", "rect", "polyline", "line", "text", "circle", "table"),
    *("thead", "tbody", "tr", "th", "td", "nav", "a", "article", "header", "section", "footer"),
}
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><a href='javascript:x'>",
    "</style><style>*{display:none}</style>",
    "</title></svg><iframe src=//x.example>",
    "\x00\x08\x1b[2J\u202egnihton\ud800 &lt;b&gt;",
    '=HYPERLINK("x")',
    "\r@SUM(1)",
    "two lines\n=SUM(1)",
)


class Seen(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def trace(reasoning: str = "") -> Trace:
    usage = Usage(input_tokens=100, output_tokens=10, calls=1)
    return Trace(
        policy="ads",
        policy_digest=POLICY.digest,
        model="m",
        dialect="d",
        latency_ms=20,
        usage=usage,
        reasoning=reasoning,
    )


def decided(*, violation: bool, rule: str = "AD1", probability: float | None = None, words: str = "") -> Decided:
    return Decided(
        violation=violation,
        label="violates" if violation else "safe",
        rule_ids=(rule,) if rule else (),
        severity=None,
        probability=probability,
        rationale=words,
        trace=trace(words),
    )


def case(number: int, *, violation: bool, rule: str = "", words: str = "", cluster: str = "") -> GoldenCase:
    return GoldenCase(
        id=f"c{number}{words}",
        content=Content.of_text(words or f"text {number}"),
        violation=violation,
        rule_ids=(rule,) if rule else (),
        kind=words or "clear",
        cluster=cluster,
    )


def run_of(
    folder: Path,
    cases: Sequence[GoldenCase],
    verdicts: Sequence[Verdict],
    *,
    thresholds: Thresholds | None = None,
    mode: Mode = Mode.POINT,
    identity: DatasetIdentity | None = None,
) -> Appraisal:
    dataset = Dataset(identity=identify(cases, name="golden"), cases=tuple(cases))
    header = RunHeader(
        dataset=identity or dataset.identity, policy="ads", policy_digest=POLICY.digest, model="m", dialect="d"
    )
    path = folder / "run.jsonl"
    write_run(path, header, ((c, verdict_row(c.id, v)) for c, v in zip(cases, verdicts, strict=True)), policy=POLICY)
    return appraise(path, policy=POLICY, dataset=dataset, thresholds=thresholds, mode=mode)


def usual(folder: Path) -> Appraisal:
    """Two caught, one missed by far, one missed by little, one false alarm, two let through, one failed."""
    cases = [
        *(case(n, violation=True, rule="AD1") for n in range(3)),
        case(3, violation=True, rule="AD2"),
        *(case(n, violation=False) for n in range(4, 8)),
    ]
    verdicts: list[Verdict] = [
        decided(violation=True, probability=0.9),
        decided(violation=True, probability=0.8),
        decided(violation=False, rule="ADA1", probability=0.1),
        decided(violation=False, rule="", probability=0.45),
        decided(violation=True, probability=0.7),
        decided(violation=False, rule="ADA1", probability=0.2),
        decided(violation=False, rule="ADA1", probability=0.3),
        Failed(code=Code.REFUSAL, detail="no", trace=trace()),
    ]
    return run_of(folder, cases, verdicts)


def test_figures_by_hand(tmp_path: Path) -> None:
    test = usual(tmp_path)
    assert test.estimate(Metric.PRECISION).value == pytest.approx(2 / 3)
    assert test.estimate(Metric.RECALL).value == 0.5
    assert [miss.row.id for miss in test.wrong] == ["c2", "c4", "c3"]
    assert [miss.row.id for miss in test.undecided] == ["c7"]
    assert dict(test.codes) == {"refusal": 1}
    assert (test.cost.usage.input_tokens, test.cost.median_ms) == (800, 20)
    rules = {part.name: part for part in test.rules}
    assert list(rules) == ["AD1", "AD2", "ADA1"]
    assert (rules["AD1"].cases, rules["AD1"].right) == (3, 2)
    precision, recall = rules["AD1"].estimate(Metric.PRECISION), rules["AD1"].estimate(Metric.RECALL)
    assert precision is not None and precision.value == pytest.approx(2 / 3)
    assert recall is not None and recall.value == pytest.approx(2 / 3)
    assert (rules["AD2"].cases, rules["AD2"].right) == (1, 0)


def test_a_run_that_broke_off_has_not_passed(tmp_path: Path) -> None:
    cases = [case(0, violation=True), case(1, violation=False)]
    verdicts = [decided(violation=True), decided(violation=False)]
    assert run_of(tmp_path, cases, verdicts, thresholds=Thresholds(min_f1=0.9)).result is Result.PASSED
    header_of_more = identify([*cases, case(2, violation=True)], name="golden")
    with pytest.raises(CohortMismatchError):
        run_of(tmp_path, cases, verdicts, identity=header_of_more)
    assert appraise(tmp_path / "run.jsonl").result is Result.UNDETERMINED


def test_clusters_widen_what_a_confident_gate_sees(tmp_path: Path) -> None:
    single = [case(n, violation=n % 2 == 0) for n in range(60)]
    paired = [case(n, violation=n % 2 == 0, cluster=f"k{n // 12}") for n in range(60)]
    verdicts = [decided(violation=c.violation != (n < 8)) for n, c in enumerate(single)]
    limits = Thresholds(min_accuracy=0.72, max_failed_rate=0.5)
    apart = run_of(tmp_path, single, verdicts, thresholds=limits, mode=Mode.CONFIDENT)
    together = run_of(tmp_path, paired, verdicts, thresholds=limits, mode=Mode.CONFIDENT)
    assert apart.result is Result.PASSED
    assert together.result is Result.UNDETERMINED


def test_the_page_holds_the_figures_and_fetches_nothing(tmp_path: Path) -> None:
    page = report_page([usual(tmp_path)])
    seen = Seen(page)
    words = " ".join(seen.words)
    for said in ("0.667", "0.500", "refusal", "AD2", "line 2", "ads.md:2", "missed violation", "Reliability"):
        assert said in words
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
        verdicts: list[Verdict] = [
            decided(violation=False, words=words),
            Failed(code=Code.MALFORMED, detail=words, trace=trace(words)),
        ]
        test = run_of(Path(folder), cases, verdicts)
        pages = [report_page([test, test])]
        body = junit_xml([test])
        files = report_files(Path(folder) / "r.html", [test])
    for page in pages:
        seen = Seen(page)
        assert seen.elements <= ELEMENTS
        assert not any(name.startswith("on") or "script:" in value for name, value in seen.attributes)
        assert page.count("<style>") == 1
        assert all(c in "\n\t" or c.isprintable() or ord(c) > 159 for c in page)
    ET.fromstring(body)
    json.loads(files[Path(folder) / "r.json"])
    for name in ("r.cases.csv", "r.reasoning.csv"):
        # Not by lines: a quoted cell may hold a line break, and what follows it begins no cell.
        for cells in csv.reader(io.StringIO(files[Path(folder) / name].decode(), newline="")):
            assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


def test_cases_are_ranked_by_the_audit_of_their_reasoning(tmp_path: Path) -> None:
    cases = [case(n, violation=True, rule="AD1") for n in range(4)]
    sound, silent = decided(violation=True, words="Rule AD1. So output 1."), decided(violation=True)
    verdicts: list[Verdict] = [
        sound,
        decided(violation=True, words='Rule AD9 of the policy: "It is always forbidden to speak". So output 0.'),
        decided(violation=True, words="Rule AD9. So output 1."),
        silent,
    ]
    test = run_of(tmp_path, cases, verdicts)
    assert [result.row.id for result in test.suspect if result.audit] == [c.id for c in (cases[1], cases[2])]
    assert (test.grounds.cases, test.grounds.checked) == (4, 3)
    found = {rate.fault: (rate.hits, rate.trials) for rate in test.grounds.rates}
    assert found == {
        Fault.UNKNOWN_RULE: (2, 3),
        Fault.INVENTED_POLICY: (1, 3),
        Fault.INVENTED_CONTENT: (0, 3),
        Fault.CONTRADICTS: (1, 3),
        Fault.ACTS: (0, 3),
        Fault.ANY: (2, 3),
    }
    page = " ".join(Seen(report_page([test])).words)
    assert "The reasoning of 3 of 4 cases was looked through" in page
    assert "concludes no violation, and the verdict is a violation" in page
    ranked = report_files(tmp_path / "r.html", [test])[tmp_path / "r.reasoning.csv"].decode()
    first, second = csv.DictReader(ranked.splitlines())
    assert (first["id"], second["id"], first["standing"]) == ("c1", "c2", "judged rightly")
    assert float(first["score"]) > float(second["score"])
    values = json.loads(json.dumps(appraisal_values(test)))
    assert [line["id"] for line in values["reasoning"]["ranking"]] == ["c1", "c2"]


def test_a_run_of_an_older_version_is_looked_through_where_the_content_is_at_hand(tmp_path: Path) -> None:
    cases = [case(0, violation=True)]
    run_of(tmp_path, cases, [decided(violation=True, words="Rule AD9.")])
    path = tmp_path / "run.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace(AUDIT_VERSION, "audit.v0"), encoding="utf-8")
    dataset = Dataset(identity=identify(cases, name="golden"), cases=tuple(cases))
    assert appraise(path).grounds.checked == 0
    assert "Give the policy and the golden set" in report_page([appraise(path)])
    assert appraise(path, policy=POLICY, dataset=dataset).grounds.checked == 1


def test_charts_are_pictures_and_left_out_without_figures(tmp_path: Path) -> None:
    drawn = charts(usual(tmp_path))
    assert list(drawn) == ["figures", "confusion", "precision-recall", "reliability"]
    for picture in drawn.values():
        assert ET.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"
    without = run_of(tmp_path, [case(0, violation=False)], [decided(violation=False)])
    assert list(charts(without)) == ["figures", "confusion"]
    assert "not defined" in charts(without)["figures"]
    assert "-" in report_page([without])


def test_files_have_names_of_their_own(tmp_path: Path) -> None:
    test = usual(tmp_path)
    names = sorted(path.name for path in picture_files(tmp_path, [test, test], png=False))
    assert names[0] == "001-ads.confusion.svg"
    assert len(names) == 8
    with pytest.raises(UsageError, match="HTML"):
        report_files(tmp_path / "out.pdf", [test])
    values = appraisal_values(test)
    assert values["confusion"] == {"tp": 2, "fp": 1, "fn": 2, "tn": 2}
    assert "text 2" not in json.dumps(values)


def test_png_is_drawn_or_says_what_to_install(tmp_path: Path) -> None:
    picture = charts(usual(tmp_path))["confusion"]
    try:
        drawn = png_of(picture)
    except MissingExtraError as error:
        assert "magistrate[report]" in str(error)
    else:
        assert drawn.startswith(b"\x89PNG\r\n\x1a\n")
