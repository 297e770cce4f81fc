"""Replays a recorded reasoner behind our own screens: F1 at 16 %, at 30 % and at all of the items reasoned over.

    python -m benchmarks.cascade [FILE] [--data FOLDER] [--splits 100] [--model gpt-oss-safeguard-20b]
    python -m benchmarks.cascade [FILE] --write FOLDER      fit on all of FILE, a cascade a policy
    python -m benchmarks.cascade [FILE] --halve FOLDER      half for `magistrate cascade fit`, the rest to replay
    python -m benchmarks.cascade [FILE] --cascade CASCADE   replay a cascade, or a folder of them (`cascade_replay`)

FILE has the form of `benchmarks.recorded`, with `text` in each row. Everything is fitted on one half of the items
(calibrators cross-fitted, thresholds on their probabilities) and reported on the other, over many splits. The screens
are those of `cascade_scores`; no text of FILE trains them. With --cascade, FILE should hold other items than the
cascade was fitted on; what `magistrate cascade fit` wrote is replayed with its own screens, as the package judges.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from benchmarks.cascade_scores import all_scores
from benchmarks.recorded import RECORDED, Answer, Replay, replay, zero_or_one
from magistrate.classifiers.cascade.calibrator import Calibrator
from magistrate.classifiers.cascade.file import plan_json
from magistrate.classifiers.cascade.plan import CascadePlan, Stage
from magistrate.classifiers.cascade.signals import Signals
from magistrate.digest import text_digest
from magistrate.policy.model import Policy
from magistrate.train.cascade.calibrate import Sheet, cross_fitted, feature_sheet, fit_calibrator, probabilities
from magistrate.train.cascade.choose import Choice, Thresholds, choose_for_budget, f1_score, route
from magistrate.train.cascade.table import CascadeTable

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MODEL = "gpt-oss-safeguard-20b"
BUDGETS = (0.16, 0.30, 1.0)
AIM = 0.95
"""Thresholds are chosen for this part of a budget, so that the mean share on other items is within it."""
SCREENS = ("panel", "abuse", "requests", "chat")
"""Mean logit of the embedded judge over the panel's policies; the two linear heads; the tuned screen."""
SCREEN, REASONER = "screens", "reasoner"
SCREEN_FEATURES = tuple(f"screen:{name}" for name in SCREENS)
REASONER_FEATURES = (
    "violation",
    "undecided",
    "log_reasoning",
    "violation_log_reasoning",
    "reasoning_words",
    f"screen:{SCREEN}",
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.int64]


class Item(BaseModel):
    """A recorded item, as far as the screens need it."""

    id: str
    label: int
    text: str
    completions: dict[str, Answer]


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """One policy's items: what the screens and the reasoner say of each."""

    name: str
    policy: Policy
    truth: Bools
    raw: Bools
    """Whether the reasoner's own verdict is a violation."""
    groups: Indices
    """Equal for equal texts."""
    screen: Sheet
    reasoner: Sheet
    """Its last column is the logit of the screens' probability, filled in by the fit."""
    tokens: Floats
    """About how many the reasoner wrote: a quarter of the characters."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Both calibrators, and thresholds by budget."""

    screen: Calibrator
    reasoner: Calibrator
    choices: dict[float, Choice]


def load(path: Path, data: Path, model: str) -> list[Recorded]:
    """Every policy of a model in a file."""
    items = {item.id: item for item in read_items(path)}
    replays = [one for one in replay(path) if one.name.startswith(f"{model}/")]
    if not replays:
        sys.exit(f"{path} has no completions of {model!r}: name another with --model")
    own = {one.name.partition("/")[2]: recorded_policy(path, one.name.partition("/")[2]) for one in replays}
    texts = [item.text for item in items.values()]
    scores = dict(zip(items, all_scores(texts, own, data), strict=True))
    return [_recorded(one, own[one.name.partition("/")[2]], items, scores) for one in replays]


