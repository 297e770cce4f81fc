"""The encoder that ships inside the package: MiniLM-L6, trained to read policies, int8. See `minilm/MODEL.md`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import onnxruntime as ort
from tokenizers import Encoding, Tokenizer

from magistrate.encoders.base import EncodedPassage, Passage, States, Window
from magistrate.encoders.model_folder import ASSETS, GRAPH, ModelFolder, read_model_folder
from magistrate.encoders.windows import WINDOW_TOKENS, cut_windows
from magistrate.encoders.wordpiece import encodable, incomplete, load_tokenizer
from magistrate.errors import UsageError

DIMENSIONS = 384
FIRST_TOKEN, LAST_TOKEN = 101, 102
"""[CLS] and [SEP]: the marks around every window. [SEP] also stands between context and text."""
CONTEXT_TOKENS = 96
CONTEXT_CHARACTERS = 2000
"""Only the end of the context is tokenised; this many characters hold `CONTEXT_TOKENS` in any usual text."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Open:
    tokenizer: Tokenizer
    session: ort.InferenceSession
    workers: ThreadPoolExecutor


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenised passage: context and text in one row, and where the text's tokens are in it."""

    ids: list[int]
    context: int
    offsets: list[tuple[int, int]]
    """Characters of each token of the text."""


class MiniLmEncoder:
    """MiniLM-L6 (22M parameters, 384 dimensions) on onnxruntime.

    Each window runs alone, one a thread. One scale a tensor quantises the activations, so texts that share a batch
    change one another: in batches of 8, vectors had a cosine as low as 0.96 with those of the same texts alone. Alone
    costs nothing: on two cores, texts of 117 tokens went through at 182 a second one a thread, at 147 in the best
    batches (4) with both threads inside one run. Short texts (8 to 14 tokens) would gain up to 1.4 times from batches.

    Args:
        folder: Of the model: the one that ships, or what `magistrate train embedded` wrote.
        threads: How many windows run at the same time; the usable processors where not given.

    Raises:
        BackendError: the folder is no model's.
    """

    def __init__(self, folder: Path = ASSETS, *, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise UsageError(f"threads must be at least 1, got {threads!r}")
        self._folder = read_model_folder(folder)
        self._threads = threads
        self._opened: _Open | None = None

    @property
    def name(self) -> str:
        """Name of the model, as verdicts carry it."""
        return self._folder.name

    @property
    def folder(self) -> ModelFolder:
        """Where the model is."""
        return self._folder

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return DIMENSIONS

    def __enter__(self) -> Self:
        if self._opened is None:
            tokenizer, session = load_tokenizer(self._folder.path), _load_session(self._folder.path)
            workers = ThreadPoolExecutor(self._threads or usable_processors(), thread_name_prefix="minilm")
            self._opened = _Open(tokenizer, session, workers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            self._opened.workers.shutdown()
            self._opened = None

    def encode(self, texts: Sequence[str]) -> States:
        """One state for each whole text; of a text longer than a window, the mean of its windows.

        Raises:
            UsageError: the encoder is not open.
        """
        opened = self._require_open()
        rows = [_encode_text(opened.tokenizer, text).ids for text in texts]
        windows = [[ids[at : at + WINDOW_TOKENS] for at in range(0, len(ids) or 1, WINDOW_TOKENS)] for ids in rows]
        flat = [window for found in windows for window in found]
        means = iter(_map(opened.workers, lambda ids: _run(opened.session, ids).mean(axis=0), flat))
        found = [np.mean([next(means) for _ in own], axis=0) for own in windows]
        return np.array(found, np.float32).reshape(len(texts), DIMENSIONS)

    def encode_tokens(self, passages: Sequence[Passage]) -> list[EncodedPassage]:
        """States of all tokens, each read in the window of up to 254 tokens around it.

        A passage without any token (empty, blank, control characters) has the two marks of an empty text.

        Raises:
            UsageError: the encoder is not open.
        """
        opened = self._require_open()
        rows = _map(opened.workers, lambda passage: tokenize(opened.tokenizer, passage), passages)
        cuts = [cut_windows(len(row.ids), context=row.context) or ((len(row.ids), len(row.ids)),) for row in rows]
        jobs = [(row, *cut) for row, found in zip(rows, cuts, strict=True) for cut in found]
        windows = iter(_map(opened.workers, lambda job: _encode_window(opened.session, *job), jobs))
        return [
            EncodedPassage(tuple(next(windows) for _ in found), sum(end - start + 2 for start, end in found))
            for found in cuts
        ]

    def _require_open(self) -> _Open:
        if self._opened is None:
            raise UsageError("the encoder is not open", hint="use it inside `with MiniLmEncoder() as encoder:`")
        return self._opened


def usable_processors() -> int:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load_session(folder: Path) -> ort.InferenceSession:
    path = folder / GRAPH
    if not path.is_file():
        raise incomplete(path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # windows run side by side instead
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # would keep a plan for every length it has seen
    # The graph is written with the operators it should run; extended rewriting joins sums and norms, which is slower.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _map(workers: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    return list(workers.map(function, items))


def tokenize(tokenizer: Tokenizer, passage: Passage) -> Tokens:
    """Context, a mark and text in one row; of the context only the end."""
    text = _encode_text(tokenizer, passage.text)
    context: list[int] = []
    if passage.context:
        context = _encode_text(tokenizer, passage.context[-CONTEXT_CHARACTERS:]).ids[-CONTEXT_TOKENS:]
        context.append(LAST_TOKEN)
    return Tokens([*context, *text.ids], len(context), text.offsets)


def _encode_text(tokenizer: Tokenizer, text: str) -> Encoding:
    """Tokenise. A lone surrogate has no UTF-8 form; the replacement character keeps all offsets where they are."""
    return tokenizer.encode(encodable(text), add_special_tokens=False)


def _encode_window(session: ort.InferenceSession, row: Tokens, start: int, end: int) -> Window:
    """The marks are kept where all of the window is text; beside context, only the closing one is."""
    states = _run(session, row.ids[start:end])
    hidden = max(0, row.context - start)
    offsets = row.offsets[max(0, start - row.context) : end - row.context]
    if hidden:
        return Window(states[1 + hidden :], (*offsets, None))
    return Window(states, (None, *offsets, None))


def _run(session: ort.InferenceSession, ids: Sequence[int]) -> States:
    """States of a window and its two marks: (tokens + 2, dimensions)."""
    row = np.array([[FIRST_TOKEN, *ids, LAST_TOKEN]], np.int64)
    states: States = np.asarray(session.run(["states"], {"input_ids": row})[0], np.float32)[0]
    return states
