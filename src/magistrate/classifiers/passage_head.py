"""The head of the embedded judge: how strongly a passage of a policy speaks for a content.

The same computation as `train/embedded/network.py`, in numpy and without gradients; a test holds the two together.
A passage reads the content's tokens by attention, by learned heads and by likeness, and is compared with what it read.
Its score depends on nothing else. Likeness takes the place of a mean over all tokens: in a mean, harmless words drown
out the ones that decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from magistrate.encoders.base import States
from magistrate.encoders.model_folder import HEAD
from magistrate.errors import BackendError

Array = NDArray[np.float32]
TENSORS = (
    "query.weight",
    "query.bias",
    "key.weight",
    "value.weight",
    "passage.weight",
    "passage.bias",
    "first.weight",
    "first.bias",
    "last.weight",
    "last.bias",
    "kind",
    "cosine",
    "focus",
    "sharpness",
    "nothing",
)
READ_HEADS, DIMENSIONS = 4, 384


@dataclass(frozen=True, slots=True)
class PreparedPassages:
    """Passages of a policy with all of their half of the computation done."""

    query: Array
    """(dimensions, heads * passages): what each passage looks for, already in the space of token states"""
    unit: Array
    """(passages, dimensions), unit length"""
    wanted: Array
    """(passages, dimensions)"""
    wanted_length: Array
    """(passages,)"""
    offset: Array
    """(passages, compared)"""
    bias: Array
    """(passages,)"""


class PassageHead:
    """Weights of a trained head."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self._weights = weights
        first = weights["first.weight"]
        width = len(weights["query.weight"]) // READ_HEADS
        self._key = weights["key.weight"].reshape(READ_HEADS, width, -1) * np.float32(width**-0.5)
        value = weights["value.weight"].reshape(READ_HEADS, -1, DIMENSIONS)
        self._value: Array = np.ascontiguousarray(value.transpose(0, 2, 1))
        self._seen, self._wanted, self._both, self._apart = (part.T.copy() for part in np.split(first, 4, axis=1))
        self._cosine = weights["cosine"]
        self._focus = weights["focus"][0]
        self.sharpness = float(np.log1p(np.exp(weights["sharpness"][0])) + 0.5)
        self.nothing = float(weights["nothing"][0])
        """The score of "no rule speaks of this", on the allowed side of every policy."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the weights from a model's folder.

        Raises:
            BackendError: there is no such file, or it does not hold a head.
        """
        path = folder / HEAD
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls({name: np.asarray(arrays[name], np.float32) for name in TENSORS})
        except (OSError, KeyError, ValueError) as error:
            raise BackendError(
                f"the embedded model has no head: cannot read {str(path)!r}: {error}",
                hint="install magistrate again, or train it: magistrate train embedded --help",
            ) from error

    def prepare(self, passages: States, examples: Sequence[bool]) -> PreparedPassages:
        """Do the passages' half: mean states (passages, dimensions), and which of them are examples."""
        w = self._weights
        query = (passages @ w["query.weight"].T + w["query.bias"]).reshape(len(passages), READ_HEADS, -1)
        looked_for = query.transpose(1, 0, 2) @ self._key
        wanted = passages @ w["passage.weight"].T + w["passage.bias"] + passages
        return PreparedPassages(
            query=np.ascontiguousarray(looked_for.reshape(-1, DIMENSIONS).T, np.float32),
            unit=passages / _lengths(passages)[:, None],
            wanted=wanted,
            wanted_length=_lengths(wanted),
            offset=np.asarray(wanted @ self._wanted + w["first.bias"], np.float32),
            bias=w["kind"][np.asarray(examples, np.int64)] + w["last.bias"],
        )

    def scores(self, windows: Sequence[States], passages: PreparedPassages) -> Array:
        """Score each passage against each window (tokens, dimensions): (windows, passages)."""
        read: Array = np.stack([self._read(states, _softmax(states @ passages.query)) for states in windows])
        near: Array = np.stack([_softmax(self._likeness(states, passages)).T @ states for states in windows])
        return self._compare(read + near, near, passages)

    def piece_scores(
        self, states: States, passages: PreparedPassages, passage: int, pieces: Sequence[tuple[int, int]]
    ) -> Array:
        """Score one passage against pieces of a window (ranges of its tokens), each by itself: (pieces,)."""
        only = _only(passages, passage)
        inside = np.zeros((len(pieces), len(states)), np.bool_)
        for row, (start, end) in zip(inside, pieces, strict=True):
            row[start:end] = True
        alike = states @ only.query
        heads: list[Array] = [
            _within(alike[:, head], inside) @ states @ self._value[head] for head in range(READ_HEADS)
        ]
        near: Array = (_within(self._likeness(states, only)[:, 0], inside) @ states)[:, None, :]
        read: Array = np.concatenate(heads, axis=1)[:, None, :]
        return self._compare(read + near, near, only)[:, 0]

    def _likeness(self, states: States, passages: PreparedPassages) -> Array:
        """Of each token and each passage: (tokens, passages)."""
        alike: Array = (states @ passages.unit.T) * (self._focus / _lengths(states)[:, None])
        return alike

    def _read(self, states: States, weights: Array) -> Array:
        """What each passage takes from the tokens, heads joined: (passages, dimensions); weights (tokens, columns)."""
        taken = (weights.T @ states).reshape(READ_HEADS, -1, DIMENSIONS) @ self._value
        return np.asarray(taken.transpose(1, 0, 2).reshape(taken.shape[1], -1), np.float32)

    def _compare(self, seen: Array, near: Array, passages: PreparedPassages) -> Array:
        """Compare (windows, passages, dimensions) with what the passages want: (windows, passages)."""
        wanted = passages.wanted
        inner = seen @ self._seen + passages.offset
        inner += (seen * wanted) @ self._both
        inner += np.abs(seen - wanted) @ self._apart
        found = _gelu(inner) @ self._weights["last.weight"][0]
        whole = (near * passages.unit).sum(axis=2) / _lengths(near)
        part = (seen * wanted).sum(axis=2) / (np.linalg.norm(seen, axis=2) * passages.wanted_length)
        scores: Array = found + self._cosine[0] * whole + self._cosine[1] * part + passages.bias
        return scores


def _softmax(alike: Array) -> Array:
    """Over tokens: (tokens, columns)."""
    weights: Array = np.exp(alike - alike.max(axis=0))
    weights /= weights.sum(axis=0)
    return weights


def _within(alike: Array, inside: NDArray[np.bool_]) -> Array:
    """Softmax of (tokens,) over the tokens inside each piece: (pieces, tokens)."""
    kept = np.where(inside, alike, np.float32(-np.inf))
    weights: Array = np.exp(kept - kept.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def _only(passages: PreparedPassages, index: int) -> PreparedPassages:
    own = slice(index, index + 1)
    columns = slice(index, None, len(passages.wanted))
    return PreparedPassages(
        query=passages.query[:, columns],
        unit=passages.unit[own],
        wanted=passages.wanted[own],
        wanted_length=passages.wanted_length[own],
        offset=passages.offset[own],
        bias=passages.bias[own],
    )


def _gelu(values: Array) -> Array:
    """By the hyperbolic tangent, as in training."""
    inner = np.float32(0.7978845608) * (values + np.float32(0.044715) * values * values * values)
    found: Array = np.float32(0.5) * values * (1 + np.tanh(inner))
    return found


def _lengths(rows: Array) -> Array:
    lengths: Array = np.maximum(np.linalg.norm(rows, axis=-1), np.float32(1e-8))
    return lengths
