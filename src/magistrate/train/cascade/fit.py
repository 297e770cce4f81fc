"""`magistrate cascade fit`: from labelled cases and judges to a cascade with its thresholds, and what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import assert_never

import numpy as np

from magistrate.classifiers.cascade.audit import shares_of
from magistrate.classifiers.cascade.file import FILE_NAME, plan_json
from magistrate.classifiers.cascade.ledger import CostUnit
from magistrate.classifiers.cascade.plan import (
    MOST_VOTES,
    CascadePlan,
    Limit,
    Promise,
    Reference,
    Stage,
    Unit,
    Votes,
    Wording,
)
from magistrate.config import Config
from magistrate.errors import UsageError
from magistrate.evaluate.golden import Reading, load_golden
from magistrate.evaluate.metrics import Bools
from magistrate.policy.model import Policy
from magistrate.row import content_digest
from magistrate.train.cascade.calibrate import FOLDS, fold_numbers
from magistrate.train.cascade.choose import Choice, choose_for_budget, choose_for_recall, f1_score, route
from magistrate.train.cascade.frontier import Point, frontier, frontier_chart, frontier_table, measure
from magistrate.train.cascade.gather import Asking, stage_verdicts
from magistrate.train.cascade.guarantee import smallest_positives
from magistrate.train.cascade.stages import (
    FittedStage,
    FittedStages,
    FittedVotes,
    StageVerdicts,
    VoteWorth,
    apply_stages,
    fit_stages,
)
from magistrate.train.cascade.table import FEWEST_OF_A_KIND, CascadeTable, Indices, check_agreement, check_labels
from magistrate.types import Target

CHART, TABLE = "frontier.svg", "frontier.md"
FEWEST_TO_FIT = -(-FEWEST_OF_A_KIND * FOLDS // (FOLDS - 1))
"""Of a kind, in the part that calibrators are fitted on: each fold leaves four fifths of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """What to fit, and how its thresholds are chosen: by a promised recall or by a budget, not both."""

    policy: Policy
    data: Path
    """Labelled cases, in any form of a golden set."""
    out: Path
    """Folder of the cascade."""
    config: Config
    screens: tuple[str, ...] = ("embedded",)
    """Models, in the order in which they are asked."""
    reasoner: str
    """The model of the last stage."""
    verdicts: Path | None = None
    """Verdict rows of the last stage on `data`, so that it need not be asked again."""
    recall: float | None = None
    confidence: float = 0.9
    budget: float | None = None
    cost: CostUnit | None = None
    """What cost is counted in; None for seconds where every stage tells them, else items. Where it is seconds, tokens
    or money, a budget is a share of that; else of the cases."""
    times: int = 1
    """How often the reasoner is asked about each case, in the policy's own words."""
    wordings: tuple[Policy, ...] = ()
    """The policy in other words, each asked once more."""
    target: Target = Target.CHAT
    today: date
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeFit:
    """A fitted cascade, and what it does with cases that it was not fitted on."""

    plan: CascadePlan
    point: Point
    frontier: tuple[Point, ...]
    lacking: int
    """How many more violating cases must be labelled before the promise can be made; 0 where it is."""
    unit: CostUnit
    """What costs are counted in."""
    worth: VoteWorth | None = None
    """What votes on every case do for the reasoner; None where it was asked once."""


def fit_cascade(options: FitOptions, said: Callable[[str], None]) -> CascadeFit:
    """Judge the labelled cases by every stage, fit, choose, and write the folder.

    Args:
        options: What to fit.
        said: Is told, line by line, what is being done and found.

    Raises:
        UsageError: neither or both of recall and budget, or a model that does not exist.
        InputError: labels of one kind only, too few, or that contradict; verdicts that are missing.
        MissingExtraError: scikit-learn is not installed.
    """
    _check(options)
    cases = load_golden(options.data, Reading(policy=options.policy, target=options.target)).cases
    truth = np.array([case.violation for case in cases], np.bool_)
    check_labels(truth, fewest=FEWEST_TO_FIT + FOLDS)
    digests = [content_digest(case.content) for case in cases]
    check_agreement(digests, truth)
    groups = np.unique(digests, return_inverse=True)[1].astype(np.int64)
    asking = Asking(
        policy=options.policy,
        config=options.config,
        screens=options.screens,
        reasoner=options.reasoner,
        verdicts=options.verdicts,
        times=options.times,
        wordings=options.wordings,
        cost=options.cost,
    )
    stages, unit = stage_verdicts(asking, cases, said)
    found = fit_judged(options, stages, truth, groups, unit=unit)
    _tell(found, options, said)
    _write(found, options)
    return found


