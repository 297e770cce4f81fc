"""JUnit XML of tested policies, for build servers: a test suite a policy, a test case a golden case or threshold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from magistrate.evaluate.appraisal import Appraisal
from magistrate.evaluate.gate import Check, Result
from magistrate.evaluate.results import CaseResult
from magistrate.row import Outcome, valid_text

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x84\x86-\x9f]")
"""What XML 1.0 does not allow, and the control characters that it advises against."""


def junit_xml(tests: Sequence[Appraisal]) -> bytes:
    """Write a report.

    A threshold that is not kept is a failure and one that cannot be told is skipped; a case without a verdict is an
    error. A case that is judged wrongly does not fail the build, for no judge is right on all; it has the wrong verdict
    in its `system-out`. Content is not in the file.
    """
    root = ET.Element("testsuites", name="magistrate")
    for test in tests:
        root.append(_suite(test))
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _suite(test: Appraisal) -> ET.Element:
    name = _clean(test.name)
    suite = ET.Element("testsuite", name=name, timestamp=test.run.header.started.isoformat(timespec="seconds"))
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(test).items():
        ET.SubElement(properties, "property", name=key, value=_clean(value))
    for found in test.gate.checks:
        suite.append(_threshold(name, found))
    misses = {miss.row.id: miss for miss in (*test.wrong, *test.undecided)}
    for case_id, latency in zip(test.run.ids, test.run.latency_ms.tolist(), strict=True):
        case = ET.SubElement(suite, "testcase", classname=name, name=_clean(case_id), time=f"{latency / 1000:.4f}")
        if case_id in misses:
            _tell(case, misses[case_id])
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", str(len(suite.findall("testcase/error"))))
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    suite.set("time", f"{float(test.run.latency_ms.sum()) / 1000:.4f}")
    return suite


def _properties(test: Appraisal) -> dict[str, str]:
    header = test.run.header
    figures = {e.metric.value: f"{e.value:.6f}" for e in test.measures.estimates if e.value is not None}
    return {
        "model": header.model,
        "dialect": header.dialect,
        "policy_digest": header.policy_digest,
        "data_set": header.dataset.name,
        "data_set_digest": header.dataset.digest,
        **figures,
    }


def _threshold(suite: str, found: Check) -> ET.Element:
    case = ET.Element("testcase", classname=f"{suite}.thresholds", name=found.name, time="0")
    said = check_text(found)
    if found.result is Result.FAILED:
        ET.SubElement(case, "failure", message=said, type="threshold")
    elif found.result is Result.UNDETERMINED:
        ET.SubElement(case, "skipped", message=said)
    return case


def check_text(found: Check) -> str:
    """A threshold and the figure that it was held against, in one line."""
    sign = "≥" if found.name.startswith("min_") else "≤"
    value = "no figure" if found.value is None else f"{found.value:.3f}"
    bounds = "" if found.interval is None else f" ({found.interval.low:.3f} to {found.interval.high:.3f})"
    return f"{found.name}: {value}{bounds}, asked {sign} {found.threshold:g}"


def _tell(case: ET.Element, miss: CaseResult) -> None:
    row = miss.row
    if row.outcome is not Outcome.DECIDED:
        code = "" if row.code is None else row.code.value
        ET.SubElement(case, "error", message=_clean(f"{row.outcome.value}: {code}"), type=code).text = _clean(
            row.detail
        )
        return
    wanted, said = ("violation" if v else "allowed" for v in (miss.gold.violation, row.violation))
    rules = ", ".join(row.rule_ids)
    ET.SubElement(case, "system-out").text = _clean(f"golden {wanted}, judged {said} {rules}".rstrip())


def _clean(text: str) -> str:
    """Put U+FFFD for what XML cannot hold; the writer escapes the rest."""
    return _NOT_XML.sub("\ufffd", valid_text(text))
