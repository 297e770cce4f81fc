from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

from magistrate.classifiers.screens.folder import CARD, ScreenKind, read_screen_folder
from magistrate.evaluate.interval import Interval
from magistrate.policy.model import Policy
from magistrate.run.judge import Judge
from magistrate.train.screen.advice import advice
from magistrate.train.screen.card import CURVE
from magistrate.train.screen.compare import Comparison
from magistrate.train.screen.curve import CurvePoint
from magistrate.train.screen.labels import LabelledText, checked
from magistrate.train.screen.run import SPLIT, Options, train
from magistrate.types import Content, Decided

POLICY = """# Shop talk

## Violates
- S1. Speaks of colours that are banned this week.

## Allowed
- S2. Speaks of anything else.
"""
"""The labels say which colours those are; no reader of the policy can know."""
BANNED, FREE = ["red", "crimson", "scarlet"], ["blue", "green", "navy"]
THINGS = ["shirt", "lamp", "sofa", "bicycle", "door", "carpet", "mug", "jacket", "fence", "boat"]
WAYS = ["I sell a {} {}", "the {} {} is new", "who wants this {} {}?", "my {} {} got lost", "nice {} {}, thanks"]


def labelled(count: int) -> list[LabelledText]:
    draw = random.Random(0)
    found = []
    for number in range(count):
        violation = draw.random() < 0.4
        colour = draw.choice(BANNED if violation else FREE)
        text = draw.choice(WAYS).format(colour, draw.choice(THINGS)) + f" {number}"
        said = violation if draw.random() < 0.9 else not violation
        content = Content.of_text(text)
        found.append(LabelledText(id=str(number), content=content, violation=violation, reasoner=said))
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Policy, list[str]]:
    out = tmp_path_factory.mktemp("trained") / "screen"
    policy = Policy.parse(POLICY, name="shop")
    lines: list[str] = []
    labels = checked(labelled(240), source="labels.jsonl")
    options = Options(
        policy=policy, labels=labels, source_digest="sha256:0", out=out, kind=ScreenKind.STATIC, command="train"
    )
    train(options, said=lines.append)
    return out, policy, lines


def test_it_learns_what_the_policy_does_not_say(trained: tuple[Path, Policy, list[str]]) -> None:
    out, policy, lines = trained
    with Judge(str(out)) as judge:
        banned, free = judge.judge_many(policy, ["a crimson hat for you", "a navy hat for you"])
    assert isinstance(banned, Decided)
    assert isinstance(free, Decided)
    assert (banned.violation, free.violation) == (True, False)
    assert "crimson" in banned.rationale
    assert any(line.startswith("Use the screen") for line in lines)


def test_the_card_has_figures_of_all_judges_and_the_curve(trained: tuple[Path, Policy, list[str]]) -> None:
    out, policy, _ = trained
    card = (out / CARD).read_text(encoding="utf-8")
    for word in ("static screen", "embedded judge", "reasoner", "AUC", "From how many labels on", policy.digest):
        assert word in card
    assert read_screen_folder(out).name in card
    assert (out / CURVE).read_text(encoding="utf-8").startswith("<svg")


def test_no_held_out_case_was_fitted_on(trained: tuple[Path, Policy, list[str]]) -> None:
    out, _, _ = trained
    split = json.loads((out / SPLIT).read_text(encoding="utf-8"))
    fitted_on, held_out = set(split["fitted_on"]), set(split["held_out"])
    assert not fitted_on & held_out
    assert (len(fitted_on), len(held_out)) == (180, 60)
    assert read_screen_folder(out).settings.cases == 180


def comparison(gain: float, low: float, high: float) -> Comparison:
    return Comparison(standings=(), gain=gain, gain_interval=Interval(low, high), embedded_auc=0.8)


@pytest.mark.parametrize(
    ("found", "begins"),
    [
        (comparison(0.1, 0.05, 0.15), "Use the screen"),
        (comparison(-0.1, -0.15, -0.05), "Use the embedded judge"),
        (comparison(0.01, -0.05, 0.07), "Either"),
        (Comparison(standings=(), gain=None, gain_interval=None, embedded_auc=None), "The held-out cases are too few"),
    ],
)
def test_advice_claims_no_more_than_the_interval(found: Comparison, begins: str) -> None:
    assert advice(found, [("static screen", [CurvePoint(labels=50, aucs=(0.9,))])])[0].startswith(begins)


def test_advice_says_from_how_many_labels_on() -> None:
    points = [CurvePoint(labels=50, aucs=(0.7,)), CurvePoint(labels=100, aucs=(0.85,))]
    better = [CurvePoint(labels=50, aucs=(0.9,))]
    said = advice(comparison(0.1, 0.05, 0.15), [("static screen", points), ("encoder screen", better)])
    assert said[1].startswith("From 100 labels on, the mean static screen")
    assert said[2].startswith("From 50 labels on, the mean encoder screen")
    assert "stays below" in advice(comparison(-0.1, -0.2, -0.05), [("static screen", points[:1])])[1]
