"""What a cascade's stages took: tokens, seconds and money, each stage's share of it, a policy at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from magistrate.row import VerdictRow
from magistrate.types import Course, Step, Usage


class CostUnit(StrEnum):
    """What a verdict's cost is counted in."""

    ITEMS = "items"
    """Verdicts of the last stage: a case that is asked three times counts three."""
    SECONDS = "seconds"
    TOKENS = "tokens"
    """Input and output."""
    MONEY = "money"
    """By the price table of the settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs, in any one currency."""

    input_per_million: float = 0.0
    """A million input tokens."""
    output_per_million: float = 0.0
    """A million output tokens, those of the reasoning included."""
    per_hour: float = 0.0
    """An hour of its time."""

    def of(self, usage: Usage, seconds: float) -> float:
        """What some use costs; tokens that were not told cost nothing."""
        read = (usage.input_tokens or 0) / 1e6 * self.input_per_million
        written = (usage.output_tokens or 0) / 1e6 * self.output_per_million
        return read + written + seconds / 3600 * self.per_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One stage under one policy."""

    policy: str
    stage: str
    items: int
    """Cases that the stage judged."""
    decided: int
    """Cases that it cleared or flagged."""
    tokens: int
    """Input and output; 0 where the backend does not tell."""
    seconds: float
    money: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All stages of all policies, in the order of their first use."""

    entries: tuple[Entry, ...]
    items: Mapping[str, int]
    """Cases of each policy, whatever became of them."""

    def share(self, entry: Entry, what: str) -> float | None:
        """The entry's part of its policy: of the cases, or of what all stages took; None of nothing.

        Args:
            entry: One of `entries`.
            what: items, tokens, seconds or money.
        """
        if what == "items":
            total: float = self.items[entry.policy]
        else:
            total = sum(getattr(other, what) for other in self.entries if other.policy == entry.policy)
        return getattr(entry, what) / total if total else None

    def render(self) -> str:
        """A table, one line a stage."""
        lines = [("policy", "stage", "judged", "decided", "tokens", "seconds", "money")]
        for e in self.entries:
            shares = {what: self.share(e, what) for what in ("items", "tokens", "seconds", "money")}
            shown = {what: "" if share is None else f" ({share:.1%})" for what, share in shares.items()}
            lines.append(
                (
                    e.policy,
                    e.stage,
                    f"{e.items:,}{shown['items']}",
                    f"{e.decided:,}",
                    f"{e.tokens:,}{shown['tokens']}",
                    f"{e.seconds:,.1f}{shown['seconds']}",
                    f"{e.money:,.4f}{shown['money']}",
                )
            )
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if place < 2 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )


def ledger_of(rows: Iterable[VerdictRow], prices: Mapping[str, Price] | None = None) -> Ledger:
    """Add up what the stages took for some verdicts; rows that no cascade decided are left out.

    Args:
        rows: Verdicts.
        prices: By the name of the model as the steps have it; what is not named costs nothing.
    """
    sums: dict[tuple[str, str], list[float]] = {}
    items: dict[str, int] = {}
    for row in rows:
        if not row.steps:
            continue
        items[row.policy] = items.get(row.policy, 0) + 1
        for step in row.steps:
            if step.course not in (Course.DENIED, Course.REUSED):
                _add(sums.setdefault((row.policy, step.stage), [0.0] * 5), step, prices or {})
    return Ledger(
        entries=tuple(
            Entry(
                policy=policy,
                stage=stage,
                items=int(judged),
                decided=int(decided),
                tokens=int(tokens),
                seconds=seconds,
                money=money,
            )
            for (policy, stage), (judged, decided, tokens, seconds, money) in sums.items()
        ),
        items=items,
    )


def _add(sums: list[float], step: Step, prices: Mapping[str, Price]) -> None:
    seconds = step.latency_ms / 1000
    price = prices.get(step.model, Price())
    sums[0] += 1
    sums[1] += step.course in (Course.CLEARED, Course.FLAGGED)
    sums[2] += (step.usage.input_tokens or 0) + (step.usage.output_tokens or 0)
    sums[3] += seconds
    sums[4] += price.of(step.usage, seconds)
