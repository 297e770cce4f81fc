"""`magistrate cascade fit`: from labelled cases and judges to a cascade with its thresholds, and what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import anyio
import numpy as np

from magistrate.case import Case
from magistrate.classifiers.cascade.audit import shares_of
from magistrate.classifiers.cascade.calibrator import Calibrator
from magistrate.classifiers.cascade.file import FILE_NAME, plan_json
from magistrate.classifiers.cascade.plan import CascadePlan, Limit, Promise, Reference, Stage
from magistrate.config import Config
from magistrate.errors import InputError, UsageError
from magistrate.evaluate.golden import GoldenCase, Reading, load_golden
from magistrate.evaluate.metrics import Bools, Floats
from magistrate.policy.model import Policy
from magistrate.row import Outcome, VerdictRow, content_digest
from magistrate.run.models import classifier_for
from magistrate.run.verdicts import read_verdicts
from magistrate.train.cascade.calibrate import FOLDS, fold_numbers
from magistrate.train.cascade.choose import Choice, choose_for_budget, choose_for_recall, route
from magistrate.train.cascade.frontier import Point, frontier, frontier_chart, frontier_table, measure
from magistrate.train.cascade.guarantee import smallest_positives
from magistrate.train.cascade.stages import StageVerdicts, apply_stages, fit_stages
from magistrate.train.cascade.table import FEWEST_OF_A_KIND, CascadeTable, Indices, check_agreement, check_labels
from magistrate.types import Abstained, Decided, Failed, Target, Trace, Verdict

CHART, TABLE = "frontier.svg", "frontier.md"
CHUNK = 64
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
    unit: str
    """What costs are counted in."""


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
    stages, unit = _judged(options, cases, said)
    found = fit_judged(options, stages, truth, groups, unit=unit)
    _tell(found, options, said)
    _write(found, options.out)
    return found


def fit_judged(
    options: FitOptions, stages: Sequence[StageVerdicts], truth: Bools, groups: Indices, *, unit: str
) -> CascadeFit:
    """Fit on verdicts at hand: calibrators and shape on one part, promise and figures on the other."""
    fitting, reporting = _parts(options, truth, groups)
    fitted = fit_stages(stages, truth, groups, fitting, seed=options.seed)
    unseen = apply_stages(stages, fitted.calibrators, truth, reporting)
    points = frontier(fitted.table, unseen, seed=options.seed)
    calibrators, table = fitted.calibrators, fitted.table
    if options.recall is not None:
        choice = choose_for_recall(table, unseen, options.recall, options.confidence)
        point = measure(unseen, choice, budget=1.0, seed=options.seed)
    else:
        budget = options.budget if options.budget is not None else 1.0
        point = measure(unseen, choose_for_budget(table, budget), budget=budget, seed=options.seed)
        # Figures are had; what is shipped may learn from all cases.
        whole = fit_stages(stages, truth, groups, np.arange(truth.size), seed=options.seed)
        calibrators, table = whole.calibrators, whole.table
        choice = choose_for_budget(table, budget)
    return CascadeFit(
        plan=_plan(options, stages, calibrators, choice, unseen, table),
        point=point,
        frontier=points,
        lacking=0 if choice.clearance is None else choice.clearance.lacking,
        unit=unit,
    )


def _check(options: FitOptions) -> None:
    if (options.recall is None) == (options.budget is None):
        raise UsageError(
            "a cascade is fitted for a recall or for a budget, got "
            f"recall {options.recall!r} and budget {options.budget!r}",
            hint="--recall 0.95 --confidence 0.9, or --budget 0.16",
        )
    if not options.screens:
        raise UsageError("a cascade needs a screen before its last stage, got none", hint="--screen embedded")
    if options.recall is not None:
        smallest_positives(options.recall, options.confidence)  # refuses what cannot be promised


def _parts(options: FitOptions, truth: Bools, groups: Indices) -> tuple[Indices, Indices]:
    """Cases to fit on, and the others. A promise takes more than half for itself where it needs them."""
    pieces = 20
    fold = fold_numbers(truth, pieces, groups=groups, seed=options.seed + 7)
    positives = int(np.count_nonzero(truth))
    share = 0.5
    if options.recall is not None:
        needed = smallest_positives(options.recall, options.confidence)
        share = min(max(share, (needed + 2) / positives), 1 - FEWEST_TO_FIT / positives)
    # Rounded so that the fitting part never gets too few.
    reporting = fold < int(np.floor(share * pieces))
    check_labels(truth[~reporting], fewest=FEWEST_TO_FIT)
    return np.flatnonzero(~reporting), np.flatnonzero(reporting)


def _judged(
    options: FitOptions, cases: Sequence[GoldenCase], said: Callable[[str], None]
) -> tuple[list[StageVerdicts], str]:
    judged: list[tuple[str, str, list[Verdict]]] = []
    for model in options.screens:
        said(f"asking {model} about {len(cases):,} cases")
        judged.append((_name(model, [name for name, _, _ in judged]), model, _ask(model, options, cases)))
    if options.verdicts is None:
        said(f"asking {options.reasoner} about {len(cases):,} cases")
        last = _ask(options.reasoner, options, cases)
    else:
        last = recorded_verdicts(options.verdicts, cases, options.policy)
    judged.append(("reasoner", options.reasoner, last))
    unit, costs = _costs([verdicts for _, _, verdicts in judged])
    return [
        StageVerdicts(name=name, model=model, verdicts=tuple(verdicts), costs=cost)
        for (name, model, verdicts), cost in zip(judged, costs, strict=True)
    ], unit


def _name(model: str, taken: Sequence[str]) -> str:
    stem = Path(model).name or "screen"
    return next(name for name in (stem, *(f"{stem}-{n}" for n in range(2, 99))) if name not in (*taken, "reasoner"))


def _ask(model: str, options: FitOptions, cases: Sequence[GoldenCase]) -> list[Verdict]:
    async def ask() -> list[Verdict]:
        found: list[Verdict] = []
        async with classifier_for(model, options.config) as judge:
            for at in range(0, len(cases), CHUNK):
                chunk = cases[at : at + CHUNK]
                found.extend(await judge.judge_many([Case(options.policy, c.content, c.id) for c in chunk]))
        return found

    return anyio.run(ask)


def recorded_verdicts(path: Path, cases: Sequence[GoldenCase], policy: Policy) -> list[Verdict]:
    """Verdicts of the last stage from rows of a batch, by the ids of the cases.

    Raises:
        InputError: a case has no row under this policy.
    """
    rows = {row.id: row for row in read_verdicts(path) if row.policy_digest == policy.digest}
    missing = [case.id for case in cases if case.id not in rows]
    if missing:
        raise InputError(
            f"{str(path)!r} has no verdict under this policy for {len(missing)} of {len(cases)} cases, "
            f"the first of them {missing[0]!r}",
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


def _costs(judged: Sequence[Sequence[Verdict]]) -> tuple[str, list[Floats]]:
    """Seconds where every stage tells them, else items of the last stage."""
    seconds = [np.array([v.trace.latency_ms / 1000 for v in verdicts], np.float64) for verdicts in judged]
    if all(float(np.max(one)) > 0 for one in seconds):
        return "seconds", seconds
    items = [np.full(len(verdicts), 1e-3) for verdicts in judged[:-1]]
    return "items", [*items, np.ones(len(judged[-1]))]


def _plan(
    options: FitOptions,
    stages: Sequence[StageVerdicts],
    calibrators: Sequence[Calibrator],
    choice: Choice,
    promised_on: CascadeTable,
    table: CascadeTable,
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
                calibrator=calibrator,
            )
            for stage, one, calibrator in zip(stages, choice.thresholds, calibrators, strict=True)
        ),
        created=options.today,
        promise=promise,
        limit=Limit(share=options.budget) if options.budget else None,
        reference=Reference(
            shares=shares_of(table.probabilities[:, 0].tolist()),
            cases=table.cases,
            base_rate=float(np.mean(route(table, choice.thresholds).flagged)),
        ),
    )


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
    said(f"on cases that it was not fitted on: F1 {found.point.f1.value:.3f}, {found.point.reasoned:.1%} reasoned over")
    said(frontier_table(found.frontier, unit=found.unit))


def _write(found: CascadeFit, out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / FILE_NAME).write_text(plan_json(found.plan), encoding="utf-8")
        (out / TABLE).write_text(frontier_table(found.frontier, unit=found.unit), encoding="utf-8")
        (out / CHART).write_text(frontier_chart(found.frontier), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {str(out)!r}: {error.strerror}", hint="choose another folder") from error
