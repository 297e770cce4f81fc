"""All calls of llama.cpp's C interface, by the binding llama-cpp-python.

One context holds many sequences in one cache: what is computed for one is given to another without computing it again
(`llama_memory_seq_cp`), which is how a policy is read once for many cases.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from magistrate.backends.engine import EngineError

Logits = npt.NDArray[np.float32]
"""Of one token to come, (vocabulary,)."""

_MARK = re.compile(rb"<[^<>\s]+>")
_ERROR = 3
"""ggml's level of errors in its log."""


class NativeError(Exception):
    """llama.cpp could not load something; the message is its own."""


class NativeLog:
    """What llama.cpp says: nothing is written anywhere, the last errors are kept for our own."""

    def __init__(self, api: Any) -> None:
        self._errors: deque[str] = deque(maxlen=8)
        # C holds the address of this: it lives as long as the process does, see `native_log`.
        self._callback = api.llama_log_callback(self._take)
        api.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _take(self, level: int, text: bytes, _: object) -> None:
        if level == _ERROR:
            self._errors.append(text.decode("utf-8", "replace").strip())

    def last_error(self) -> str:
        """The first of the errors since the last call: later ones follow from it."""
        said = next(iter(self._errors), "")
        self._errors.clear()
        return said.rpartition(": ")[2][:200] if said else "no reason given"


