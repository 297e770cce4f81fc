"""Ollama and LM Studio: servers with a store of their own, asked whether they run and which models they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from pydantic import BaseModel, Field, ValidationError

from magistrate.models.profile import Engine, Profile

ASK_LIMIT_S = 1.0
MOST_BYTES = 4_000_000
OLLAMA_VARIABLE = "OLLAMA_HOST"
"""Ollama's own: where it listens, `host`, `host:port` or an address."""
LM_STUDIO_VARIABLE = "MAGISTRATE_LMSTUDIO"
"""Where LM Studio listens, where it is not at its usual port."""
_PORTS = {Engine.OLLAMA: 11434, Engine.LM_STUDIO: 1234}
_LATEST = ":latest"


@dataclass(frozen=True, slots=True)
class Store:
    """A server with models of its own that runs."""

    engine: Engine
    url: str
    """Ends in /v1."""
    models: tuple[str, ...]

    def holds(self, profile: Profile) -> str | None:
        """What it calls that model; None where it does not have it."""
        wanted = profile.served_name(self.engine)
        names = {name.removesuffix(_LATEST).casefold(): name for name in self.models}
        return None if wanted is None else names.get(wanted.removesuffix(_LATEST).casefold())


class _Named(BaseModel):
    name: str = Field(max_length=500)


class _Tags(BaseModel):
    models: list[_Named]


class _Entry(BaseModel):
    id: str = Field(max_length=500)


class _Listed(BaseModel):
    data: list[_Entry]


def running_stores(environment: Mapping[str, str]) -> tuple[Store, ...]:
    """Those that answer, Ollama first."""
    found = (running_store(engine, environment) for engine in (Engine.OLLAMA, Engine.LM_STUDIO))
    return tuple(store for store in found if store is not None)


def running_store(engine: Engine, environment: Mapping[str, str]) -> Store | None:
    """One of the two; None where it does not run."""
    base = address_of(engine, environment)
    body = _get(f"{base}/api/tags" if engine is Engine.OLLAMA else f"{base}/v1/models")
    if body is None:
        return None
    try:
        if engine is Engine.OLLAMA:
            models = tuple(entry.name for entry in _Tags.model_validate_json(body).models)
        else:
            models = tuple(entry.id for entry in _Listed.model_validate_json(body).data)
    except ValidationError:
        return None  # something else listens there
    return Store(engine, f"{base}/v1", models)


def address_of(engine: Engine, environment: Mapping[str, str]) -> str:
    """Where that server listens, without a path.

    >>> address_of(Engine.OLLAMA, {"OLLAMA_HOST": "0.0.0.0"})
    'http://127.0.0.1:11434'
    >>> address_of(Engine.OLLAMA, {"OLLAMA_HOST": "https://models.example:443/"})
    'https://models.example:443'
    """
    variable = OLLAMA_VARIABLE if engine is Engine.OLLAMA else LM_STUDIO_VARIABLE
    said = environment.get(variable, "").strip().rstrip("/")
    if "://" in said:
        return said
    host, colon, port = said.rpartition(":")
    if not colon:
        host, port = said, ""
    host = "127.0.0.1" if host in ("", "0.0.0.0") else host  # noqa: S104  # where it listens, as a client reaches it
    return f"http://{host}:{port or _PORTS[engine]}"


def _get(url: str) -> bytes | None:
    """The body of a good answer of bounded size."""
    body = bytearray()
    try:
        with (
            httpx.Client(timeout=ASK_LIMIT_S, trust_env=False, follow_redirects=False) as client,
            client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as reply,
        ):
            if not reply.is_success:
                return None
            for piece in reply.iter_raw():
                body += piece
                if len(body) > MOST_BYTES:
                    return None
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    return bytes(body)