def read_items(path: Path) -> list[Item]:
    """The rows of a file, gzipped or not."""
    import gzip

    raw = path.read_bytes()
    text = gzip.decompress(raw) if path.suffix == ".gz" else raw
    return [Item.model_validate_json(line) for line in text.decode("utf-8").splitlines()]


def recorded_policy(path: Path, name: str) -> Policy:
    """The policy that was sent, from beside the file."""
    file = path.parent / f"policy_{name}.md"
    return Policy.read(file, name=name) if file.is_file() else zero_or_one(name)


def _recorded(one: Replay, policy: Policy, items: dict[str, Item], scores: dict[str, Floats]) -> Recorded:
    ids = list(one.verdicts)
    signals = [Signals(verdict, {SCREEN: 0.5}) for verdict in one.verdicts.values()]
    reasoner = feature_sheet(REASONER_FEATURES, signals)
    _, groups = np.unique([text_digest(items[i].text) for i in ids], return_inverse=True)
    return Recorded(
        name=one.name,
        policy=policy,
        truth=np.array([one.truth[i] for i in ids], np.bool_),
        raw=reasoner.values[:, 0] > 0,
        groups=groups.astype(np.int64),
        screen=Sheet(names=SCREEN_FEATURES, values=np.array([scores[i] for i in ids]), words=(frozenset(),) * len(ids)),
        reasoner=reasoner,
        tokens=np.array([len(v.trace.reasoning) / 4 + 1 for v in one.verdicts.values()]),
    )


def with_screen(sheet: Sheet, screen: Floats) -> Sheet:
    """The reasoner's features with the screens' probability as the last one."""
    kept = np.clip(screen, 1e-6, 1 - 1e-6)
    values = np.column_stack([sheet.values[:, :-1], np.log(kept / (1 - kept))])
    return Sheet(names=sheet.names, values=values, words=sheet.words)


def fit(one: Recorded, which: Indices, budgets: Sequence[float] = BUDGETS) -> Fitted:
    """Calibrators and thresholds from some items alone."""
    truth, groups = one.truth[which], one.groups[which]
    screen_sheet = one.screen.take(which)
    unseen_screen = cross_fitted(screen_sheet, truth, groups=groups, isotonic=False)
    reasoner_sheet = with_screen(one.reasoner.take(which), unseen_screen)
    unseen = cross_fitted(reasoner_sheet, truth, groups=groups, isotonic=False)
    table = _table(truth, unseen_screen, unseen, one.tokens[which])
    return Fitted(
        fit_calibrator(screen_sheet, truth, groups=groups, isotonic=False),
        fit_calibrator(reasoner_sheet, truth, groups=groups, isotonic=False),
        {b: choose_for_budget(table, b if b == 1 else AIM * b) for b in budgets},
    )


def judged(one: Recorded, which: Indices, screen: Calibrator, reasoner: Calibrator) -> CascadeTable:
    """What fitted calibrators say of items."""
    by_screen = probabilities(screen, one.screen.take(which))
    by_reasoner = probabilities(reasoner, with_screen(one.reasoner.take(which), by_screen))
    return _table(one.truth[which], by_screen, by_reasoner, one.tokens[which])


def _table(truth: Bools, screen: Floats, reasoner: Floats, tokens: Floats) -> CascadeTable:
    return CascadeTable(
        stages=(SCREEN, REASONER),
        truth=truth,
        probabilities=np.column_stack([screen, reasoner]),
        costs=np.column_stack([np.zeros(truth.size), tokens]),
    )


