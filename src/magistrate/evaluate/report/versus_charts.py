"""The charts of a comparison, each a picture of its own as SVG text."""

from __future__ import annotations

from collections.abc import Iterator

from magistrate.evaluate.compare import Difference
from magistrate.evaluate.report import svg
from magistrate.evaluate.report.svg import Frame
from magistrate.evaluate.versus import Versus

_REACHES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
"""Where an axis may end, on both sides of 0."""


def differences_chart(found: Versus) -> str:
    """Every figure of the second minus that of the first as a mark with its interval; the deciding one is bold."""
    lines = found.comparison.differences
    reach = _reach(lines)
    row, top = 34, 12
    frame = Frame(width=640, height=top + row * len(lines) + 30, left=148, right=200, top=top, bottom=30)
    parts: list[str] = []
    for step in range(5):
        x = frame.x(step / 4)
        zero = step == 2
        parts.append(svg.line([(x, frame.y(0)), (x, top)], svg.INK if zero else svg.GRID, width=1.4 if zero else 1))
        tick = "0" if zero else f"{reach * (step / 2 - 1):+.3g}"
        parts.append(svg.words(x, frame.height - 10, tick, anchor="middle", colour=svg.MUTED, size=11.5))
    for number, line in enumerate(lines):
        decides = line.metric is found.comparison.decided_by
        parts.extend(_row(frame, top + row * (number + 0.5), line, reach, decides=decides))
    return svg.picture(frame.width, frame.height, "Second minus first, with intervals", *parts)


def _reach(lines: tuple[Difference, ...]) -> float:
    """The nearest end that holds all intervals."""
    ends = [abs(end) for line in lines if line.interval is not None for end in (line.interval.low, line.interval.high)]
    ends += [abs(line.value) for line in lines if line.value is not None]
    return next(reach for reach in _REACHES if reach >= min(1.0, max(ends, default=0.0)))


def _row(frame: Frame, y: float, line: Difference, reach: float, *, decides: bool) -> Iterator[str]:
    def x(value: float) -> float:
        return frame.x((value / reach + 1) / 2)

    yield svg.words(frame.left - 14, y + 4, line.metric.value, anchor="end", bold=decides)
    if line.value is None:
        yield svg.words(frame.x(1) + 14, y + 4, "not defined", colour=svg.MUTED)
        return
    colour = _colour(line)
    said = f"{line.value:+.3f}"
    if line.interval is not None:
        yield svg.line([(x(line.interval.low), y), (x(line.interval.high), y)], colour, width=3)
        said += f"  ({line.interval.low:+.3f} to {line.interval.high:+.3f})"
    yield svg.dot(x(line.value), y, 6 if decides else 5, colour)
    yield svg.words(frame.x(1) + 14, y + 4, said, size=12.5, bold=decides)


def _colour(line: Difference) -> str:
    """Green where the whole interval speaks for the second, red where it speaks against it."""
    bounds = line.interval
    if bounds is None or bounds.low <= 0 <= bounds.high:
        return svg.MUTED
    return svg.GREEN if (bounds.low > 0) is not line.metric.lower_is_better else svg.RED
