"""Which families are about other things, so that a family's contents are taken not to break their policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from magistrate.train.embedded.batches import batch_passages
from magistrate.train.embedded.families import Family
from magistrate.train.embedded.network import PolicyReader
from magistrate.train.embedded.tokens import TextTokens

SHARE = 1 / 3
"""Of the other families, the least like ones."""


def unrelated_families(
    network: PolicyReader, families: Sequence[Family], tokens: TextTokens
) -> Mapping[str, tuple[Family, ...]]:
    """For each family by name, the third of the families whose policies are least like its own.

    Two families are as like as their two most like policies, by the cosine of the mean of their passages under the
    encoder as it is. Labels that follow from this are guesses, so they weigh less (`Mixture.unrelated_weight`).
    """
    means = {family.name: _means(network, family, tokens) for family in families}
    found: dict[str, tuple[Family, ...]] = {}
    for family in families:
        others = sorted(
            (other for other in families if other is not family),
            key=lambda other: float((means[family.name] @ means[other.name].T).max()),
        )
        found[family.name] = tuple(others[: max(1, round(len(others) * SHARE))])
    return found


def _means(network: PolicyReader, family: Family, tokens: TextTokens) -> Tensor:
    """One row of unit length a policy: (policies, width)."""
    network.eval()
    rows: list[Tensor] = []
    with torch.no_grad():
        for policy in family.policies:
            vectors = network.passages(batch_passages([(policy.title, policy.passages)], tokens).ids)
            rows.append(functional.normalize(functional.normalize(vectors, dim=-1).mean(0), dim=-1))
    return torch.stack(rows)
