"""Which engine, and which weights, where the user does not say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from magistrate.errors import BackendError, UsageError
from magistrate.models.fit import Load, fits_of
from magistrate.models.hardware import Machine
from magistrate.models.profile import Engine, Profile
from magistrate.models.pull.cache import local_weights
from magistrate.models.serve.commands import Program
from magistrate.models.serve.programs import find_program, program_for

_READERS = (Engine.VLLM, Engine.LLAMACPP)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def preferred_engine(profile: Profile, machine: Machine) -> Engine:
    """The engine to try first: one whose weights were pulled, and of several the one that fits the machine."""
    fits = [fit.engine for fit in fits_of(machine, profile, Load()) if fit.fits and fit.engine in _READERS]
    pulled = [
        engine
        for engine in _READERS
        if any(local_weights(profile, form) is not None for form in profile.weights_for(engine))
    ]
    return next((engine for engine in fits if engine in pulled or not pulled), (*pulled, *_READERS)[0])


def choose_program(
    engine: Engine | None, weights: str | None, environment: Mapping[str, str], *, first: Engine = Engine.VLLM
) -> tuple[Engine, Program]:
    """The engine that is asked for, or the installed one that reads these weights.

    Args:
        engine: Asked for; None where nothing is said.
        weights: As the user gave them; None where nothing is said.
        environment: Where programs are looked for.
        first: The engine to prefer where neither is said.

    Raises:
        BackendError: none of them is installed.
    """
    if engine is not None:
        return engine, program_for(engine, environment)
    gguf = is_gguf(weights) if weights is not None else first is Engine.LLAMACPP
    wanted = (Engine.LLAMACPP, Engine.VLLM) if gguf else _READERS
    for candidate in wanted if weights is None or is_gguf(weights) else wanted[:1]:
        found = find_program(candidate, environment)
        if found is not None:
            return candidate, found
    return wanted[0], program_for(wanted[0], environment)


def is_gguf(weights: str) -> bool:
    """Whether it is the name of a GGUF file."""
    return weights.casefold().endswith(".gguf")


def check_weights(engine: Engine, weights: str | None, profile: Profile | None) -> str:
    """What the engine is given to read.

    Raises:
        BackendError: nothing is said and nothing is known, or the engine cannot read it.
    """
    if weights is None:
        return _repository(engine, profile)
    path = Path(weights).expanduser()
    if engine is Engine.LLAMACPP and not (path.is_file() and is_gguf(weights)):
        raise BackendError(f"{weights!r} is not a GGUF file", hint="llama.cpp reads one .gguf file; or --engine vllm")
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BackendError(
                f"{weights!r} holds no config.json", hint="give the folder that holds the weights itself"
            )
        return str(path.absolute())
    if path.is_file():
        return str(path.absolute())
    if engine is Engine.VLLM and _REPOSITORY.fullmatch(weights) and not path.is_absolute():
        return weights
    raise BackendError(f"there are no weights at {weights!r}", hint="check the path")


def _repository(engine: Engine, profile: Profile | None) -> str:
    """What was pulled; else a repository for vLLM, which fetches from the hub itself what is not there yet."""
    forms = () if profile is None else profile.weights_for(engine)
    pulled = (local_weights(profile, form) for form in forms if profile is not None)
    place = next((found for found in pulled if found is not None), None)
    if place is not None:
        return str(place.absolute())
    whole = [form.repo for form in forms if form.file is None]
    if engine is Engine.VLLM and whole:
        return whole[0]
    named = "the model" if profile is None else profile.name
    pull = "" if profile is None else f"magistrate model pull {profile.name}; or "
    raise BackendError(
        f"{named} needs weights that {engine.value} reads", hint=f"{pull}give --weights FILE.gguf or FOLDER"
    )


def check_memory(weights: str, machine: Machine) -> None:
    """Refuse weights that this machine cannot hold, before they are loaded for minutes.

    Raises:
        UsageError: they are larger than what is free, on all GPUs and in memory together.
    """
    size = weights_bytes(Path(weights))
    free = machine.available_bytes + sum(gpu.free_bytes or gpu.memory_bytes for gpu in machine.gpus if not gpu.unified)
    if size > free:
        raise UsageError(
            f"{weights!r} takes {size / 1e9:.1f} GB and {free / 1e9:.1f} GB are free",
            hint="end other programs, or choose smaller weights: magistrate model fit",
        )


def weights_bytes(path: Path) -> int:
    """Bytes of the weights; 0 for what is not on this machine."""
    if path.is_file():
        return path.stat().st_size
    files: Sequence[Path] = [*path.glob("*.safetensors"), *path.glob("*.gguf")] if path.is_dir() else []
    return sum(file.stat().st_size for file in files)
