"""Load a model by Transformers, and answer batches with it."""

from __future__ import annotations

import gc
import importlib
import importlib.util
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from magistrate.backends.base import Capabilities
from magistrate.backends.beginnings import groups
from magistrate.backends.engine import EngineError, Generated, Prompt
from magistrate.backends.habits import Habits
from magistrate.backends.transformers.decoding import Decoder
from magistrate.backends.transformers.forms import Forms, can_hold
from magistrate.errors import BackendError, MissingExtraError
from magistrate.types import Effort, Message

_ATTENTION = frozenset({"full_attention", "sliding_attention"})
"""Layers whose state is keys and values by token, which can be shared and cut."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What `load` made. Any: what Transformers returns depends on the model, and has no types that hold for all."""

    model: Any
    tokenizer: Any
    decoder: Decoder
    context_tokens: int
    takes_effort: bool


class TransformersEngine:
    """Weights run by PyTorch: the widest choice of models, and slower than vLLM.

    Code that comes with a model is never run (`trust_remote_code` is off), and weights are read from safetensors or
    GGUF alone, never from pickles.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        name: str | None = None,
        context_tokens: int | None = None,
        device: str | None = None,
        dtype: str = "auto",
        batch_size: int = 16,
        share: bool = True,
        download: bool = False,
    ) -> None:
        """Store where the model is; `load` reads it.

        Args:
            source: A folder, a GGUF file, or the name of a repository on the Hugging Face Hub.
            name: What verdicts call the model; by default what the source is called.
            context_tokens: Least that prompt and answer must fit into; None for as many as the model was made for.
            device: `cuda`, `cuda:1`, `mps`, `cpu`; None for the best there is, all GPUs where there are several.
            dtype: `auto` for the one the weights are stored in, or `bfloat16`, `float16`, `float32`.
            batch_size: Prompts that are answered at a time. Halved by itself where memory runs out.
            share: Whether what prompts begin with is computed once; costs memory for the keys and values of up to
                four policies.
            download: Whether a repository may be fetched; without it, it must be in the Hub's cache already.
        """
        self._source = str(source)
        self._name = name or _default_name(self._source)
        self._context_tokens = context_tokens
        self._device = device
        self._dtype = dtype
        self._batch_size = batch_size
        self._share = share
        self._download = download
        self._loaded: _Loaded | None = None

    @property
    def model(self) -> str:
        """The model's name in verdicts."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """Forms need the package xgrammar, which the extra brings; the effort needs a template that asks for it."""
        loaded = self._loaded
        return Capabilities(
            logprobs=True,
            token_ids=True,
            effort=loaded is not None and loaded.takes_effort,
            constrained=can_hold(),
            context_tokens=self._context_tokens if loaded is None else loaded.context_tokens,
        )

    def load(self) -> None:
        """Read the weights.

        Raises:
            BackendError: they are not there, damaged, or of a kind that this engine does not run.
            MissingExtraError: torch or transformers is not installed.
        """
        if any(importlib.util.find_spec(package) is None for package in ("torch", "transformers")):
            raise MissingExtraError("judging by Transformers", extra="transformers")
        where = _locate(self._source, download=self._download)
        try:
            self._loaded = self._read(where)
        except BackendError:
            raise
        except Exception as error:  # tokenizers raises plain Exception, others what they like
            raise self._unreadable(error) from error

    def close(self) -> None:
        """Give the memory back."""
        if self._loaded is None:
            return
        self._loaded = None
        gc.collect()
        torch = importlib.import_module("torch")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def template(self, messages: Sequence[Message], effort: Effort | None) -> tuple[int, ...]:
        """Render a chat by the model's template, which Transformers runs in a sandbox.

        Special tokens that are spelled out in a message become special tokens, as in every chat server; dialects
        disarm them.

        Raises:
            EngineError: the model has no template, or its template refuses this chat.
        """
        tokenizer = self._ready().tokenizer
        if not tokenizer.chat_template:
            raise EngineError("the model has no chat template")
        chat = [{"role": message.role.value, "content": message.content} for message in messages]
        extra = {} if effort is None else {"reasoning_effort": effort.value}
        jinja2 = importlib.import_module("jinja2")
        try:
            text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False, **extra)
            return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
        # A template that expects other messages raises the second or third; a lone surrogate in a message the last.
        except (jinja2.TemplateError, TypeError, KeyError, ValueError) as error:
            raise EngineError(f"the model's chat template refuses this chat: {type(error).__name__}") from error

    def decode(self, token_ids: Sequence[int]) -> str:
        """Write tokens as text, special tokens included."""
        return str(
            self._ready().tokenizer.decode([*token_ids], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        )

    def generate(self, prompts: Sequence[Prompt]) -> list[Generated]:
        """Go on with each: same length, same order.

        Neighbours that begin alike are answered together, and what they share is computed once; it is kept for the
        next call.

        Raises:
            EngineError: a prompt holds what is no token, or memory does not suffice for a single prompt.
        """
        loaded = self._ready()
        vocabulary = loaded.model.get_input_embeddings().num_embeddings
        if not all(prompt.token_ids and 0 <= min(prompt.token_ids) <= max(prompt.token_ids) < vocabulary
                   for prompt in prompts):  # fmt: skip
            raise EngineError(f"a prompt is empty or holds numbers that are no tokens: the model has {vocabulary}")
        answers: list[Generated] = []
        for group in groups([prompt.token_ids for prompt in prompts], self._batch_size):
            answers += _answer(loaded.decoder, prompts[group])
        return answers

    def _ready(self) -> _Loaded:
        if self._loaded is None:
            raise EngineError("the model is not loaded")
        return self._loaded

    def _read(self, where: _Where) -> _Loaded:
        transformers: Any = importlib.import_module("transformers")
        common = {"local_files_only": where.is_local or not self._download, "trust_remote_code": False} | where.file
        with _no_bars(transformers):
            tokenizer = transformers.AutoTokenizer.from_pretrained(where.repository, **common)
            model, report = transformers.AutoModelForCausalLM.from_pretrained(
                where.repository,
                **common,
                dtype=self._dtype,
                device_map=_device_map(self._device),
                output_loading_info=True,
                **({} if where.file else {"use_safetensors": True}),
            )
        if report["missing_keys"]:
            raise BackendError(
                f"the weights at {self._source!r} are not whole: {len(report['missing_keys'])} tensors are missing, "
                f"such as {min(report['missing_keys'])!r}",
                hint="fetch them again",
            )
        config = model.config.get_text_config()
        unknown = {*(getattr(config, "layer_types", None) or ())} - _ATTENTION
        if unknown:
            raise BackendError(
                f"{self._source!r} has layers that this engine cannot share between prompts: {sorted(unknown)}",
                hint="serve it by vLLM or llama.cpp, and judge by its address",
            )
        model.eval()
        decoder = Decoder(
            model,
            tokenizer,
            ends=_ends(model, tokenizer),
            habits=_habits(model.generation_config),
            forms=Forms(tokenizer, config.vocab_size),
            share=self._share,
        )
        effort = "reasoning_effort" in str(tokenizer.chat_template)
        return _Loaded(model, tokenizer, decoder, self._context(config.max_position_embeddings), effort)

    def _context(self, most: int) -> int:
        if self._context_tokens is not None and self._context_tokens > most:
            raise BackendError(
                f"context_tokens is {self._context_tokens}, and {self._name!r} was made for {most}",
                hint=f"set it to at most {most}",
            )
        return self._context_tokens or most

    def _unreadable(self, error: Exception) -> BackendError:
        first = (str(error).strip().splitlines() or [""])[0][:300]
        if isinstance(error, ImportError):
            hint = "pip install 'magistrate[transformers]' brings all that gpt-oss needs"
        elif self._source.endswith(".gguf"):
            hint = "llama.cpp runs every GGUF file, Transformers some: pip install 'magistrate[llamacpp]'"
        elif _is_out_of_memory(error):
            hint = "choose a smaller model or quantisation, or another device"
        else:
            hint = "needed are config.json, tokenizer.json and *.safetensors, each of them whole"
        return BackendError(f"cannot load {self._source!r}: {type(error).__name__}: {first}", hint=hint)


# -- where a model is


@dataclass(frozen=True, slots=True)
class _Where:
    repository: str
    """A folder, or a repository on the Hub."""
    is_local: bool
    file: dict[str, str] = field(default_factory=dict[str, str])
    """The GGUF file in it, as an argument."""


def _default_name(source: str) -> str:
    path = Path(source).expanduser()
    return (path.stem if path.suffix == ".gguf" else path.resolve().name) if path.exists() else source


def _locate(source: str, *, download: bool) -> _Where:
    """Tell folder, file and repository apart.

    Raises:
        BackendError: a path where nothing is.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return _Where(str(path), is_local=True)
    if path.is_file():
        return _Where(str(path.parent), is_local=True, file={"gguf_file": path.name})
    if source.count("/") != 1 or source.startswith((".", "/", "~")) or path.suffix == ".gguf":
        raise BackendError(f"no model at {source!r}", hint="give a folder, a GGUF file, or OWNER/NAME of the Hub")
    return _Where(source, is_local=False)


def _device_map(device: str | None) -> str | dict[str, str]:
    torch = importlib.import_module("torch")
    if device is not None:
        return {"": device}
    if torch.cuda.is_available():
        return "auto" if torch.cuda.device_count() > 1 else {"": "cuda"}
    return {"": "mps" if torch.backends.mps.is_available() else "cpu"}


@contextmanager
def _no_bars(transformers: Any) -> Generator[None]:
    """No progress bars while loading: they would stand in the middle of the caller's output."""
    logging = transformers.utils.logging
    were_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_on:
            logging.enable_progress_bar()


def _ends(model: Any, tokenizer: Any) -> list[int]:
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = model.config.get_text_config().eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    return [] if ends is None else [ends] if isinstance(ends, int) else [*ends]


def _habits(config: Any) -> Habits:
    temperature = 1.0 if config.temperature is None else float(config.temperature)
    top_p = config.top_p
    return Habits(
        temperature=temperature if config.do_sample else 0.0,
        top_k=config.top_k or None,
        top_p=None if top_p is None or top_p >= 1 else max(float(top_p), 1e-6),
    )


# -- answering


def _answer(decoder: Decoder, prompts: Sequence[Prompt]) -> list[Generated]:
    """Answer a group; in halves where memory runs out."""
    try:
        return decoder.run(prompts)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise EngineError(f"Transformers failed: {type(error).__name__}: {str(error)[:200]}") from error
    # Out of the handler, so that what the failed pass held is free.
    decoder.forget()
    gc.collect()
    if len(prompts) == 1:
        raise EngineError(f"out of memory for a prompt of {len(prompts[0].token_ids)} tokens")
    half = len(prompts) // 2
    return [*_answer(decoder, prompts[:half]), *_answer(decoder, prompts[half:])]


def _is_out_of_memory(error: BaseException) -> bool:
    """CUDA has an error of its own for this; the CPU's and MPS's are told by their text."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text