def fit_judged(
    options: FitOptions, stages: Sequence[StageVerdicts], truth: Bools, groups: Indices, *, unit: CostUnit
) -> CascadeFit:
    """Fit on verdicts at hand: calibrators and shape on one part, promise and figures on the other."""
    fitting, reporting = _parts(options, truth, groups)
    by_cost = options.cost not in (None, CostUnit.ITEMS)
    fitted = fit_stages(stages, truth, groups, fitting, seed=options.seed)
    votes_fit = not by_cost or options.budget is None or votes_pay_within(fitted, options.budget)
    fitted = fitted if votes_fit else fitted.without_votes()
    unseen = apply_stages(stages, fitted.stages, truth, reporting)
    whole_budget = fitted.once_share if by_cost else 1.0
    points = frontier(fitted.table, unseen, by_cost=by_cost, whole=whole_budget, seed=options.seed)
    read, table, share = fitted.stages, fitted.table, None
    if options.budget is None:
        choice = choose_for_recall(table, unseen, options.recall or 0.0, options.confidence)
        point = measure(unseen, choice, budget=1.0, seed=options.seed)
    else:
        choice = choose_for_budget(table, options.budget * whole_budget, by_cost=by_cost)
        point = measure(unseen, choice, budget=options.budget, seed=options.seed)
        # Figures are had; what is shipped may learn from all cases.
        whole = fit_stages(stages, truth, groups, np.arange(truth.size), seed=options.seed)
        whole = whole if votes_fit else whole.without_votes()
        read, table = whole.stages, whole.table
        share = options.budget * (whole.once_share if by_cost else 1.0)
        choice = choose_for_budget(table, share, by_cost=by_cost)
    return CascadeFit(
        plan=_plan(options, stages, read, choice, unseen, table, share),
        point=point,
        frontier=points,
        lacking=0 if choice.clearance is None else choice.clearance.lacking,
        unit=unit,
        worth=read[-1].worth,
    )


def votes_pay_within(fitted: FittedStages, budget: float) -> bool:
    """Whether F1 is better with votes where they count in a budget: it then buys fewer cases.

    Args:
        fitted: On some cases; the comparison is on these, for both in the same way.
        budget: Share of what the last stage takes if it is asked once about every case.
    """
    if fitted.stages[-1].votes is None:
        return False
    once, voted = (
        f1_score(table.truth, route(table, choose_for_budget(table, share, by_cost=True).thresholds).flagged)
        for table, share in ((fitted.table_once, budget), (fitted.table, budget * fitted.once_share))
    )
    return voted > once


def _check(options: FitOptions) -> None:
    if (options.recall is None) == (options.budget is None):
        raise UsageError(
            "a cascade is fitted for a recall or for a budget, got "
            f"recall {options.recall!r} and budget {options.budget!r}",
            hint="--recall 0.95 --confidence 0.9, or --budget 0.16",
        )
    if not options.screens:
        raise UsageError("a cascade needs a screen before its last stage, got none", hint="--screen embedded")
    if options.times < 1 or options.times + len(options.wordings) > MOST_VOTES:
        raise UsageError(
            f"{options.times} votes and {len(options.wordings)} wordings: allowed are 1 to {MOST_VOTES} in all",
            hint="--votes 3",
        )
    digests = [options.policy.digest, *(wording.digest for wording in options.wordings)]
    if len(set(digests)) < len(digests):
        raise UsageError("a wording has the same text as the policy or as another wording", hint="--votes asks again")
    if options.recall is not None:
        smallest_positives(options.recall, options.confidence)  # refuses what cannot be promised


def _parts(options: FitOptions, truth: Bools, groups: Indices) -> tuple[Indices, Indices]:
    """Cases to fit on, and the others. A promise takes more than half for itself where it needs them."""
    pieces = 20
    fold = fold_numbers(truth, pieces, groups=groups, seed=options.seed + 7)
    wanted = pieces / 2
    if options.recall is not None:
        needed = smallest_positives(options.recall, options.confidence)
        wanted = max(wanted, (needed + 2) / np.count_nonzero(truth) * pieces)
    # The fitting part never gets too few of a kind.
    most = max(k for k in range(1, pieces) if k == 1 or _fewest(truth[fold >= k]) >= FEWEST_TO_FIT)
    reporting = fold < min(int(wanted), most)
    check_labels(truth[~reporting], fewest=FEWEST_TO_FIT)
    return np.flatnonzero(~reporting), np.flatnonzero(reporting)


def _fewest(truth: Bools) -> int:
    positives = int(np.count_nonzero(truth))
    return min(positives, int(truth.size) - positives)


