"""Render a chat by the template that came with a model.

A template is a program of somebody else's. jinja2's immutable sandbox keeps it from attributes and from changing what
it is given; what it multiplies, repeats or prints is bounded here. A template can still waste time in empty loops: take
weights from whom you would take a program.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from magistrate.backends.engine import EngineError
from magistrate.types import Effort, Message

MOST_TEXT = 20_000_000
"""Characters that a rendered chat can have."""


class ChatTemplate:
    """One template, read once."""

    def __init__(self, source: str, *, marks: Mapping[str, str]) -> None:
        """Read a template.

        Args:
            source: jinja2, as Transformers takes it.
            marks: `bos_token`, `eos_token`: how the model's vocabulary spells them.

        Raises:
            EngineError: it is no jinja2.
        """
        jinja2: Any = importlib.import_module("jinja2")  # comes with llama-cpp-python
        try:
            self._template = _environment().from_string(source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise EngineError(f"the model's chat template cannot be read: {type(error).__name__}") from error
        self._marks = dict(marks)
        self.takes_effort = "reasoning_effort" in source

    def render(self, messages: Sequence[Message], effort: Effort | None) -> str:
        """Write a chat, up to where the answer begins.

        Raises:
            EngineError: the template refuses this chat, or fails.
        """
        chat = [{"role": message.role.value, "content": message.content} for message in messages]
        extra = {} if effort is None else {"reasoning_effort": effort.value}
        pieces: list[str] = []
        length = 0
        try:
            for piece in self._template.generate(messages=chat, add_generation_prompt=True, **self._marks, **extra):
                pieces.append(piece)
                length += len(piece)
                if length > MOST_TEXT:
                    raise EngineError(f"the model's chat template writes more than {MOST_TEXT} characters")
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(f"the model's chat template refuses this chat: {type(error).__name__}") from error
        return "".join(pieces)


def _environment() -> Any:  # Any: jinja2 is not installed where types are checked
    jinja2 = importlib.import_module("jinja2")
    sandbox = importlib.import_module("jinja2.sandbox")
    importlib.import_module("jinja2.ext")

    class Bounded(sandbox.ImmutableSandboxedEnvironment):  # type: ignore[misc]  # a base of type Any
        intercepted_binops = frozenset({"*", "**", "%"})

        def call_binop(self, context: object, operator: str, left: object, right: object) -> object:
            if not _is_small(operator, left, right):
                raise sandbox.SecurityError("a template may not make large values")
            return super().call_binop(context, operator, left, right)

    environment = Bounded(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _strftime_now
    environment.filters["tojson"] = _to_json
    for large in ("center", "indent", "wordwrap", "format"):  # make long texts of short ones
        environment.filters[large] = _limited(environment.filters[large])
    return environment


def _is_small(operator: str, left: object, right: object) -> bool:
    if operator == "%":
        return not isinstance(left, str)
    if operator == "**":
        return all(isinstance(side, int | float) and abs(side) <= 64 for side in (left, right))
    repeated = [side for side in (left, right) if isinstance(side, str | list | tuple)]
    times = [side for side in (left, right) if isinstance(side, int)]
    return not repeated or not times or len(repeated[0]) * times[0] <= MOST_TEXT


def _limited(original: Any) -> Any:
    def limited(text: object, *arguments: object, **named: object) -> object:
        if any(isinstance(value, int) and value > 1000 for value in (*arguments, *named.values())):
            raise ValueError("a template may not make large values")
        return original(text, *arguments, **named)

    return limited


def _refuse(message: str) -> None:
    raise ValueError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


def _to_json(value: object, indent: int | None = None) -> str:
    """As Transformers writes it: no escapes for HTML or for what is not ASCII."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
