"""Log-odds → probabilities, for arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def logistic(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a violation, in [0, 1]; log-odds past 700 count as 700, since exp overflows soon after."""
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -700, 700))), np.float64)