def halves(truth: Bools, groups: Indices, seed: int) -> tuple[Indices, Indices]:
    """A random half of the texts of each label, and the others."""
    generator = np.random.default_rng(seed)
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    chosen = np.zeros(first.size, np.bool_)
    for kind in (True, False):
        members = generator.permutation(np.flatnonzero(truth[first] == kind))
        chosen[members[: members.size // 2]] = True
    inside = chosen[inverse]
    return np.flatnonzero(inside), np.flatnonzero(~inside)


def report(one: Recorded, splits: int) -> None:
    """Print a block: over all splits, the mean of the unseen halves and the middle 95 % of them."""
    started = time.perf_counter()
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(splits):
        inside, outside = halves(one.truth, one.groups, seed)
        fitted = fit(one, inside)
        table = judged(one, outside, fitted.screen, fitted.reasoner)
        raw = f1_score(table.truth, one.raw[outside])
        rows.setdefault("raw, over everything", []).append((raw, 1.0, 1.0))
        for budget, choice in fitted.choices.items():
            routes = route(table, choice.thresholds)
            found = (f1_score(table.truth, routes.flagged), routes.reasoned, routes.costs.sum() / table.costs.sum())
            rows.setdefault(f"cascade at {budget:.0%}", []).append(found)
    print(f"{one.name}: {one.truth.size} items, {int(one.truth.sum())} violating, {splits} splits in halves")
    raws = np.array(rows["raw, over everything"])[:, 0]
    for name, values in rows.items():
        f1, share, tokens = np.array(values).T
        low, high = np.quantile(f1, [0.025, 0.975])
        gained = np.quantile(f1 - raws, [0.025, 0.975])
        print(
            f"    {name:22} F1 {f1.mean():.3f} [{low:.3f}, {high:.3f}]  over raw {np.mean(f1 - raws):+.3f} "
            f"[{gained[0]:+.3f}, {gained[1]:+.3f}]  items {share.mean():.1%} (at most {share.max():.1%})  "
            f"tokens {tokens.mean():.1%}"
        )
    print(f"    {time.perf_counter() - started:.0f} s", flush=True)


def plan_of(one: Recorded, fitted: Fitted, budget: float) -> CascadePlan:
    """The fitted cascade as a plan; screens that only feed `screens` decide nothing."""
    passing = tuple(Stage(name=s, model=s, clear_below=None, flag_from=None) for s in SCREENS)
    screen, last = fitted.choices[budget].thresholds
    return CascadePlan(
        name=one.name.replace("/", "-"),
        policy_digest=one.policy.digest,
        created=datetime.now(UTC).date(),
        stages=(
            *passing,
            _stage(SCREEN, screen, fitted.screen),
            _stage(REASONER, last, fitted.reasoner),
        ),
    )


def _stage(name: str, thresholds: Thresholds, calibrator: Calibrator) -> Stage:
    return Stage(
        name=name,
        model=name,
        clear_below=thresholds.clear_below,
        flag_from=thresholds.flag_from,
        calibrator=calibrator,
    )


def write(recorded: Sequence[Recorded], folder: Path) -> None:
    """Fit on all items and keep a plan a policy and budget."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in recorded:
        fitted = fit(one, np.arange(one.truth.size))
        for budget in BUDGETS:
            plan = plan_of(one, fitted, budget)
            (folder / f"{plan.name}-{budget:.2f}.json").write_text(plan_json(plan), encoding="utf-8")
    print(f"wrote {len(recorded) * len(BUDGETS)} cascades to {folder}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one block a policy."""
    parser = argparse.ArgumentParser(prog="benchmarks.cascade")
    parser.add_argument("file", nargs="?", type=Path, default=RECORDED)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--splits", type=int, default=100)
    parser.add_argument("--cascade", type=Path)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--halve", type=Path)
    chosen = parser.parse_args(arguments)
    if not chosen.file.is_file():
        sys.exit(f"no recorded completions at {chosen.file}: name a file")
    if chosen.cascade is not None:
        from benchmarks.cascade_replay import replay_cascades

        replay_cascades(chosen.file, chosen.cascade, chosen.data, chosen.model)
        return
    if chosen.halve is not None:
        from benchmarks.cascade_replay import halve

        halve(chosen.file, chosen.halve, chosen.model)
        return
    recorded = load(chosen.file, chosen.data, chosen.model)
    if chosen.write is not None:
        write(recorded, chosen.write)
    else:
        for one in recorded:
            report(one, chosen.splits)


if __name__ == "__main__":
    main()
