"""Two parts of a golden set: one to learn from, one that nothing is learned from and that decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from magistrate.digest import text_digest
from magistrate.errors import UsageError
from magistrate.evaluate.compare import cases_needed
from magistrate.evaluate.golden import GoldenCase
from magistrate.types import Content

FEWEST = 10
FEWEST_OF_A_SIDE = 2
"""Cases that a part must have for anything to be said on it at all."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A golden set in two. Cases keep their order."""

    analysis: tuple[GoldenCase, ...]
    """Errors are looked at here, and edits are chosen by it."""
    held_out: tuple[GoldenCase, ...]
    """What is chosen is tested here, once."""


def divide(cases: Sequence[GoldenCase], *, held_out: float = 0.5, seed: int = 0) -> Parts:
    """Divide a golden set, the same way for the same cases and seed, in whatever order they are.

    Cases of one cluster, and cases whose content differs in nothing but blanks and case, stay together. Both parts get
    their share of each side, and as far as it goes of each rule, label or category.

    Args:
        cases: With ids that are unique.
        held_out: The share that is held out, in (0, 1).
        seed: Another one gives other parts.

    Raises:
        UsageError: the share is out of range, or a part would be too small.
    """
    if not 0 < held_out < 1:
        raise UsageError(f"the share that is held out must be between 0 and 1, got {held_out!r}", hint="0.5")
    chosen: set[str] = set()
    for violation in (True, False):
        units = [unit for unit in _units(cases) if unit[0].violation is violation]
        units.sort(key=lambda unit: (_stratum(unit[0]), text_digest(f"{seed} {unit[0].id}")))
        wanted, taken = 0.0, 0
        for unit in units:
            wanted += held_out * len(unit)
            if taken + len(unit) / 2 <= wanted:
                taken += len(unit)
                chosen.update(case.id for case in unit)
    parts = Parts(
        analysis=tuple(case for case in cases if case.id not in chosen),
        held_out=tuple(case for case in cases if case.id in chosen),
    )
    _check_size(parts, held_out)
    return parts


def content_key(content: Content) -> str:
    """What two contents share that differ in nothing but blanks and case."""
    return "\n".join(" ".join(message.content.split()).casefold() for message in content.messages)


def _units(cases: Sequence[GoldenCase]) -> list[list[GoldenCase]]:
    """Cases that must stay together, each unit in the order of its ids."""
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while above.setdefault(name, name) != name:
            name = above[name]
        return name

    for case in cases:
        own = f"id {case.id}"
        for other in (f"content {content_key(case.content)}", f"cluster {case.cluster}" if case.cluster else own):
            above[top(other)] = top(own)
    units: dict[str, list[GoldenCase]] = {}
    for case in sorted(cases, key=lambda case: case.id):
        units.setdefault(top(f"id {case.id}"), []).append(case)
    return list(units.values())


def _stratum(case: GoldenCase) -> str:
    return " ".join(case.rule_ids[:1]) or case.label or case.category


def _check_size(parts: Parts, share: float) -> None:
    """Refuse parts of which nothing could be said, with the number of cases that would do."""
    smallest = min(share, 1 - share)
    whole = (*parts.analysis, *parts.held_out)
    sides = {side: sum(case.violation is side for case in whole) for side in (True, False)}
    for name, part in (("to analyse", parts.analysis), ("held out", parts.held_out)):
        for side, word in ((True, "violating"), (False, "allowed")):
            count = sum(case.violation is side for case in part)
            if count < FEWEST_OF_A_SIDE:
                more = max(1, math.ceil(FEWEST_OF_A_SIDE / smallest) - sides[side])
                raise UsageError(
                    f"of the part {name}, {count} cases are {word}; at least {FEWEST_OF_A_SIDE} are needed",
                    hint=f"add about {more} {word} cases to the golden set",
                )
        if len(part) < FEWEST:
            more = max(1, math.ceil(FEWEST / smallest) - len(whole))
            raise UsageError(
                f"the part {name} has {len(part)} cases; at least {FEWEST} are needed",
                hint=f"add about {more} cases to the golden set, or change --held-out; hundreds tell small differences",
            )


def fewest_mended(confidence: float) -> int:
    """How many errors must be mended, with nothing broken, before McNemar's mid-p test can tell.

    >>> fewest_mended(0.95)
    5
    """
    return math.floor(math.log(1 - confidence, 0.5)) + 1


def tellable(cases: int, *, confidence: float) -> float | None:
    """The smallest share of cases that must be mended, with none broken, to be told four times in five.

    >>> tellable(100, confidence=0.95)
    0.08
    """
    shares = (percent / 100 for percent in range(1, 101))
    return next((share for share in shares if cases_needed(share, share, confidence=confidence) <= cases), None)
