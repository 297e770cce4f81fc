from __future__ import annotations

import json
from pathlib import Path

import pytest

from magistrate.evaluate.dataset import MayTrain
from magistrate.train.embedded.families import NO_RULE, Family, Ruling, read_families
from magistrate.types import Content

ANY = frozenset(MayTrain)


def read(*folders: Path, leave_out: tuple[str, ...] = ()) -> tuple[Family, ...]:
    return read_families(folders, may_train=ANY, leave_out=leave_out)


def test_sets_that_share_texts_are_one_family(corpus: Path) -> None:
    (family,) = read(corpus)
    assert [policy.name for policy in family.policies] == ["manners", "market"]
    assert len(family.cases) == 6
    rude = next(case for case in family.cases if case.content == Content.of_text("Pay cash at my door, you idiot"))
    assert rude.rulings == {
        "market": Ruling(violation=True, rule_ids=("M1",), rules_known=True),
        "manners": Ruling(violation=True, rule_ids=("R1",), rules_known=True),
    }


def test_sets_that_share_no_text_are_two_families(corpus: Path) -> None:
    path = corpus / "train/manners.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps(row | {"text": row["text"] + " !"}) + "\n" for row in rows), encoding="utf-8")
    assert [[policy.name for policy in family.policies] for family in read(corpus)] == [["manners"], ["market"]]


def test_a_case_that_no_rule_speaks_of_is_known_to_be_none(corpus: Path) -> None:
    path = corpus / "train/market.jsonl"
    path.write_text(
        json.dumps({"id": 1, "text": "hello there", "label": 0, "category": NO_RULE})
        + "\n"
        + json.dumps({"id": 2, "text": "guns!", "label": 1})
        + "\n",
        encoding="utf-8",
    )
    rulings = {
        case.content.messages[0].content: case.rulings["market"]
        for family in read(corpus, leave_out=("manners",))
        for case in family.cases
    }
    assert rulings == {"hello there": Ruling(violation=False, rules_known=True), "guns!": Ruling(violation=True)}


def test_what_may_not_be_trained_on_is_not_read(corpus: Path) -> None:
    assert read_families([corpus], may_train=frozenset({MayTrain.YES})) == ()
    assert [p.name for f in read(corpus, leave_out=("market",)) for p in f.policies] == ["manners"]


@pytest.mark.parametrize("folder", ["training", "../shared/data"])
def test_the_data_that_the_shipped_model_is_trained_on_can_be_read(folder: str) -> None:
    if not Path(folder).is_dir():
        pytest.skip(f"needs the data in {folder}")
    families = read_families([Path(folder)], may_train=frozenset({MayTrain.YES}))
    assert sum(len(family.policies) for family in families) >= 60
    shared = [family for family in families if len(family.policies) > 1]
    assert all(any(len(set(c.rulings.values())) > 1 for c in family.cases) for family in shared)
