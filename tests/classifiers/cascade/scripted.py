"""Classifiers that say what a test tells them, and plans of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date
from types import TracebackType
from typing import Self

from magistrate.case import Case
from magistrate.classifiers.cascade.calibrator import Calibrator
from magistrate.classifiers.cascade.plan import AuditRule, CascadePlan, Limit, Stage
from magistrate.policy.model import Policy
from magistrate.types import Abstained, Code, Content, Decided, Failed, Trace, Usage, Verdict

POLICY = Policy.parse("## Violates\n- AD1. Advertising.\n\n## Safe\n- ADA1. A question.\n", name="ads")
OTHER = Policy.parse("## Violates\n- X1. Anything else.\n\n## Safe\n- XA1. A question.\n", name="other")
DAY = date(2026, 1, 2)


def case(text: str = "hello", case_id: str = "1", policy: Policy = POLICY) -> Case:
    return Case(policy, Content.of_text(text), case_id)


def trace(model: str = "m", *, reasoning: str = "", policy: Policy = POLICY) -> Trace:
    return Trace(
        policy=policy.name,
        policy_digest=policy.digest,
        model=model,
        dialect="scripted.v1",
        latency_ms=2.0,
        usage=Usage(10, 5, None, 1),
        reasoning=reasoning,
    )


def says(probability: float | None, *, violation: bool | None = None, model: str = "m", reasoning: str = "") -> Decided:
    is_violation = (probability or 0) >= 0.5 if violation is None else violation
    return Decided(
        violation=is_violation,
        label="violates" if is_violation else "safe",
        rule_ids=("AD1",) if is_violation else (),
        severity=None,
        probability=probability,
        rationale="because",
        trace=trace(model, reasoning=reasoning),
    )


def fails(model: str = "m") -> Failed:
    return Failed(code=Code.TIMEOUT, detail="60 s", trace=trace(model))


def abstains(probability: float | None = None, model: str = "m") -> Abstained:
    return Abstained(code=Code.UNSURE, detail="too close", trace=trace(model), probability=probability)


def stage(name: str, clear_below: float | None, flag_from: float | None, calibrator: Calibrator | None = None) -> Stage:
    return Stage(name=name, model=name, clear_below=clear_below, flag_from=flag_from, calibrator=calibrator)


def plan_of(*stages: Stage, limit: Limit | None = None, audit: AuditRule | None = None) -> CascadePlan:
    return CascadePlan(name="c", policy_digest=None, stages=stages, created=DAY, limit=limit, audit=audit)


class Scripted:
    """Answers by a function of the case, and keeps what it was asked."""

    def __init__(self, answer: Callable[[Case], Verdict], name: str = "m") -> None:
        self._answer = answer
        self._name = name
        self.asked: list[list[Case]] = []
        self.entered = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def cases(self) -> list[Case]:
        return [case for cases in self.asked for case in cases]

    async def judge_many(self, cases: Sequence[Case]) -> list[Verdict]:
        self.asked.append(list(cases))
        await asyncio.sleep(0)
        return [self._answer(case) for case in cases]

    async def __aenter__(self) -> Self:
        self.entered += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.entered -= 1
