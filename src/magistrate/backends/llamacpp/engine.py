"""Load a model by llama.cpp, and answer batches with it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from magistrate.backends.base import Capabilities
from magistrate.backends.engine import EngineError, Generated, Prompt
from magistrate.backends.habits import Habits
from magistrate.backends.llamacpp.chat_template import ChatTemplate
from magistrate.backends.llamacpp.gguf import GgufError, Head, read_head
from magistrate.errors import BackendError, MissingExtraError, UsageError
from magistrate.types import Effort, Message

if TYPE_CHECKING:
    from magistrate.backends.llamacpp.native import Weights
    from magistrate.backends.llamacpp.rows import Rows

USUAL_CONTEXT = 16_384
"""Tokens; memory for the whole context of gpt-oss (131,072) is more than a laptop has to spare."""
_MOST_PARALLEL = 64
_BATCH_TOKENS = 512


@dataclass(frozen=True, slots=True)
class _Loaded:
    weights: Weights
    rows: Rows
    template: ChatTemplate | None
    context_tokens: int


class LlamaCppEngine:
    """Weights in GGUF, run by llama.cpp: what fits a laptop."""

    def __init__(
        self,
        source: str | Path,
        *,
        name: str | None = None,
        context_tokens: int | None = None,
        gpu_layers: int = -1,
        threads: int | None = None,
        parallel: int = 8,
        share: bool = True,
    ) -> None:
        """Store where the model is; `load` reads it.

        Args:
            source: A GGUF file; the first one, where a model is split into several.
            name: What verdicts call the model; by default what the file is called.
            context_tokens: Prompt and answer must fit into it, and all that is in work at once shares it; None for
                what the model was made for, 16,384 at the most.
            gpu_layers: Layers that a GPU computes, where llama.cpp was compiled for one; -1 for all.
            threads: Of the CPU; None for all that this process may use.
            parallel: Prompts in work at once.
            share: Whether what prompts begin with is computed once.

        Raises:
            UsageError: a setting that cannot be used.
        """
        if not 1 <= parallel <= _MOST_PARALLEL:
            raise UsageError(f"parallel must be from 1 to {_MOST_PARALLEL}, got {parallel!r}")
        if (context_tokens is not None and context_tokens < 1) or (threads is not None and threads < 1):
            raise UsageError("context_tokens and threads must be at least 1")
        self._path = Path(source).expanduser()
        self._name = name or self._path.name.removesuffix(".gguf")
        self._context_tokens = context_tokens
        self._gpu_layers = gpu_layers
        self._threads = threads
        self._parallel = parallel
        self._share = share
        self._loaded: _Loaded | None = None

    @property
    def model(self) -> str:
        """The model's name in verdicts."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """All of it; the effort needs a template that asks for it."""
        loaded = self._loaded
        return Capabilities(
            logprobs=True,
            token_ids=True,
            effort=loaded is not None and loaded.template is not None and loaded.template.takes_effort,
            constrained=True,
            context_tokens=self._context_tokens if loaded is None else loaded.context_tokens,
        )

    def load(self) -> None:
        """Read the weights.

        Raises:
            BackendError: they are not there, damaged, or of a kind that llama.cpp does not run.
            MissingExtraError: llama-cpp-python is not installed.
        """
        if importlib.util.find_spec("llama_cpp") is None:
            raise MissingExtraError("judging by llama.cpp in process", extra="llamacpp")
        head = self._read_head()
        context_tokens = self._context(head)
        # Here, as they load numpy and, at their first use, the binding.
        from magistrate.backends.llamacpp.native import NativeError, Settings, Weights
        from magistrate.backends.llamacpp.rows import KEPT, Rows

        settings = Settings(
            context_tokens=context_tokens,
            sequences=KEPT + self._parallel,
            gpu_layers=self._gpu_layers,
            threads=self._threads or _usable_cores(),
            batch_tokens=_BATCH_TOKENS,
        )
        try:
            weights = Weights(self._path, settings)
        except (NativeError, OSError, RuntimeError) as error:  # the binding raises the latter two for its own library
            raise BackendError(
                f"llama.cpp cannot load {str(self._path)!r}: {error}",
                hint="fetch the file again, take a newer llama-cpp-python, or lower context_tokens",
            ) from error
        try:
            self._loaded = self._ready_to_run(weights, Rows(
                weights, parallel=self._parallel, habits=_habits(head), share=self._share
            ), head, context_tokens)  # fmt: skip
        except BaseException:
            weights.close()
            raise

    def _ready_to_run(self, weights: Weights, rows: Rows, head: Head, context_tokens: int) -> _Loaded:
        if not weights.can_judge:
            raise BackendError(
                f"{str(self._path)!r} ({head.architecture}) does not go on with a text, so that it cannot be asked",
                hint="take a model that chats",
            )
        source = head.values.get("tokenizer.chat_template")
        try:
            template = ChatTemplate(source, marks=weights.marks()) if isinstance(source, str) else None
        except EngineError as error:
            raise BackendError(f"{error} ({str(self._path)!r})", hint="take another file of the model") from error
        return _Loaded(weights, rows, template, context_tokens)

    def close(self) -> None:
        """Give the memory back."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.weights.close()

    def template(self, messages: Sequence[Message], effort: Effort | None) -> tuple[int, ...]:
        """Render a chat by the template in the file, in a sandbox.

        Special tokens that are spelled out in a message become special tokens, as in every chat server; dialects
        disarm them.

        Raises:
            EngineError: the model has no template, or its template refuses this chat.
        """
        loaded = self._ready()
        if loaded.template is None:
            raise EngineError("the model has no chat template")
        text = loaded.template.render(messages, effort)
        return tuple(loaded.weights.begin(loaded.weights.tokenize(text, special=True)))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Write tokens as text, special tokens included."""
        weights = self._ready().weights
        _refuse_no_tokens(token_ids, weights.vocabulary_size)
        return weights.text(token_ids)

    def generate(self, prompts: Sequence[Prompt]) -> list[Generated]:
        """Go on with each: same length, same order.

        Raises:
            EngineError: a prompt holds what is no token, a form cannot be enforced, or llama.cpp failed.
        """
        loaded = self._ready()
        for prompt in prompts:
            _refuse_no_tokens(prompt.token_ids, loaded.weights.vocabulary_size)
            if not prompt.token_ids:
                raise EngineError("a prompt is empty")
            if len(prompt.token_ids) + prompt.max_output_tokens > loaded.context_tokens:
                raise EngineError("a prompt and its answer do not fit into the context")
        return loaded.rows.run(prompts)

    def _ready(self) -> _Loaded:
        if self._loaded is None:
            raise EngineError("the model is not loaded")
        return self._loaded

    def _read_head(self) -> Head:
        try:
            return read_head(self._path)
        except FileNotFoundError as error:
            raise BackendError(f"no model at {str(self._path)!r}", hint="give a GGUF file") from error
        except OSError as error:
            raise BackendError(f"cannot read {str(self._path)!r}: {error.strerror}", hint="give a GGUF file") from error
        except GgufError as error:
            raise BackendError(
                f"{str(self._path)!r} is not a whole GGUF file: {error}", hint="fetch the file again"
            ) from error

    def _context(self, head: Head) -> int:
        most = head.values.get(f"{head.architecture}.context_length")
        if not isinstance(most, int) or most < 1:
            raise BackendError(
                f"{str(self._path)!r} ({head.architecture}) does not say how long its context is",
                hint="take a language model",
            )
        if self._context_tokens is not None and self._context_tokens > most:
            raise BackendError(
                f"context_tokens is {self._context_tokens}, and {self._name!r} was made for {most}",
                hint=f"set it to at most {most}",
            )
        return self._context_tokens or min(most, USUAL_CONTEXT)


def _usable_cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _refuse_no_tokens(token_ids: Sequence[int], vocabulary: int) -> None:
    if token_ids and not 0 <= min(token_ids) <= max(token_ids) < vocabulary:
        raise EngineError(f"a prompt holds numbers that are no tokens: the model has {vocabulary}")


def _habits(head: Head) -> Habits:
    """How the file says that its model samples; as it learned to (temperature 1) where the file says nothing."""
    temperature, top_k, top_p = (head.values.get(f"general.sampling.{name}") for name in ("temp", "top_k", "top_p"))
    return Habits(
        temperature=float(temperature) if isinstance(temperature, int | float) and temperature >= 0 else 1.0,
        top_k=top_k if isinstance(top_k, int) and top_k > 0 else None,
        top_p=max(float(top_p), 1e-6) if isinstance(top_p, int | float) and top_p < 1 else None,
    )
