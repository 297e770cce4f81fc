"""Texts → vectors → log-odds under a head, with the words that speak loudest where they can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from magistrate.classifiers.screens.folder import Head, ScreenKind
from magistrate.encoders.base import States
from magistrate.encoders.static import StaticEncoder, Windows, joined

LOUD_WORDS = 8
"""Of a text, before words that occur again are joined."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Texts as vectors and tokens, in one window or more a text; the window that speaks loudest counts."""

    rows: States
    """(windows, dimensions)"""
    windows: Windows
    """The tokens; each window has one of number 0 where tokens are not read."""

    def log_odds(self, head: Head) -> Floats:
        """Of each text, the highest of its windows."""
        found = window_log_odds(self.rows, self.windows, head)
        first = first_windows(self.windows.owners)
        return np.maximum.reduceat(found, first) if found.size else found

    def of_texts(self, chosen: Ints) -> Vectors:
        """Of some texts, in the order of their numbers, which may not repeat."""
        kept = np.flatnonzero(np.isin(self.windows.owners, chosen))
        ids, windows = tokens_of(self.windows, kept)
        starts = np.flatnonzero(np.diff(windows, prepend=-1))
        owners = np.asarray(np.unique(self.windows.owners[kept], return_inverse=True)[1], np.int64)
        return Vectors(self.rows[kept], Windows(ids, starts, owners))

    def whole(self) -> Vectors:
        """One window a text: the mean of its vectors, of length 1, and all of its tokens."""
        owners = self.windows.owners
        first = first_windows(owners)
        if first.size == owners.size:
            return self
        sums = np.add.reduceat(self.rows, first, axis=0)
        rows = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        return Vectors(
            np.asarray(rows, np.float32), Windows(self.windows.ids, self.windows.starts[first], owners[first])
        )


def window_log_odds(rows: States, windows: Windows, head: Head) -> Floats:
    """Of each window."""
    found = np.asarray(rows @ head.weights, np.float64) + head.bias
    if head.tokens.size and rows.shape[0]:
        found += np.add.reduceat(head.tokens[windows.ids], windows.starts) / np.sqrt(windows.ends - windows.starts)
    return found


def first_windows(owners: Ints) -> Ints:
    """The first window of each text."""
    return np.flatnonzero(np.diff(owners, prepend=-1))


