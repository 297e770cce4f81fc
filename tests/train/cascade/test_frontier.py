from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from magistrate.train.cascade.choose import Choice, Thresholds, f1_score, route
from magistrate.train.cascade.frontier import frontier, frontier_chart, frontier_table, measure
from magistrate.train.cascade.table import CascadeTable

CASES = 1500


def table(seed: int) -> CascadeTable:
    generator = np.random.default_rng(seed)
    truth = generator.random(CASES) < 0.15
    scores = generator.normal(size=(CASES, 2)) * 2 + truth[:, None] * [3.0, 7.0]
    return CascadeTable(
        stages=("screen", "reasoner"),
        truth=truth,
        probabilities=1 / (1 + np.exp(-(scores - [3.0, 5.0]))),
        costs=np.tile([1.0, 200.0], (CASES, 1)),
    )


def test_figures_are_those_of_the_routes() -> None:
    cases = table(0)
    choice = Choice(thresholds=(Thresholds(clear_below=0.2, flag_from=0.9), Thresholds(clear_below=0.5, flag_from=0.5)))
    routes = route(cases, choice.thresholds)
    point = measure(cases, choice, budget=0.3)
    assert point.f1.value == pytest.approx(f1_score(cases.truth, routes.flagged))
    assert point.recall.value == pytest.approx(float(np.mean(routes.flagged[cases.truth])))
    assert point.cost == pytest.approx(1 + 200 * routes.reasoned)
    assert point.f1.interval is not None
    assert point.f1.interval.low < point.f1.value < point.f1.interval.high


def test_the_frontier_rises_from_the_screen_alone_to_the_reasoner_on_all() -> None:
    points = frontier(table(0), table(1), budgets=(0.0, 0.2, 1.0))
    assert [p.budget for p in points] == [0.0, 0.2, 1.0]
    assert points[0].reasoned == 0
    assert points[0].f1.value < points[1].f1.value
    assert points[1].cost < 80


def test_table_and_picture_show_every_point() -> None:
    points = frontier(table(0), table(1), budgets=(0.0, 0.2))
    written = frontier_table(points, unit="tokens")
    assert written.count("\n") == 4
    assert f"{points[1].f1.value:.3f} (" in written
    drawing = ElementTree.fromstring(frontier_chart(points, unit="tokens"))
    assert len(drawing.findall(".//{http://www.w3.org/2000/svg}circle")) == 4
