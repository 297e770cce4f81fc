"""A day under a budget: whether the controller holds its limit, and what it finds beside fixed thresholds.

    python -m benchmarks.budget_day [--seeds 20] [--share 0.16] [--unit items|tokens]

The day is drawn from a seed. Traffic swells and ebbs by a factor of three; at 14:00 it is tenfold for an hour; from
14:30 to 18:00 four times as many cases violate, and they are harder to tell. The screen's probability is calibrated for
the ordinary base rate, so it does not know of the jump; the last stage finds 90 % of violating cases and flags 2 % of
the others. A case takes tokens by its length, which is log-normal.

Beside the controller stand thresholds on the same expected loss that do not move:
    yesterday           spends the share on an ordinary day; nothing stops it
    yesterday, capped   the same behind the controller's bucket: what it wants when the bucket is empty is denied
    same cost           the threshold, known only after the day, that spends in all what the controller did, whenever
                        it likes: no limit is held within the day, so it is a bound from above, not a rival
    random              chosen by chance at the controller's cost
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magistrate.classifiers.cascade.budget import Controller
from magistrate.classifiers.cascade.plan import Limit, Unit

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

DAY_S = 86_400.0
RATE = 0.2
"""Cases a second in the quietest hour."""
BASE_RATE, JUMPED_RATE = 0.03, 0.12
SPIKE = (14.0, 15.0)
JUMP = (14.5, 18.0)
APART, APART_IN_JUMP = 2.2, 1.7
"""Distance of violating and other cases on the screen, in standard deviations."""
CLEAR_BELOW, FLAG_FROM = 0.002, 0.9
FINDS, FALSE_ALARMS = 0.9, 0.02


@dataclass(frozen=True, slots=True)
class Day:
    """Cases in the order of their arrival."""

    at: Floats
    """Seconds of the day."""
    violates: Flags
    probability: Floats
    """The screen's."""
    found: Flags
    """Whether the last stage would flag it."""
    cost: Floats

    @property
    def open(self) -> Flags:
        """What the screen leaves to the last stage."""
        return (self.probability >= CLEAR_BELOW) & (self.probability < FLAG_FROM)

    @property
    def loss(self) -> Floats:
        """Expected, of deciding without the last stage."""
        return np.minimum(self.probability, 1 - self.probability)


def draw_day(seed: int, unit: Unit, *, ordinary: bool = False) -> Day:
    """One day; an ordinary one has neither spike nor jump."""
    draw = np.random.default_rng(seed)
    minutes = np.arange(0, DAY_S, 60.0)
    hour = minutes / 3600
    rate = RATE * (2 - np.cos((hour - 4) / 24 * 2 * np.pi))
    if not ordinary:
        rate = np.where((hour >= SPIKE[0]) & (hour < SPIKE[1]), rate * 10, rate)
    counts = draw.poisson(rate * 60)
    at = np.sort(np.repeat(minutes, counts) + draw.uniform(0, 60, counts.sum()))
    in_jump = np.zeros(len(at), np.bool_) if ordinary else (at >= JUMP[0] * 3600) & (at < JUMP[1] * 3600)
    violates = draw.random(len(at)) < np.where(in_jump, JUMPED_RATE, BASE_RATE)
    score = draw.normal(np.where(violates, np.where(in_jump, APART_IN_JUMP, APART), 0.0), 1.0)
    log_odds = np.log(BASE_RATE / (1 - BASE_RATE)) + APART * (score - APART / 2)
    found = np.where(violates, draw.random(len(at)) < FINDS, draw.random(len(at)) < FALSE_ALARMS)
    cost = np.ones(len(at)) if unit is Unit.ITEMS else 800 + draw.lognormal(5.0, 0.8, len(at))
    return Day(at, violates, 1 / (1 + np.exp(-log_odds)), found, cost)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a day."""

    share: float
    worst_hour: float
    """The share of the clock hour in which it was farthest from the limit, below or above."""
    recall: float
    precision: float


def controlled(day: Day, limit: Limit) -> Flags:
    """Which cases the controller grants."""
    controller = Controller(limit)
    granted = np.zeros(len(day.at), np.bool_)
    is_open, loss = day.open, day.loss
    for place, (now, cost) in enumerate(zip(day.at.tolist(), day.cost.tolist(), strict=True)):
        controller.arrived(cost, now)
        if is_open[place]:
            granted[place] = controller.decide(float(loss[place]), cost, now)
    return granted


def capped(day: Day, limit: Limit, threshold: float) -> Flags:
    """A fixed threshold behind a bucket as the controller's: filled by arrivals, holding the share of a window."""
    wanted = (day.open & (day.loss >= threshold)).tolist()
    arrived = np.cumsum(day.cost)
    before = np.searchsorted(day.at, day.at - limit.window_s)
    in_window = (arrived - np.where(before > 0, arrived[before - 1], 0.0)).tolist()
    granted = np.zeros(len(day.at), np.bool_)
    level = 0.0
    for place, cost in enumerate(day.cost.tolist()):
        level = min(level + limit.share * cost, limit.share * in_window[place])
        if wanted[place] and level >= cost:
            granted[place] = True
            level -= cost
    return granted


