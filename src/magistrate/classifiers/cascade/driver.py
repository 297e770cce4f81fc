"""What drives the logic of a cascade: batches, streams, and plain functions."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import islice
from types import TracebackType
from typing import Self, assert_never

from magistrate.case import Case
from magistrate.classifiers.base import Classifier, Repeatable
from magistrate.classifiers.cascade.budget import Controller, Use
from magistrate.classifiers.cascade.logic import Ask, Gate, Logic, Offer, hear
from magistrate.classifiers.cascade.plan import CascadePlan, Stage, Unit
from magistrate.classifiers.cascade.standby import Standby
from magistrate.digest import Digest
from magistrate.errors import UsageError
from magistrate.policy.model import Policy
from magistrate.types import Verdict


def answer(logic: Logic, judge: Callable[[Ask], Sequence[Verdict]]) -> list[Verdict]:
    """Drive the logic with a plain function."""
    try:
        ask = next(logic)
        while True:
            ask = logic.send(judge(ask))
    except StopIteration as end:
        verdicts: list[Verdict] = end.value
        return verdicts


class Cascade:
    """Judge through the stages of a plan, each case by as few of them as decide it.

    Where the plan has a limit, which cases reach the last stage depends on what came before and on the clock; without
    one, a case's verdict depends on that case alone.
    """

    def __init__(
        self,
        plan: CascadePlan,
        classifiers: Sequence[Classifier],
        *,
        wordings: Sequence[Policy] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Store what is needed; entering the context opens the classifiers.

        Args:
            plan: The stages.
            classifiers: One a stage, in order; one that serves two stages is opened once.
            wordings: The policies that the plan's votes name by their digests.
            clock: Seconds, for the budget.

        Raises:
            UsageError: not one classifier a stage, one that cannot be asked again where the plan does, or a wording
                that is missing.
        """
        if len(classifiers) != len(plan.stages):
            raise UsageError(
                f"{len(plan.stages)} stages and {len(classifiers)} classifiers", hint="give one classifier a stage"
            )
        self._plan = plan
        self._classifiers = tuple(classifiers)
        self._wordings = {policy.digest: policy for policy in wordings}
        for stage, classifier in zip(plan.stages, classifiers, strict=True):
            _check_votes(stage, classifier, self._wordings)
        self._meter = None if plan.limit is None else _Meter(Controller(plan.limit), clock)
        self._opened = AsyncExitStack()

    @property
    def name(self) -> str:
        """The plan's name."""
        return self._plan.name

    @property
    def plan(self) -> CascadePlan:
        """The stages and thresholds."""
        return self._plan

    @property
    def use(self) -> Use | None:
        """What the last stage took of the budget's window; None where there is no budget."""
        return None if self._meter is None else self._meter.controller.use

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the stages' servers."""
        return tuple(
            f"{stage.name}: {note}"
            for stage, classifier in zip(self._plan.stages, self._classifiers, strict=True)
            if isinstance(classifier, Standby)
            for note in classifier.notes
        )

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        """Judge each case: same length, same order. Each stage is asked once, about all cases that reach it.

        Raises:
            UsageError: the plan was fitted for another policy than a case has.
        """
        self._check(cases)
        logic = hear(self._plan, cases, self._arrive(cases))
        try:
            ask = next(logic)
            while True:
                ask = logic.send(await self._judge(ask))
        except StopIteration as end:
            verdicts: list[Verdict] = end.value
            return verdicts

    async def judge_stream(
        self, cases: Iterable[Case] | AsyncIterable[Case], *, rows: int = 32, ahead: int = 1024
    ) -> AsyncIterator[Verdict]:
        """Judge cases as they come, each stage in full batches, and give the verdicts in the order of the cases.

        Args:
            cases: Any number; never held as a whole.
            rows: A stage is asked when this many cases wait for it.
            ahead: Cases under way at the most; the stage with most waiting is then asked, however many those are.

        Raises:
            UsageError: as `judge_many`.
        """
        stream = _Stream(self._judge, rows=rows)
        async for case in _each(cases):
            self._check([case])
            stream.begin(hear(self._plan, [case], self._arrive([case])))
            while stream.is_full or (stream.is_waiting and stream.under_way >= ahead):
                await stream.ask_fullest()
                for verdict in stream.finished():
                    yield verdict
        while stream.is_waiting:
            await stream.ask_fullest()
        for verdict in stream.finished():
            yield verdict

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for classifier in {id(one): one for one in self._classifiers}.values():
                await stack.enter_async_context(classifier)
            self._opened = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.__aexit__(kind, error, trace)

    def _check(self, cases: Sequence[Case]) -> None:
        fitted = self._plan.policy_digest
        wrong = next((case.policy for case in cases if fitted is not None and case.policy.digest != fitted), None)
        if wrong is not None:
            raise UsageError(
                f"the cascade {self._plan.name!r} was fitted for the policy {str(fitted)[:19]}…, not for "
                f"{wrong.name!r}, {wrong.digest[:19]}…",
                hint="judge by the policy that it was fitted for, or fit one: magistrate cascade fit --policy FILE …",
            )

    def _arrive(self, cases: Sequence[Case]) -> Gate | None:
        if self._meter is None:
            return None
        self._meter.arrive(cases)
        return self._meter.grant

    async def _judge(self, ask: Ask) -> list[Verdict]:
        if self._meter is None or ask.stage < len(self._plan.stages) - 1:
            return await self._answers(ask)
        try:
            verdicts = await self._answers(ask)
        except BaseException:
            self._meter.give_back(ask.cases)
            raise
        self._meter.settle(ask, verdicts)
        return verdicts

    async def _answers(self, ask: Ask) -> list[Verdict]:
        """All votes in one call."""
        classifier, votes = self._classifiers[ask.stage], self._plan.stages[ask.stage].votes
        if votes is None:
            return await classifier.judge_many(ask.cases)
        own = votes.times
        cases = [
            case if vote < own else replace(case, policy=self._wordings[votes.wordings[vote - own].digest])
            for case, vote in zip(ask.cases, ask.votes, strict=True)
        ]
        if not isinstance(classifier, Repeatable):
            return await classifier.judge_many(cases)
        return await classifier.judge_again(cases, [vote if vote < own else 0 for vote in ask.votes])


