from __future__ import annotations

import asyncio

import pytest

from magistrate.case import Case
from magistrate.classifiers.clause_matcher import ClauseMatcher
from magistrate.classifiers.clause_rationale import Evidence, explain
from magistrate.classifiers.rule_index import RuleScore
from magistrate.policy.model import Policy
from magistrate.policy.starter import read_starter
from magistrate.types import Content, Decided, Span

POLICY = Policy.parse("# Ads\n\n## Violates\n- X1. Sells things.\n\n## Allowed\n- X2. Asks things.\n", name="ads")
SELLS, ASKS = (RuleScore(rule, score, 0) for rule, score in zip(POLICY.rules, (2.0, 0.5), strict=True))


def evidence(
    *,
    violation: bool = True,
    violating: RuleScore | None = SELLS,
    allowed: RuleScore | None = ASKS,
    nothing: float = -1.0,
    message: int = 0,
    without: tuple[str, float] | None = None,
) -> Evidence:
    return Evidence(
        violation=violation,
        violating=violating,
        allowed=allowed,
        nothing=nothing,
        span=Span(3, 9, message),
        without=without,
    )


HEARD = "Violates by X1, “Sells things” (2.0), which speaks loudest in characters 3-9"
CLOSEST = "No rule is broken: what comes closest is X1, “Sells things” (2.0), in characters 3-9"
OTHER = "the nearest allowed rule is X2, “Asks things” (0.5)"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (evidence(), f"{HEARD}; {OTHER}, 1.5 less."),
        (evidence(message=1), f"{HEARD} of message 2; {OTHER}, 1.5 less."),
        (evidence(allowed=None), f"{HEARD}; the policy has no allowed rule to set against it."),
        (
            evidence(violating=None),
            f"{HEARD.replace('X1, “Sells things” (2.0)', 'examples that belong to no rule')}; {OTHER}.",
        ),
        (evidence(violation=False), f"{CLOSEST}; X2, “Asks things” (0.5) speaks for allowing it, 1.5 less."),
        (evidence(violation=False, nothing=3.0), f"{CLOSEST}, and that is too weak (3.0 stands for no rule at all)."),
    ],
)
def test_it_says_what_the_evidence_says(found: Evidence, said: str) -> None:
    assert explain(found) == said


@pytest.mark.parametrize(
    ("violation", "probability", "said"),
    [
        (True, 0.2, "Without X1 it would be allowed (0.20)."),
        (True, 0.8, "Without X1 it would still be a violation (0.80)."),
        (False, 0.7, "Without X1 it would be a violation (0.70)."),
        (False, 0.3, "Without X1 it would still be allowed (0.30)."),
    ],
)
def test_it_says_what_would_change_the_verdict(violation: bool, probability: float, said: str) -> None:
    assert explain(evidence(violation=violation, without=("X1", probability))).endswith(said)


def test_what_it_says_of_the_policy_without_a_rule_is_true() -> None:
    """Judged again under the policy without the rule, the probability is the one that was said."""
    policy = read_starter("spam")
    text = "Earn $$$ by recruiting members, 1000 followers for $5"

    async def judge(one: Policy) -> Decided:
        async with ClauseMatcher(abstain_within=0.0) as matcher:
            (verdict,) = await matcher.judge_many([Case(one, Content.of_text(text))])
            assert isinstance(verdict, Decided)
            return verdict

    verdict = asyncio.run(judge(policy))
    rule = verdict.rule_ids[0]
    lines = [line for line in policy.text.splitlines() if f"- {rule}." not in line and f"({rule})" not in line]
    again = asyncio.run(judge(Policy.parse("\n".join(lines), name="less")))
    assert f"Without {rule} " in verdict.rationale
    assert f"({again.probability:.2f})" in verdict.rationale
