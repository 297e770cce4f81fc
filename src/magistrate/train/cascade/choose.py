"""The choice of thresholds: which cases are cleared, flagged or reasoned over, under a budget or under a promise.

Two ways. Under a budget, the best F1 with at most a share of cases asked of the last stage. Under a promise, the least
cost while the screens lose at most a share of the violating cases, with confidence (`guarantee`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from magistrate.errors import UsageError
from magistrate.evaluate.metrics import Bools, Floats
from magistrate.train.cascade.guarantee import Clearance, checked_recall, clearance
from magistrate.train.cascade.table import CascadeTable, Indices

GRID = 40
"""Thresholds that are tried at a stage, at evenly spaced ranks of its probabilities and more closely at the top."""
ROUNDS = 2
MOST_SEARCHED = 4
"""Of so many screens, all subsets are tried; of more, those of the last ones and all of them."""
LEAST_GAIN = 0.01
"""Of F1, for flagging more cases unreasoned: what is less is chance, in samples of the usual size."""
_JUST_BELOW = 1 - 1e-12
"""Keeps a case that lies on a threshold on its upper side, whatever the rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What one stage decides: below `clear_below` no violation, from `flag_from` on a violation; None for never."""

    clear_below: float | None = None
    flag_from: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routes:
    """Where each case of a table is decided, and how."""

    decided_at: Indices
    """(n_cases,), number of the stage."""
    flagged: Bools
    """(n_cases,)."""
    costs: Floats
    """(n_cases,), of all stages that were asked."""
    last: int
    """Number of the last stage."""

    @property
    def reasoned(self) -> float:
        """Share of cases that came to the last stage."""
        return float(np.mean(self.decided_at == self.last))

    def cleared_by_screens(self) -> Bools:
        """(n_cases,), cleared before the last stage."""
        return (self.decided_at < self.last) & ~self.flagged


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Thresholds by stage, in the order of the table; a stage with neither threshold need not be asked."""

    thresholds: tuple[Thresholds, ...]
    clearance: Clearance | None = None
    """What the promise rests on; None where none was asked for."""


def route(table: CascadeTable, thresholds: Sequence[Thresholds]) -> Routes:
    """Send every case through the stages.

    Args:
        table: The cases.
        thresholds: One a stage; the last one's two thresholds are equal.

    Raises:
        UsageError: the number of thresholds is not that of the stages, or the last stage leaves cases undecided.
    """
    if len(thresholds) != len(table.stages):
        raise UsageError(f"{len(table.stages)} stages need as many thresholds, got {len(thresholds)}")
    last = len(thresholds) - 1
    if thresholds[last].flag_from is None or thresholds[last].clear_below != thresholds[last].flag_from:
        raise UsageError(
            f"the last stage {table.stages[last]!r} must decide every case, got {thresholds[last]}",
            hint="give it the same clear_below and flag_from",
        )
    decided_at = np.full(table.cases, -1)
    flagged = np.zeros(table.cases, np.bool_)
    costs = np.zeros(table.cases)
    for number, (one, probability) in enumerate(zip(thresholds, table.probabilities.T, strict=True)):
        open_here = decided_at < 0
        costs[open_here] += table.costs[open_here, number]
        flag = open_here & (probability >= (np.inf if one.flag_from is None else one.flag_from))
        clear = open_here & ~flag & (probability < (-np.inf if one.clear_below is None else one.clear_below))
        decided_at[flag | clear] = number
        flagged |= flag
    return Routes(decided_at=decided_at, flagged=flagged, costs=costs, last=last)


def f1_score(truth: Bools, flagged: Bools) -> float:
    """F1; 0 where nothing is flagged rightly."""
    hits = np.count_nonzero(truth & flagged)
    whole = np.count_nonzero(truth) + np.count_nonzero(flagged)
    return float(2 * hits / whole) if whole else 0.0


def choose_for_budget(table: CascadeTable, budget: float, *, by_cost: bool = False) -> Choice:
    """The thresholds of the last screen and of the last stage that give the best F1 within a budget.

    Earlier screens feed the calibrator of the last one and decide nothing themselves. The figures of a choice on the
    cases that it was made on are too good: report those of others.

    Args:
        table: At least one screen and the last stage; probabilities cross-fitted.
        budget: Share of cases that may be asked of the last stage, in [0, 1].
        by_cost: Whether the share is of what the last stage would take for all cases, in the unit of the table.

    Raises:
        UsageError: the budget is out of range, or there is no screen.
    """
    if not 0 <= budget <= 1:
        raise UsageError(f"a budget is a share of the cases, in [0, 1], got {budget!r}", hint="0.16 is one in six")
    if len(table.stages) < 2:
        raise UsageError(f"a cascade has a screen before the last stage, got only {table.stages!r}")
    screen, last = table.probabilities[:, -2], table.probabilities[:, -1]
    weights = table.costs[:, -1] if by_cost else np.ones(table.cases)
    best = _best_band(screen, last, table.truth, weights, budget)
    passing = tuple(Thresholds() for _ in table.stages[:-2])
    return Choice(
        thresholds=(
            *passing,
            Thresholds(clear_below=best.clear_below, flag_from=best.flag_from),
            Thresholds(clear_below=best.decide_at, flag_from=best.decide_at),
        )
    )


