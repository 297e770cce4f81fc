from __future__ import annotations

import numpy as np

from magistrate.encoders.static_folder import STATIC_ASSETS, VECTORS, read_static_vectors
from magistrate.train.screen.distil import SPOKEN_FROM, distil, vectors_card


def states(tokens: int, width: int = 12) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(SPOKEN_FROM + tokens, width)).astype(np.float32)


def test_all_components_keep_angles_and_frequent_tokens_weigh_less() -> None:
    found = states(400)
    vectors = distil(found, "m.v1", dimensions=12).table()
    spoken = found[SPOKEN_FROM:] - found[SPOKEN_FROM:].mean(axis=0)
    cosines = [(a / np.linalg.norm(a, axis=1, keepdims=True)) for a in (spoken[50:60], vectors[SPOKEN_FROM:][50:60])]
    np.testing.assert_allclose(cosines[0] @ cosines[0].T, cosines[1] @ cosines[1].T, atol=0.02)
    shares = np.linalg.norm(vectors[SPOKEN_FROM:], axis=1) / np.linalg.norm(spoken, axis=1)
    assert (np.diff(shares) > -1e-3).all()
    assert shares[0] < shares[-1] / 10


def test_tokens_that_are_never_spoken_have_zeros() -> None:
    assert not distil(states(40), "m.v1", dimensions=4).table()[:SPOKEN_FROM].any()


def test_eight_bits_are_near() -> None:
    vectors = distil(states(40), "m.v1", dimensions=4)
    assert vectors.steps.dtype == np.int8
    assert np.abs(vectors.steps[SPOKEN_FROM:]).max(axis=1).tolist() == [127] * 40


def test_the_shipped_vectors_are_small_and_have_a_card() -> None:
    assert (STATIC_ASSETS / VECTORS).stat().st_size <= 8_000_000
    vectors = read_static_vectors(STATIC_ASSETS)
    card = (STATIC_ASSETS / "VECTORS.md").read_text(encoding="utf-8")
    assert vectors.name in card
    assert "magistrate train static" in card
    assert vectors_card(vectors, "somewhere", "a command").startswith(f"# {vectors.name}\n")
