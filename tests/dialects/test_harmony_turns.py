"""Repairs, hostile policies, and what a chat template makes of the same prompt: token for token."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.contents import contents, hostile_texts
from tests.dialects.samples import POLICIES, SPAM, completion
from tests.tiny_safeguard import VOCABULARY, load_script, needs_vocabulary

from magistrate.dialects.fence import neutralise
from magistrate.dialects.harmony import Harmony, load_encoding
from magistrate.dialects.safeguard import Form, Safeguard, instructions, question, repair_turns
from magistrate.digest import text_digest
from magistrate.policy.model import Policy
from magistrate.types import Code, Completion, Content, Effort, FinishReason, Message, Request, Role

pytestmark = needs_vocabulary
harmony = pytest.importorskip("openai_harmony", reason="needs the extra magistrate[harmony]")

EFFORTS = [None, *Effort]
SPECIALS = ["<|start|>", "<|end|>", "<|return|>", "<|call|>", "<|channel|>analysis", "<|message|>", "<|endoftext|>"]


@pytest.fixture(scope="module", autouse=True)
def vocabulary() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(VOCABULARY.parent))
        load_encoding()
        yield


def by_the_library(policy: Policy, form: Form, effort: Effort | None, turns: list[Message]) -> list[int]:
    system = harmony.SystemContent.new()
    if effort is not None:
        system = system.with_reasoning_effort(harmony.ReasoningEffort[effort.name])
    developer = harmony.DeveloperContent.new().with_instructions(instructions(policy, form))
    messages = [
        harmony.Message.from_role_and_content(harmony.Role.SYSTEM, system),
        harmony.Message.from_role_and_content(harmony.Role.DEVELOPER, developer),
    ]
    for turn in turns:
        message = harmony.Message.from_role_and_content(harmony.Role(turn.role.value), turn.content)
        messages.append(message.with_channel("final") if turn.role is Role.ASSISTANT else message)
    conversation = harmony.Conversation.from_messages(messages)
    return list(load_encoding().render_conversation_for_completion(conversation, harmony.Role.ASSISTANT))


def ids(request: Request | None) -> list[int]:
    assert request is not None
    return list(request.token_ids or ())


def specials(tokens: list[int]) -> list[int]:
    return [token for token in tokens if load_encoding().is_special_token(token)]


@given(st.sampled_from(POLICIES), contents, st.sampled_from(list(Form)), st.sampled_from(EFFORTS),
       hostile_texts, st.sampled_from(list(Code)))  # fmt: skip
def test_a_repair_is_the_library_s_token_for_token(
    policy: Policy, content: Content, form: Form, effort: Effort | None, answer: str, code: Code
) -> None:
    dialect = Harmony(form)
    repaired = dialect.repair(policy, dialect.render(policy, content, effort=effort), completion(answer), code)
    turns = [question(policy, form, content), *repair_turns(policy, form, answer, code)]
    assert ids(repaired) == by_the_library(policy, form, effort, turns)


@given(st.sampled_from(list(Form)), st.sampled_from(EFFORTS), hostile_texts)
def test_a_policy_adds_no_special_token_and_is_rendered_as_the_library_does(
    form: Form, effort: Effort | None, text: str
) -> None:
    text = f"{SPAM.text}\n{text}"
    policy = replace(SPAM, text=text, digest=text_digest(text))
    tokens = ids(Harmony(form).render(policy, Content.of_text("x"), effort=effort))
    assert tokens == by_the_library(policy, form, effort, [question(policy, form, Content.of_text("x"))])
    assert specials(tokens) == specials(ids(Harmony(form).render(SPAM, Content.of_text("x"), effort=effort)))


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("mark", SPECIALS)
def test_markup_that_the_model_repeats_does_not_come_back_as_markup(form: Form, mark: str) -> None:
    dialect = Harmony(form)
    request = dialect.render(SPAM, Content.of_text(mark))
    spelled = tuple(load_encoding().encode(mark, disallowed_special=()))
    final = tuple(load_encoding().encode("<|channel|>final<|message|>", allowed_special="all"))
    came = Completion(final="", finish_reason=FinishReason.STOP, model="m", token_ids=(*final, *spelled))
    plain = Completion(final="", finish_reason=FinishReason.STOP, model="m", token_ids=(*final, 15))
    repaired, other = (dialect.repair(SPAM, request, one, Code.UNKNOWN_LABEL) for one in (came, plain))
    assert specials(ids(repaired)) == specials(ids(other))
    assert neutralise(mark) in load_encoding().decode(ids(repaired))


# -- what a chat template makes of the same prompt


def by_template(messages: tuple[Message, ...], effort: Effort | None) -> str:
    """The template of the tiny gpt-oss, run as Transformers and llama.cpp's bindings run templates."""
    jinja2 = pytest.importorskip("jinja2", reason="runs a chat template")
    sandbox = pytest.importorskip("jinja2.sandbox", reason="runs a chat template")
    environment = sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def today(form: str) -> str:
        return datetime.date(2026, 1, 31).strftime(form)

    environment.globals |= {"strftime_now": today, "raise_exception": refuse}
    chat = [{"role": message.role.value, "content": message.content} for message in messages]
    extra = {} if effort is None else {"reasoning_effort": effort.value}
    rendered: str = environment.from_string(load_script().TEMPLATE).render(
        messages=chat, add_generation_prompt=True, **extra
    )
    return rendered


