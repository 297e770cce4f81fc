"""What each dialect lets an answer be, where an engine can enforce it: nothing that the dialect itself cannot read."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging

import pytest
from tests.dialects.samples import SPAM, TOXIC, completion

from magistrate.backends.base import Capabilities
from magistrate.backends.scripted import ScriptedBackend
from magistrate.case import Case
from magistrate.classifiers.reasoner import Reasoner
from magistrate.dialects.registry import DIALECTS, dialect_named
from magistrate.dialects.safeguard import Form, answer_form
from magistrate.policy.model import Policy
from magistrate.types import Choices, Content, Decided, JsonSchema

CONTENT = Content.of_text("hello")
CHAT_DIALECTS = [name for name in DIALECTS if not name.startswith("harmony.")]
FREE = ("llama_guard.v1", "granite_guardian.v1", "dynaguard.v1")
"""Their models write tags, codes or an explanation around the word."""
HELD = [name for name in CHAT_DIALECTS if name not in FREE]
ABLE = Capabilities(logprobs=True, constrained=True)


def schema_of(policy: Policy, form: Form) -> dict[str, dict[str, object]]:
    found = answer_form(policy, form)
    assert isinstance(found, JsonSchema)
    properties: dict[str, dict[str, object]] = json.loads(found.schema)["properties"]
    return properties


@pytest.mark.parametrize("policy", [SPAM, TOXIC])
@pytest.mark.parametrize("name", [name for name in HELD if "binary" in name or "." not in name.removesuffix(".v1")])
def test_every_word_that_is_let_through_decides(name: str, policy: Policy) -> None:
    dialect = dialect_named(name)
    constraint = dialect.render(policy, CONTENT).constraint
    assert constraint is not None
    assert isinstance(constraint.form, Choices)
    verdicts = [dialect.parse(policy, completion(word)) for word in constraint.form.words]
    assert all(isinstance(verdict, Decided) for verdict in verdicts)
    assert {verdict.violation for verdict in verdicts if isinstance(verdict, Decided)} == {False, True}


@pytest.mark.parametrize("policy", [SPAM, TOXIC])
def test_every_category_that_is_let_through_decides(policy: Policy) -> None:
    fields = schema_of(policy, Form.CATEGORY)
    categories = fields["policy_category"].get("enum", [None])
    assert isinstance(categories, list)
    assert None in categories
    for category in categories:
        answer = json.dumps({"violation": int(category is not None), "policy_category": category})
        verdict = dialect_named("safeguard.category.v1").parse(policy, completion(answer))
        assert isinstance(verdict, Decided), answer
        assert verdict.violation is (category is not None)
        assert category is None or verdict.rule_ids == (category,)


def test_all_rules_may_be_cited_and_no_others() -> None:
    cited = schema_of(SPAM, Form.RATIONALE)["rule_ids"]["items"]
    assert isinstance(cited, dict)
    assert cited["enum"] == [rule.id for rule in SPAM.rules]


@pytest.mark.parametrize("name", FREE)
def test_a_model_that_writes_more_than_its_word_is_not_held(name: str) -> None:
    assert dialect_named(name).render(SPAM, CONTENT).constraint is None


def reasoner(name: str, *, constrained: bool, able: bool = True) -> tuple[Reasoner, ScriptedBackend]:
    backend = ScriptedBackend(lambda request: "0", capabilities=ABLE if able else Capabilities(logprobs=True))
    return Reasoner(dialect_named(name), backend, constrained=constrained), backend


def judge(asked: Reasoner) -> None:
    async def run() -> None:
        async with asked:
            await asked.judge_many([Case(SPAM, CONTENT)] * 2)

    asyncio.run(run())


@pytest.mark.parametrize(("constrained", "able"), [*itertools.product([False, True], repeat=2)])
def test_only_a_backend_that_can_gets_a_form_and_only_where_it_is_wanted(*, constrained: bool, able: bool) -> None:
    asked, backend = reasoner("safeguard.binary.v1", constrained=constrained, able=able)
    judge(asked)
    assert all((request.constraint is not None) is (constrained and able) for request in backend.requests)
    assert bool(asked.notes) is (constrained and not able)


def test_a_form_that_is_wanted_and_not_to_be_had_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    asked, _ = reasoner("safeguard.binary.v1", constrained=True, able=False)
    with caplog.at_level(logging.WARNING):
        judge(asked)
        judge(asked)
    assert [record.message for record in caplog.records if "cannot hold" in record.message] == [
        f"{asked.name}: {asked.notes[0]}"
    ]


def test_a_dialect_without_a_form_says_so() -> None:
    asked, backend = reasoner("llama_guard.v1", constrained=True)
    judge(asked)
    assert backend.requests[0].constraint is None
    assert any("names no form" in note for note in asked.notes)