@functools.cache
def native_log() -> NativeLog:
    """Silence llama.cpp, once for the process: it has one log for all models."""
    return NativeLog(importlib.import_module("llama_cpp"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a model is opened."""

    context_tokens: int
    sequences: int
    gpu_layers: int
    threads: int
    batch_tokens: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens that a sequence goes on with."""

    sequence: int
    start: int
    """Place of the first of them in the sequence."""
    token_ids: Sequence[int]
    wants_logits: bool


class Weights:
    """A model that is loaded, with its cache. Not shared between threads."""

    def __init__(self, path: Path, settings: Settings) -> None:
        """Load a model.

        Raises:
            NativeError: llama.cpp refuses the file, or memory does not suffice.
        """
        self._api: Any = importlib.import_module("llama_cpp")
        self._log = native_log()
        self._api.llama_backend_init()
        parameters = self._api.llama_model_default_params()
        parameters.n_gpu_layers = settings.gpu_layers
        parameters.check_tensors = True
        self._model = self._api.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            raise NativeError(self._log.last_error())
        self._vocabulary = self._api.llama_model_get_vocab(self._model)
        self._context = self._api.llama_init_from_model(self._model, self._context_parameters(settings))
        if not self._context:
            self._api.llama_model_free(self._model)
            raise NativeError(self._log.last_error())
        self._memory = self._api.llama_get_memory(self._context)
        self._batch = self._api.llama_batch_init(settings.batch_tokens, 0, 1)
        self._batch_tokens = settings.batch_tokens
        self.vocabulary_size = int(self._api.llama_vocab_n_tokens(self._vocabulary))
        self.cells = int(self._api.llama_n_ctx(self._context))
        """Tokens that the cache holds, of all sequences; what they share counts once."""

    def _context_parameters(self, settings: Settings) -> Any:
        parameters = self._api.llama_context_default_params()
        parameters.n_ctx = settings.context_tokens
        parameters.n_batch = parameters.n_ubatch = settings.batch_tokens
        parameters.n_seq_max = parameters.n_outputs_max = settings.sequences
        parameters.n_threads = parameters.n_threads_batch = settings.threads
        parameters.kv_unified = True  # one cache, so that sequences can share a beginning
        parameters.swa_full = True  # a cache that is cut to a sliding window could not be shared or cut back
        parameters.no_perf = True
        return parameters

    def close(self) -> None:
        """Give the memory back."""
        self._api.llama_batch_free(self._batch)
        self._api.llama_free(self._context)
        self._api.llama_model_free(self._model)
        self._context = self._model = None

    @property
    def can_judge(self) -> bool:
        """Whether the model writes text after text; not an encoder, nor one with an encoder in front."""
        has_memory = bool(self._memory)
        return has_memory and not self._api.llama_model_has_encoder(self._model)

    @property
    def trained_context(self) -> int:
        """Tokens that the model was made for."""
        return int(self._api.llama_model_n_ctx_train(self._model))

    # -- vocabulary

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Split a text into tokens.

        Args:
            text: Any text that UTF-8 can carry.
            special: Whether special tokens that are spelled out are taken for such.

        Raises:
            EngineError: the text cannot be written in UTF-8.
        """
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            raise EngineError("a message holds what is no text (a lone surrogate)") from error
        room = len(data) + 16
        tokens = (self._api.llama_token * room)()
        count = self._api.llama_tokenize(self._vocabulary, data, len(data), tokens, room, 0, special)
        if count < 0:
            raise EngineError("llama.cpp cannot split the text into tokens")
        return list(tokens[:count])

    def begin(self, tokens: list[int]) -> list[int]:
        """Put the model's first token in front, where it wants one and the template wrote none."""
        first = int(self._api.llama_vocab_bos(self._vocabulary))
        wanted = self._api.llama_vocab_get_add_bos(self._vocabulary) and first >= 0
        return [first, *tokens] if wanted and tokens[:1] != [first] else tokens

    def marks(self) -> Mapping[str, str]:
        """How the vocabulary spells what templates ask for."""
        api, vocabulary = self._api, self._vocabulary
        ids = {"bos_token": api.llama_vocab_bos(vocabulary), "eos_token": api.llama_vocab_eos(vocabulary)}
        return {name: self.text((int(token),)) if token >= 0 else "" for name, token in ids.items()}

    def text(self, tokens: Sequence[int]) -> str:
        """Write tokens as text, special ones included."""
        return b"".join(map(self._piece, tokens)).decode("utf-8", "replace")

    def _piece(self, token: int) -> bytes:
        size = 64
        buffer = ctypes.create_string_buffer(size)
        length = self._api.llama_token_to_piece(self._vocabulary, token, buffer, size, 0, 1)
        if length < 0:
            size = -length
            buffer = ctypes.create_string_buffer(size)
            length = self._api.llama_token_to_piece(self._vocabulary, token, buffer, size, 0, 1)
        return buffer.raw[: max(length, 0)]

    @functools.cached_property
    def ends(self) -> frozenset[int]:
        """Tokens that end an answer by the model's own settings."""
        api, vocabulary = self._api, self._vocabulary
        return frozenset(token for token in self.controls if api.llama_vocab_is_eog(vocabulary, token))

    @functools.cached_property
    def controls(self) -> frozenset[int]:
        """Special tokens, ends included, and what only looks like one."""
        return frozenset(token for token in range(self.vocabulary_size) if self._is_special(token))

    def _is_special(self, token: int) -> bool:
        """llama.cpp takes Harmony's marks for text that users defined, so that its programs print them."""
        api, vocabulary = self._api, self._vocabulary
        if api.llama_vocab_is_control(vocabulary, token) or api.llama_vocab_is_eog(vocabulary, token):
            return True
        is_defined = api.llama_vocab_get_attr(vocabulary, token) & api.LLAMA_TOKEN_ATTR_USER_DEFINED
        return bool(is_defined) and _MARK.fullmatch(self._piece(token)) is not None

    # -- sequences

    def copy(self, source: int, target: int, length: int) -> None:
        """Let an empty sequence begin as another one does."""
        self._api.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def cut(self, sequence: int, length: int) -> bool:
        """Keep the beginning of a sequence; False, and nothing is kept, where the model cannot go back to it."""
        if self._api.llama_memory_seq_rm(self._memory, sequence, length, -1):
            return True
        self._api.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        return False

    def clear(self) -> None:
        """Forget all sequences."""
        self._api.llama_memory_clear(self._memory, 1)

    def feed(self, pieces: Sequence[Piece]) -> dict[int, Logits]:
        """Compute tokens; for each sequence that wants them, the logits behind its last one.

        Raises:
            EngineError: llama.cpp failed; the sequences are in no known state.
        """
        logits: dict[int, Logits] = {}
        waiting = [
            (piece.sequence, piece.start + place, token, piece.wants_logits and place == len(piece.token_ids) - 1)
            for piece in pieces
            for place, token in enumerate(piece.token_ids)
        ]
        for start in range(0, len(waiting), self._batch_tokens):
            logits |= self._decode(waiting[start : start + self._batch_tokens])
        return logits

    def _decode(self, entries: Sequence[tuple[int, int, int, bool]]) -> dict[int, Logits]:
        batch = self._batch
        batch.n_tokens = len(entries)
        for place, (sequence, position, token, wants_logits) in enumerate(entries):
            batch.token[place] = token
            batch.pos[place] = position
            batch.n_seq_id[place] = 1
            batch.seq_id[place][0] = sequence
            batch.logits[place] = wants_logits
        code = self._api.llama_decode(self._context, batch)
        if code != 0:
            raise EngineError(f"llama.cpp failed with code {code}: {self._log.last_error()}")
        return {entry[0]: self._logits(place) for place, entry in enumerate(entries) if entry[3]}

    def _logits(self, place: int) -> Logits:
        pointer = self._api.llama_get_logits_ith(self._context, place)
        logits: Logits = np.ctypeslib.as_array(pointer, shape=(self.vocabulary_size,)).copy()
        if np.isnan(logits).any():
            raise EngineError("the model computed what is no number")
        return logits

    # -- grammars

    def grammar(self, schema: str) -> Grammar:
        """Read a JSON schema.

        Raises:
            EngineError: it cannot be enforced.
        """
        to_gbnf = importlib.import_module("llama_cpp.llama_grammar").json_schema_to_gbnf
        try:
            rules: str = to_gbnf(schema)
        except Exception as error:  # it has no types for this; its text may quote the schema
            raise EngineError(f"the form of the answer cannot be enforced: {type(error).__name__}") from error
        sampler = self._api.llama_sampler_init_grammar(self._vocabulary, rules.encode(), b"root")
        if not sampler:
            raise EngineError("the form of the answer cannot be enforced: llama.cpp refuses its grammar")
        return Grammar(self._api, sampler)


class Grammar:
    """One answer on its way through a grammar."""

    def __init__(self, api: Any, sampler: Any) -> None:
        self._api = api
        self._sampler = sampler

    def possible(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of these tokens can come next."""
        entries = np.zeros(len(tokens), dtype=[("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        entries["id"] = tokens
        data = entries.ctypes.data_as(self._api.llama_token_data_p)
        candidates = self._api.llama_token_data_array(data=data, size=len(tokens), selected=-1, sorted=False)
        self._api.llama_sampler_apply(self._sampler, ctypes.byref(candidates))
        kept: npt.NDArray[np.bool_] = entries["logit"] == 0
        return kept

    def take(self, token: int) -> None:
        """Go on by a token that is possible: llama.cpp ends the process for others."""
        self._api.llama_sampler_accept(self._sampler, token)

    def close(self) -> None:
        """Give the memory back."""
        self._api.llama_sampler_free(self._sampler)
