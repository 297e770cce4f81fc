"""Which judge to use, from how many labels on: in words that the figures carry."""

from __future__ import annotations

from collections.abc import Sequence

from magistrate.train.screen.compare import Comparison
from magistrate.train.screen.curve import CurvePoint, enough_from


def advice(found: Comparison, curves: Sequence[tuple[str, Sequence[CurvePoint]]]) -> list[str]:
    """Sentences for people; the first says which judge to use."""
    if found.gain is None or found.gain_interval is None or found.embedded_auc is None:
        return ["The held-out cases are too few to compare the screen with the embedded judge."]
    low, high = found.gain_interval.low, found.gain_interval.high
    by = f"{found.gain:+.3f} AUC ({low:+.3f} to {high:+.3f})"
    if low > 0:
        first = f"Use the screen: against the embedded judge under the policy it has {by} on held-out cases."
    elif high < 0:
        first = f"Use the embedded judge: against it the screen has {by} on held-out cases."
    else:
        first = f"Either: on held-out cases the screen has {by} against the embedded judge, which may be chance."
    return [first, *(_from(name, points, found.embedded_auc) for name, points in curves)]


def _from(name: str, points: Sequence[CurvePoint], auc: float) -> str:
    enough = enough_from(points, auc)
    if enough is None:
        most = points[-1].labels if points else 0
        return (
            f"With up to {most:,} labels the {name} stays below the embedded judge's AUC of {auc:.3f}: use the "
            f"embedded judge until there are more."
        )
    return f"From {enough:,} labels on, the mean {name} is above the embedded judge's AUC of {auc:.3f}."
