"""What every stage says of the labelled cases, votes included, and what asking it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import anyio
import numpy as np

from magistrate.case import Case
from magistrate.classifiers.base import Repeatable
from magistrate.classifiers.cascade.ledger import CostUnit, Price
from magistrate.config import Config
from magistrate.digest import Digest
from magistrate.errors import InputError, UsageError
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.metrics import Floats
from magistrate.policy.model import Policy
from magistrate.row import Outcome, VerdictRow
from magistrate.run.models import check_sampling, classifier_for, server_settings
from magistrate.run.verdicts import read_verdicts
from magistrate.train.cascade.stages import StageVerdicts
from magistrate.types import Abstained, Decided, Failed, Trace, Verdict

CHUNK = 64
SCREEN_ITEM = 1e-3
"""What a screen's verdict counts in items: so little that it only breaks ties."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who is asked what about the labelled cases."""

    policy: Policy
    config: Config
    screens: tuple[str, ...]
    reasoner: str
    verdicts: Path | None
    """Verdict rows of the reasoner, under the policy and perhaps under wordings, so that it need not be asked again."""
    times: int
    """How often the reasoner is asked in the policy's own words."""
    wordings: tuple[Policy, ...]
    cost: CostUnit | None
    """None takes seconds where every stage tells them, else items."""


def stage_verdicts(
    asking: Asking, cases: Sequence[GoldenCase], said: Callable[[str], None]
) -> tuple[list[StageVerdicts], CostUnit]:
    """Ask every stage about every case.

    Args:
        asking: Who and what.
        cases: Labelled.
        said: Is told what is being asked.

    Returns:
        The stages in order, and what their costs are counted in.

    Raises:
        UsageError: a model that does not exist, that cannot vote, or that has no price where money is asked for.
        InputError: verdicts that are missing, or that do not tell what they took.
    """
    names: list[str] = []
    judged: list[tuple[Verdict, ...]] = []
    for model in asking.screens:
        said(f"asking {model} about {len(cases):,} cases")
        names.append(_name(model, names))
        judged.append(tuple(_ask(model, asking, cases, [_Turn(asking.policy)])[0]))
    columns = _asked_of_reasoner(asking, cases, said)
    judged.append(tuple(columns[0]))
    votes = tuple(zip(*columns[1:], strict=True)) if len(columns) > 1 else ()
    unit = asking.cost or _told_unit(judged)
    prices = _prices(asking.config)
    _check_told(unit, asking.reasoner, judged[-1], prices)
    stages = [
        StageVerdicts(
            name=name,
            model=model,
            verdicts=verdicts,
            costs=np.array([_cost(v, unit, prices, item=item) for v in verdicts], np.float64),
        )
        for name, model, verdicts, item in zip(
            (*names, "reasoner"),
            (*asking.screens, asking.reasoner),
            judged,
            (*(SCREEN_ITEM for _ in names), 1.0),
            strict=True,
        )
    ]
    return [*stages[:-1], _with_votes(stages[-1], votes, unit, prices)], unit


def _with_votes(
    stage: StageVerdicts, votes: tuple[tuple[Verdict, ...], ...], unit: CostUnit, prices: Mapping[str, Price]
) -> StageVerdicts:
    if not votes:
        return stage
    costs: Floats = np.array([sum(_cost(vote, unit, prices, item=1.0) for vote in one) for one in votes], np.float64)
    return StageVerdicts(
        name=stage.name,
        model=stage.model,
        verdicts=stage.verdicts,
        costs=stage.costs,
        votes=votes,
        vote_costs=costs,
    )


def _name(model: str, taken: Sequence[str]) -> str:
    stem = Path(model).name or "screen"
    return next(name for name in (stem, *(f"{stem}-{n}" for n in range(2, 99))) if name not in (*taken, "reasoner"))


@dataclass(frozen=True, slots=True)
class _Turn:
    """One verdict on every case: under which wording, and which time it is asked there."""

    policy: Policy
    number: int = 0

    def is_in(self, recorded: Mapping[Digest, Sequence[Verdict]]) -> bool:
        """Whether it need not be asked: only the first time of each wording is recorded."""
        return self.number == 0 and self.policy.digest in recorded


def _asked_of_reasoner(
    asking: Asking, cases: Sequence[GoldenCase], said: Callable[[str], None]
) -> list[Sequence[Verdict]]:
    """A column of verdicts a turn: the first, the repeats, the wordings; asked where they are not recorded."""
    turns = [
        *(_Turn(asking.policy, number) for number in range(asking.times)),
        *(_Turn(wording) for wording in asking.wordings),
    ]
    recorded = {} if asking.verdicts is None else _recorded(asking.verdicts, cases, asking.policy, asking.wordings)
    columns = {turn: recorded[turn.policy.digest] for turn in turns if turn.is_in(recorded)}
    open_turns = [turn for turn in turns if turn not in columns]
    if open_turns:
        calls = len(cases) * len(open_turns)
        said(f"asking {asking.reasoner} about {len(cases):,} cases" + (f", {calls:,} calls" * (calls > len(cases))))
        columns |= dict(zip(open_turns, _ask(asking.reasoner, asking, cases, open_turns), strict=True))
    return [columns[turn] for turn in turns]


