"""Texts as sums of fixed token vectors: tens of thousands of short texts a second, without a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from magistrate.encoders.base import States
from magistrate.encoders.model_folder import ASSETS
from magistrate.encoders.static_folder import STATIC_ASSETS, read_static_vectors
from magistrate.encoders.wordpiece import encodable, load_tokenizer
from magistrate.errors import BackendError, UsageError

WINDOW_TOKENS = 128
"""Of a longer text each window has a vector of its own: in a long one, harmless words drown out harmful ones."""
BLOCK_TOKENS = 32_768
"""Tokens that are held at once, of several texts."""
BLOCK_TEXTS = 4096
LONGEST_TOKENISED = 100_000
"""Characters: a longer text goes to the tokeniser in parts, so that one text cannot fill the memory."""
SHORTEST = 1e-12
"""A sum that is shorter is taken for zeros."""
UNKNOWN_TOKEN = 100
"""[UNK], whose vector is 0: stands for a text without tokens."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Texts as tokens in windows: all tokens in one row, window after window, text after text."""

    ids: NDArray[np.int32]
    starts: Ints
    """(windows,): where in `ids` each begins. None is empty."""
    owners: Ints
    """(windows,): the text of each, rising. Each text has at least one."""

    @property
    def ends(self) -> Ints:
        """(windows,): where in `ids` each ends."""
        return np.append(self.starts[1:], self.ids.size)


def joined(blocks: Sequence[Windows]) -> Windows:
    """Blocks of windows as one."""
    sizes = np.cumsum([0, *(block.ids.size for block in blocks)])
    nothing = np.empty(0, np.int64)
    return Windows(
        np.concatenate([np.empty(0, np.int32), *(block.ids for block in blocks)]),
        np.concatenate([nothing, *(block.starts + size for block, size in zip(blocks, sizes[:-1], strict=True))]),
        np.concatenate([nothing, *(block.owners for block in blocks)]),
    )


class StaticEncoder:
    """Adds up a fixed vector a token and scales the sum to length 1. Word order is not read.

    Args:
        folder: Of the vectors: those that ship, or what `magistrate train static` wrote.

    Raises:
        BackendError: the folder has no vectors.
    """

    def __init__(self, folder: Path = STATIC_ASSETS) -> None:
        self._vectors = read_static_vectors(folder)
        self._table: States | None = None
        self._tokenizer: Tokenizer | None = None

    @property
    def name(self) -> str:
        """Name of the vectors with their version."""
        return self._vectors.name

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._vectors.steps.shape[1])

    @property
    def vocabulary(self) -> int:
        """How many tokens have a vector."""
        return int(self._vectors.steps.shape[0])

    @property
    def table(self) -> States:
        """The vector of each token: (tokens, dimensions).

        Raises:
            UsageError: the encoder is not open.
        """
        return self._opened()[1]

    def __enter__(self) -> Self:
        if self._table is None:
            tokenizer = load_tokenizer(ASSETS)
            tokens = tokenizer.get_vocab_size()
            if tokens != len(self._vectors.steps):
                raise BackendError(
                    f"the vectors {self.name!r} are for {len(self._vectors.steps):,} tokens, "
                    f"the tokeniser has {tokens:,}",
                    hint="make them again: magistrate train static --help",
                )
            self._tokenizer, self._table = tokenizer, self._vectors.table()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tokenizer = self._table = None

    def encode(self, texts: Sequence[str]) -> States:
        """One vector for each whole text, however long: (texts, dimensions). A text without known words has zeros.

        Raises:
            UsageError: the encoder is not open.
        """
        found = [self.vectors(windows)[0] for windows in self.windows(texts, longest=None)]
        return np.concatenate(found) if found else np.empty((0, self.dimensions), np.float32)

    def windows(self, texts: Sequence[str], *, longest: int | None = WINDOW_TOKENS) -> Iterator[Windows]:
        """Tokenise texts, in blocks of whole texts; `owners` count from the first text of all.

        Args:
            texts: Any texts.
            longest: Tokens of a window at the most; a longer text is cut into even ones. None for one window a text.

        Raises:
            UsageError: the encoder is not open.
        """
        tokenizer, _ = self._opened()
        for first in range(0, len(texts), BLOCK_TEXTS):
            rows = _token_rows(tokenizer, texts[first : first + BLOCK_TEXTS])
            for start, block in _blocks(rows):
                yield cut_rows(block, first + start, longest)

    def vectors(self, windows: Windows) -> tuple[States, NDArray[np.float32]]:
        """The vector of each window, (windows, dimensions), and the length (windows,) that its sum had before."""
        table = self.table
        sums = np.empty((windows.starts.size, self.dimensions), np.float32)
        # A window at a time stays in the processor's cache: over 10,000 texts of 44 tokens this took 98 ms, adding up
        # rows of one large array (reduceat) 176 to 744 ms, by its size.
        for place, (start, end) in enumerate(zip(windows.starts.tolist(), windows.ends.tolist(), strict=True)):
            np.add.reduce(table.take(windows.ids[start:end], axis=0), axis=0, out=sums[place])
        norms = np.maximum(np.sqrt(np.einsum("ij,ij->i", sums, sums)), np.float32(SHORTEST))
        sums /= norms[:, None]
        return sums, norms

    def words(self) -> Sequence[str]:
        """The token of each number; one that goes on a word begins with `##`.

        Raises:
            UsageError: the encoder is not open.
        """
        tokenizer, table = self._opened()
        return [tokenizer.id_to_token(number) or "" for number in range(len(table))]

    def _opened(self) -> tuple[Tokenizer, States]:
        if self._tokenizer is None or self._table is None:
            raise UsageError("the encoder is not open", hint="use it inside `with StaticEncoder() as encoder:`")
        return self._tokenizer, self._table


