"""What votes are worth: the recorded reasoner asked under one policy, and under the others as wordings of it.

    python -m benchmarks.cascade_votes [FILE] [--policy NAME] [--data FOLDER] [--splits 100] [--model NAME]

As `benchmarks.cascade`, with three ways to ask: once; the other wordings too where the first answer leaves it unsure
(between two probabilities, found on the fitting half); the other wordings too of every item. Budgets are of calls: an
item that is asked under three wordings counts three, so that at 16 % each way makes 16 calls for 100 items. The
fourth way is once or where unsure, whichever is better on the fitting half.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.cascade import (
    AIM,
    DATA,
    MODEL,
    REASONER,
    REASONER_FEATURES,
    SCREEN,
    Bools,
    Floats,
    Indices,
    Recorded,
    halves,
    load,
    with_screen,
)
from benchmarks.recorded import RECORDED, Replay, replay
from magistrate.classifiers.cascade.signals import Signals
from magistrate.train.cascade.calibrate import (
    Sheet,
    cross_fitted,
    feature_sheet,
    fit_calibrator,
    log_loss,
    probabilities,
)
from magistrate.train.cascade.choose import choose_for_budget, f1_score, route
from magistrate.train.cascade.stages import VOTE_FEATURES, FittedVotes, when_to_ask
from magistrate.train.cascade.table import CascadeTable

ONCE, UNSURE, ALWAYS = "once", "votes where unsure", "votes on all"
CHOSEN = "once or unsure"
"""Whichever gives the better F1 within the budget on the fitting half, as `magistrate cascade fit` does."""
CALLS = (0.16, 0.30, 1.0)
"""Budgets, in calls of the reasoner an item."""
VOTED_FEATURES = (*REASONER_FEATURES[:-1], *VOTE_FEATURES, REASONER_FEATURES[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Voting:
    """One policy's items with the votes of the others."""

    one: Recorded
    voted: Sheet
    """Features of the reasoner with its votes; the last column is filled in by the fit."""
    others: int
    """How many further votes an item has."""
    majority: Bools
    """Whether more than half of the verdicts with a side are a violation."""


def votings(path: Path, data: Path, model: str) -> list[Voting]:
    """Every policy of a model in a file."""
    replays = [one for one in replay(path) if one.name.startswith(f"{model}/")]
    if len(replays) < 2:
        sys.exit(f"{path} has completions of {model!r} under fewer than two policies: there is nothing to vote with")
    return [_voting(one, replays) for one in load(path, data, model)]


