"""Contents and policy passages as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from magistrate.classifiers.policy_passages import PassageKind, PolicyPassage
from magistrate.classifiers.rule_index import passage_text
from magistrate.train.embedded.tokens import TextTokens, TokenRow
from magistrate.types import Content


@dataclass(frozen=True, slots=True)
class PassageBatch:
    """Passages of several policies."""

    ids: Tensor
    """(passages, tokens) int64, padded with 0"""
    kinds: Tensor
    """(passages,) int64: 0 for a rule, 1 for an example"""
    violating: Tensor
    """(passages,) bool: the side that each speaks for"""
    owners: Tensor
    """(passages,) int64: index of the policy"""
    rule_ids: tuple[str | None, ...]
    """Of passages that are a rule's text; None for the others."""


@dataclass(frozen=True, slots=True)
class ContentBatch:
    """Some contents of a step, of like length."""

    places: tuple[int, ...]
    """Which of the step's contents they are."""
    ids: Tensor
    """(contents, tokens) int64, padded with 0"""
    mask: Tensor
    """(contents, tokens) bool: what a passage may read, which context is not"""


def batch_passages(
    policies: Sequence[tuple[str, Sequence[PolicyPassage]]], tokens: TextTokens, *, titled: bool = True
) -> PassageBatch:
    """Passages of policies given as (title, passages), in their order.

    Args:
        policies: Whose passages.
        tokens: The tokeniser.
        titled: Whether a rule is read behind its policy's title, as the judge does.
    """
    flat = [(owner, title, p) for owner, (title, passages) in enumerate(policies) for p in passages]
    texts = [passage_text(title, p) if titled else p.text for _, title, p in flat]
    ids, _ = _pad([tokens.passage(text) for text in texts])
    return PassageBatch(
        ids=ids,
        kinds=torch.tensor([int(p.kind is PassageKind.EXAMPLE) for _, _, p in flat]),
        violating=torch.tensor([p.violation for _, _, p in flat]),
        owners=torch.tensor([owner for owner, _, _ in flat]),
        rule_ids=tuple(p.rule_id if p.kind is PassageKind.RULE else None for _, _, p in flat),
    )


def batch_contents(contents: Sequence[Content], tokens: TextTokens, *, size: int) -> Iterator[ContentBatch]:
    """Contents in batches of at most `size`, the shortest first."""
    rows = [tokens.content(content) for content in contents]
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].ids))
    for at in range(0, len(order), size):
        places = order[at : at + size]
        ids, mask = _pad([rows[place] for place in places])
        yield ContentBatch(tuple(places), ids, mask)


def _pad(rows: Sequence[TokenRow]) -> tuple[Tensor, Tensor]:
    longest = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.int64)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        mask[index, row.hidden : len(row.ids)] = True
    return ids, mask
