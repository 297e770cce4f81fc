"""The learning curve as a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from magistrate.evaluate.report import svg
from magistrate.evaluate.report.svg import Frame
from magistrate.train.screen.curve import CurvePoint

LOWEST = 0.4
"""AUC at the foot of the picture; chance is one half."""


def curve_picture(curves: Sequence[tuple[str, Sequence[CurvePoint]]], embedded: float | None) -> str:
    """AUC on held-out cases against the number of labels, on a logarithmic scale; bars span the draws."""
    frame = Frame(width=640, height=380)
    labels = sorted({point.labels for _, points in curves for point in points})
    parts = list(_grid(frame, labels))
    if embedded is not None:
        y = _y(frame, embedded)
        parts.append(svg.line([(frame.x(0), y), (frame.x(1), y)], svg.RED, width=1.6, dashes="5 4"))
        said = f"embedded judge, no labels: {embedded:.3f}"
        parts.append(svg.words(frame.x(1) - 6, y - 6, said, anchor="end", colour=svg.RED, size=12, halo=True))
    for number, ((name, points), colour) in enumerate(zip(curves, (svg.BLUE, svg.GREEN), strict=False)):
        parts += _curve(frame, points, colour, labels)
        y = frame.y(0.10 + 0.06 * number)
        parts.append(svg.words(frame.x(1) - 6, y, name, anchor="end", colour=colour, size=12, halo=True))
    return svg.picture(frame.width, frame.height, "AUC on held-out cases by number of labels", *parts)


def _grid(frame: Frame, labels: Sequence[int]) -> Iterator[str]:
    for step in range(7):
        value = LOWEST + step / 10
        y = _y(frame, value)
        yield svg.line([(frame.x(0), y), (frame.x(1), y)], svg.GRID, width=1)
        yield svg.words(frame.x(0) - 8, y + 4, f"{value:.1f}", anchor="end", colour=svg.MUTED, size=11.5)
    for count in labels:
        x = _x(frame, count, labels)
        yield svg.line([(x, frame.y(0)), (x, frame.y(1))], svg.GRID, width=1)
        yield svg.words(x, frame.y(0) + 17, f"{count:,}", anchor="middle", colour=svg.MUTED, size=11.5)
    middle = (frame.x(0) + frame.x(1)) / 2
    yield svg.words(middle, frame.height - 10, "labels (logarithmic); AUC upwards", anchor="middle", size=12.5)


def _curve(frame: Frame, points: Sequence[CurvePoint], colour: str, labels: Sequence[int]) -> Iterator[str]:
    yield svg.line([(_x(frame, p.labels, labels), _y(frame, p.mean)) for p in points], colour, width=2.2)
    for point in points:
        x = _x(frame, point.labels, labels)
        yield svg.line([(x, _y(frame, point.lowest)), (x, _y(frame, point.highest))], colour, width=1.2)
        says = f"{point.labels:,} labels: mean {point.mean:.3f} of {len(point.aucs)}"
        yield svg.dot(x, _y(frame, point.mean), 4, colour, says=says)


def _x(frame: Frame, count: int, labels: Sequence[int]) -> float:
    first, last = math.log(labels[0]), math.log(labels[-1])
    return frame.x(0.04 + 0.92 * ((math.log(count) - first) / (last - first) if last > first else 0.5))


def _y(frame: Frame, auc: float) -> float:
    return frame.y((min(1.0, max(LOWEST, auc)) - LOWEST) / (1 - LOWEST))
