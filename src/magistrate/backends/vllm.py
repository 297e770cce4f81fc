"""vLLM as an engine: weights run in this process, many prompts at once, the policy's part worked out once.

The engine's core runs in this process too, unless several GPUs share the model. In a process of its own it would get
the terminal's Ctrl-C with us and stop, and a batch that means to finish what is under way would record failures.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import random
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from magistrate.backends.base import Capabilities
from magistrate.backends.engine import EngineError, Generated, Prompt
from magistrate.errors import BackendError, MissingExtraError
from magistrate.types import AnswerForm, Choices, Effort, FinishReason, Message, TokenLogprob

MOST_LOGPROBS = 20
"""Alternatives that vLLM reports at the most, unless it is told otherwise."""
_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}
_FINISH_REASONS = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


class _Logprob(Protocol):
    @property
    def logprob(self) -> float: ...


class _Written(Protocol):
    """What vLLM calls `CompletionOutput`."""

    @property
    def token_ids(self) -> Sequence[int]: ...

    @property
    def finish_reason(self) -> str | None: ...

    @property
    def logprobs(self) -> Sequence[Mapping[int, _Logprob]] | None: ...


class VllmEngine:
    """Weights run by vLLM, on GPUs or on a CPU.

    Code that comes with a model is never run (`trust_remote_code` is off). Nothing is reported to vLLM's makers, and
    vLLM logs warnings alone; who wants otherwise sets its variables in the environment, which are kept.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        name: str | None = None,
        context_tokens: int | None = None,
        tokenizer: str | Path | None = None,
        tensor_parallel: int = 1,
        prefix_caching: bool = True,
        kv_cache_bytes: int | None = None,
        eager: bool = False,
    ) -> None:
        """Store where the model is; `load` reads it.

        Args:
            source: A folder, a GGUF file (with the package vllm-gguf-plugin), or the name of a repository on the
                Hugging Face Hub.
            name: What verdicts call the model; by default what the source is called.
            context_tokens: Prompt and answer must fit into these; None for as many as the model was made for, which
                needs memory for one such request.
            tokenizer: Folder or repository of the tokenizer, where the source has none.
            tensor_parallel: GPUs that share the model.
            prefix_caching: Work out the beginning that prompts share once.
            kv_cache_bytes: Memory for the context of all requests under way; None leaves it to vLLM, which takes what
                is free.
            eager: Start sooner and run slower: nothing is compiled.
        """
        self._source = str(source)
        self._name = name or _default_name(self._source)
        self._context_tokens = context_tokens
        self._tokenizer = None if tokenizer is None else str(tokenizer)
        self._tensor_parallel = tensor_parallel
        self._prefix_caching = prefix_caching
        self._kv_cache_bytes = kv_cache_bytes
        self._eager = eager
        self._llm: Any = None  # Any: vLLM is not installed where types are checked

    @property
    def model(self) -> str:
        """The model's name in verdicts."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """All of it; whether the model's own template heeds an effort is for the template."""
        context = self._context_tokens if self._llm is None else int(self._llm.model_config.max_model_len)
        return Capabilities(logprobs=True, token_ids=True, effort=True, constrained=True, context_tokens=context)

    def load(self) -> None:
        """Read the weights.

        Raises:
            BackendError: they are not there, of a kind that vLLM does not run, or there is too little memory.
            MissingExtraError: vLLM is not installed.
        """
        if importlib.util.find_spec("vllm") is None:
            raise MissingExtraError("judging by vLLM in process", extra="vllm")
        _refuse_missing_path(self._source)
        for variable, value in self._environment():
            os.environ.setdefault(variable, value)
        from vllm import LLM  # type: ignore[import-not-found, unused-ignore]  # pyright: ignore[reportMissingImports]

        try:
            with _random_state_kept():
                self._llm = LLM(**self._arguments())
        except (OSError, ValueError, RuntimeError, ImportError, MemoryError) as error:
            raise self._unloadable(error) from error

    def close(self) -> None:
        """Give the memory back."""
        self._llm = None
        gc.collect()

    def template(self, messages: Sequence[Message], effort: Effort | None) -> tuple[int, ...]:
        """Render a chat by the model's template, which Transformers runs in a sandbox.

        Special tokens that are spelled out in a message become special tokens, as in every chat server; dialects
        disarm them.

        Raises:
            EngineError: the model has no template, or its template refuses this chat.
        """
        from jinja2 import TemplateError  # type: ignore[import-not-found, unused-ignore]

        tokenizer = self._loaded().get_tokenizer()
        if not tokenizer.chat_template:
            raise EngineError("the model has no chat template")
        chat = [{"role": message.role.value, "content": message.content} for message in messages]
        extra = {} if effort is None else {"reasoning_effort": effort.value}
        try:
            text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False, **extra)
        except (TemplateError, TypeError, KeyError) as error:  # the last two: a template that expects more
            raise EngineError(f"the model's chat template refuses this chat: {type(error).__name__}") from error
        return tuple(tokenizer.encode(text, add_special_tokens=False))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Write tokens as text, special tokens included."""
        text: str = self._loaded().get_tokenizer().decode(list(token_ids), skip_special_tokens=False)
        return text

    def generate(self, prompts: Sequence[Prompt]) -> list[Generated]:
        """Go on with each, as many at once as fit into the memory.

        Raises:
            EngineError: vLLM refused a prompt or broke down.
        """
        llm = self._loaded()
        tokens = [{"prompt_token_ids": list(prompt.token_ids)} for prompt in prompts]
        defaults: dict[str, object] = dict(llm.model_config.get_diff_sampling_param())
        try:
            outputs = llm.generate(tokens, [_parameters(prompt, defaults) for prompt in prompts], use_tqdm=False)
        except Exception as error:  # vLLM's errors have no common base; their text may hold the prompt
            raise EngineError(f"vLLM failed: {type(error).__name__}") from error
        return [self._generated(output.outputs[0], prompt) for output, prompt in zip(outputs, prompts, strict=True)]

    def _loaded(self) -> Any:
        if self._llm is None:
            raise EngineError("vLLM is not loaded")
        return self._llm

    def _environment(self) -> Iterator[tuple[str, str]]:
        """Variables that vLLM reads at its import, for this process and those that it starts."""
        for variable, value in _ENVIRONMENT.items():
            if variable != "VLLM_ENABLE_V1_MULTIPROCESSING" or self._tensor_parallel == 1:
                yield variable, value

    def _arguments(self) -> dict[str, object]:
        arguments: dict[str, object] = {
            "model": self._source,
            "tokenizer": self._tokenizer,
            "max_model_len": self._context_tokens,
            "kv_cache_memory_bytes": self._kv_cache_bytes,
        }
        return {
            **{name: value for name, value in arguments.items() if value is not None},
            "tensor_parallel_size": self._tensor_parallel,
            "enable_prefix_caching": self._prefix_caching,
            "enforce_eager": self._eager,
            "trust_remote_code": False,
            # No blanks between JSON fields, of which a small model may write without end.
            "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        }

    def _generated(self, written: _Written, prompt: Prompt) -> Generated:
        """Take off the token that stopped it: whenever vLLM says `stop`, the last token did it, as no text can."""
        tokens = tuple(written.token_ids)
        finish = _FINISH_REASONS.get(written.finish_reason or "", FinishReason.OTHER)
        if finish is FinishReason.OTHER:
            raise EngineError("vLLM gave up on a prompt")
        stopped_by = tokens[-1] if finish is FinishReason.STOP and tokens else None
        kept = tokens if stopped_by is None else tokens[:-1]
        logprobs: tuple[tuple[TokenLogprob, ...], ...] = ()
        if prompt.top_logprobs and written.logprobs is not None:
            logprobs = tuple(self._alternatives(place, prompt) for place in list(written.logprobs)[: len(kept)])
        return Generated(token_ids=kept, finish_reason=finish, stopped_by=stopped_by, logprobs=logprobs)

    def _alternatives(self, place: Mapping[int, _Logprob], prompt: Prompt) -> tuple[TokenLogprob, ...]:
        """The likeliest; what was drawn comes in addition where it is none of them, and is left out."""
        likeliest = sorted(place.items(), key=lambda item: -item[1].logprob)[: prompt.top_logprobs]
        return tuple(TokenLogprob(self.decode((token,)), logprob.logprob) for token, logprob in likeliest)

    def _unloadable(self, error: Exception) -> BackendError:
        """What stands in vLLM's way, by the words of its error; it has no types for that."""
        said = str(error)
        message = (
            f"vLLM cannot load {self._source!r}: {type(error).__name__}: {said.splitlines()[0][:300] if said else ''}"
        )
        if "KV cache" in said or "cache blocks" in said:
            return BackendError(message, hint="lower context_tokens, raise kv_cache_bytes, or use more GPUs")
        if "emory" in said:
            return BackendError(
                message, hint="use a smaller quantisation, more GPUs (tensor_parallel), or another engine"
            )
        if self._source.endswith(".gguf"):
            return BackendError(message, hint="vLLM reads GGUF by the package vllm-gguf-plugin; llama.cpp reads it too")
        return BackendError(message, hint="give a folder that holds config.json, the weights and the tokenizer")