def _token_rows(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token numbers of each text, one at least."""
    parts = [encodable(text) for text in texts]
    if max(map(len, parts)) <= LONGEST_TOKENISED:
        encoded = tokenizer.encode_batch_fast(parts, add_special_tokens=False)
        return [one.ids or [UNKNOWN_TOKEN] for one in encoded]
    return [_long_row(tokenizer, part) for part in parts]


def _long_row(tokenizer: Tokenizer, text: str) -> list[int]:
    parts = [text[at : at + LONGEST_TOKENISED] for at in range(0, len(text), LONGEST_TOKENISED)]
    ids = [number for part in parts for number in tokenizer.encode_batch_fast([part], add_special_tokens=False)[0].ids]
    return ids or [UNKNOWN_TOKEN]


def _blocks(rows: Sequence[list[int]]) -> Iterator[tuple[int, Sequence[list[int]]]]:
    """Groups of rows, with the number of the first, of about `BLOCK_TOKENS` tokens; a longer row stands alone."""
    start = total = 0
    for number, row in enumerate(rows):
        if total and total + len(row) > BLOCK_TOKENS:
            yield start, rows[start:number]
            start, total = number, 0
        total += len(row)
    if rows:
        yield start, rows[start:]


def cut_rows(rows: Sequence[list[int]], first: int, longest: int | None) -> Windows:
    """Rows of tokens, none empty, as even windows of at most `longest`; the first row is of text `first`."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    ids = np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum()))
    begins = np.cumsum(lengths) - lengths
    counts = np.ones_like(lengths) if longest is None else -(-lengths // longest)
    owners = np.repeat(np.arange(len(rows)), counts)
    places = np.arange(owners.size) - np.repeat(np.cumsum(counts) - counts, counts)
    # Window i of k begins at the i-th k-th of the text, so that windows are even and none is empty.
    starts = begins[owners] + places * lengths[owners] // counts[owners]
    return Windows(ids, starts, owners + first)
