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
from magistrate.errors import BackendError, MissingExtraError
from magistrate.models.profile import Engine as ModelEngine
from magistrate.models.pull.cache import local_weights
from magistrate.run.named import profile_called


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
        weights: A folder, a file, a repository, or the name of a model whose weights were pulled.
        name: What verdicts call the model; None for what the weights are called.
        context_tokens: Prompt and answer must fit into these; None for the model's own.

    Raises:
        MissingExtraError: the engine is not installed.
        BackendError: the weights of a named model are not here.
    """
    place = _PLACES[engine]
    if not is_installed(engine):
        raise MissingExtraError(f"{engine.value} in process", extra=engine.value)
    build = cast("Callable[..., Engine]", getattr(importlib.import_module(place.module), place.attribute))
    return EngineBackend(build(source_of(engine, weights), name=name, context_tokens=context_tokens))


def source_of(engine: InProcess, weights: str) -> str:
    """What an engine is given to load.

    Raises:
        BackendError: a model is named whose weights are not here.
    """
    path = Path(weights).expanduser()
    profile = None if path.exists() else profile_called(weights)
    if profile is None:
        return str(path) if path.exists() else weights
    forms = profile.weights_for(ModelEngine(engine.value))
    places = (local_weights(profile, form) for form in forms)
    found = next((place for place in places if place is not None), None)
    if found is None:
        raise BackendError(
            f"weights of {profile.name} that {engine.value} reads are not on this machine",
            hint=f"magistrate model pull {weights}; or name a folder or file: {engine.value}:PATH",
        )
    return str(found)
