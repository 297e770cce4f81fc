from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluate.improve.judges import ADS, policy

from magistrate.evaluate.improve.apply import apply_all, apply_edit
from magistrate.evaluate.improve.edit import (
    AddExample,
    AddRule,
    AmendRule,
    Edit,
    MendFindings,
    Proposal,
    Refused,
    RemoveRule,
    ReplaceText,
)
from magistrate.evaluate.improve.example_line import spelled
from magistrate.evaluate.improve.manuscript import Manuscript
from magistrate.policy.model import Polarity, Policy
from magistrate.policy.starter import read_starter, starter_names

PROSE = "Advertising goods is prohibited. Questions are allowed."
LABELED = """# Harm

## Definition of Labels

### (SH): Self-harm
Content about harming oneself.

#### Includes
- Asking how to do it.

#### Excludes
- Asking for help.
"""
NUMBERED = """# Spam Policy

## Not spam (SP0)
SP0.a Receipts and newsletters
Output: SP0

## Spam (SP2 – Medium)
SP2.a Cold promotion – "Check out my shop"
SP2.b Chain messages
Output: SP2
"""
TEXTS = st.text(min_size=1, max_size=80)


def made(found: Policy | Refused) -> Policy:
    assert isinstance(found, Policy), found
    return found


def refused(found: Policy | Refused) -> str:
    assert isinstance(found, Refused)
    return found.reason


def added_lines(before: Policy, after: Policy) -> list[str]:
    """The lines that are new; nothing else may differ."""
    old, new = before.text.splitlines(keepends=True), after.text.splitlines(keepends=True)
    added = list(new)
    for line in old:
        added.remove(line)
    assert [line for line in new if line not in added] == [line for line in old if line not in added]
    return [line.rstrip("\r\n") for line in added]


def test_an_example_stands_behind_those_of_its_rule_in_their_form() -> None:
    edit = AddExample(text="Rings, 5 USD", violation=True, rule_id="AD1")
    after = made(apply_edit(policy(), edit))
    assert added_lines(policy(), after) == ['- "Rings, 5 USD" -> 1 (AD1)']
    assert [shown.text for shown in after.examples] == ["Buy my rings", "Rings, 5 USD", "Where is my order?"]
    rule = after.rule("AD1")
    assert rule is not None
    assert [shown.text for shown in rule.examples] == ["Buy my rings", "Rings, 5 USD"]


@pytest.mark.parametrize("text", [ADS.partition("## Examples")[0], PROSE, LABELED, NUMBERED, f"# Rules\n\n{PROSE}\n"])
@pytest.mark.parametrize("violation", [True, False])
def test_a_policy_of_any_form_without_examples_gets_a_place_for_them(text: str, *, violation: bool) -> None:
    before = policy(text)
    side = Polarity.VIOLATES if violation else Polarity.ALLOWED
    rule_id = next(rule.id for rule in before.rules if rule.polarity is side)
    after = made(apply_edit(before, AddExample(text="some short text", violation=violation, rule_id=rule_id)))
    shown = after.examples[-1]
    assert (shown.text, shown.violation, shown.rule_id) == ("some short text", violation, rule_id)
    assert after.text.startswith(before.text.rstrip("\n"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_stay_what_they_are(end: str, *, last: bool) -> None:
    text = (ADS if last else ADS.rstrip("\n")).replace("\n", end)
    for edit in (
        AddExample(text="Rings", violation=True, rule_id="AD1"),
        AddRule(text="Selling pets.", polarity=Polarity.VIOLATES),
        RemoveRule(rule_id="AD2"),
        ReplaceText(find="to strangers.\n- AD2", replacement="to people.\n- AD2"),
    ):
        after = made(apply_edit(policy(text), edit))
        assert after.text.endswith(end) is last
        assert set(after.text.replace(end, "")) & {"\r", "\n"} == set()


def test_a_rule_gets_the_next_id_in_the_form_of_its_side() -> None:
    after = made(apply_edit(policy(), AddRule(text="Thanks for a purchase.", polarity=Polarity.ALLOWED)))
    assert added_lines(policy(), after) == ["- ADA2. Thanks for a purchase."]
    after = made(apply_edit(policy(), AddRule(text="Selling pets.", polarity=Polarity.VIOLATES)))
    assert added_lines(policy(), after) == ["- AD3. (high) Selling pets."]


def test_a_policy_that_allows_nothing_gets_a_section_for_it() -> None:
    before = policy("## Violates\n- V1. Insults\n- V2. Threats\n\n## Escalation\n- Send threats to a person.\n")
    after = made(apply_edit(before, AddRule(text="Jokes", polarity=Polarity.ALLOWED)))
    assert after.text.startswith("## Violates\n- V1. Insults\n- V2. Threats\n\n## Allowed\n\n- Jokes\n\n## Escalation")


def test_a_removed_rule_takes_its_examples_and_what_is_said_of_it_alone() -> None:
    before = policy(ADS.replace("- AD2 wins over ADA1.", "- AD1 wins over ADA1.\n- AD1 is about shops."))
    after = made(apply_edit(before, RemoveRule(rule_id="ad1")))
    assert [rule.id for rule in after.rules] == ["AD2", "ADA1"]
    assert [shown.text for shown in after.examples] == ["Where is my order?"]
    assert [said.text for said in after.precedence] == ["AD1 wins over ADA1."]
    single = policy(PROSE)
    assert refused(apply_edit(single, RemoveRule(rule_id="V1"))) == "it is the only rule that violates"


def test_a_rule_is_amended_behind_its_last_word() -> None:
    after = made(apply_edit(policy(), AmendRule(rule_id="AD1", sentence="Even one.")))
    assert after.text == ADS.replace("to strangers.", "to strangers. Even one.")


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (ReplaceText(find="not there", replacement="x"), "0 times"),
        (ReplaceText(find="Selling", replacement="x"), "2 times"),
        (ReplaceText(find="- AD2. (high) Selling accounts.\n", replacement=""), "takes away the rule AD2"),
        (ReplaceText(find="## Violates\n", replacement="## Safe\n"), "takes away|turns|no policy|changes"),
        (ReplaceText(find='"Buy my rings" -> 1', replacement='"Buy my rings" -> 0'), "warning|changes"),
        (AddExample(text="Buy my rings", violation=True, rule_id="AD1"), "already"),
        (AddExample(text="x y", violation=True, rule_id="AD9"), "no rule AD9"),
        (AddExample(text="x y", violation=True, rule_id="ADA1"), "not read back"),
        (AddExample(text=" ", violation=True, rule_id=None), "has a text"),
        (AddRule(text="one\n## Safe\n- two", polarity=Polarity.ALLOWED), "one line"),
        (AddRule(text="**Excludes**: selling accounts", polarity=Polarity.ALLOWED), "not read back"),
        (AmendRule(rule_id="AD9", sentence="x"), "no rule AD9"),
        (MendFindings(), "nothing to mend"),
    ],
)
def test_what_cannot_be_made_or_changes_more_is_refused(edit: Edit, reason: str) -> None:
    assert re.search(reason, refused(apply_edit(policy(), edit)))