@dataclass(frozen=True, slots=True)
class _Band:
    clear_below: float
    flag_from: float
    decide_at: float


def _best_band(screen: Floats, last: Floats, truth: Bools, weights: Floats, budget: float) -> _Band:
    """Search bands of the screen's ranks: all that weigh at most the budget, and the best final threshold of each."""
    order = np.argsort(-screen, kind="stable")
    ranked, soft = screen[order], _smoothed(truth, last)[order]
    cuts = _unsplit(ranked, _starts(screen.size))
    finals = np.unique(np.quantile(last, np.linspace(0.5, 1, 2 * GRID)))
    total = float(np.sum(soft))
    whole = np.concatenate([[0.0], np.cumsum(soft)])
    best, found = -1.0, _Band(1.0, 1.0, 0.5)
    weighed = np.concatenate([[0.0], np.cumsum(weights[order])])
    room = budget * float(weighed[-1]) * (1 + 1e-9)
    for start in cuts:
        end = _unsplit_down(ranked, int(np.searchsorted(weighed, weighed[start] + room, "right")) - 1)
        if end < start:
            continue
        inside, gains = last[order][start:end], soft[start:end]
        flags = inside[None, :] >= finals[:, None]
        hits = whole[start] + flags @ gains
        scores = 2 * hits / (total + start + flags.sum(axis=1))
        top = int(np.argmax(scores))
        if scores[top] > best + LEAST_GAIN:
            best = float(scores[top])
            found = _Band(_edge(ranked, end), _edge(ranked, start), float(finals[top]))
    return found


def _smoothed(truth: Bools, probability: Floats) -> Floats:
    """How much each case counts as violating: half its label, half its probability scaled to the labels' number."""
    scale = np.count_nonzero(truth) / max(float(np.sum(probability)), 1e-9)
    return 0.5 * truth + 0.5 * np.minimum(1.0, probability * scale)


