"""Whether a promised recall is kept: over random splits, how often the screens lose more than the bound.

    python -m benchmarks.promise [FILE] [--splits 200] [--data FOLDER]

Synthetic: 10,000 labelled cases a split, half for the shape, half for the promise; the share that is truly lost is
measured on 200,000 fresh cases. Recorded: the items of FILE behind our screens; thresholds from one half, loss on the
other. The loss of a half of some 37 violating cases is itself a draw, so there two figures stand: of the other half
alone, and of all items.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.cascade import DATA, MODEL, Recorded, halves, load
from benchmarks.recorded import RECORDED
from magistrate.classifiers.cascade.ledger import CostUnit
from magistrate.config import Config
from magistrate.digest import text_digest
from magistrate.policy.model import Policy
from magistrate.train.cascade.choose import choose_for_recall, route
from magistrate.train.cascade.fit import FitOptions, fit_judged
from magistrate.train.cascade.guarantee import clearance
from magistrate.train.cascade.stages import StageVerdicts
from magistrate.train.cascade.table import CascadeTable
from magistrate.types import Decided, Trace, Verdict

ASKED = ((0.95, 0.9), (0.9, 0.9), (0.9, 0.8))
LABELLED, FRESH, BASE_RATE = 10_000, 200_000, 0.08


def drawn(cases: int, generator: np.random.Generator) -> CascadeTable:
    """Two screens of unlike strength and a reasoner, with calibrated probabilities."""
    gaps = np.array([1.4, 1.9, 3.2])
    truth = generator.random(cases) < BASE_RATE
    scores = generator.normal(size=(cases, 3)) + truth[:, None] * gaps
    odds = scores * gaps - gaps**2 / 2 + math.log(BASE_RATE / (1 - BASE_RATE))
    costs = np.broadcast_to([1.0, 3.0, 500.0], odds.shape).copy()
    return CascadeTable(
        stages=("static", "embedded", "reasoner"), truth=truth, probabilities=1 / (1 + np.exp(-odds)), costs=costs
    )


def synthetic(splits: int) -> None:
    """Print how often each promise is broken."""
    fresh = drawn(FRESH, np.random.default_rng(10**6))
    for recall, confidence in ASKED:
        lost, reasoned = [], []
        for seed in range(splits):
            table = drawn(LABELLED, np.random.default_rng(seed))
            order = np.random.default_rng(seed).permutation(LABELLED)
            first, second = table.take(order[: LABELLED // 2]), table.take(order[LABELLED // 2 :])
            routes = route(fresh, choose_for_recall(first, second, recall, confidence).thresholds)
            lost.append(float(np.mean(routes.cleared_by_screens()[fresh.truth])))
            reasoned.append(routes.reasoned)
        _tell("synthetic", recall, confidence, np.array(lost))
        print(f"    mean lost {np.mean(lost):.2%}, reasoned over {np.mean(reasoned):.1%}")


def recorded(one: Recorded, splits: int) -> None:
    """Print how often each promise is broken: one screen, whose score no item of the file was used for."""
    score = one.screen.values.mean(axis=1)
    for recall, confidence in ASKED:
        other, whole, refused = [], [], 0
        for seed in range(splits):
            inside, outside = halves(one.truth, one.groups, seed)
            found = clearance(score[inside][one.truth[inside]], recall=recall, confidence=confidence)
            refused += found.below is None
            below = -np.inf if found.below is None else found.below
            other.append(float(np.mean(score[outside][one.truth[outside]] < below)))
            whole.append(float(np.mean(score[one.truth] < below)))
        _tell("recorded, the other half", recall, confidence, np.array(other))
        _tell("recorded, all items", recall, confidence, np.array(whole))
        if refused:
            print(f"    refused in {refused} of {splits}: too few violating cases")


def _tell(what: str, recall: float, confidence: float, lost: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    broken, allowed = float(np.mean(lost > 1 - recall + 1e-9)), 1 - confidence
    error = math.sqrt(allowed * confidence / lost.size)
    kept = "kept" if broken <= allowed + 2 * error else "BROKEN"
    print(
        f"{what}: recall {recall}, confidence {confidence}: exceeded in {broken:.1%} of {lost.size} splits "
        f"(allowed {allowed:.0%} +- {2 * error:.1%}): {kept}",
        flush=True,
    )


def timed() -> None:
    """Print how long a whole fit on 10,000 labelled cases takes, verdicts at hand."""
    generator = np.random.default_rng(0)
    truth = generator.random(LABELLED) < BASE_RATE
    policy = Policy.parse("# P\n\nNo insults.\n", name="p", file="p.md")
    letters = "abcdefghij"
    vocabulary = [f"w{a}{b}{c}" for a in letters for b in letters for c in letters]

    def stage(name: str, gap: float, words: int) -> StageVerdicts:
        odds = (generator.normal(size=LABELLED) + truth * gap) * gap - gap**2 / 2 - 2.4
        said = 1 / (1 + np.exp(-odds))
        verdicts = [_verdict(float(p), " ".join(generator.choice(vocabulary, words)), policy) for p in said]
        return StageVerdicts(name=name, model=name, verdicts=tuple(verdicts), costs=np.full(LABELLED, 1.0 + 9 * words))

    stages = [stage("static", 1.4, 0), stage("embedded", 1.9, 0), stage("reasoner", 3.2, 80)]
    options = FitOptions(
        policy=policy,
        data=Path(),
        out=Path("cascade"),
        config=Config(),
        reasoner="reasoner",
        recall=0.95,
        today=date(2026, 1, 1),
    )
    groups = np.unique([text_digest(str(n)) for n in range(LABELLED)], return_inverse=True)[1]
    started, busy = time.perf_counter(), time.process_time()
    found = fit_judged(options, stages, truth, groups.astype(np.int64), unit=CostUnit.TOKENS)
    print(
        f"a cascade of 3 stages fitted on {LABELLED:,} labelled cases in {time.perf_counter() - started:.1f} s "
        f"({time.process_time() - busy:.1f} s of CPU), frontier included: F1 {found.point.f1.value:.3f} at "
        f"{found.point.reasoned:.1%}"
    )


def _verdict(probability: float, reasoning: str, policy: Policy) -> Verdict:
    trace = Trace(policy=policy.name, policy_digest=policy.digest, model="m", dialect="d", reasoning=reasoning)
    return Decided(
        violation=probability > 0.5,
        label="",
        rule_ids=(),
        severity=None,
        probability=probability,
        rationale="",
        trace=trace,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print all parts."""
    parser = argparse.ArgumentParser(prog="benchmarks.promise")
    parser.add_argument("file", nargs="?", type=Path, default=RECORDED)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--splits", type=int, default=200)
    chosen = parser.parse_args(arguments)
    timed()
    synthetic(chosen.splits)
    if chosen.file.is_file():
        recorded(load(chosen.file, chosen.data, MODEL)[0], chosen.splits)


if __name__ == "__main__":
    main()
