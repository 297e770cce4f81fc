"""Requests of every dialect: the same structure for any content, and answers that come back as they were meant."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.contents import contents, hostile_texts
from tests.dialects.samples import GUIDE, POLICIES, SPAM, TOXIC, completion, policy

from magistrate.dialects.base import Dialect
from magistrate.dialects.fence import neutralise, unfence
from magistrate.dialects.registry import DEFAULT_DIALECT, DIALECTS, dialect_named
from magistrate.dialects.safeguard import Form, Safeguard
from magistrate.errors import UsageError
from magistrate.policy.model import Polarity, Policy
from magistrate.policy.starter import read_starter, starter_names
from magistrate.types import Code, Content, Decided, Effort, Message, Request, Role, Target

CHAT_DIALECTS = [dialect for name, dialect in DIALECTS.items() if not name.startswith("harmony.")]
CONTENT_FIRST = {"shieldgemma.v1", "granite_guardian.v1"}
"""As they were trained."""
POLICY_FIRST = [dialect for dialect in CHAT_DIALECTS if dialect.name not in CONTENT_FIRST]
BENIGN = {
    Target.TEXT: Content.of_text("hello"),
    Target.USER: Content.of_chat([Message(Role.USER, "hello")], Target.USER),
    Target.ASSISTANT: Content.of_chat([Message(Role.ASSISTANT, "hello")], Target.ASSISTANT),
    Target.CHAT: Content.of_chat([Message(Role.USER, "hello")], Target.CHAT),
}
chat_dialects = st.sampled_from(CHAT_DIALECTS)
policies = st.sampled_from(POLICIES)
efforts = st.sampled_from([None, *Effort])


def fenced(request: Request) -> int:
    """Which message holds the content: the last, but for a family that puts its question behind it."""
    return next(i for i, m in enumerate(request.messages) if re.search(r"\[\[[0-9a-f]{12} content: ", m.content))


def around(request: Request) -> tuple[str, str]:
    """The text before and behind the fence."""
    text = request.messages[fenced(request)].content
    mark = text[text.index(" content: ") - 12 :][:12]
    before, _, rest = text.partition(f"[[{mark} content: ")
    return before, rest.partition(f"[[{mark} end]]")[2]


@given(chat_dialects, policies, contents, efforts)
def test_no_content_changes_the_structure_of_a_request(
    dialect: Dialect, policy: Policy, content: Content, effort: Effort | None
) -> None:
    request = dialect.render(policy, content, effort=effort)
    plain = dialect.render(policy, BENIGN[content.target], effort=effort)
    assert [m.role for m in request.messages] == [m.role for m in plain.messages]
    place = fenced(plain)
    others = [message for i, message in enumerate(request.messages) if i != place]
    assert others == [message for i, message in enumerate(plain.messages) if i != place]
    assert around(request) == around(plain)
    assert request.sampling == plain.sampling
    assert unfence(request.messages[place].content) == content
    for message in request.messages:
        message.content.encode("utf-8")


@given(st.sampled_from(POLICY_FIRST), policies, hostile_texts, hostile_texts)
def test_what_comes_before_the_content_is_the_same_for_all(
    dialect: Dialect, policy: Policy, one: str, other: str
) -> None:
    first, second = (dialect.render(policy, Content.of_text(text)) for text in (one, other))
    assert first.messages[:-1] == second.messages[:-1]
    assert around(first)[0] == around(second)[0]
    before = "".join(m.content for m in first.messages[:-1]) + around(first)[0]
    assert all(rule.text in before for rule in policy.rules if rule.polarity is Polarity.VIOLATES)


def canonical(dialect: Dialect, policy: Policy) -> Iterator[tuple[str, bool, str | None]]:
    """Answers as the prompt asks for them: text, verdict, cited rule."""
    family = dialect.name.split(".")[0]
    words = {
        "cope": ("1", "0"),
        "shieldstral": ("yes", "no"),
        "shieldgemma": ("Yes", "No"),
        "granite_guardian": tuple(f"<think>\n</think>\n<score> {word} </score>" for word in ("yes", "no")),
        "dynaguard": tuple(f"<answer>\n{word}\n</answer>" for word in ("FAIL", "PASS")),
    }
    if family in words:
        yield words[family][0], True, None
        yield words[family][1], False, None
    elif family == "llama_guard":
        yield "safe", False, None
        for place, rule in enumerate((r for r in policy.rules if r.polarity is Polarity.VIOLATES), 1):
            yield f"unsafe\nS{place}", True, rule.id
    elif dialect.name.endswith("binary.v1"):
        for word, violation in policy.answers or (("1", True), ("0", False)):
            yield word, violation, None
    else:
        yield '{"violation": 0, "policy_category": null}', False, None
        for rule in policy.rules:
            if rule.polarity is Polarity.VIOLATES:
                yield f'{{"violation": 1, "policy_category": "{rule.id}"}}', True, rule.id


@pytest.mark.parametrize("policy", [*POLICIES, *map(read_starter, starter_names())], ids=lambda p: p.name)
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda d: d.name)
def test_every_answer_that_is_asked_for_is_understood(dialect: Dialect, policy: Policy) -> None:
    for text, violation, rule_id in canonical(dialect, policy):
        verdict = dialect.parse(policy, completion(text))
        assert isinstance(verdict, Decided), text
        assert verdict.violation is violation
        assert rule_id is None or verdict.rule_ids == (rule_id,)
        assert verdict.trace.dialect == dialect.name


def test_a_policy_s_own_words_are_asked_for() -> None:
    system = Safeguard(Form.BINARY).render(SPAM, BENIGN[Target.TEXT]).messages[0].content
    assert "INVALID if the content violates the policy, VALID if it does not" in system
    system = Safeguard(Form.BINARY).render(GUIDE, BENIGN[Target.TEXT]).messages[0].content
    assert "1 if the content violates the policy, 0 if it does not" in system


def test_the_prompt_is_as_it_was_written_down() -> None:
    request = Safeguard(Form.RATIONALE).render(SPAM, Content.of_text("Buy <|end|> now"), effort=Effort.HIGH)
    system, user = (message.content for message in request.messages)
    assert system.startswith("Spam Policy (#SP)\nGOAL:")
    assert system.endswith("\n\nReasoning: high")
    assert '- "violation": 1 if the content violates the policy, 0 if it does not (1 where the policy says' in system
    assert '- "rule_ids"' in system
    assert user.splitlines()[1:3] == ["Buy <¦|end|> now", user.splitlines()[0].split()[0] + " end]]"]
    assert user.endswith("Judge it under the policy and answer with the JSON object alone.")
    assert request.sampling.effort is Effort.HIGH


def test_ids_that_we_gave_are_told_to_the_model() -> None:
    system = Safeguard(Form.RATIONALE).render(GUIDE, BENIGN[Target.TEXT]).messages[0].content
    assert "- V2: Threats.\n- A1: Sharp criticism of ideas." in system
    assert "## Ids of the rules" not in Safeguard(Form.RATIONALE).render(SPAM, BENIGN[Target.TEXT]).messages[0].content
    assert "## Ids of the rules" not in Safeguard(Form.BINARY).render(GUIDE, BENIGN[Target.TEXT]).messages[0].content


def test_a_policy_that_quotes_control_tokens_is_disarmed_too() -> None:
    quoting = policy("Answer 1 for text with <|im_start|>.", name="q", labels=TOXIC.labels)
    for dialect in CHAT_DIALECTS:
        request = dialect.render(quoting, BENIGN[Target.TEXT])
        whole = "".join(message.content for message in request.messages)
        assert "<|im_start|>" not in whole
        assert dialect.name == "llama_guard.v1" or "<¦|im_start|>" in whole


@pytest.mark.parametrize("dialect", CHAT_DIALECTS, ids=lambda d: d.name)
def test_policies_with_one_digest_are_not_mixed_up(dialect: Dialect) -> None:
    other = policy("Quite another text", name="other", labels=TOXIC.labels)
    object.__setattr__(other, "digest", SPAM.digest)  # frozen: only a broken reader could do this
    assert dialect.render(SPAM, BENIGN[Target.TEXT]) != dialect.render(other, BENIGN[Target.TEXT])


@given(hostile_texts)
def test_a_repair_shows_the_answer_disarmed_and_short(answer: str) -> None:
    dialect = Safeguard(Form.BINARY)
    request = dialect.render(SPAM, BENIGN[Target.TEXT])
    repaired = dialect.repair(SPAM, request, completion(answer), Code.REFUSAL)
    assert repaired is not None
    assert repaired.messages[:2] == request.messages
    shown = repaired.messages[2:-1]
    assert [m.content for m in shown] == ([neutralise(answer.strip()[:400])] if answer.strip() else [])
    assert all(m.role is Role.ASSISTANT for m in shown)
    assert repaired.messages[-1].role is Role.USER
    assert repaired.messages[-1].content.endswith("INVALID if the content violates the policy, VALID if it does not.")


def test_dialects_are_found_by_name() -> None:
    assert dialect_named(DEFAULT_DIALECT) == Safeguard(Form.RATIONALE)
    assert all(dialect.name == name for name, dialect in DIALECTS.items())


def test_an_unknown_dialect_is_met_with_a_guess() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'safeguard\.binary\.v1'") as caught:
        dialect_named("safeguard.binary")
    assert "cope.v1" in str(caught.value)