def _starts(cases: int) -> list[int]:
    """How many top cases are flagged unreasoned: none, and up to all, in steps that are finer at the top."""
    fine, coarse = np.linspace(0, cases // 5, GRID + 1), np.linspace(cases // 5, cases, GRID + 1)
    return sorted(set(np.concatenate([fine, coarse]).astype(int).tolist()))


def _unsplit(ranked: Floats, cuts: Sequence[int]) -> list[int]:
    return sorted({_unsplit_down(ranked, cut) for cut in cuts})


def _unsplit_down(ranked: Floats, cut: int) -> int:
    """The greatest cut up to this one that does not part equal scores; 0 or the end part none."""
    while 0 < cut < ranked.size and ranked[cut - 1] == ranked[cut]:
        cut -= 1
    return cut


def _edge(ranked: Floats, cut: int) -> float:
    """A threshold between the cases before and after a cut of falling scores."""
    if cut == 0:
        return 1.0 if ranked[0] < 1 else float(np.nextafter(1.0, 0.0))
    if cut == ranked.size:
        return 0.0
    return float((ranked[cut - 1] + ranked[cut]) / 2)


def choose_for_recall(chosen_on: CascadeTable, promised_on: CascadeTable, recall: float, confidence: float) -> Choice:
    """The thresholds of least cost under a promise on the violating cases that the screens clear.

    The shape (which screens, how their thresholds stand to one another, from where on to flag) is chosen on one part;
    how far all of them are raised together is tested on the other, along a single path, so that the promise is exact.

    Args:
        chosen_on: Cases for the shape.
        promised_on: Other cases, which took no part in any fit.
        recall: Share of violating cases that the screens don't clear, in (0, 1).
        confidence: How sure that is.

    Returns:
        A choice whose screens clear nothing where `promised_on` has too few violating cases: see its `clearance`.
    """
    checked_recall(recall)
    shape = _cheapest_shape(chosen_on, recall)
    levels = clear_levels(promised_on, shape)
    found = clearance(levels[promised_on.truth], recall=recall, confidence=confidence)
    if found.below is None:
        raised = tuple(replace(one, clear_below=None) for one in shape[:-1])
    else:
        raised = tuple(_raised(one, found.below) for one in shape[:-1])
    return Choice(thresholds=(*raised, shape[-1]), clearance=found)


def clear_levels(table: CascadeTable, shape: Sequence[Thresholds]) -> Floats:
    """(n_cases,), by how much the clearing thresholds must be raised together until the screens clear the case.

    A case is cleared where its level is below the factor; infinite where no screen can clear it at any factor.
    """
    levels = np.full(table.cases, np.inf)
    open_still = np.ones(table.cases, np.bool_)
    for one, probability in zip(shape[:-1], table.probabilities.T[:-1], strict=True):
        flagged = probability >= (np.inf if one.flag_from is None else one.flag_from)
        open_still &= ~flagged
        if one.clear_below is not None:
            here = probability / one.clear_below
            levels[open_still] = np.minimum(levels[open_still], here[open_still])
    return levels


def _raised(one: Thresholds, factor: float) -> Thresholds:
    if one.clear_below is None:
        return one
    highest = 1.0 if one.flag_from is None else one.flag_from
    return replace(one, clear_below=min(highest, one.clear_below * factor * _JUST_BELOW))


def _cheapest_shape(table: CascadeTable, recall: float) -> tuple[Thresholds, ...]:
    """Thresholds of least mean cost that lose at most 1 - recall of the violating cases at hand."""
    screens = range(len(table.stages) - 1)
    final = _final_threshold(table)
    subsets = (
        [s for size in range(1, len(screens) + 1) for s in combinations(screens, size)]
        if len(screens) <= MOST_SEARCHED
        else [tuple(screens), *((s,) for s in screens)]
    )
    shapes = [_descend(table, subset, final, recall) for subset in subsets]
    return min(shapes, key=lambda shape: float(np.mean(route(table, shape).costs)))


def _final_threshold(table: CascadeTable) -> Thresholds:
    last = table.probabilities[:, -1]
    soft = _smoothed(table.truth, last)
    grid = np.unique(np.quantile(last, np.linspace(0, 1, 4 * GRID)))
    flags = last[None, :] >= grid[:, None]
    at = float(grid[int(np.argmax(2 * (flags @ soft) / (np.sum(soft) + flags.sum(axis=1))))])
    return Thresholds(clear_below=at, flag_from=at)


def _descend(table: CascadeTable, subset: Sequence[int], final: Thresholds, recall: float) -> tuple[Thresholds, ...]:
    """Raise the thresholds of some screens in turn, as far as the misses at hand allow, where it saves cost."""
    flags = [_flag_from(table, number, final) if number in subset else None for number in range(len(table.stages) - 1)]
    shape = [Thresholds(flag_from=flag) for flag in flags]
    allowed = int(np.floor((1 - recall) * table.positives + 1e-9))
    for part in range(1, ROUNDS + 1):
        for number in subset:
            share = allowed * part / ROUNDS if len(subset) > 1 else allowed
            shape[number] = _highest_clear(table, (*shape, final), number, int(share))
    return (*shape, final)


def _highest_clear(table: CascadeTable, shape: tuple[Thresholds, ...], number: int, allowed: int) -> Thresholds:
    """One screen's highest clearing threshold within so many misses in all, if it lowers the cost."""
    probability, own = table.probabilities[:, number], shape[number]
    ceiling = 1.0 if own.flag_from is None else own.flag_from
    best, lowest = own, float(np.mean(route(table, shape).costs))
    for level in np.unique(np.quantile(probability, np.linspace(0, 1, GRID + 1))):
        tried = replace(own, clear_below=min(float(level), ceiling))
        routes = route(table, (*shape[:number], tried, *shape[number + 1 :]))
        if np.count_nonzero(routes.cleared_by_screens() & table.truth) > allowed:
            break
        if float(np.mean(routes.costs)) < lowest - 1e-12:
            best, lowest = tried, float(np.mean(routes.costs))
    return best if best.clear_below != 0 else replace(best, clear_below=None)


def _flag_from(table: CascadeTable, number: int, final: Thresholds) -> float | None:
    """From where on a screen flags unreasoned: the lowest rank at which F1 is no worse than of the last stage alone."""
    truth, probability = table.truth, table.probabilities[:, number]
    by_last = table.probabilities[:, -1] >= (final.flag_from or 0.0)
    floor = f1_score(truth, by_last)
    found: float | None = None
    for level in np.unique(np.quantile(probability, np.linspace(1, 0.75, GRID)))[::-1]:
        if f1_score(truth, by_last | (probability >= level)) < floor:
            break
        found = float(level)
    return found if found is None or found > 0 else None
