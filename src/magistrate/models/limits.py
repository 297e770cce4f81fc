"""What a server's model takes, and whether a policy fits: checked before the first call.

A policy that cannot fit is an error of the user's, told with the tokens that are too many. A content that leaves no
room beside the policy is a verdict of its case: `Failed`, `too_long`, without a call.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, HttpUrl, PositiveInt

from magistrate.backends.base import Backend
from magistrate.case import Case
from magistrate.classifiers.reasoner import Reasoner
from magistrate.dialects.base import Dialect
from magistrate.dialects.single_token import SingleToken
from magistrate.dialects.tagged import Tagged
from magistrate.errors import UsageError
from magistrate.models.profile import Profile
from magistrate.models.registry import profile_named
from magistrate.policy.model import Policy
from magistrate.policy.tokens import TokenCount, count_tokens, estimate_tokens
from magistrate.types import Code, Content, Effort, Failed, Sampling, Trace, Usage, Verdict

LEAST_ANSWER = 256
"""Tokens that are kept for an answer where nothing says how long it may be: a short verdict with little reasoning."""
FOREIGN_SHARE = 0.8
"""Of a count in the Harmony vocabulary, what another vocabulary is taken to need at the least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a model at a server takes; None where nothing says."""

    context_tokens: int | None = None
    max_output_tokens: int | None = None
    takes_effort: bool | None = None
    takes_seed: bool | None = None
    source: str = ""
    """Who says so, for a message."""


class _Provider(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    host: str
    model: str = ""
    context_tokens: PositiveInt | None = None
    max_output_tokens: PositiveInt | None = None
    takes_effort: bool | None = None
    takes_seed: bool | None = None
    source: HttpUrl


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    providers: tuple[_Provider, ...]


@functools.cache
def _providers() -> tuple[_Provider, ...]:
    text = resources.files("magistrate.models").joinpath("providers.toml").read_text(encoding="utf-8")
    return _File.model_validate(tomllib.loads(text)).providers


def limits_of(url: str, model: str | None, *, context_tokens: int | None = None) -> Limits:
    """What is known before a server is asked: what the user says, else of the service, else of the model.

    Args:
        url: Of the server.
        model: As the server names it; None where it serves just one.
        context_tokens: What the user says of the context, which goes before everything.
    """
    service = _service(url, model or "")
    profile = _profile(model)
    known = Limits() if service is None else _of_service(service)
    if profile is not None:
        known = _with_profile(known, profile)
    if context_tokens is not None:
        known = replace(known, context_tokens=context_tokens, source="this server (as the settings say)")
    return known


def is_known_service(url: str) -> bool:
    """Whether that host is a service of which something is known."""
    return any(_is_host(url, found) for found in _providers())


def _service(url: str, model: str) -> _Provider | None:
    for found in _providers():
        if _is_host(url, found) and found.model in model.casefold():
            return found
    return None


def _is_host(url: str, provider: _Provider) -> bool:
    try:
        host = (urlsplit(url).hostname or "").casefold()
    except ValueError:  # an address that the backend refuses with a word of its own
        return False
    return host == provider.host or host.endswith(f".{provider.host}")


def _of_service(service: _Provider) -> Limits:
    return Limits(
        context_tokens=service.context_tokens,
        max_output_tokens=service.max_output_tokens,
        takes_effort=service.takes_effort,
        takes_seed=service.takes_seed,
        source=service.host,
    )


def _profile(model: str | None) -> Profile | None:
    if not model:
        return None
    try:
        return profile_named(model)
    except UsageError:
        return None  # a model of which nothing is known is asked all the same


def _with_profile(known: Limits, profile: Profile) -> Limits:
    """What no service says, from the model. A server may be set to less: it says so itself, if at all."""
    if known.context_tokens is None and profile.context_tokens is not None:
        known = replace(known, context_tokens=profile.context_tokens, source=profile.name)
    if known.takes_effort is None and profile.weights:
        known = replace(known, takes_effort=bool(profile.efforts))
    return known


def check_asked(
    limits: Limits, *, dialect: Dialect, effort: Effort | None, seed: int | None, max_output_tokens: int | None
) -> None:
    """Check what a user asks of a model, before anything is opened.

    Raises:
        UsageError: an effort or a seed that would be ignored, or a longer answer than the model gives.
    """
    at_once = isinstance(dialect, SingleToken | Tagged)
    model = limits.source or "this model"
    if effort is not None and (at_once or limits.takes_effort is False):
        who = f"dialect {dialect.name!r}" if at_once else model
        raise UsageError(
            f"{who} takes no effort, and {effort.value!r} was asked for",
            hint="leave out --effort, and `effort` in [models]",
        )
    if seed is not None and limits.takes_seed is False:
        raise UsageError(
            f"{model} ignores a seed, and {seed} was asked for: answers would differ all the same",
            hint="leave out `seed` in [models]",
        )
    if max_output_tokens is None:
        return
    most = min((n for n in (limits.max_output_tokens, limits.context_tokens) if n is not None), default=None)
    if most is not None and max_output_tokens > most:
        raise UsageError(
            f"max_output_tokens is {max_output_tokens:,}, and {model} gives {most:,} at the most: "
            f"{max_output_tokens - most:,} too many",
            hint="lower `max_output_tokens` in [models], or leave it out",
        )


def check_policy(
    policy: Policy, dialect: Dialect, *, context_tokens: int, max_output_tokens: int | None, who: str
) -> int:
    """Check that a policy, as the dialect writes it, leaves room for an answer; return the tokens left for content.

    Args:
        policy: The policy.
        dialect: Adds its instructions, which are counted with the policy.
        context_tokens: Of prompt and answer together.
        max_output_tokens: Kept for the answer; None for `LEAST_ANSWER`.
        who: Has that context, for the message.

    Raises:
        UsageError: it does not fit, even where its length is only estimated and taken at the least.
    """
    prompt = prompt_tokens(policy, dialect, context_tokens)
    answer = LEAST_ANSWER if max_output_tokens is None else max_output_tokens
    over = prompt.tokens + answer - context_tokens
    if prompt.low + answer <= context_tokens:
        return max(0, context_tokens - answer - prompt.low)
    raise UsageError(
        f"policy {policy.name!r} does not fit: policy {prompt} + answer {answer:,} = {prompt.tokens + answer:,} "
        f"tokens; the context of {who} is {context_tokens:,}: {over:,} too many",
        hint="shorten the policy, judge it in parts (--plan per-rule-group), keep less for the answer "
        "(max_output_tokens), or take a server with a longer context",
    )


def prompt_tokens(policy: Policy, dialect: Dialect, context_tokens: int) -> TokenCount:
    """How long a prompt is without its content, in the model's tokens as near as is needed.

    Only a prompt that comes near the context is counted with the vocabulary, which takes a moment to load. A server's
    template adds some tokens of its own, which are not counted.
    """
    if dialect.needs.token_ids:
        exact = len(dialect.render(policy, NOTHING).token_ids or ())
        return TokenCount(exact, exact, exact)
    text = "\n".join(message.content for message in dialect.render(policy, NOTHING).messages)
    estimate = estimate_tokens(text)
    if estimate.high < _NEAR * context_tokens:
        return estimate
    return _counted(text, dialect)


NOTHING = Content.of_text("")
_NEAR = 0.5
_HARMONY = ("safeguard.", "harmony.")


def _counted(text: str, dialect: Dialect) -> TokenCount:
    count = count_tokens(text)
    if dialect.name.startswith(_HARMONY):
        return count
    return replace(count, low=int(FOREIGN_SHARE * count.low), high=int(count.high / FOREIGN_SHARE))


class CheckedReasoner(Reasoner):
    """A reasoner that asks only what fits: a policy that does not is an error, a content that does not a verdict.

    The server's own word on its context, where it gives one when it is opened, goes before what was known of it.
    """

    def __init__(
        self,
        dialect: Dialect,
        backend: Backend,
        limits: Limits,
        *,
        effort: Effort | None = None,
        sampling: Sampling | None = None,
        constrained: bool = False,
    ) -> None:
        """Store what is needed.

        Args:
            dialect: How the model is asked.
            backend: How it is reached; says its context once it is open.
            limits: What is known before.
            effort: How long it may think; None leaves it to the server.
            constrained: As for any reasoner.
            sampling: As for any reasoner; `max_output_tokens` is kept for the answer, `LEAST_ANSWER` where it is None.

        Raises:
            BackendError: the backend cannot do what the dialect needs.
            UsageError: an effort, a seed or a length of the answer that the model does not take.
        """
        asked = sampling or Sampling()
        check_asked(limits, dialect=dialect, effort=effort, seed=asked.seed, max_output_tokens=asked.max_output_tokens)
        super().__init__(dialect, backend, effort=effort, sampling=asked, constrained=constrained)
        self._limits = limits
        self._rooms: dict[tuple[str, str, int], int] = {}

    async def judge_again(self, cases: Sequence[Case], turns: Sequence[int]) -> list[Verdict]:
        """Judge each case: same length, same order; `judge_many` comes this way too.

        Raises:
            UsageError: a policy does not fit; nothing was sent.
        """
        context = self._context()
        if context is None:
            return await super().judge_again(cases, turns)
        rooms = [self._room(case.policy, context) for case in cases]
        verdicts: list[Verdict | None] = [self._too_long(case, room) for case, room in zip(cases, rooms, strict=True)]
        asked = [place for place, verdict in enumerate(verdicts) if verdict is None]
        answers = await super().judge_again([cases[place] for place in asked], [turns[place] for place in asked])
        for place, answer in zip(asked, answers, strict=True):
            verdicts[place] = answer
        return [verdict for verdict in verdicts if verdict is not None]

    def _context(self) -> int | None:
        told = self._backend.capabilities.context_tokens
        return self._limits.context_tokens if told is None else told

    def _room(self, policy: Policy, context: int) -> int:
        """Tokens left for content; worked out once a policy."""
        key = (policy.name, policy.digest, context)
        if key not in self._rooms:
            known = self._limits.source if self._limits.context_tokens == context else ""
            self._rooms[key] = check_policy(
                policy,
                self._dialect,
                context_tokens=context,
                max_output_tokens=self._sampling.max_output_tokens,
                who=known or "this server",
            )
        return self._rooms[key]

    def _too_long(self, case: Case, room: int) -> Failed | None:
        """The verdict on a content that cannot fit; None where it may."""
        if _longest(case.content) <= room:
            return None
        count = _counted("\n".join(message.content for message in case.content.messages), self._dialect)
        if count.low <= room:
            return None
        return Failed(
            code=Code.TOO_LONG,
            detail=f"the content has {count} tokens, and beside the policy and the answer there is room for {room:,}: "
            f"{count.tokens - room:,} too many",
            trace=Trace(
                policy=case.policy.name,
                policy_digest=case.policy.digest,
                model=self.name,
                dialect=self._dialect.name,
                usage=Usage(),
            ),
        )


def _longest(content: Content) -> int:
    """The most tokens that it may have: no token is shorter than a byte, and no character is longer than four."""
    return 4 * sum(len(message.content) for message in content.messages)
