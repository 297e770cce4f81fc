"""The record of a run as JSON lines, and its curves as pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from magistrate.evaluate.report import svg
from magistrate.evaluate.report.svg import Frame
from magistrate.train.embedded.fit import Progress
from magistrate.train.embedded.held_out import HeldOutScore

RECORD = "record.jsonl"
LOSS_CURVE, HELD_OUT_CURVE = "loss.svg", "held_out.svg"


class Record:
    """Losses and held-out scores by step, kept in a folder. What was recorded after `step` is dropped on opening."""

    def __init__(self, folder: Path, *, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        path = folder / RECORD
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self._rows: list[dict[str, object]] = [row for row in map(json.loads, lines) if row["step"] <= step]
        path.write_text("".join(json.dumps(row) + "\n" for row in self._rows), encoding="utf-8")

    def add_progress(self, progress: Progress) -> None:
        """Keep mean losses."""
        self._add(asdict(progress))

    def add_scores(self, step: int, scores: Sequence[HeldOutScore]) -> None:
        """Keep held-out scores."""
        self._add({"step": step, "held_out": {one.name: [one.auc, one.average_precision] for one in scores}})

    def _add(self, row: dict[str, object]) -> None:
        self._rows.append(row)
        with (self._folder / RECORD).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def draw(self) -> None:
        """Draw both curves over the steps so far."""
        losses = [(_number(row["step"]), _number(row["verdict_loss"])) for row in self._rows if "verdict_loss" in row]
        scores = [(_number(row["step"]), _means(row["held_out"])) for row in self._rows if "held_out" in row]
        (self._folder / LOSS_CURVE).write_text(_loss_curve(losses), encoding="utf-8")
        (self._folder / HELD_OUT_CURVE).write_text(_held_out_curve(scores), encoding="utf-8")


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"expected a number, found {value!r}")
    return float(value)


def _means(held_out: object) -> tuple[float, float]:
    """Mean AUC and mean average precision over sets."""
    rows = list(held_out.values()) if isinstance(held_out, dict) else []
    return sum(_number(row[0]) for row in rows) / len(rows), sum(_number(row[1]) for row in rows) / len(rows)


def _loss_curve(losses: Sequence[tuple[float, float]]) -> str:
    return _curves("Loss of verdicts in training", "step", "nats (1.0 = top)", [("loss", svg.BLUE, losses)])


def _held_out_curve(scores: Sequence[tuple[float, tuple[float, float]]]) -> str:
    auc = [(step, means[0]) for step, means in scores]
    precision = [(step, means[1]) for step, means in scores]
    title = "Mean over sets whose policies are not trained on"
    return _curves(title, "step", "0 to 1", [("AUC", svg.BLUE, auc), ("average precision", svg.GREEN, precision)])


def _curves(title: str, across: str, up: str, curves: Sequence[tuple[str, str, Sequence[tuple[float, float]]]]) -> str:
    frame = Frame(width=620)
    most = max((step for _, _, points in curves for step, _ in points), default=1.0)
    parts = [svg.axes(frame, f"{across} (1.0 = {most:.0f})", up)]
    for number, (name, colour, points) in enumerate(curves):
        line = [(frame.x(step / most), frame.y(min(1.0, max(0.0, value)))) for step, value in points]
        if line:
            parts.append(svg.line(line, colour, width=2))
            parts.append(svg.words(frame.x(1) - 8, frame.y(0.16 - 0.07 * number), name, anchor="end", colour=colour))
    return svg.picture(frame.width, frame.height, title, *parts)