def _parameters(prompt: Prompt, defaults: Mapping[str, object]) -> Any:
    """Sampling as asked for; what the prompt leaves open is the model's own (its generation_config.json)."""
    from vllm import SamplingParams  # type: ignore[import-not-found, unused-ignore]  # pyright: ignore[reportMissingImports]

    given: dict[str, object] = {
        "max_tokens": prompt.max_output_tokens,
        "temperature": prompt.temperature,
        "seed": prompt.seed,
        "logprobs": min(prompt.top_logprobs, MOST_LOGPROBS) or None,
        "stop_token_ids": list(prompt.stop_token_ids) or None,
        "structured_outputs": None if prompt.form is None else _structured(prompt.form),
    }
    sampling = {**defaults, **{name: value for name, value in given.items() if value is not None}}
    return SamplingParams(**sampling, detokenize=False)


def _structured(form: AnswerForm) -> Any:
    from vllm.sampling_params import (  # type: ignore[import-not-found, unused-ignore]
        StructuredOutputsParams,  # pyright: ignore[reportMissingImports]
    )

    if isinstance(form, Choices):
        return StructuredOutputsParams(choice=list(form.words))
    return StructuredOutputsParams(json=form.schema)


def _default_name(source: str) -> str:
    """What the source is called: a repository in full, a folder or a file by its last name."""
    path = Path(source)
    return path.name.removesuffix(".gguf") if path.exists() or path.is_absolute() else source


def _refuse_missing_path(source: str) -> None:
    """A path that is not there would be looked for on the Hub."""
    is_path = Path(source).is_absolute() or source.startswith((".", "~")) or source.endswith(".gguf")
    if is_path and not Path(source).exists():
        raise BackendError(f"no weights at {source!r}", hint="check the path, or give the name of a repository")


@contextmanager
def _random_state_kept() -> Generator[None]:
    """Keep our generators: vLLM seeds this process's own when it loads, and retries draw their waits from them."""
    import numpy as np

    ours, theirs = random.getstate(), np.random.get_state()  # noqa: NPY002, RUF100
    try:
        yield
    finally:
        random.setstate(ours)
        np.random.set_state(theirs)  # noqa: NPY002, RUF100
