from __future__ import annotations

import numpy as np
import pytest

from magistrate.models.plan.answers import FINAL_TOKENS, answer_tokens, mean_tokens


def test_lengths_have_the_published_quantiles() -> None:
    drawn = answer_tokens(np.random.default_rng(0).random(200_000)) - FINAL_TOKENS
    for share, tokens in ((0.5, 150), (0.95, 1036), (0.99, 1633)):
        assert float(np.quantile(drawn, share)) == pytest.approx(tokens, rel=0.03)


def test_published_latencies_follow_the_published_lengths() -> None:
    """The claim that the module rests on: 538, 1,560 and 2,364 ms lie on a line over 150, 1,036 and 1,633 tokens."""
    tokens, latency_ms = np.array([150, 1036, 1633]), np.array([538, 1560, 2364])
    slope = (1560 - 538) / (1036 - 150)
    assert np.max(np.abs(538 + slope * (tokens - 150) - latency_ms) / latency_ms) < 0.05


def test_longer_reasoning_leaves_the_answer_itself_alone() -> None:
    assert mean_tokens(times=2.0) - FINAL_TOKENS == pytest.approx(2 * (mean_tokens() - FINAL_TOKENS))
