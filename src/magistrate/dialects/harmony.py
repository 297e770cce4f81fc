"""Dialects of gpt-oss-safeguard as tokens, for engines in process.

The prompt is Harmony as openai-harmony renders it, token for token: a system message with the effort and the
channels, a developer message with the same instructions as the chat form, the fenced content as the user's. The
output is taken apart by its special tokens, so that markup which the model merely spells out stays text.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from magistrate.dialects.base import Needs
from magistrate.dialects.channels import split_channels
from magistrate.dialects.fence import neutralise, restore
from magistrate.dialects.prepared import per_policy
from magistrate.dialects.reading import Channels, Problem, verdict_of
from magistrate.dialects.safeguard import Form, answer_form, instructions, question, read_answer, repair_turns
from magistrate.errors import BackendError, MissingExtraError
from magistrate.policy.model import Policy
from magistrate.types import Code, Completion, Constraint, Content, Effort, Message, Request, Role, Sampling, Verdict

if TYPE_CHECKING:
    from openai_harmony import HarmonyEncoding  # type: ignore[import-untyped]  # 0.0.8 ships no py.typed


_ANSWER_MARK = "<|channel|>final<|message|>"
"""Behind it the answer begins. A model that writes the form of its answer into this header is left free."""


@dataclass(frozen=True, slots=True)
class Harmony:
    """gpt-oss-safeguard in process: `Request.token_ids` in, `Completion.token_ids` (or marked text) out."""

    form: Form

    @property
    def name(self) -> str:
        """`harmony.binary.v1`, and so on."""
        return f"harmony.{self.form.value}.v1"

    @property
    def needs(self) -> Needs:
        """An engine that takes tokens."""
        return Needs(token_ids=True)

    def render(self, policy: Policy, content: Content, *, effort: Effort | None = None) -> Request:
        """Build the prompt as tokens. Without an effort, Harmony's own: medium.

        Raises:
            MissingExtraError: openai-harmony is not installed.
            BackendError: its vocabulary is neither here nor to be had.
        """
        user = question(policy, self.form, content)
        head = _instruction_tokens(policy, self.form, effort)
        return Request(
            messages=(Message(Role.DEVELOPER, instructions(policy, self.form)), user),
            sampling=Sampling(effort=effort),
            token_ids=(*head, *_turn(user), *_answer_start()),
            stop_token_ids=_stop_tokens(),
            constraint=Constraint(form=answer_form(policy, self.form), after=_frame(_ANSWER_MARK)),
        )

    def parse(self, policy: Policy, completion: Completion) -> Verdict:
        """Take the output apart and read the final channel."""
        channels = (
            split_tokens(completion.token_ids)
            if completion.token_ids
            else split_channels(completion.final, completion.reasoning)
        )
        return verdict_of(
            policy,
            completion,
            dialect=self.name,
            channels=channels,
            read=functools.partial(read_answer, self.form),
        )

    def repair(self, policy: Policy, request: Request, completion: Completion, code: Code) -> Request | None:
        """Show the model the start of its answer, as a final message, and ask for the form again."""
        channels = split_tokens(completion.token_ids) if completion.token_ids else completion
        answer = "" if isinstance(channels, Problem) else channels.final
        turns = repair_turns(policy, self.form, answer, code)
        start = _answer_start()
        prompt = (request.token_ids or ())[: -len(start)]
        added = (token for turn in turns for token in _turn(turn))
        return replace(request, messages=(*request.messages, *turns), token_ids=(*prompt, *added, *start))


def split_tokens(tokens: tuple[int, ...]) -> Channels | Problem:
    """Take output tokens apart into channels."""
    encoding = load_encoding()
    pieces: list[str] = []
    try:
        for special, run in itertools.groupby(tokens, encoding.is_special_token):
            text = encoding.decode(list(run))
            # Markup that is only spelled out is disarmed until the real one has been taken apart.
            pieces.append(text if special else neutralise(text))
    except (RuntimeError, OverflowError):  # what openai-harmony raises for a number that is no token
        return Problem(Code.MALFORMED, "the output holds tokens that the Harmony vocabulary does not have")
    channels = split_channels("".join(pieces), marked=True)
    if isinstance(channels, Problem):
        return channels
    return Channels(restore(channels.final), restore(channels.reasoning))


@functools.cache
def load_encoding() -> HarmonyEncoding:
    """The Harmony vocabulary, read once.

    Raises:
        MissingExtraError: openai-harmony is not installed.
        BackendError: the vocabulary is neither here nor to be had.
    """
    try:
        from openai_harmony import HarmonyEncodingName, HarmonyError, load_harmony_encoding
    except ImportError as error:
        raise MissingExtraError("Harmony rendering in process", extra="harmony") from error
    try:
        return load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
    except HarmonyError as error:
        raise BackendError(
            "the Harmony vocabulary cannot be loaded",
            hint="without a network, set TIKTOKEN_ENCODINGS_BASE to a folder that holds o200k_base.tiktoken",
        ) from error


@per_policy
def _instruction_tokens(policy: Policy, form: Form, effort: Effort | None) -> tuple[int, ...]:
    """System and developer message, rendered by openai-harmony itself."""
    encoding = load_encoding()
    from openai_harmony import Conversation, DeveloperContent, ReasoningEffort, SystemContent
    from openai_harmony import Message as HarmonyMessage
    from openai_harmony import Role as HarmonyRole

    system = SystemContent.new()
    if effort is not None:
        system = system.with_reasoning_effort(ReasoningEffort[effort.name])
    developer = DeveloperContent.new().with_instructions(instructions(policy, form))
    messages = [
        HarmonyMessage.from_role_and_content(HarmonyRole.SYSTEM, system),
        HarmonyMessage.from_role_and_content(HarmonyRole.DEVELOPER, developer),
    ]
    return tuple(encoding.render_conversation(Conversation.from_messages(messages)))


def _turn(message: Message) -> tuple[int, ...]:
    """One user or assistant message. Three times faster than through openai-harmony's objects; equal to them."""
    channel = "<|channel|>final" if message.role is Role.ASSISTANT else ""
    # Nothing in the text is encoded as a special token, whatever it spells.
    text = load_encoding().encode(message.content, disallowed_special=())
    return (*_frame(f"<|start|>{message.role.value}{channel}<|message|>"), *text, *_frame("<|end|>"))


def _answer_start() -> tuple[int, ...]:
    return _frame("<|start|>assistant")


@functools.cache
def _frame(markup: str) -> tuple[int, ...]:
    return tuple(load_encoding().encode(markup, allowed_special="all"))


@functools.cache
def _stop_tokens() -> tuple[int, ...]:
    return tuple(sorted(load_encoding().stop_tokens_for_assistant_actions()))