def _check_votes(stage: Stage, classifier: Classifier, wordings: Mapping[Digest, Policy]) -> None:
    if stage.votes is None:
        return
    if stage.votes.times > 1 and not isinstance(classifier, Repeatable):
        raise UsageError(
            f"stage {stage.name!r} asks {stage.model!r} {stage.votes.times} times, and it says the same each time",
            hint="votes = 1, or a reasoner that samples",
        )
    missing = next((one.file for one in stage.votes.wordings if one.digest not in wordings), None)
    if missing is not None:
        raise UsageError(
            f"stage {stage.name!r} votes on the wording {missing!r}, which is missing or was changed",
            hint="put the file beside the plan as it was when the cascade was fitted, or fit again",
        )


class _Meter:
    """What lies between the controller and the cases: a clock, and what a case weighs.

    Tokens and seconds are known only of cases that the last stage judged. So cases weigh by their characters, policy
    included, and what was measured is turned into characters by what a character takes on average.
    """

    def __init__(self, controller: Controller, clock: Callable[[], float]) -> None:
        self.controller = controller
        self._clock = clock
        self._reserved: dict[int, float] = {}
        """By the identity of a case under way; the logic hands on the very cases that it was given."""
        self._measured = 0.0
        self._characters = 0.0

    def arrive(self, cases: Sequence[Case]) -> None:
        """Count cases."""
        now = self._clock()
        for case in cases:
            self.controller.arrived(self._weight(case), now)

    def grant(self, offers: Sequence[Offer]) -> list[bool]:
        """Which of some cases the last stage is asked about: those of the greatest expected loss come first."""
        now = self._clock()
        granted = [False] * len(offers)
        for place in sorted(range(len(offers)), key=lambda place: -offers[place].loss):
            case, weight = offers[place].case, self._weight(offers[place].case)
            granted[place] = self.controller.decide(offers[place].loss, weight, now)
            if granted[place]:
                self._reserved[id(case)] = weight
        return granted

    def settle(self, ask: Ask, verdicts: Sequence[Verdict]) -> None:
        """Put in what the last stage really took, also for what is audited and was never asked for."""
        now = self._clock()
        for case, vote, verdict in zip(ask.cases, ask.votes, verdicts, strict=True):
            spent = self._spent(case, verdict, is_first=vote == 0)
            self.controller.spent(spent, self._reserved.pop(id(case), 0.0), now)

    def give_back(self, cases: Sequence[Case]) -> None:
        """Nothing came of the call: what was set aside for it is free again."""
        now = self._clock()
        for case in cases:
            self.controller.spent(0.0, self._reserved.pop(id(case), 0.0), now)

    def _weight(self, case: Case) -> float:
        return 1.0 if self.controller.limit.unit is Unit.ITEMS else float(_characters(case))

    def _spent(self, case: Case, verdict: Verdict, *, is_first: bool) -> float:
        """A further vote is no further case: it only makes the case take more."""
        taken = _taken(self.controller.limit.unit, verdict)
        if taken is None:
            return self._weight(case) if is_first else 0.0
        fading = _FADING if is_first else 1.0
        self._measured = self._measured * fading + taken
        self._characters = self._characters * fading + (_characters(case) if is_first else 0)
        return taken * self._characters / self._measured


