"""The frontier of cost against quality: what each share of reasoned cases buys, as table and picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from magistrate.evaluate.interval import Interval, percentile_interval
from magistrate.evaluate.metrics import Floats
from magistrate.evaluate.report import svg
from magistrate.evaluate.report.svg import Frame
from magistrate.train.cascade.choose import Choice, Routes, choose_for_budget, route
from magistrate.train.cascade.table import CascadeTable

BUDGETS = (0.0, 0.02, 0.05, 0.1, 0.16, 0.23, 0.3, 0.4, 0.55, 0.75, 1.0)
DRAWS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured share with 95 % bounds; no bounds where too few draws define it."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one budget buys, on cases that its thresholds were not chosen on."""

    budget: float
    reasoned: float
    """Share of cases that came to the last stage."""
    cost: float
    """Mean of a case, in the unit of the table."""
    cost_share: float
    """Of what asking every stage about every case takes."""
    f1: Figure
    recall: Figure


def frontier(
    chosen_on: CascadeTable,
    reported_on: CascadeTable,
    *,
    budgets: Sequence[float] = BUDGETS,
    by_cost: bool = False,
    whole: float = 1.0,
    seed: int = 0,
) -> tuple[Point, ...]:
    """One point a budget: thresholds chosen on one part, figures of the other.

    Args:
        chosen_on: Cases for the thresholds.
        reported_on: Other cases.
        budgets: Each in [0, 1].
        by_cost: As in `choose_for_budget`.
        whole: What a budget of 1 is there.
        seed: Of the bounds.
    """
    return tuple(
        measure(reported_on, choose_for_budget(chosen_on, budget * whole, by_cost=by_cost), budget=budget, seed=seed)
        for budget in budgets
    )


def measure(table: CascadeTable, choice: Choice, *, budget: float, seed: int = 0) -> Point:
    """Figures of a choice on cases that it was not made on, bounds by resampling cases."""
    routes = route(table, choice.thresholds)
    f1, recall = _resampled(table, routes, seed)
    cost, everything = float(np.mean(routes.costs)), float(np.mean(np.sum(table.costs, axis=1)))
    return Point(
        budget=budget,
        reasoned=routes.reasoned,
        cost=cost,
        cost_share=cost / everything if everything else 0.0,
        f1=f1,
        recall=recall,
    )


def _resampled(table: CascadeTable, routes: Routes, seed: int) -> tuple[Figure, Figure]:
    """F1 and recall; a draw of cases is a draw of the four outcomes, which are all that either rests on."""
    hits = table.truth & routes.flagged
    counts = np.array([hits.sum(), (table.truth & ~routes.flagged).sum(), (~table.truth & routes.flagged).sum()])
    shares = np.append(counts, table.cases - counts.sum()) / table.cases
    drawn = np.random.default_rng(seed).multinomial(table.cases, shares, size=DRAWS)
    rows = np.vstack([np.append(counts, 0), drawn])
    tp, fn, fp = rows[:, 0], rows[:, 1], rows[:, 2]
    with np.errstate(invalid="ignore"):
        f1, recall = 2 * tp / (2 * tp + fn + fp), tp / (tp + fn)
    return _figure_of(f1), _figure_of(recall)


def _figure_of(values: Floats) -> Figure:
    """From the value itself and its draws after it."""
    return Figure(value=float(np.nan_to_num(values[0])), interval=percentile_interval(values[1:]))


def frontier_table(points: Sequence[Point], *, unit: str) -> str:
    """The frontier as a Markdown table."""
    rows = [f"| budget | reasoned | {unit} a case | of all | F1 | recall |", "|---:|---:|---:|---:|---|---|"]
    rows.extend(
        f"| {p.budget:.0%} | {p.reasoned:.1%} | {p.cost:.4g} | {p.cost_share:.1%} | {_figure(p.f1)} "
        f"| {_figure(p.recall)} |"
        for p in points
    )
    return "\n".join(rows) + "\n"


def _figure(figure: Figure) -> str:
    if figure.interval is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.interval.low:.3f} to {figure.interval.high:.3f})"


def frontier_chart(points: Sequence[Point], *, unit: str) -> str:
    """F1 and recall over the share of cost, as an SVG picture.

    Args:
        points: Of one frontier.
        unit: Of their costs.
    """
    frame = Frame(width=620)
    ordered = sorted(points, key=lambda p: p.cost_share)
    axis = f"share of the {unit} that asking every stage about every case takes"
    parts = [svg.axes(frame, axis, "F1 and recall, with 95 % bounds")]
    for number, (name, colour) in enumerate((("F1", svg.BLUE), ("recall", svg.GREEN))):
        figures = [p.f1 if name == "F1" else p.recall for p in ordered]
        places = [frame.x(p.cost_share) + 3 * number for p in ordered]
        parts.append(svg.line([(x, frame.y(f.value)) for x, f in zip(places, figures, strict=True)], colour))
        for x, figure in zip(places, figures, strict=True):
            if figure.interval is not None:
                low, high = frame.y(figure.interval.low), frame.y(figure.interval.high)
                parts.append(svg.line([(x, low), (x, high)], colour, width=1.2))
            parts.append(svg.dot(x, frame.y(figure.value), 3.5, colour, says=f"{name} {_figure(figure)}"))
        parts.append(svg.words(frame.x(1) - 8, frame.y(0.16 - 0.07 * number), name, anchor="end", colour=colour))
    return svg.picture(frame.width, frame.height, "What reasoning over more cases buys", *parts)
