"""A policy as the embedded judge holds it: passages ready to be scored, and how their scores become a verdict.

The log-odds of a violation are a soft maximum over the passages of the violating side less one over those of the
allowed side, among which "nothing speaks of this" always stands. No other number of the policy takes part, so the
scores are what decided, and what a verdict would be without a rule can be computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from magistrate.classifiers.passage_head import PassageHead, PreparedPassages
from magistrate.classifiers.policy_passages import PassageKind, PolicyPassage, passages_of
from magistrate.encoders.base import Encoder, States
from magistrate.policy.model import Polarity, Policy, Rule

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RuleScore:
    """How strongly a rule speaks for a content: the highest score of its text and its examples."""

    rule: Rule
    score: float
    passage: int
    """Index of the passage that has it."""


@dataclass(frozen=True, slots=True)
class RuleIndex:
    """A policy, encoded once."""

    passages: tuple[PolicyPassage, ...]
    rules: tuple[tuple[Rule, tuple[int, ...]], ...]
    """Each rule with the indices of its passages that speak for its side."""
    violating: NDArray[np.bool_]
    """(passages,)"""
    prepared: PreparedPassages
    head: PassageHead

    @classmethod
    def build(cls, policy: Policy, encoder: Encoder, head: PassageHead) -> Self:
        """Encode all passages of a policy."""
        passages = passages_of(policy)
        vectors = encoder.encode([passage_text(policy.title or policy.name, passage) for passage in passages])
        return cls(
            passages=passages,
            rules=tuple((rule, _own(rule, passages)) for rule in policy.rules),
            violating=np.array([passage.violation for passage in passages], np.bool_),
            prepared=head.prepare(vectors, [passage.kind is PassageKind.EXAMPLE for passage in passages]),
            head=head,
        )

    @property
    def can_violate(self) -> bool:
        """Whether anything in the policy speaks for a violation."""
        return bool(self.violating.any())

    def scores(self, windows: Sequence[States]) -> Scores:
        """Of each passage for each window: (windows, passages)."""
        return self.head.scores(windows, self.prepared)

    def log_odds(self, scores: Scores, *, without: str | None = None) -> Scores:
        """Of a violation, of scores (windows, passages): (windows,); minus infinity where nothing can be violated.

        Args:
            scores: As from `scores`.
            without: A rule that is taken away with its passages.
        """
        kept = np.ones(len(self.passages), np.bool_)
        if without is not None:
            kept[[i for i, passage in enumerate(self.passages) if passage.rule_id == without]] = False
        nothing = np.full((len(scores), 1), self.head.nothing, np.float32)
        against = np.concatenate([scores[:, ~self.violating & kept], nothing], axis=1)
        found: Scores = _soft_maximum(scores[:, self.violating & kept], self.head.sharpness) - _soft_maximum(
            against, self.head.sharpness
        )
        return found

    def nearest(self, scores: Scores, polarity: Polarity) -> list[RuleScore]:
        """Rules of one side by their scores (passages,), the highest first; equals in the order of the policy."""
        found = [
            RuleScore(rule, float(scores[best]), best)
            for rule, own in self.rules
            if rule.polarity is polarity and own
            for best in (max(own, key=lambda i: float(scores[i])),)
        ]
        return sorted(found, key=lambda one: -one.score)


def passage_text(title: str, passage: PolicyPassage) -> str:
    """A rule is read behind the policy's title; an example by itself, as content is."""
    return f"{title}: {passage.text}" if passage.kind is PassageKind.RULE else passage.text


def _own(rule: Rule, passages: Sequence[PolicyPassage]) -> tuple[int, ...]:
    violation = rule.polarity is Polarity.VIOLATES
    return tuple(i for i, p in enumerate(passages) if p.rule_id == rule.id and p.violation is violation)


def _soft_maximum(scores: Scores, sharpness: float) -> Scores:
    if scores.shape[1] == 0:
        return np.full(len(scores), -np.inf, np.float32)
    top = scores.max(axis=1, keepdims=True)
    found: Scores = top[:, 0] + np.log(np.exp((scores - top) * sharpness).sum(axis=1)) / sharpness
    return found