def tokens_of(windows: Windows, chosen: Ints) -> tuple[NDArray[np.int32], Ints]:
    """Tokens of chosen windows in one row, and for each which of the chosen it is of."""
    lengths = (windows.ends - windows.starts)[chosen]
    owners = np.repeat(np.arange(chosen.size), lengths)
    places = np.arange(owners.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return windows.ids[windows.starts[chosen][owners] + places], owners


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What a head makes of texts."""

    log_odds: Floats
    words: Sequence[Words]
    """Of each text, words with what each adds to the log-odds, loudest first; empty where words cannot be told."""
    tokens: Ints
    """Of each text; 0 where they were not counted."""


class TextReader(Protocol):
    """How a screen reads. Entering the context loads what is needed."""

    @property
    def name(self) -> str:
        """Of what gives the vectors: equal names give equal vectors."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    @property
    def vocabulary(self) -> int:
        """How many tokens can be weighed; 0 where only vectors are."""
        ...

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Read texts."""
        ...

    def hear(self, texts: Sequence[str], head: Head) -> Heard:
        """Read texts and weigh them."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def reader_of(kind: ScreenKind) -> TextReader:
    """How screens of a kind read."""
    return StaticReader() if kind is ScreenKind.STATIC else StateReader()


@dataclass(slots=True)
class StaticReader:
    """Reads with fixed token vectors and the tokens themselves, window by window of a text."""

    encoder: StaticEncoder = field(default_factory=StaticEncoder)
    _words: Sequence[str] = ()
    _goes_on: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    @property
    def name(self) -> str:
        """Of the vectors."""
        return self.encoder.name

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self.encoder.dimensions

    @property
    def vocabulary(self) -> int:
        """All tokens are weighed, too."""
        return self.encoder.vocabulary

    def __enter__(self) -> Self:
        self.encoder.__enter__()
        self._words = self.encoder.words()
        self._goes_on = np.array([word.startswith("##") for word in self._words])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.encoder.__exit__(kind, error, trace)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Read texts."""
        blocks = list(self.encoder.windows(texts))
        rows = [np.empty((0, self.dimensions), np.float32), *(self.encoder.vectors(block)[0] for block in blocks)]
        return Vectors(np.concatenate(rows), joined(blocks))

    def hear(self, texts: Sequence[str], head: Head) -> Heard:
        """Read texts and weigh them, block by block: memory does not grow with their number."""
        says = self.encoder.table @ head.weights
        log_odds = np.empty(len(texts))
        tokens = np.empty(len(texts), np.int64)
        words: list[Words] = []
        for block in self.encoder.windows(texts):
            rows, norms = self.encoder.vectors(block)
            found = window_log_odds(rows, block, head)
            loudest = _loudest(block.owners, found)
            owners = block.owners[loudest]
            log_odds[owners] = found[loudest]
            tokens[owners] = np.add.reduceat(block.ends - block.starts, first_windows(block.owners))
            ids, windows = tokens_of(block, loudest)
            shares = says[ids] / norms[loudest][windows]
            if head.tokens.size:
                shares += head.tokens[ids] / np.sqrt(np.bincount(windows))[windows]
            words += self._loud_words(ids, windows, shares, loudest.size)
        return Heard(log_odds, words, tokens)

    def _loud_words(
        self, ids: NDArray[np.int32], windows: Ints, shares: NDArray[np.floating], count: int
    ) -> list[Words]:
        """Of each window, the words with the largest share of the log-odds, on either side.

        A token's share is exact: its vector on the weights, by the length of the sum, and its own weight. Pieces of
        a word are added up.
        """
        starts = np.flatnonzero(~self._goes_on[ids] | (np.diff(windows, prepend=-1) != 0))
        of_words = np.add.reduceat(shares, starts)
        owners = windows[starts]
        order = np.lexsort((-np.abs(of_words), owners))
        begins = np.searchsorted(owners, np.arange(count + 1))
        ends = np.append(starts[1:], ids.size)
        found: list[Words] = []
        for begin, end in zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True):
            chosen = order[begin : min(end, begin + LOUD_WORDS)].tolist()
            found.append(tuple((self._word(ids[starts[at] : ends[at]]), float(of_words[at])) for at in chosen))
        return found

    def _word(self, ids: NDArray[np.int32]) -> str:
        numbers: list[int] = ids.tolist()
        return "".join(self._words[number].removeprefix("##") for number in numbers)


def _loudest(owners: Ints, log_odds: Floats) -> Ints:
    """The window with the highest log-odds of each text."""
    order = np.lexsort((-log_odds, owners))
    return order[np.flatnonzero(np.diff(owners[order], prepend=-1))]


class StateReader:
    """Reads with the embedded model: the mean state of a text, scaled to length 1."""

    def __init__(self) -> None:
        from magistrate.encoders.minilm import MiniLmEncoder  # loads onnxruntime, which a static screen never needs

        self._encoder = MiniLmEncoder()

    @property
    def name(self) -> str:
        """Of the model."""
        return self._encoder.name

    @property
    def dimensions(self) -> int:
        """Length of a state."""
        return self._encoder.dimensions

    @property
    def vocabulary(self) -> int:
        """No token is weighed by itself."""
        return 0

    def __enter__(self) -> Self:
        self._encoder.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._encoder.__exit__(kind, error, trace)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Read texts."""
        states = self._encoder.encode(texts)
        norms = np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
        numbers = np.arange(len(texts))
        return Vectors((states / norms).astype(np.float32), Windows(np.zeros(len(texts), np.int32), numbers, numbers))

    def hear(self, texts: Sequence[str], head: Head) -> Heard:
        """Read texts and weigh them. The state of a word depends on all others: no word is told apart."""
        none: Words = ()
        return Heard(self.vectors(texts).log_odds(head), [none] * len(texts), np.zeros(len(texts), np.int64))
