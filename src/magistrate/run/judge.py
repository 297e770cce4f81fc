"""The front door: judge one content or many, from synchronous and asynchronous code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from magistrate.case import Case
from magistrate.classifiers.base import Classifier
from magistrate.classifiers.plan import Split
from magistrate.config import Config, find_config, read_config
from magistrate.errors import UsageError
from magistrate.policy.model import Policy
from magistrate.run.models import classifier_for
from magistrate.types import Content, Effort, Verdict

ContentLike = str | Content


class Judge:
    """A judge that stays open: weights are loaded and connections made once.

    Use it as a context, plain or `async`; inside a plain one call `judge` and its like, inside an `async`
    one `ajudge` and its like. The plain methods also work where an event loop is running (in a notebook).

    >>> from magistrate import Judge, Policy
    >>> policy = Policy.parse('''## Violates
    ... - SP1. Unasked advertising of goods or courses.
    ... ## Safe
    ... - SPA1. A question about an order or an account.
    ... ''', name="ads")
    >>> with Judge() as judge:
    ...     verdicts = judge.judge_many(policy, ["Buy my course on selling, today only", "Where is my order?"])
    >>> [verdict.label for verdict in verdicts]
    ['violates', 'safe']
    """

    def __init__(
        self,
        model: str | Classifier | None = None,
        *,
        model_name: str | None = None,
        effort: Effort | str | None = None,
        dialect: str | None = None,
        config: Config | None = None,
        plan: Split | str | None = None,
        max_calls: int | None = None,
    ) -> None:
        """Store what is asked for; nothing is opened.

        Args:
            model: None for the configured default or the embedded judge; a URL ending in /v1; a name from
                `magistrate.toml`; or a classifier of your own.
            model_name: Which model at that URL.
            effort: How long a reasoner may think: low, medium or high.
            dialect: How the model is asked; see `docs/dialects.md`.
            config: Settings in place of those in `magistrate.toml`.
            plan: How policies become calls: one-prompt, per-policy or per-rule-group; see `docs/planner.md`.
            max_calls: Calls an item at the most, over all its policies and without retries.

        Raises:
            UsageError: no such model, effort, dialect or plan; or a plan for a judge that takes none.
            ConfigError: `magistrate.toml` cannot be used.
        """
        self._exit = ExitStack()
        self._portal: BlockingPortal | None = None
        if model is None or isinstance(model, str):
            settings = read_config(find_config()) if config is None else config
            self._classifier = classifier_for(
                model,
                settings,
                model_name=model_name,
                effort=_effort(effort),
                dialect=dialect,
                plan=_split(plan),
                max_calls=max_calls,
            )
        else:
            if plan is not None or max_calls is not None:
                raise UsageError(
                    "a plan is for models that are named here, not for a classifier of your own",
                    hint="put your classifier into magistrate.classifiers.planned.Planned",
                )
            self._classifier = model

    @property
    def classifier(self) -> Classifier:
        """What judges."""
        return self._classifier

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(self._portal.wrap_async_context_manager(self._classifier))
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.__exit__(kind, error, trace)
        self._portal = None

    async def __aenter__(self) -> Self:
        await self._classifier.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._classifier.__aexit__(kind, error, trace)

    def judge(self, policy: Policy, content: ContentLike) -> Verdict:
        """Judge one content under one policy."""
        return self.judge_many(policy, [content])[0]

    def judge_many(self, policy: Policy, contents: Sequence[ContentLike]) -> list[Verdict]:
        """Judge contents under one policy: same length, same order."""
        return self.judge_cases(_cases(policy, contents))

    def judge_cases(self, cases: Sequence[Case]) -> list[Verdict]:
        """Judge cases, of one policy or of many: same length, same order."""
        return self._run(self.ajudge_cases, cases)

    async def ajudge(self, policy: Policy, content: ContentLike) -> Verdict:
        """Judge one content under one policy."""
        return (await self.ajudge_many(policy, [content]))[0]

    async def ajudge_many(self, policy: Policy, contents: Sequence[ContentLike]) -> list[Verdict]:
        """Judge contents under one policy: same length, same order."""
        return await self.ajudge_cases(_cases(policy, contents))

    async def ajudge_cases(self, cases: Sequence[Case]) -> list[Verdict]:
        """Judge cases, of one policy or of many: same length, same order."""
        return await self._classifier.judge_many(cases)

    def _run(
        self, function: Callable[[Sequence[Case]], Awaitable[list[Verdict]]], cases: Sequence[Case]
    ) -> list[Verdict]:
        if self._portal is None:
            raise UsageError(
                "this judge is not open",
                hint="write `with Judge() as judge:`; inside `async with`, call `await judge.ajudge(...)`",
            )
        return self._portal.call(function, cases)


def judge(
    policy: Policy, content: ContentLike, *, model: str | Classifier | None = None, effort: Effort | str | None = None
) -> Verdict:
    """Judge one content under one policy, opening and closing the judge; for many calls keep a `Judge` open.

    >>> from magistrate import Decided, Policy, judge
    >>> policy = Policy.parse('''## Violates
    ... - SP1. Earning money by recruiting other members.
    ... ## Safe
    ... - SPA1. A question about an order or an account.
    ... ''', name="schemes")
    >>> verdict = judge(policy, "Earn $$$ by recruiting members")
    >>> isinstance(verdict, Decided) and (verdict.violation, verdict.rule_ids[0])
    (True, 'SP1')
    """
    return judge_many(policy, [content], model=model, effort=effort)[0]


def judge_many(
    policy: Policy,
    contents: Sequence[ContentLike],
    *,
    model: str | Classifier | None = None,
    effort: Effort | str | None = None,
) -> list[Verdict]:
    """Judge contents under one policy: same length, same order.

    >>> from magistrate import Policy, judge_many
    >>> policy = Policy.parse("Insults and threats are prohibited. Polite criticism is allowed.", name="manners")
    >>> [v.trace.policy for v in judge_many(policy, ["You are an idiot", "I see this otherwise"])]
    ['manners', 'manners']
    """
    with Judge(model, effort=effort) as opened:
        return opened.judge_many(policy, contents)


async def ajudge(
    policy: Policy, content: ContentLike, *, model: str | Classifier | None = None, effort: Effort | str | None = None
) -> Verdict:
    """Judge one content under one policy, from asynchronous code.

    >>> import asyncio
    >>> from magistrate import Policy, ajudge
    >>> policy = Policy.parse("Insults and threats are prohibited. Polite criticism is allowed.", name="manners")
    >>> asyncio.run(ajudge(policy, "You are an idiot")).trace.policy
    'manners'
    """
    return (await ajudge_many(policy, [content], model=model, effort=effort))[0]


async def ajudge_many(
    policy: Policy,
    contents: Sequence[ContentLike],
    *,
    model: str | Classifier | None = None,
    effort: Effort | str | None = None,
) -> list[Verdict]:
    """Judge contents under one policy, from asynchronous code: same length, same order."""
    async with Judge(model, effort=effort) as opened:
        return await opened.ajudge_many(policy, contents)


def _cases(policy: Policy, contents: Sequence[ContentLike]) -> list[Case]:
    if isinstance(contents, str):
        raise UsageError("contents is one text, not a list of texts", hint="call judge() for one text")
    return [Case(policy, Content.of_text(c) if isinstance(c, str) else c) for c in contents]


def _effort(effort: Effort | str | None) -> Effort | None:
    if effort is None or isinstance(effort, Effort):
        return effort
    try:
        return Effort(effort)
    except ValueError as error:
        raise UsageError(f"no effort {effort!r}", hint=f"allowed: {', '.join(Effort)}") from error


def _split(plan: Split | str | None) -> Split | None:
    if plan is None or isinstance(plan, Split):
        return plan
    try:
        return Split(plan)
    except ValueError as error:
        raise UsageError(f"no plan {plan!r}", hint=f"allowed: {', '.join(Split)}") from error
