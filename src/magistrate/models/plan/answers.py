"""How long a reasoner's answers are: a distribution through published quantiles.

Source: 1,539 calls of gpt-oss-safeguard-20b at its default effort, with policies of about 1,000 tokens, in the public
logs of raxITlabs/gpt-oss-safeguard-testing (7 November 2025). Half of the answers take 150 tokens of reasoning, one in
twenty 1,036 and one in a hundred 1,633. The long tail is what queues are made of, so a mean alone will not do.

The same calls, over a hosted service, took 538, 1,560 and 2,364 ms. Those lie on one line, 365 ms + 1.15 ms a token,
within 5 %: so latency follows length, and lengths are what is drawn here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUANTILES = (0.0, 0.5, 0.95, 0.99, 1.0)
TOKENS = (20.0, 150.0, 1036.0, 1633.0, 3000.0)
"""The first and the last are assumptions; the three between them are published. Geometric between them."""
FINAL_TOKENS = 60.0
"""Of the JSON object behind the reasoning, with its rationale: an assumption."""
WORD_TOKENS = 2.0
"""Of an answer in one word and its end, from a model that does not reason."""


def answer_tokens(uniform: NDArray[np.float64], *, times: float = 1.0) -> NDArray[np.float64]:
    """Lengths of whole answers, reasoning and final channel, as floats above 1.

    Args:
        uniform: Numbers in [0, 1), any shape.
        times: How much longer the reasoning is than in the published calls: another effort, a harder policy; 0 for a
            model that answers at once, in one word.
    """
    import numpy as np

    if times == 0:
        return np.full(uniform.shape, WORD_TOKENS)
    reasoning = np.exp(np.interp(uniform, QUANTILES, np.log(TOKENS)))
    return times * reasoning + FINAL_TOKENS


def mean_tokens(*, times: float = 1.0) -> float:
    """Tokens of an answer on average, by the distribution itself."""
    import numpy as np

    middles = (np.arange(20_000) + 0.5) / 20_000
    return float(answer_tokens(middles, times=times).mean())
