"""Templates that came with a model: rendered as Transformers does, and kept in their sandbox."""

from __future__ import annotations

import pytest

from magistrate.backends.engine import EngineError
from magistrate.backends.llamacpp.chat_template import ChatTemplate
from magistrate.types import Effort, Message, Role

pytest.importorskip("jinja2", reason="needs the extra `llamacpp`")

CHAT = [Message(Role.SYSTEM, "policy"), Message(Role.USER, 'a "ü" <b>')]


def render(source: str, effort: Effort | None = None) -> str:
    return ChatTemplate(source, marks={"bos_token": "<s>", "eos_token": "</s>"}).render(CHAT, effort)


def test_messages_marks_and_effort_are_what_templates_know_them_as() -> None:
    source = (
        "{{ bos_token }}{% for message in messages %}\n"
        "  {%- if loop.first %}{% continue %}{% endif %}\n"
        "[{{ message['role'] }}] {{ message.content | tojson }}{{ eos_token }}\n"
        "{% endfor %}\n"
        "{% if add_generation_prompt %}{{ reasoning_effort | default('none') }}{% endif %}"
    )
    assert render(source) == '<s>[user] "a \\"ü\\" <b>"</s>\nnone'
    assert render(source, Effort.HIGH).endswith("</s>\nhigh")
    assert ChatTemplate(source, marks={}).takes_effort


def test_what_messages_say_is_not_run() -> None:
    template = ChatTemplate("{{ messages[0].content }}", marks={})
    assert template.render([Message(Role.USER, "{{ 1 + 1 }}{% raw %}")], None) == "{{ 1 + 1 }}{% raw %}"


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('no') }}",
        "{{ messages[0].nothing.more }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ messages.append(1) }}",
        "{% for i in range(10**9) %}{% endfor %}",
        "{{ 'x' * 10**9 }}",
        "{{ 10**9 * 'x' }}",
        "{{ [0] * 10**9 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%99999999d' % 1 }}",
        "{{ 'x' | center(10**9) }}",
        "{{ 'x\ny' | indent(10**9) }}",
        "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_hostile_templates_are_refused(source: str) -> None:
    with pytest.raises(EngineError, match="chat template"):
        render(source)


@pytest.mark.parametrize("source", ["{% for %}", "{{", "{% include 'x' %}{% endfor %}"])
def test_what_is_no_template_is_refused(source: str) -> None:
    with pytest.raises(EngineError, match="cannot be read"):
        ChatTemplate(source, marks={})
