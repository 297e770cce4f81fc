"""The profiles that ship with the package, by name."""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Iterator
from importlib import resources

from pydantic import BaseModel, ConfigDict, PositiveInt

from magistrate.errors import UsageError
from magistrate.models.profile import Engine, Profile, Shape, Weights
from magistrate.types import Effort

_FILE = "profiles.toml"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Weights(_Table):
    quantisation: str
    repo: str
    file: str | None = None
    revision: str | None = None
    size_bytes: PositiveInt | None = None
    active_bytes: PositiveInt | None = None
    engines: tuple[Engine, ...]


class _Shape(_Table):
    full_layers: int
    window_layers: int = 0
    window: int = 0
    kv_heads: PositiveInt
    head_dim: PositiveInt


class _Profile(_Table):
    name: str
    aliases: tuple[str, ...] = ()
    family: str
    parameters: PositiveInt | None = None
    active_parameters: PositiveInt | None = None
    context_tokens: PositiveInt | None = None
    licence: str | None = None
    dialect: str | None = None
    token_dialect: str | None = None
    weights: tuple[_Weights, ...] = ()
    shape: _Shape | None = None
    served_names: dict[Engine, str] = {}
    engine_flags: dict[Engine, tuple[str, ...]] = {}
    efforts: tuple[Effort, ...] = ()
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def value(self) -> Profile:
        return Profile(
            name=self.name,
            aliases=self.aliases,
            family=self.family,
            parameters=self.parameters,
            active_parameters=self.active_parameters,
            context_tokens=self.context_tokens,
            licence=self.licence,
            dialect=self.dialect,
            token_dialect=self.token_dialect,
            weights=tuple(Weights(**weights.model_dump()) for weights in self.weights),
            shape=None if self.shape is None else Shape(**self.shape.model_dump()),
            served_names=tuple(self.served_names.items()),
            engine_flags=tuple(self.engine_flags.items()),
            efforts=self.efforts,
            sources=self.sources,
            notes=self.notes,
        )


class _File(_Table):
    profiles: tuple[_Profile, ...]


@functools.cache
def profiles() -> tuple[Profile, ...]:
    """All profiles, in the order of the file: the models that the package is made for first."""
    text = resources.files("magistrate.models").joinpath(_FILE).read_text(encoding="utf-8")
    return tuple(table.value() for table in _File.model_validate(tomllib.loads(text)).profiles)


def profile_named(name: str) -> Profile:
    """The profile with that name, alias, repository, or name at a server; case is ignored.

    Raises:
        UsageError: there is none.

    >>> profile_named("20b").name
    'gpt-oss-safeguard-20b'
    """
    wanted = name.strip().casefold()
    for profile in profiles():
        if wanted in (known.casefold() for known in _names(profile)):
            return profile
    raise UsageError(f"no model {name[:80]!r}", hint=f"{_guess(wanted)}known: {', '.join(p.name for p in profiles())}")


def _names(profile: Profile) -> Iterator[str]:
    yield profile.name
    yield from profile.aliases
    yield from (weights.repo for weights in profile.weights)
    yield from (name for _, name in profile.served_names)


def _guess(wanted: str) -> str:
    """What may have been meant, by its canonical name."""
    short = [(known.casefold(), profile.name) for profile in profiles() for known in (profile.name, *profile.aliases)]
    inside = [name for known, name in short if wanted and wanted in known]
    near = [dict(short)[known] for known in difflib.get_close_matches(wanted, dict(short), n=3)]
    meant = list(dict.fromkeys([*near, *inside]))[:3]
    return f"did you mean {' or '.join(repr(name) for name in meant)}? " if meant else ""
