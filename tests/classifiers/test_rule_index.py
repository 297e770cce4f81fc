from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from magistrate.classifiers.passage_head import PassageHead
from magistrate.classifiers.policy_passages import PassageKind, passages_of
from magistrate.classifiers.rule_index import RuleIndex
from magistrate.encoders.base import Passage
from magistrate.encoders.minilm import MiniLmEncoder
from magistrate.encoders.model_folder import ASSETS
from magistrate.policy.model import Polarity, Policy

POLICY = Policy.parse(
    """# Marketplace

## Violates
- M1. (high) Asks the buyer to pay outside the marketplace.
- M2. (low) Repeats the same message.

## Allowed
- A1. Questions about the size of an item.

## Examples
- "Pay me by bank transfer instead" -> 1 (M1)
- "Will it fit a small room?" -> 0 (A1)
- "Transfer is fine if the site allows it" -> 0 (M1)
- "Nothing says which rule this one breaks" -> 1
""",
    name="marketplace",
)
TEXTS = ["Pay me by bank transfer", "How wide is the table?", "The weather is nice today"]


@pytest.fixture(scope="module")
def encoder() -> Iterator[MiniLmEncoder]:
    with MiniLmEncoder() as opened:
        yield opened


@pytest.fixture(scope="module")
def index(encoder: MiniLmEncoder) -> RuleIndex:
    return RuleIndex.build(POLICY, encoder, PassageHead.load(ASSETS))


def scores_of(index: RuleIndex, encoder: MiniLmEncoder) -> np.ndarray:
    windows = [passage.windows[0].states for passage in encoder.encode_tokens([Passage(text) for text in TEXTS])]
    return index.scores(windows)


def test_passages_hold_rules_and_the_examples_of_their_own_verdict() -> None:
    found = [(p.rule_id, p.violation, p.kind) for p in passages_of(POLICY)]
    rule, example = PassageKind.RULE, PassageKind.EXAMPLE
    assert found == [
        ("M1", True, rule),
        ("M1", True, example),
        ("M2", True, rule),
        ("A1", False, rule),
        ("A1", False, example),
        (None, True, example),
        (None, False, example),  # an allowed example of a violating rule speaks for allowing
    ]


def test_what_the_policy_says_about_a_label_counts_for_its_side() -> None:
    labels = tuple(dataclasses.replace(label, text=f"About {label.name}.") for label in POLICY.labels)
    told = passages_of(dataclasses.replace(POLICY, labels=labels))
    assert len(told) == len(passages_of(POLICY)) + len(labels)


@given(
    scores=arrays.arrays(np.float32, (2, 7), elements=st.floats(-20, 20, width=32)),
    gone=st.sampled_from([None, "M1", "M2", "A1"]),
)
def test_log_odds_are_those_of_their_formula(index: RuleIndex, scores: np.ndarray, gone: str | None) -> None:
    sharp, nothing = index.head.sharpness, index.head.nothing

    def soft(values: list[float]) -> float:
        top = max(values)
        return top + math.log(sum(math.exp((v - top) * sharp) for v in values)) / sharp

    for row, found in zip(scores, index.log_odds(scores, without=gone), strict=True):
        kept = [(float(s), p) for s, p in zip(row, index.passages, strict=True) if gone is None or p.rule_id != gone]
        expected = soft([s for s, p in kept if p.violation]) - soft([s for s, p in kept if not p.violation] + [nothing])
        assert found == pytest.approx(expected, abs=1e-3)


def test_without_the_deciding_side_nothing_can_be_violated(encoder: MiniLmEncoder) -> None:
    only = Policy.parse("# Spam\n\n## Violates\n- S1. Advertises a product.\n\n## Allowed\n- S2. Talk.\n", name="spam")
    index = RuleIndex.build(only, encoder, PassageHead.load(ASSETS))
    assert index.can_violate
    assert np.isneginf(index.log_odds(scores_of(index, encoder), without="S1")).all()


def test_a_rule_speaks_as_loudly_whatever_else_the_policy_says(index: RuleIndex, encoder: MiniLmEncoder) -> None:
    """So an edit of one rule changes no other rule's score."""
    less = dataclasses.replace(POLICY, rules=POLICY.rules[:1], examples=())
    alone = RuleIndex.build(less, encoder, PassageHead.load(ASSETS))
    whole, part = scores_of(index, encoder), scores_of(alone, encoder)
    np.testing.assert_allclose(part[:, 0], whole[:, 0], atol=1e-4)


def test_an_inverted_policy_turns_the_log_odds_where_rules_speak(index: RuleIndex) -> None:
    """Loud rules drown out "nothing speaks of this", and what is left is the same with the sides swapped."""
    scores = np.array([[30, 20, 10, 25, 24, 15, 10]], np.float32)
    turned = dataclasses.replace(index, violating=~index.violating)
    np.testing.assert_allclose(turned.log_odds(scores), -index.log_odds(scores), atol=1e-3)


def test_the_nearest_rule_is_that_of_the_loudest_text_or_example(index: RuleIndex) -> None:
    scores = np.array([0.0, 5.0, 1.0, 2.0, 3.0, 9.0, 9.0], np.float32)
    assert [(r.rule.id, r.score, r.passage) for r in index.nearest(scores, Polarity.VIOLATES)] == [
        ("M1", 5.0, 1),
        ("M2", 1.0, 2),
    ]
    assert [(r.rule.id, r.score, r.passage) for r in index.nearest(scores, Polarity.ALLOWED)] == [("A1", 3.0, 4)]


def test_rules_that_are_equally_loud_keep_the_order_of_the_policy(index: RuleIndex) -> None:
    assert [r.rule.id for r in index.nearest(np.zeros(7, np.float32), Polarity.VIOLATES)] == ["M1", "M2"]
