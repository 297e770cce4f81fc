"""What a name for a model means: settings, a server that runs, or weights to load into this process."""

from __future__ import annotations

import os
from pathlib import Path

from magistrate.config import Config, InProcess, ModelConfig, served_folder
from magistrate.errors import UsageError
from magistrate.models.profile import Profile
from magistrate.models.registry import profile_named

DEFAULT_DIALECT = "safeguard.rationale.v1"
DEFAULT_TOKEN_DIALECT = "harmony.rationale.v1"  # noqa: S105  # tokens of text
LOCAL_TIMEOUT_S = 300.0
"""A model on this machine may take minutes for a long policy: nobody else is asked in its place."""


def reasoner_named(wanted: str, config: Config) -> ModelConfig | None:
    """The settings of the model with that name, at the first of these places; None where it is at none.

    A name from `[models]`; an address; `vllm:PATH`, `transformers:PATH` or `llamacpp:FILE`; what
    `magistrate model serve` serves; what Ollama or LM Studio holds, where they run.
    """
    if wanted in config.models:
        return config.models[wanted]
    if "://" in wanted:
        return ModelConfig(url=wanted)
    engine, colon, weights = wanted.partition(":")
    if colon and weights and engine in [known.value for known in InProcess]:
        return ModelConfig(engine=InProcess(engine), weights=weights)
    return _at_hand(wanted)


def profile_called(wanted: str) -> Profile | None:
    """The profile with that name; None where there is none."""
    try:
        return profile_named(wanted)
    except UsageError:
        return None


def dialect_of(settings: ModelConfig) -> str:
    """How a model is asked: as the settings say, else as its family is.

    In process gpt-oss is asked in tokens; other models by their own chat template.
    """
    if settings.dialect is not None:
        return settings.dialect
    if settings.weights is None:
        return DEFAULT_DIALECT
    from magistrate.models.architecture import GPT_OSS, architecture_of, profile_of

    profile = profile_of(settings.weights)
    if profile is not None:
        return profile.token_dialect or profile.dialect or DEFAULT_DIALECT
    kind = architecture_of(Path(settings.weights).expanduser())
    return DEFAULT_TOKEN_DIALECT if kind == GPT_OSS else DEFAULT_DIALECT


def _at_hand(wanted: str) -> ModelConfig | None:
    """A server on this machine that has the model."""
    from magistrate.models.serve.running import served_as

    profile = profile_called(wanted)
    names = {wanted} if profile is None else {wanted, profile.name, *profile.aliases}
    served = served_as(frozenset(names), served_folder())
    if served is not None:
        return ModelConfig(
            url=served.url,
            model=served.name,
            dialect=served.dialect,
            api_key_env=served.api_key_env,
            timeout_s=LOCAL_TIMEOUT_S,
        )
    return None if profile is None else _in_a_store(profile)


def _in_a_store(profile: Profile) -> ModelConfig | None:
    from magistrate.models.serve.stores import running_stores  # loads httpx

    for store in running_stores(os.environ):
        model = store.holds(profile)
        if model is not None:
            return ModelConfig(url=store.url, model=model, dialect=profile.dialect, timeout_s=LOCAL_TIMEOUT_S)
    return None
