from __future__ import annotations

import json
from pathlib import Path

import pytest

from magistrate.errors import InputError
from magistrate.evaluate.golden import load_golden
from magistrate.policy.model import Policy
from magistrate.row import Decision, verdict_row
from magistrate.store.log import DecisionLog
from magistrate.train.screen.labels import LabelledText, checked, of_golden, of_log
from magistrate.types import Content, Decided, Trace, Usage

ADS = Policy.parse("## Violates\n- A1. Adverts.\n\n## Allowed\n- B1. Questions.\n", name="ads")


def labelled(*pairs: tuple[str, bool]) -> list[LabelledText]:
    return [LabelledText(id=str(n), content=Content.of_text(t), violation=v) for n, (t, v) in enumerate(pairs)]


def many(violating: int, allowed: int) -> list[LabelledText]:
    return labelled(*((f"text {n}", n < violating) for n in range(violating + allowed)))


def refusal(found: list[LabelledText]) -> str:
    with pytest.raises(InputError) as caught:
        checked(found, source="labels.jsonl")
    return str(caught.value)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "holds no labelled text"),
        (many(0, 500), "all 500 labelled texts are allowed, none is a violation"),
        (many(500, 0), "all 500 labelled texts are a violation, none is allowed"),
        (many(4, 6), "label 6 more that are a violation and 4 more that are allowed"),
        (many(3, 400), "label 7 more that are a violation"),
        (many(12, 12), "label 16 more of any kind"),
    ],
)
def test_too_little_is_refused_and_what_is_missing_named(found: list[LabelledText], said: str) -> None:
    assert said in refusal(found)


def test_a_text_with_both_labels_is_refused_by_name_or_left_out() -> None:
    found = [*many(30, 30), *labelled(("Buy  NOW", True), ("buy now", False))]
    assert "1 texts have both labels, such as 0 a violation, 1 allowed" in refusal(found)
    labels = checked(found, source="x", drop_contradictions=True)
    assert (len(labels.texts), labels.contradicting) == (60, 1)


def test_a_repeated_text_counts_once() -> None:
    labels = checked([*many(30, 30), *many(30, 30)], source="x")
    assert (len(labels.texts), labels.repeated) == (60, 60)
    assert labels.truth.sum() == 30


def test_clusters_are_numbered_and_texts_without_one_stand_alone() -> None:
    found = many(20, 20)
    found[0] = LabelledText(id="a", content=Content.of_text("one"), violation=True, cluster="c")
    found[5] = LabelledText(id="b", content=Content.of_text("two"), violation=True, cluster="c")
    clusters = checked(found, source="x").clusters
    assert clusters[0] == clusters[5]
    assert len(set(clusters.tolist())) == 39


def test_a_golden_set_with_a_reasoners_verdicts(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    rows = [{"text": "a", "violation": True, "said": "unsafe"}, {"text": "b", "violation": False, "said": None}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    golden = load_golden(path)
    assert [one.reasoner for one in of_golden(golden, reasoner_column="said")] == [True, None]
    assert [one.reasoner for one in of_golden(golden)] == [None, None]
    with pytest.raises(InputError, match="no column 'other'"):
        of_golden(golden, reasoner_column="other")
    path.write_text(json.dumps({**rows[0], "said": "perhaps"}) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="said is 'perhaps', which is no verdict"):
        of_golden(load_golden(path), reasoner_column="said")


def decision(text: str, *, violation: bool, calls: int, policy: Policy = ADS, model: str = "guard") -> Decision:
    trace = Trace(policy=policy.name, policy_digest=policy.digest, model=model, dialect="d", usage=Usage(calls=calls))
    verdict = Decided(
        violation=violation, label="x", rule_ids=(), severity=None, probability=None, rationale="", trace=trace
    )
    return Decision(row=verdict_row(text, verdict), content=Content.of_text(text))


def test_only_a_reasoners_verdicts_under_this_policy_come_from_a_log(tmp_path: Path) -> None:
    newer = Policy.parse(ADS.text + "- B2. Thanks.\n", name="ads")
    with DecisionLog(tmp_path / "log.db", keep_content=True) as log:
        log.append(
            [
                decision("yes", violation=True, calls=1),
                decision("no", violation=False, calls=2),
                decision("embedded", violation=False, calls=0, model="embedded"),
                decision("newer", violation=False, calls=1, policy=newer),
                decision("other model", violation=True, calls=1, model="big"),
            ]
        )
        assert [(one.text, one.violation) for one in of_log(log, ADS)] == [
            ("yes", True),
            ("no", False),
            ("other model", True),
        ]
        assert [one.text for one in of_log(log, ADS, model="big")] == ["other model"]
        with pytest.raises(InputError, match="no verdict of 'none'"):
            of_log(log, ADS, model="none")


def test_a_log_without_content_says_how_to_keep_it(tmp_path: Path) -> None:
    with DecisionLog(tmp_path / "log.db") as log:
        log.append([decision("yes", violation=True, calls=1)])
        with pytest.raises(InputError, match="none with its content") as caught:
            of_log(log, ADS)
    assert "keep_content = true" in str(caught.value)
