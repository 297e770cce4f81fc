from __future__ import annotations

from dataclasses import replace

from tests.evaluate.improve.judges import golden, policy

from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.improve.edit import AddExample, AddRule, RemoveRule
from magistrate.evaluate.improve.mistakes import Group, Kind, find_mistakes, group_mistakes
from magistrate.evaluate.improve.templates import LONGEST_EXAMPLE, template_proposals
from magistrate.policy.model import Polarity
from magistrate.types import Abstained, Code, Decided, Failed, RuleMatch, Span, Trace, Verdict

TRACE = Trace(policy="ads", policy_digest="d", model="m", dialect="d", reasoning="Rule AD9. So output 1.")
BEACH = "we loved the hotel by the beach"


def decided(*, violation: bool, rule_ids: tuple[str, ...] = (), evidence: tuple[RuleMatch, ...] = ()) -> Decided:
    return Decided(
        violation=violation,
        label="violates" if violation else "safe",
        rule_ids=rule_ids,
        severity=None,
        probability=0.9 if violation else 0.2,
        rationale="because",
        trace=TRACE,
        evidence=evidence,
    )


def grouped(cases: list[GoldenCase], verdicts: list[Verdict]) -> list[Group]:
    return group_mistakes(policy(), cases, verdicts, find_mistakes(policy(), cases, verdicts))


def test_false_alarms_go_to_the_rule_that_is_cited() -> None:
    cases = golden(5, lambda n: f"{BEACH} {n}", lambda n: n == 4)
    near = (RuleMatch("AD2", 0.5, Span(3, 8)), RuleMatch("ADA1", 0.4, Span(3, 8)))
    verdicts: list[Verdict] = [decided(violation=True, rule_ids=("AD2",), evidence=near) for _ in cases]
    (group,) = grouped(cases, verdicts)
    assert (group.kind, group.heading, group.rule, group.right) == (
        Kind.FALSE_ALARM,
        "AD2",
        policy().rule("AD2"),
        1,
    )
    assert group.others == (("ADA1", 4),)
    assert {mistake.piece for mistake in group.mistakes} == {"loved"}
    assert "cites what the policy does not have: AD9" in group.mistakes[0].suspicion


def test_what_was_missed_goes_to_what_the_golden_set_names_or_else_to_the_nearest_rule() -> None:
    cases = golden(4, lambda n: f"text {n}", lambda n: True)
    cases[0] = replace(cases[0], rule_ids=("AD1",))
    cases[1] = replace(cases[1], category="pyramid schemes")
    missed = decided(violation=False, rule_ids=("ADA1",), evidence=(RuleMatch("ADA1", 0.6), RuleMatch("AD2", 0.5)))
    bare = decided(violation=False)
    groups = {group.heading: group for group in grouped(cases, [missed, missed, missed, bare])}
    assert set(groups) == {"AD1", "pyramid schemes", "AD2", "the golden set names no rule"}
    assert groups["AD1"].mistakes[0].told
    assert not groups["AD2"].mistakes[0].told
    assert groups["pyramid schemes"].rule is None
    assert groups["AD1"].others == (("ADA1", 1),)


def test_abstentions_are_unsure_and_failures_are_no_mistakes_of_a_wording() -> None:
    cases = golden(2, lambda n: f"text {n}", lambda n: True)
    unsure = Abstained(code=Code.UNSURE, detail="close", trace=TRACE, probability=0.5)
    failed = Failed(code=Code.TIMEOUT, detail="slow", trace=TRACE)
    (group,) = grouped(cases, [unsure, failed])
    assert (group.kind, len(group.mistakes)) == (Kind.UNSURE, 1)


def test_templates_make_examples_rules_and_removals_and_say_what_they_take() -> None:
    cases = golden(9, lambda n: f"{BEACH} {n}" if n < 6 else f"buy rings {n}", lambda n: n >= 6)
    verdicts: list[Verdict] = [decided(violation=True, rule_ids=("AD2",)) for _ in range(6)]
    verdicts += [decided(violation=True, rule_ids=("AD1",)) for _ in range(3)]
    found = template_proposals(policy(), grouped(cases, verdicts), cases)
    assert len({proposal.edits for proposal in found}) == len(found)
    edits = [edit for proposal in found for edit in proposal.edits]
    assert RemoveRule(rule_id="AD2") in edits
    assert any(isinstance(e, AddRule) and e.polarity is Polarity.ALLOWED and "hotel" in e.text for e in edits)
    halves = [proposal for proposal in found if proposal.title.startswith("3 examples")]
    assert len(halves) == 2
    assert halves[0].taken | halves[1].taken == {case.id for case in cases[:6]}
    for proposal in found:
        shown = {edit.text for edit in proposal.edits if isinstance(edit, AddExample)}
        assert shown == {case.content.messages[0].content for case in cases if case.id in proposal.taken}


def test_long_texts_are_no_examples_and_a_category_is_a_rule() -> None:
    cases = golden(4, lambda n: f"{n} " + "long " * LONGEST_EXAMPLE, lambda n: True)
    cases = [replace(case, category="source:pyramid_schemes") for case in cases]
    verdicts: list[Verdict] = [decided(violation=False) for _ in cases]
    edits = [e for p in template_proposals(policy(), grouped(cases, verdicts), cases) for e in p.edits]
    assert not any(isinstance(edit, AddExample) for edit in edits)
    assert AddRule(text="Pyramid schemes.", polarity=Polarity.VIOLATES) in edits