_FADING = 1 - 1 / 1000
"""What was measured a thousand cases ago counts 1/e."""


def _taken(unit: Unit, verdict: Verdict) -> float | None:
    """Tokens or seconds of one verdict; None where they are not told, and for items."""
    match unit:
        case Unit.ITEMS:
            return None
        case Unit.TOKENS:
            usage = verdict.trace.usage
            return ((usage.input_tokens or 0) + (usage.output_tokens or 0)) or None
        case Unit.SECONDS:
            return verdict.trace.latency_ms / 1000 or None
        case _:
            assert_never(unit)


def _characters(case: Case) -> int:
    return len(case.policy.text) + sum(len(message.content) for message in case.content.messages)


@dataclass(slots=True)
class _UnderWay:
    logic: Logic
    ask: Ask | None = None
    verdict: Verdict | None = None

    def go_on(self, verdicts: Sequence[Verdict] | None) -> None:
        """Send answers, None at the beginning; keep the next questions, or the verdict."""
        try:
            self.ask = next(self.logic) if verdicts is None else self.logic.send(verdicts)
        except StopIteration as end:
            (self.verdict,) = end.value
            self.ask = None


class _Stream:
    """Logics of one case each, under way at the same time."""

    def __init__(self, judge: Callable[[Ask], Awaitable[list[Verdict]]], *, rows: int) -> None:
        self._judge = judge
        self._rows = rows
        self._order: deque[_UnderWay] = deque()
        self._waiting: dict[int, list[_UnderWay]] = {}

    @property
    def under_way(self) -> int:
        """Cases that were begun and are not yet given back."""
        return len(self._order)

    @property
    def is_waiting(self) -> bool:
        """Whether any stage is to be asked."""
        return any(self._waiting.values())

    @property
    def is_full(self) -> bool:
        """Whether enough cases wait for one stage."""
        return any(len(waiting) >= self._rows for waiting in self._waiting.values())

    def begin(self, logic: Logic) -> None:
        """Take a case in."""
        one = _UnderWay(logic)
        self._order.append(one)
        one.go_on(None)
        self._queue(one)

    async def ask_fullest(self) -> None:
        """Ask the stage for which most cases wait, the earlier one of two."""
        stage = max(sorted(self._waiting), key=lambda place: len(self._waiting[place]))
        waiting = self._waiting.pop(stage)
        asks = [one.ask for one in waiting if one.ask is not None]
        cases = tuple(case for ask in asks for case in ask.cases)
        votes = tuple(vote for ask in asks for vote in ask.votes)
        verdicts = iter(await self._judge(Ask(stage, cases, votes)))
        for one, ask in zip(waiting, asks, strict=True):
            one.go_on(list(islice(verdicts, len(ask.cases))))
            self._queue(one)

    def finished(self) -> Iterator[Verdict]:
        """Give back what is decided, as far as all cases before it are."""
        while self._order and (verdict := self._order[0].verdict) is not None:
            self._order.popleft()
            yield verdict

    def _queue(self, one: _UnderWay) -> None:
        if one.ask is not None:
            self._waiting.setdefault(one.ask.stage, []).append(one)


async def _each(cases: Iterable[Case] | AsyncIterable[Case]) -> AsyncIterator[Case]:
    if isinstance(cases, AsyncIterable):
        async for case in cases:
            yield case
    else:
        for case in cases:
            yield case
