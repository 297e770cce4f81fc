"""What a step is to learn: the verdict under each policy, and the rule that decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from magistrate.train.embedded.batches import PassageBatch, batch_contents, batch_passages
from magistrate.train.embedded.drawing import Draw, Hearing
from magistrate.train.embedded.network import PolicyReader
from magistrate.train.embedded.tokens import TextTokens

CONTENTS_AT_ONCE = 16
"""Contents of like length that run together, so that little is padding."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Of one step."""

    total: Tensor
    """Differentiable."""
    verdict: float
    """Mean binary cross-entropy of verdicts, in nats."""
    rule: float
    """Mean cross-entropy of the deciding rule among the rules of its side, in nats; 0 where none is known."""


@dataclass(slots=True)
class _Sum:
    loss: Tensor
    weight: float = 0.0

    def add(self, loss: Tensor, weight: float) -> None:
        self.loss = self.loss + loss
        self.weight += weight

    def mean(self) -> Tensor:
        return self.loss / max(self.weight, 1.0)


def step_loss(
    network: PolicyReader,
    draw: Draw,
    titles: Mapping[str, str],
    tokens: TextTokens,
    *,
    titled: bool,
    rule_weight: float,
) -> Loss:
    """Judge all contents of a step under all of its policies; each content and each passage is encoded once."""
    batch = batch_passages([(titles[h.name], h.passages) for h in draw.hearings], tokens, titled=titled)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        vectors = network.passages(batch.ids)
    verdicts, rules = _Sum(torch.zeros(())), _Sum(torch.zeros(()))
    for contents in batch_contents(draw.contents, tokens, size=CONTENTS_AT_ONCE):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = network.head.scores(network.encoder(contents.ids), contents.mask, vectors, batch.kinds)
        for index, hearing in enumerate(draw.hearings):
            own = batch.owners == index
            _add_verdicts(verdicts, network, scores[:, own], batch.violating[own], hearing, contents.places)
            _add_rules(rules, scores[:, own], batch, own, hearing, contents.places)
    verdict, rule = verdicts.mean(), rules.mean()
    return Loss(verdict + rule_weight * rule, float(verdict.detach()), float(rule.detach()))


def _add_verdicts(
    found: _Sum, network: PolicyReader, scores: Tensor, violating: Tensor, hearing: Hearing, places: Sequence[int]
) -> None:
    labels = [(row, label) for row, place in enumerate(places) if (label := hearing.labels[place]) is not None]
    if not labels:
        return
    log_odds = network.head.log_odds(scores[[row for row, _ in labels]], violating)
    truth = torch.tensor([float(label) for _, label in labels])
    loss = functional.binary_cross_entropy_with_logits(log_odds, truth, reduction="sum")
    found.add(hearing.weight * loss, hearing.weight * len(labels))


def _add_rules(
    found: _Sum, scores: Tensor, batch: PassageBatch, own: Tensor, hearing: Hearing, places: Sequence[int]
) -> None:
    ids = [batch.rule_ids[column] for column in own.nonzero()[:, 0].tolist()]
    columns = {rule_id: column for column, rule_id in enumerate(ids) if rule_id is not None}
    side = batch.violating[own]
    is_rule = torch.tensor([rule_id is not None for rule_id in ids])
    for row, place in enumerate(places):
        column = columns.get(hearing.rules[place] or "")
        if column is None:
            continue
        rivals = is_rule & (side == side[column])
        if int(rivals.sum()) > 1:
            found.add(torch.logsumexp(scores[row][rivals], 0) - scores[row, column], 1.0)