def _voting(one: Recorded, replays: Sequence[Replay]) -> Voting:
    own = next(each for each in replays if each.name == one.name)
    others = [each for each in replays if each.name != one.name]
    signals = [
        Signals(verdict, {SCREEN: 0.5}, tuple(each.verdicts[i] for each in others if i in each.verdicts))
        for i, verdict in own.verdicts.items()
    ]
    shares = feature_sheet(("vote_share",), signals).values[:, 0]
    return Voting(
        one=one,
        voted=feature_sheet(VOTED_FEATURES, signals),
        others=len(others),
        majority=shares > 0.5,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Probabilities:
    """Of some items: of the screens, and of the reasoner asked once and with votes."""

    screen: Floats
    once: Floats
    voted: Floats


def fit(voting: Voting, inside: Indices, outside: Indices) -> tuple[Probabilities, Probabilities, FittedVotes]:
    """Fit on some items: their cross-fitted probabilities, those of the others, and when votes are asked."""
    one = voting.one
    truth, groups = one.truth[inside], one.groups[inside]

    def read(sheet: Sheet, unseen: Sheet) -> tuple[Floats, Floats]:
        fitted = fit_calibrator(sheet, truth, groups=groups, isotonic=False)
        return cross_fitted(sheet, truth, groups=groups, isotonic=False), probabilities(fitted, unseen)

    screens = read(one.screen.take(inside), one.screen.take(outside))

    def reasoner(sheet: Sheet) -> tuple[Floats, Floats]:
        return read(with_screen(sheet.take(inside), screens[0]), with_screen(sheet.take(outside), screens[1]))

    once, voted = reasoner(one.reasoner), reasoner(voting.voted)
    asking = when_to_ask(
        fit_calibrator(with_screen(voting.voted.take(inside), screens[0]), truth, groups=groups, isotonic=False),
        once[0],
        voted[0],
    )
    if log_loss(truth, voted[0]) >= log_loss(truth, once[0]):
        asking = replace(asking, ask_from=1.0, ask_to=1.0)  # votes don't pay: ask once
    return (
        Probabilities(screens[0], once[0], voted[0]),
        Probabilities(screens[1], once[1], voted[1]),
        asking,
    )


def table(way: str, said: Probabilities, truth: Bools, asking: FittedVotes, others: int) -> CascadeTable:
    """What one way of asking says; costs are calls of the reasoner."""
    again = {
        ONCE: np.zeros(truth.size, np.bool_),
        UNSURE: asking.unsure(said.once),
        ALWAYS: np.ones(truth.size, np.bool_),
    }
    asked = again[way]
    return CascadeTable(
        stages=(SCREEN, REASONER),
        truth=truth,
        probabilities=np.column_stack([said.screen, np.where(asked, said.voted, said.once)]),
        costs=np.column_stack([np.zeros(truth.size), 1.0 + others * asked.astype(np.float64)]),
    )


def split(voting: Voting, seed: int) -> dict[tuple[str, str], tuple[float, float]]:
    """F1 and calls an item on the other half, by budget and way."""
    inside, outside = halves(voting.one.truth, voting.one.groups, seed)
    fitted_on, reported_on, asking = fit(voting, inside, outside)
    truth = voting.one.truth
    found = {
        ("raw, everything", "one answer"): (f1_score(truth[outside], voting.one.raw[outside]), 1.0),
        ("raw, everything", "majority"): (f1_score(truth[outside], voting.majority[outside]), 1.0 + voting.others),
    }
    inner: dict[tuple[str, str], float] = {}
    for way in (ONCE, UNSURE, ALWAYS):
        chosen_on = table(way, fitted_on, truth[inside], asking, voting.others)
        reported = table(way, reported_on, truth[outside], asking, voting.others)
        all_calls = float(np.mean(chosen_on.costs[:, -1]))
        for calls in (*CALLS, None):
            share = 1.0 if calls is None else min(1.0, (calls if calls == 1 else AIM * calls) / all_calls)
            thresholds = choose_for_budget(chosen_on, share, by_cost=True).thresholds
            routes = route(reported, thresholds)
            name = "everything" if calls is None else f"{calls:.0%} calls"
            found[name, way] = (f1_score(reported.truth, routes.flagged), float(np.mean(routes.costs)))
            inner[name, way] = f1_score(chosen_on.truth, route(chosen_on, thresholds).flagged)
    for name in dict.fromkeys(name for name, way in inner if way == ONCE):
        better = UNSURE if inner[name, UNSURE] > inner[name, ONCE] else ONCE
        found[name, CHOSEN] = found[name, better]
    return found


def report(voting: Voting, splits: int) -> None:
    """Print a block: means over all splits, and the middle 95 % of them."""
    started = time.perf_counter()
    one = voting.one
    found = [split(voting, seed) for seed in range(splits)]
    print(f"{one.name}: {one.truth.size} items, {int(one.truth.sum())} violating, {splits} splits in halves")
    for budget, way in found[0]:
        f1, calls = np.array([each[budget, way] for each in found]).T
        over_once = f1 - np.array(
            [each[(budget, ONCE) if (budget, ONCE) in each else (budget, way)][0] for each in found]
        )
        low, high = np.quantile(f1, [0.025, 0.975])
        gained = np.quantile(over_once, [0.025, 0.975])
        print(
            f"    {budget:16} {way:20} F1 {f1.mean():.3f} [{low:.3f}, {high:.3f}]  over once {over_once.mean():+.3f} "
            f"[{gained[0]:+.3f}, {gained[1]:+.3f}]  calls an item {calls.mean():.3f} (at most {calls.max():.3f})"
        )
    print(f"    {time.perf_counter() - started:.0f} s", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one block a policy."""
    parser = argparse.ArgumentParser(prog="benchmarks.cascade_votes")
    parser.add_argument("file", nargs="?", type=Path, default=RECORDED)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--policy", help="Only this one, with the votes of the others.")
    chosen = parser.parse_args(arguments)
    if not chosen.file.is_file():
        sys.exit(f"no recorded completions at {chosen.file}: name a file")
    for voting in votings(chosen.file, chosen.data, chosen.model):
        if chosen.policy in (None, voting.one.policy.name):
            report(voting, chosen.splits)


if __name__ == "__main__":
    main()
