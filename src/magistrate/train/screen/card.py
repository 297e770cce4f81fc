"""The card of a screen: what it was fitted on, how it scored, what it can't do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from magistrate.classifiers.screens.folder import ScreenFolder, ScreenKind
from magistrate.train.screen.compare import Comparison, Figure
from magistrate.train.screen.curve import CurvePoint
from magistrate.train.screen.labels import Labels

CURVE = "curve.svg"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What the card says."""

    screen: ScreenFolder
    command: str
    labels: Labels
    source_digest: str
    strength: float
    held_out: int
    held_out_violations: int
    comparison: Comparison
    curves: Sequence[tuple[str, Sequence[CurvePoint]]]
    advice: Sequence[str]
    seconds: float


def card(facts: CardFacts) -> str:
    """The card as Markdown."""
    return "\n".join(_lines(facts)) + "\n"


def _lines(facts: CardFacts) -> Iterator[str]:
    settings = facts.screen.settings
    yield f"# {facts.screen.name}"
    yield ""
    yield (
        f"A {settings.kind} screen for the policy {settings.policy!r}: a linear head on {settings.vectors!r}, fitted "
        f"on {settings.cases:,} labelled cases, {settings.violations:,} of them violations."
    )
    yield ""
    for sentence in facts.advice:
        yield f"**{sentence}**"
        yield ""
    yield from _made(facts)
    yield from _standings(facts)
    yield from _curve(facts)
    yield from _limits(settings.kind)


def _made(facts: CardFacts) -> Iterator[str]:
    settings, labels = facts.screen.settings, facts.labels
    yield "| | |"
    yield "|---|---|"
    yield f"| made | {settings.made.isoformat()}, by `{facts.command}`, in {facts.seconds:.0f} s |"
    yield f"| policy | {settings.policy}, {settings.policy_digest} |"
    yield f"| labels | {labels.source}, {facts.source_digest} |"
    yield f"| left out | {labels.repeated:,} repeated rows, {labels.contradicting:,} texts with both labels |"
    yield f"| held out | {facts.held_out:,} cases, {facts.held_out_violations:,} violations; none was fitted on |"
    yield f"| strength (C) | {facts.strength:g}, chosen over the folds of the training cases |"
    yield f"| violation from | probability {settings.threshold:.3f}, chosen over the folds for F1 |"
    yield f"| digest | {facts.screen.digest} |"
    yield ""


def _standings(facts: CardFacts) -> Iterator[str]:
    yield "## On held-out cases"
    yield ""
    yield "95 % intervals in brackets. F1 is at a threshold that was chosen on training cases."
    yield ""
    yield "| judge | cases (violations) | AUC | average precision | F1 |"
    yield "|---|---|---|---|---|"
    for one in facts.comparison.standings:
        figures = " | ".join(_figure(figure) for figure in (one.auc, one.average_precision, one.f1))
        yield f"| {one.name} | {one.cases:,} ({one.violations:,}) | {figures} |"
    yield ""


def _curve(facts: CardFacts) -> Iterator[str]:
    if not any(points for _, points in facts.curves):
        return
    yield "## From how many labels on"
    yield ""
    yield f"AUC on the held-out cases, mean of the draws (lowest to highest draw); drawn in `{CURVE}`."
    yield ""
    names = [name for name, _ in facts.curves]
    yield f"| labels | {' | '.join(names)} |"
    yield f"|---{'|---' * len(names)}|"
    for labels in sorted({point.labels for _, points in facts.curves for point in points}):
        cells = [next((p for p in points if p.labels == labels), None) for _, points in facts.curves]
        yield f"| {labels:,} | {' | '.join('-' if p is None else _point(p) for p in cells)} |"
    yield ""


def _limits(kind: ScreenKind) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield "- It knows the policy by its labels alone: when the text of the policy changes, it must be trained again."
    yield "- It gives no rule and no span. A first opinion, not a substitute for a reasoner or a person."
    yield "- Probabilities hold for the share of violations in the labels; where far fewer violate, they are too high."
    if kind is ScreenKind.STATIC:
        yield "- Reads single words: neither their order nor a negation. Words that are disguised are mostly missed."
    yield "- Mostly English, as what it reads with."
    yield (
        "- The embedded judge was trained on public data sets, which its card names: on the labels of one of these, "
        "its figures above are too good."
    )


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    bounds = "" if figure.interval is None else f" ({figure.interval.low:.3f} to {figure.interval.high:.3f})"
    return f"{figure.value:.3f}{bounds}"


def _point(point: CurvePoint) -> str:
    one = len(point.aucs) == 1
    return f"{point.mean:.3f}" + ("" if one else f" ({point.lowest:.3f} to {point.highest:.3f})")