def test_other_words_may_stand_in_place_of_some() -> None:
    edit = ReplaceText(find="Selling goods to strangers", replacement="Selling goods to people who did not ask")
    after = made(apply_edit(policy(), edit))
    assert after.text == ADS.replace("to strangers", "to people who did not ask")
    more = ReplaceText(find="- AD2. (high)", replacement="- AD3. (low) Selling pets.\n- AD2. (high)")
    assert [rule.id for rule in made(apply_edit(policy(), more)).rules] == ["AD1", "AD3", "AD2", "ADA1"]


def test_findings_of_the_linter_are_mended() -> None:
    before = policy(ADS.replace("Selling accounts", "Selling acc\u200bounts"))
    assert made(apply_edit(before, MendFindings())).text == ADS


def test_edits_of_a_proposal_are_made_together_or_not_at_all() -> None:
    good = AddRule(text="Selling pets.", polarity=Polarity.VIOLATES)
    assert isinstance(apply_all(policy(), Proposal(title="", edits=(good, RemoveRule(rule_id="AD9")))), Refused)
    both = made(apply_all(policy(), Proposal(title="", edits=(good, RemoveRule(rule_id="AD3")))))
    assert both.text == ADS


@given(st.sampled_from(starter_names()), TEXTS, st.booleans())
def test_whatever_an_example_says_the_rest_is_read_as_before(name: str, text: str, violation: bool) -> None:
    before = read_starter(name)
    side = Polarity.VIOLATES if violation else Polarity.ALLOWED
    rule_id = next(rule.id for rule in before.rules if rule.polarity is side)
    after = apply_edit(before, AddExample(text=spelled(text), violation=violation, rule_id=rule_id))
    if isinstance(after, Policy):
        (line,) = added_lines(before, after)
        assert spelled(text) in line
        assert [(r.id, r.text, r.polarity) for r in after.rules] == [(r.id, r.text, r.polarity) for r in before.rules]
        assert len(after.examples) == len(before.examples) + 1


@given(st.sampled_from(starter_names()), TEXTS, st.sampled_from(Polarity))
def test_whatever_a_rule_says_the_others_are_read_as_before(name: str, text: str, polarity: Polarity) -> None:
    before = read_starter(name)
    after = apply_edit(before, AddRule(text=text, polarity=polarity))
    if isinstance(after, Policy):
        kept = [(r.id, r.text, r.polarity, r.severity, r.label) for r in after.rules]
        assert [x for x in kept if before.rule(x[0])] == [
            (r.id, r.text, r.polarity, r.severity, r.label) for r in before.rules
        ]
        assert len(after.rules) == len(before.rules) + 1


@given(st.sampled_from(starter_names()), st.data())
def test_whatever_is_replaced_rules_elsewhere_stay(name: str, data: st.DataObject) -> None:
    before = read_starter(name)
    start = data.draw(st.integers(0, len(before.text) - 1))
    find = before.text[start : start + data.draw(st.integers(1, 200))]
    after = apply_edit(before, ReplaceText(find=find, replacement=data.draw(TEXTS)))
    if isinstance(after, Policy):
        assert {rule.id for rule in before.rules} <= {rule.id for rule in after.rules}
        for rule in before.rules:
            now = after.rule(rule.id)
            assert now is not None
            assert now.polarity is rule.polarity


@given(st.text(alphabet="ab-# \r\n", max_size=60))
def test_a_manuscript_is_its_text(text: str) -> None:
    assert Manuscript.of(text).text == text


@given(st.text(max_size=60))
def test_an_example_is_spelled_in_one_line_that_nothing_closes(text: str) -> None:
    found = spelled(text)
    assert not set(found) & set('"“”„«»「」『』\r\n')
    assert spelled(found) == found