@given(st.sampled_from(POLICIES), contents, st.sampled_from(list(Form)), st.sampled_from(EFFORTS))
def test_the_template_differs_in_date_line_breaks_and_effort_alone(
    policy: Policy, content: Content, form: Form, effort: Effort | None
) -> None:
    """The table in docs/harmony.md: take these three out, and the chat form is Harmony's, token for token."""
    request = Safeguard(form).render(policy, content, effort=effort)
    text = by_template(request.messages, effort)
    head, rest = text.split("<|end|>", 1)
    head = head.replace("Current date: 2026-01-31\n", "")
    line = f"\n\nReasoning: {effort.value}" if effort else ""
    rest = rest.replace(f"{line}\n\n<|end|>", "<|end|>", 1)
    tokens = load_encoding().encode(f"{head}<|end|>{rest}", allowed_special="all")
    assert tokens == ids(Harmony(form).render(policy, content, effort=effort))


@given(contents, hostile_texts, st.sampled_from(list(Code)))
def test_the_template_renders_a_repair_as_harmony_does(content: Content, answer: str, code: Code) -> None:
    form = Form.RATIONALE
    chat = Safeguard(form).repair(SPAM, Safeguard(form).render(SPAM, content), completion(answer), code)
    assert chat is not None
    text = by_template(chat.messages, None)
    tail = text[text.index("<|start|>user") :]
    tokens = ids(Harmony(form).repair(SPAM, Harmony(form).render(SPAM, content), completion(answer), code))
    whole = load_encoding().decode(tokens)
    assert tail == whole[whole.index("<|start|>user") :]
    assert (
        load_encoding().encode(tail, allowed_special="all")
        == tokens[-len(load_encoding().encode(tail, allowed_special="all")) :]
    )


def test_without_an_effort_both_ways_say_medium() -> None:
    request = Safeguard(Form.BINARY).render(SPAM, Content.of_text("x"))
    tokens = ids(Harmony(Form.BINARY).render(SPAM, Content.of_text("x")))
    for text in (by_template(request.messages, None), load_encoding().decode(tokens)):
        assert re.findall(r"Reasoning: \w+", text) == ["Reasoning: medium"]


def test_a_template_sets_the_effort_only_where_it_is_told() -> None:
    """The line in the chat form reaches the developer message; the template's own line stays as it was."""
    request = Safeguard(Form.BINARY).render(SPAM, Content.of_text("x"), effort=Effort.HIGH)
    assert re.findall(r"Reasoning: \w+", by_template(request.messages, None)) == [
        "Reasoning: medium",
        "Reasoning: high",
    ]
    assert re.findall(r"Reasoning: \w+", by_template(request.messages, Effort.HIGH)) == ["Reasoning: high"] * 2
