"""Where prompts that begin alike part, so that their beginning is computed once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences share at their beginning."""
    least = min(len(one), len(other))
    if one[:least] == other[:least]:
        return least
    low, high = 0, least  # equal up to low, different up to high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def groups(prompts: Sequence[tuple[int, ...]], most: int) -> list[slice]:
    """Cut neighbours into groups of at most `most` that begin alike.

    A cut falls where the next prompt shares less than half of what the group shares, as between two policies, which
    have only the system message in common.
    """
    cuts: list[slice] = []
    start = 0
    steps = [common_length(one, other) for one, other in itertools.pairwise(prompts)]
    for place in range(1, len(prompts) + 1):
        ends = place == len(prompts) or place - start == most or _parts(steps, start, place)
        if ends:
            cuts.append(slice(start, place))
            start = place
    return cuts


def _parts(steps: Sequence[int], start: int, place: int) -> bool:
    """Whether the prompt at `place` is unlike those from `start` on. `steps[i]` is what i and i + 1 share."""
    inside = min(steps[start : place - 1], default=None)
    if inside is None:  # the group is one prompt, which goes with whom it shares more
        inside = steps[place] if place < len(steps) else 0
    return 2 * steps[place - 1] < inside
