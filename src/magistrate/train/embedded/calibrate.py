"""Log-odds → probability, and where to abstain, fitted on policies that were not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from magistrate.train.embedded.held_out import HeldOut

BASE_RATE = 0.3
"""The share of violations for which probabilities are calibrated: about the mean share over the train splits."""
UNSURE_SHARE = 0.05
"""The share of held-out cases, the least sure ones, on which the judge abstains by default."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Probability = logistic(slope * log-odds + offset)."""

    slope: float
    offset: float
    abstain_within: float
    """Of one half: `UNSURE_SHARE` of the weight lies there."""

    def probability(self, log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of a violation."""
        found: NDArray[np.float64] = 1 / (1 + np.exp(-(self.slope * log_odds + self.offset)))
        return found


def calibrate(sets: Sequence[HeldOut], log_odds: Sequence[NDArray[np.float64]]) -> Calibration:
    """Fit a logistic: every set weighs the same, and within a set violations weigh `BASE_RATE`.

    Source: Platt (1999), without his smoothing of the targets; the weights are ours.
    """
    values = np.concatenate(log_odds)
    truth = np.concatenate([one.truth for one in sets])
    weights = np.concatenate([_weights(one.truth) for one in sets])
    slope, offset = _fit(values, truth, weights)
    fitted = Calibration(slope, offset, 0.0)
    apart = np.abs(fitted.probability(values) - 0.5)
    order = np.argsort(apart)
    share = np.cumsum(weights[order]) / weights.sum()
    within = float(apart[order[int(np.searchsorted(share, UNSURE_SHARE))]])
    return Calibration(round(slope, 4), round(offset, 4), round(min(within, 0.25), 4))


def _weights(truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    violating = int(truth.sum())
    if violating in (0, truth.size):
        return np.full(truth.size, 1 / truth.size)
    found: NDArray[np.float64] = np.where(truth, BASE_RATE / violating, (1 - BASE_RATE) / (truth.size - violating))
    return found


def _fit(values: NDArray[np.float64], truth: NDArray[np.bool_], weights: NDArray[np.float64]) -> tuple[float, float]:
    """A convex problem in two numbers; the slope is kept positive through its logarithm."""
    x, y, w = (torch.tensor(part, dtype=torch.float64) for part in (values, truth.astype(np.float64), weights))
    parameters = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([parameters], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        odds = parameters[0].exp() * x + parameters[1]
        found = functional.binary_cross_entropy_with_logits(odds, y, weight=w, reduction="sum") / w.sum()
        found.backward()
        return found

    optimiser.step(loss)
    return float(parameters[0].exp().detach()), float(parameters[1].detach())
