"""Choose the next token of each row, each row by its own temperature and its own chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from magistrate.backends.habits import Habits

if TYPE_CHECKING:
    import torch

_UNDER_ONE = 1 - 1e-6
"""A chance times this falls never behind the last token that is possible at all."""


def pick(logits: torch.Tensor, temperatures: Sequence[float], chances: Sequence[float], habits: Habits) -> list[int]:
    """Choose a token for each row.

    Args:
        logits: (rows, vocabulary); impossible tokens are minus infinity.
        temperatures: One a row; 0 takes the likeliest token.
        chances: One a row, in [0, 1): the same chance on the same logits is the same token.
        habits: For top_k and top_p.
    """
    import torch

    likeliest = logits.argmax(dim=-1)
    if not any(temperatures):
        return list(map(int, likeliest.tolist()))
    # MPS has no float64; elsewhere the sum over 200,000 tokens is as good as exact.
    exact = torch.float32 if logits.device.type == "mps" else torch.float64
    heat = torch.tensor([temperature or 1.0 for temperature in temperatures], dtype=exact, device=logits.device)
    probabilities = torch.softmax(_cut(logits, habits).to(exact) / heat[:, None], dim=-1)
    summed = probabilities.cumsum(dim=-1)
    chance = torch.tensor([*chances], dtype=exact, device=logits.device)[:, None]
    drawn = torch.searchsorted(summed, chance * _UNDER_ONE * summed[:, -1:], right=True)[:, 0]
    greedy = torch.tensor([temperature == 0 for temperature in temperatures], device=logits.device)
    return list(map(int, torch.where(greedy, likeliest, drawn).tolist()))


def _cut(logits: torch.Tensor, habits: Habits) -> torch.Tensor:
    """Make impossible what top_k and top_p leave out."""
    if habits.top_k is not None and habits.top_k < logits.shape[-1]:
        least = logits.topk(habits.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -float("inf"))
    if habits.top_p is not None:
        ordered, places = logits.sort(dim=-1, descending=True)
        shares = ordered.softmax(dim=-1)
        beyond = shares.cumsum(dim=-1) - shares >= habits.top_p  # the token that crosses the line stays in
        logits = logits.masked_fill(beyond.scatter(-1, places, beyond), -float("inf"))
    return logits