def free(day: Day, threshold: float) -> Flags:
    """A fixed threshold that nothing stops."""
    return day.open & (day.loss >= threshold)


def by_chance(day: Day, cost: float, seed: int) -> Flags:
    """Open cases by chance, at a cost."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(day.open))
    granted = np.zeros(len(day.at), np.bool_)
    granted[order[np.cumsum(day.cost[order]) <= cost]] = True
    return granted


def spending(day: Day, cost: float, grant: Callable[[float], Flags]) -> float:
    """The threshold with which `grant` spends a cost, or the closest below; by bisection."""
    low, high = 0.0, 0.5
    for _ in range(16):
        middle = (low + high) / 2
        if day.cost[grant(middle)].sum() > cost:
            low = middle
        else:
            high = middle
    return high


def result(day: Day, limit: Limit, granted: Flags) -> Result:
    """Measure a day; denied cases are decided by the screen at one half."""
    flagged = np.where(granted, day.found, day.probability >= limit.flag_from)
    hours = (day.at // 3600).astype(np.int64)
    arrived = np.bincount(hours, day.cost)
    shares = np.bincount(hours, day.cost * granted) / arrived
    hits = (flagged & day.violates).sum()
    return Result(
        share=float((day.cost * granted).sum() / day.cost.sum()),
        worst_hour=float(shares[np.abs(shares[1:] - limit.share).argmax() + 1]),  # the first hour begins with nothing
        recall=float(hits / day.violates.sum()),
        precision=float(hits / flagged.sum()),
    )


def one_seed(seed: int, limit: Limit) -> dict[str, Result]:
    """All ways of spending, on the same day."""
    ordinary, day = draw_day(seed + 10_000, limit.unit, ordinary=True), draw_day(seed, limit.unit)
    yesterday = spending(ordinary, limit.share * ordinary.cost.sum(), lambda at: free(ordinary, at))
    granted = controlled(day, limit)
    cost = float(day.cost[granted].sum())
    ways = {
        "controller": granted,
        "yesterday": free(day, yesterday),
        "yesterday, capped": capped(day, limit, yesterday),
        "same cost": free(day, spending(day, cost, lambda at: free(day, at))),
        "random": by_chance(day, cost, seed),
    }
    return {name: result(day, limit, granted) for name, granted in ways.items()}


def interval(values: Sequence[float]) -> str:
    """Mean with its 95 % interval over seeds."""
    mean, error = float(np.mean(values)), 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return f"{mean:.3f} ±{error:.3f}"


def main() -> None:
    """Print one line a way of spending, and whether the two bars are met."""
    parser = argparse.ArgumentParser(description="A simulated day under a budget.")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--share", type=float, default=0.16)
    parser.add_argument("--unit", type=Unit, choices=list(Unit)[:2], default=Unit.ITEMS)
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error("--seeds must be at least 2: intervals are over seeds")
    limit = Limit(share=options.share, unit=options.unit)
    started = time.perf_counter()
    days = [one_seed(seed, limit) for seed in range(options.seeds)]
    print(f"limit {limit.share:.0%} of {limit.unit.value}, {options.seeds} days, {time.perf_counter() - started:.0f} s")
    print(f"{'':20} {'share':>14} {'lowest..highest':>16} {'worst hour':>11} {'recall':>14} {'precision':>14}")
    for name in days[0]:
        results = [day[name] for day in days]
        shares = [one.share for one in results]
        worst = max((one.worst_hour for one in results), key=lambda share: abs(share - limit.share))
        print(
            f"{name:20} {interval(shares):>14} {min(shares):>8.3f}..{max(shares):.3f} {worst:>11.3f} "
            f"{interval([one.recall for one in results]):>14} {interval([one.precision for one in results]):>14}"
        )
    held = all(abs(day["controller"].share / limit.share - 1) <= 0.1 for day in days)
    print(f"share within 10 % of the limit on every day: {'yes' if held else 'NO'}")
    rival = "yesterday, capped"
    gains = [day["controller"].recall - day[rival].recall for day in days]
    print(f"recall above {rival!r}: {interval(gains)}, on {sum(gain > 0 for gain in gains)} of {len(gains)} days")


if __name__ == "__main__":
    main()
