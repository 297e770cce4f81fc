"""How models are written on a terminal and in JSON."""

from __future__ import annotations

from pydantic import JsonValue

from magistrate.models.profile import Profile, Weights


def gigabytes(count: int | None) -> str:
    """'13.7 GB'; '?' where it is not known."""
    return "?" if count is None else f"{count / 1e9:,.1f} GB"


def billions(count: int | None) -> str:
    """'20.9B'; '?' where it is not known."""
    return "?" if count is None else f"{count / 1e9:,.1f}B"


def tokens(count: int | None) -> str:
    """'131,072'; '?' where it is not known."""
    return "?" if count is None else f"{count:,}"


def short_name(profile: Profile) -> str:
    """The shortest that a user may type."""
    return min((profile.name, *profile.aliases), key=len)


def profile_json(profile: Profile) -> dict[str, JsonValue]:
    """All that is known of a model; null for what is not."""
    return {
        "name": profile.name,
        "aliases": list(profile.aliases),
        "family": profile.family,
        "parameters": profile.parameters,
        "active_parameters": profile.active_parameters,
        "context_tokens": profile.context_tokens,
        "licence": profile.licence,
        "dialect": profile.dialect,
        "token_dialect": profile.token_dialect,
        "efforts": [effort.value for effort in profile.efforts],
        "weights": [_weights_json(weights) for weights in profile.weights],
        "served_names": {engine.value: name for engine, name in profile.served_names},
        "engine_flags": {engine.value: list(flags) for engine, flags in profile.engine_flags},
        "sources": list(profile.sources),
        "notes": list(profile.notes),
    }


def _weights_json(weights: Weights) -> dict[str, JsonValue]:
    return {
        "quantisation": weights.quantisation,
        "repo": weights.repo,
        "file": weights.file,
        "revision": weights.revision,
        "size_bytes": weights.size_bytes,
        "engines": [engine.value for engine in weights.engines],
    }
