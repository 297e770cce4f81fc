from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magistrate.classifiers.policy_passages import PassageKind, PolicyPassage
from magistrate.policy.model import Policy
from magistrate.train.embedded.families import Ruling, training_policy
from magistrate.train.embedded.variants import Change, thin_out, vary

POLICY = training_policy(
    Policy.parse(
        """# Market

## Violates
- M1. Asks to pay outside.
- M2. Offers guns.
- M3. Insults.

## Allowed
- A1. Questions about size.
- A2. Arranging a place.

## Examples
- "Pay me by bank" -> 1 (M1)
- "How wide?" -> 0 (A1)
- "Something that is wrong" -> 1
""",
        name="market",
    )
)
IDS = ("M1", "M2", "M3", "A1", "A2")
SEEDS = st.integers(0, 10_000)


def sides(passages: tuple[PolicyPassage, ...]) -> dict[str | None, set[bool]]:
    found: dict[str | None, set[bool]] = {}
    for passage in passages:
        found.setdefault(passage.rule_id, set()).add(passage.violation)
    return found


def truth(passages: tuple[PolicyPassage, ...], rule_ids: tuple[str, ...]) -> bool:
    """What a policy of these passages says of a case that exactly these rules speak of."""
    return any(p.violation for p in passages if p.rule_id in rule_ids)


@given(seed=SEEDS, change=st.sampled_from(list(Change)), rule=st.sampled_from(IDS))
def test_a_label_of_a_known_rule_is_what_the_changed_policy_says(seed: int, change: Change, rule: str) -> None:
    """The slow way round: read the label off the changed passages."""
    variant = vary(POLICY, change, random.Random(seed))
    label = variant.relabel(Ruling(rule.startswith("M"), (rule,), rules_known=True))
    assert label is truth(variant.policy.passages, (rule,))


@given(seed=SEEDS, change=st.sampled_from([Change.REMOVED, Change.MOVED]), violation=st.booleans())
def test_nothing_is_claimed_of_a_case_whose_rule_is_not_known_but_may_be_gone(
    seed: int, change: Change, violation: bool
) -> None:
    variant = vary(POLICY, change, random.Random(seed))
    label = variant.relabel(Ruling(violation))
    assert label in (violation, None)
    untouched = {p for p in POLICY.passages if p.violation is violation} <= set(variant.policy.passages)
    if variant.change is Change.REMOVED and violation and not untouched:
        assert label is None or all(p in variant.policy.passages for p in POLICY.passages if p.violation)


def test_inverted_twice_is_the_policy_again() -> None:
    once = vary(POLICY, Change.INVERTED, random.Random(0))
    twice = vary(once.policy, Change.INVERTED, random.Random(0))
    assert twice.policy == POLICY
    assert all(a.violation is not b.violation for a, b in zip(once.policy.passages, POLICY.passages, strict=True))


def test_a_policy_that_allows_nothing_has_no_inverse() -> None:
    only = training_policy(Policy.parse("# Ads\n\n## Violates\n- X1. Sells things.\n", name="ads"))
    bare = type(only)(name="ads", title="Ads", passages=tuple(p for p in only.passages if p.violation))
    assert vary(bare, Change.INVERTED, random.Random(0)).change is Change.NONE


@given(seed=SEEDS)
def test_a_moved_rule_takes_its_examples_with_it(seed: int) -> None:
    variant = vary(POLICY, Change.MOVED, random.Random(seed))
    before, after = sides(POLICY.passages), sides(variant.policy.passages)
    moved = [rule_id for rule_id in before if rule_id is not None and before[rule_id] != after[rule_id]]
    assert len(moved) == 1
    assert all(len(found) == 1 for rule_id, found in after.items() if rule_id is not None)


@given(seed=SEEDS, most=st.integers(1, 12), drop=st.floats(0, 1))
def test_thinning_drops_examples_only_and_keeps_both_sides(seed: int, most: int, drop: float) -> None:
    kept = thin_out(POLICY.passages, random.Random(seed), drop_examples=drop, most=most)
    rules = [p for p in POLICY.passages if p.kind is PassageKind.RULE]
    assert [p for p in kept if p.kind is PassageKind.RULE] == rules
    assert {p.violation for p in kept} == {True, False}
    assert len(kept) <= max(most, len(rules)) or kept == POLICY.passages


@pytest.mark.parametrize("change", list(Change))
def test_a_change_depends_on_the_chance_alone(change: Change) -> None:
    first, second = (vary(POLICY, change, random.Random(3)) for _ in range(2))
    assert first.policy == second.policy
