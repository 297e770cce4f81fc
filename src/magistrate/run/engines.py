"""Engines in this process, by name; their modules are loaded when one is built, and their packages when it loads."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, cast

from magistrate.backends.engine import Engine, EngineBackend
from magistrate.config import InProcess
from magistrate.errors import MissingExtraError


class _Place(NamedTuple):
    module: str
    attribute: str
    package: str
    """Without which it cannot load."""


_PLACES = MappingProxyType(
    {
        InProcess.VLLM: _Place("magistrate.backends.vllm", "VllmEngine", "vllm"),
        InProcess.TRANSFORMERS: _Place("magistrate.backends.transformers", "TransformersEngine", "transformers"),
        InProcess.LLAMACPP: _Place("magistrate.backends.llamacpp", "LlamaCppEngine", "llama_cpp"),
    }
)


def is_installed(engine: InProcess) -> bool:
    """Whether the package that runs the weights is here."""
    return importlib.util.find_spec(_PLACES[engine].package) is not None


@functools.cache
def engine_backend(engine: InProcess, weights: str, name: str | None, context_tokens: int | None) -> EngineBackend:
    """The engine, one for the process: all judges that ask the same weights share them. Nothing is loaded yet.

    Args:
        engine: What runs the weights.
        weights: A folder, a file or a repository.
        name: What verdicts call the model; None for what the weights are called.
        context_tokens: Prompt and answer must fit into these; None for the model's own.

    Raises:
        MissingExtraError: the engine is not installed.
    """
    place = _PLACES[engine]
    if not is_installed(engine):
        raise MissingExtraError(f"{engine.value} in process", extra=engine.value)
    path = Path(weights).expanduser()
    source = str(path) if path.exists() else weights
    build = cast("Callable[..., Engine]", getattr(importlib.import_module(place.module), place.attribute))
    return EngineBackend(build(source, name=name, context_tokens=context_tokens))