def _plan(
    options: FitOptions,
    stages: Sequence[StageVerdicts],
    read: Sequence[FittedStage],
    choice: Choice,
    promised_on: CascadeTable,
    table: CascadeTable,
    share: float | None,
) -> CascadePlan:
    promise = None
    if options.recall is not None and choice.clearance is not None and choice.clearance.below is not None:
        promise = Promise(
            recall=options.recall,
            confidence=options.confidence,
            cases=promised_on.cases,
            positives=promised_on.positives,
        )
    return CascadePlan(
        name=options.out.name or "cascade",
        policy_digest=options.policy.digest,
        stages=tuple(
            Stage(
                name=stage.name,
                model=stage.model,
                clear_below=one.clear_below,
                flag_from=one.flag_from,
                calibrator=fitted.calibrator,
                votes=None if fitted.votes is None else _votes(options, fitted.votes),
            )
            for stage, one, fitted in zip(stages, choice.thresholds, read, strict=True)
        ),
        created=options.today,
        promise=promise,
        limit=Limit(share=share, unit=_limit_unit(options)) if share is not None and 0 < share < 1 else None,
        reference=Reference(
            shares=shares_of(table.probabilities[:, 0].tolist()),
            cases=table.cases,
            base_rate=float(np.mean(route(table, choice.thresholds).flagged)),
        ),
    )


def _votes(options: FitOptions, fitted: FittedVotes) -> Votes:
    return Votes(
        times=options.times,
        wordings=tuple(Wording(file=name, digest=one.digest) for name, one in _wording_files(options)),
        ask_from=fitted.ask_from,
        ask_to=fitted.ask_to,
        calibrator=fitted.calibrator,
    )


def _wording_files(options: FitOptions) -> list[tuple[str, Policy]]:
    return [(f"wording-{number}.md", policy) for number, policy in enumerate(options.wordings, start=1)]


def _limit_unit(options: FitOptions) -> Unit:
    """What the budget is kept in, in use: money goes with tokens, or with time where that is what is paid for."""
    match options.cost:
        case None | CostUnit.ITEMS:
            return Unit.ITEMS
        case CostUnit.TOKENS:
            return Unit.TOKENS
        case CostUnit.SECONDS:
            return Unit.SECONDS
        case CostUnit.MONEY:
            by_tokens = any(p.input_per_million or p.output_per_million for p in options.config.prices.values())
            return Unit.TOKENS if by_tokens else Unit.SECONDS
        case _:
            assert_never(options.cost)


def _tell(found: CascadeFit, options: FitOptions, said: Callable[[str], None]) -> None:
    if found.lacking:
        said(
            f"too few violating cases to promise a recall of {options.recall:g} with confidence "
            f"{options.confidence:g}: label {found.lacking} more; until then the screens clear nothing"
        )
    elif found.plan.promise is not None:
        promise = found.plan.promise
        said(
            f"promised: the screens clear at most {1 - promise.recall:.1%} of violating cases, with confidence "
            f"{promise.confidence:g}, on {promise.positives} violating cases that nothing was fitted on"
        )
    if found.worth is not None:
        said(_votes_text(found.worth, found.plan.last.votes))
    said(f"on cases that it was not fitted on: F1 {found.point.f1.value:.3f}, {found.point.reasoned:.1%} reasoned over")
    said(frontier_table(found.frontier, unit=found.unit))


def _votes_text(worth: VoteWorth, votes: Votes | None) -> str:
    losses = f"log-loss of cases not fitted on, asked once {worth.once:.4f}, with votes on all {worth.voted:.4f}"
    if votes is None and worth.pays:
        return f"votes are left out, within this budget it is better to ask about more cases once: {losses}"
    if votes is None:
        return f"votes don't pay and are left out: {losses}"
    where = "" if votes.always else f" where the first probability is {votes.ask_from:.3f} to {votes.ask_to:.3f}"
    return f"votes pay, {votes.asks} verdicts{where}: {losses}"


def _write(found: CascadeFit, options: FitOptions) -> None:
    out = options.out
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / FILE_NAME).write_text(plan_json(found.plan), encoding="utf-8")
        (out / TABLE).write_text(frontier_table(found.frontier, unit=found.unit), encoding="utf-8")
        (out / CHART).write_text(frontier_chart(found.frontier, unit=found.unit), encoding="utf-8")
        if found.plan.last.votes is not None:
            for name, policy in _wording_files(options):
                (out / name).write_bytes(policy.text.encode())  # as bytes: line ends are part of the digest
    except OSError as error:
        raise UsageError(f"cannot write {str(out)!r}: {error.strerror}", hint="choose another folder") from error
