"""Which command line starts an engine's server. Pure: nothing is looked up and nothing is started."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from magistrate.errors import UsageError
from magistrate.models.profile import Engine, Profile

USUAL_CONTEXT = 16_384
"""Tokens of a known model's context where nothing is said: a long policy, a content and its reasoning, and far less
memory than the 131,072 that gpt-oss was made for."""


class ProgramKind(StrEnum):
    """Servers that take different options."""

    VLLM = "vllm serve"
    LLAMA_SERVER = "llama-server"
    LLAMA_CPP_PYTHON = "llama_cpp.server"


@dataclass(frozen=True, slots=True)
class Program:
    """An engine's server on this machine."""

    kind: ProgramKind
    argv: tuple[str, ...]
    """How it is called, before its options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What is served, and how."""

    name: str
    """The model's name at the server."""
    weights: str
    """A folder, a GGUF file, or for vLLM a repository of the hub."""
    profile: Profile | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    context_tokens: int | None = None
    tensor_parallel: int = 1
    """GPUs that share one copy of the weights."""
    data_parallel: int = 1
    """Copies of the weights."""
    dtype: str | None = None
    flags: tuple[str, ...] = ()
    """For the engine as they are, after all others."""
    api_key_env: str | None = None
    """Name of the variable whose value is asked of clients; the engine gets it by its own variable."""

    @property
    def url(self) -> str:
        """Where this machine reaches it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104  # not bound here
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is run."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Set for the engine, beside what is inherited. No secrets."""
    without: tuple[str, ...] = ()
    """Variables that are not inherited."""
    key_variable: str
    """The variable by which this engine takes the key that it asks of clients."""

    def shown(self) -> str:
        """As one could type it."""
        unset = [word for name in self.without for word in ("-u", name)]
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        return shlex.join([*(["env", *unset, *settings] if unset or settings else []), *self.argv])


def launch(serving: Serving, program: Program) -> Launch:
    """The command line.

    Raises:
        UsageError: an option that this server does not have.
    """
    match program.kind:
        case ProgramKind.VLLM:
            return _vllm(serving, program)
        case ProgramKind.LLAMA_SERVER:
            return _llama_server(serving, program)
        case ProgramKind.LLAMA_CPP_PYTHON:
            return _llama_cpp_python(serving, program)


def _vllm(serving: Serving, program: Program) -> Launch:
    """Source: `vllm serve --help`, 0.32.

    Requests are not logged by default since 0.10; it is said all the same, so that a config file cannot turn it on.
    """
    own = () if serving.profile is None else serving.profile.flags(Engine.VLLM)
    local = Path(serving.weights).exists()
    return Launch(
        argv=(
            *program.argv,
            "serve",
            serving.weights,
            *_option("--served-model-name", serving.name),
            *_option("--host", serving.host),
            *_option("--port", serving.port),
            *(own or ("--enable-prefix-caching",)),
            *_option("--max-model-len", _context(serving)),
            *_option("--tensor-parallel-size", serving.tensor_parallel if serving.tensor_parallel > 1 else None),
            *_option("--data-parallel-size", serving.data_parallel if serving.data_parallel > 1 else None),
            *_option("--dtype", serving.dtype),
            "--no-enable-log-requests",
            "--disable-uvicorn-access-log",
            *serving.flags,
        ),
        environment={
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            **({"HF_HUB_OFFLINE": "1"} if local else {}),
        },
        without=("VLLM_DEBUG_LOG_API_SERVER_RESPONSE",),  # writes whole answers into the log
        key_variable="VLLM_API_KEY",
    )


def _llama_server(serving: Serving, program: Program) -> Launch:
    """Source: the README of llama.cpp's server. `/slots` shows the prompts that are under way, so it is off."""
    _refuse_parallel(serving, program)
    own = () if serving.profile is None else serving.profile.flags(Engine.LLAMACPP)
    return Launch(
        argv=(
            *program.argv,
            *_option("-m", serving.weights),
            *_option("--alias", serving.name),
            *_option("--host", serving.host),
            *_option("--port", serving.port),
            *(own or ("--jinja",)),
            *_option("-c", _context(serving) or 0),
            "--no-slots",
            *serving.flags,
        ),
        without=("LLAMA_ARG_HOST", "LLAMA_ARG_PORT", "LLAMA_ARG_ENDPOINT_SLOTS", "LLAMA_LOG_VERBOSITY"),
        key_variable="LLAMA_API_KEY",
    )


def _llama_cpp_python(serving: Serving, program: Program) -> Launch:
    """Source: `python -m llama_cpp.server --help`, 0.3.36.

    Its options are read from variables too, and HOST and PORT win over the command line: a container that sets
    HOST=0.0.0.0 would open it to the network.
    """
    _refuse_parallel(serving, program)
    return Launch(
        argv=(
            *program.argv,
            *_option("--model", serving.weights),
            *_option("--model_alias", serving.name),
            *_option("--host", serving.host),
            *_option("--port", serving.port),
            *_option("--n_ctx", _context(serving) or 0),
            *_option("--n_gpu_layers", -1),
            *_option("--verbose", "false"),
            *serving.flags,
        ),
        without=("HOST", "PORT", "CONFIG_FILE", "MODEL", "MODELS"),
        key_variable="API_KEY",
    )


def _context(serving: Serving) -> int | None:
    """As asked; for a model that is known a usual one; else None, the model's own."""
    if serving.context_tokens is not None or serving.profile is None:
        return serving.context_tokens
    return min(USUAL_CONTEXT, serving.profile.context_tokens or USUAL_CONTEXT)


def _refuse_parallel(serving: Serving, program: Program) -> None:
    if serving.tensor_parallel > 1 or serving.data_parallel > 1 or serving.dtype is not None:
        raise UsageError(
            f"{program.kind.value} takes no tensor or data parallelism and no dtype",
            hint="leave them out: llama.cpp spreads layers over GPUs itself; or --engine vllm",
        )


def _option(name: str, value: str | int | None) -> tuple[str, ...]:
    return () if value is None else (name, str(value))