def _ask(model: str, asking: Asking, cases: Sequence[GoldenCase], turns: Sequence[_Turn]) -> list[list[Verdict]]:
    """A column of verdicts a turn; all turns of a chunk of cases are one batch."""
    judge = classifier_for(model, asking.config)
    numbers = [turn.number for turn in turns]
    settings = server_settings(model, asking.config)
    if any(numbers) and settings is not None:
        check_sampling(model, settings)
    if any(numbers) and not isinstance(judge, Repeatable):
        raise UsageError(
            f"{model!r} says the same each time it is asked", hint="leave --votes out, or name a reasoner that samples"
        )

    async def ask() -> list[list[Verdict]]:
        columns: list[list[Verdict]] = [[] for _ in turns]
        async with judge:
            for at in range(0, len(cases), max(1, CHUNK // len(turns))):
                chunk = cases[at : at + max(1, CHUNK // len(turns))]
                asked = [Case(turn.policy, case.content, case.id) for turn in turns for case in chunk]
                if isinstance(judge, Repeatable):
                    verdicts = await judge.judge_again(asked, [number for number in numbers for _ in chunk])
                else:
                    verdicts = await judge.judge_many(asked)
                for place, column in enumerate(columns):
                    column.extend(verdicts[place * len(chunk) : (place + 1) * len(chunk)])
        return columns

    return anyio.run(ask)


def _recorded(
    path: Path, cases: Sequence[GoldenCase], policy: Policy, wordings: Sequence[Policy]
) -> dict[Digest, list[Verdict]]:
    """By the digest of the policy and of the wordings that the rows have.

    Raises:
        InputError: a case has no row under the policy, or under a wording of which other cases have one.
    """
    rows: dict[str, dict[str, VerdictRow]] = {}
    for row in read_verdicts(path):
        rows.setdefault(row.policy_digest, {})[row.id] = row
    asked = [policy, *(wording for wording in wordings if wording.digest in rows)]
    return {one.digest: _complete(path, rows.get(one.digest, {}), cases, one) for one in asked}


def _complete(path: Path, rows: Mapping[str, VerdictRow], cases: Sequence[GoldenCase], policy: Policy) -> list[Verdict]:
    missing = [case.id for case in cases if case.id not in rows]
    if missing:
        raise InputError(
            f"{str(path)!r} has no verdict under this policy, {policy.name!r}, for {len(missing)} of {len(cases)} "
            f"cases, the first of them {missing[0]!r}",
            hint="judge the labelled cases with `magistrate batch`, with the policy as it is now",
        )
    return [verdict_of(rows[case.id]) for case in cases]


def verdict_of(row: VerdictRow) -> Verdict:
    """The verdict that a row was made of, as far as calibration reads it."""
    trace = Trace(
        policy=row.policy,
        policy_digest=row.policy_digest,
        model=row.model,
        dialect=row.dialect,
        latency_ms=row.latency_ms,
        usage=row.usage,
        reasoning=row.reasoning,
    )
    if row.outcome is Outcome.DECIDED and row.violation is not None:
        return Decided(
            violation=row.violation,
            label=row.label or "",
            rule_ids=row.rule_ids,
            severity=row.severity,
            probability=row.probability,
            rationale=row.rationale,
            trace=trace,
        )
    if row.code is None:
        raise InputError(f"the row of {row.id!r} is undecided and has no code", hint="judge the case again")
    if row.outcome is Outcome.ABSTAINED:
        return Abstained(code=row.code, detail=row.detail, trace=trace, probability=row.probability)
    return Failed(code=row.code, detail=row.detail, trace=trace)


def _told_unit(judged: Sequence[Sequence[Verdict]]) -> CostUnit:
    told = all(any(verdict.trace.latency_ms > 0 for verdict in verdicts) for verdicts in judged)
    return CostUnit.SECONDS if told else CostUnit.ITEMS


def _cost(verdict: Verdict, unit: CostUnit, prices: Mapping[str, Price], *, item: float) -> float:
    usage, seconds = verdict.trace.usage, verdict.trace.latency_ms / 1000
    match unit:
        case CostUnit.ITEMS:
            return item
        case CostUnit.SECONDS:
            return seconds
        case CostUnit.TOKENS:
            return float((usage.input_tokens or 0) + (usage.output_tokens or 0))
        case CostUnit.MONEY:
            return prices.get(verdict.trace.model, Price()).of(usage, seconds)
        case _:
            assert_never(unit)


def _prices(config: Config) -> dict[str, Price]:
    return {
        name: Price(
            input_per_million=price.input_per_million,
            output_per_million=price.output_per_million,
            per_hour=price.per_hour,
        )
        for name, price in config.prices.items()
    }


def _check_told(unit: CostUnit, reasoner: str, verdicts: Sequence[Verdict], prices: Mapping[str, Price]) -> None:
    """Refuse a unit in which the reasoner costs nothing: every budget would be kept."""
    if any(_cost(verdict, unit, prices, item=1.0) > 0 for verdict in verdicts):
        return
    models = sorted({verdict.trace.model for verdict in verdicts})
    if unit is CostUnit.MONEY and not any(model in prices for model in models):
        raise UsageError(
            f"the settings have no price of {models[0]!r}, which costs are to be counted with",
            hint=f'add [prices."{models[0]}"] with input_per_million and output_per_million, or per_hour',
        )
    raise InputError(
        f"the verdicts of {reasoner!r} do not tell what they took in {unit.value}",
        hint="choose another unit: --cost items",
    )
