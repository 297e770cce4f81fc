"""How quick a model may be on given hardware: estimates that say by which formula, and published measurements.

One token is written for each reading of the active weights, so that a single request gets at most
bandwidth / active bytes tokens a second. A prompt costs two operations a parameter and token. Both bounds are
multiplied by the share of them that published runs reach: see `DECODE_SHARE` and `PREFILL_SHARE`.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources

from pydantic import BaseModel, ConfigDict, Field, HttpUrl

from magistrate.models.profile import Engine, Profile, Weights

DECODE_SHARE = 0.55
"""Of bandwidth / active bytes. The four decode rates of `speeds.toml` lie between 0.30 and 0.76 of it, median 0.56."""
PREFILL_SHARE = 0.2
"""Of the peak of dense 16-bit operations. gpustack's vLLM runs over long prompts of gpt-oss-20b reach 0.24 (H100) and
0.38 (A100) when many requests are under way; a single one reaches less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Estimated tokens a second; None where the hardware's figure is not known."""

    decode: float | None
    """Written, for one request alone."""
    prefill: float | None
    """Read of a prompt, none of it remembered from an earlier one."""


UNKNOWN_SPEED = Speed(decode=None, prefill=None)


def estimated(
    profile: Profile, weights: Weights, *, bandwidth: float | None, flops: float | None, size_bytes: int
) -> Speed:
    """Estimate from the hardware's figures.

    Args:
        profile: Whose active parameters count.
        weights: Whose active bytes count.
        bandwidth: Bytes a second of all memories together that hold a share of the weights.
        flops: 16-bit operations a second of all processors together.
        size_bytes: Of the weights as loaded, for a form whose active bytes were not worked out.
    """
    active = active_bytes(profile, weights, size_bytes)
    parameters = profile.active_parameters or profile.parameters
    return Speed(
        decode=None if bandwidth is None else DECODE_SHARE * bandwidth / active,
        prefill=None if flops is None or parameters is None else PREFILL_SHARE * flops / (2 * parameters),
    )


def active_bytes(profile: Profile, weights: Weights, size_bytes: int) -> float:
    """Bytes that are read for one token: given, or the active parameters' part of all."""
    if weights.active_bytes is not None:
        return weights.active_bytes
    if profile.parameters is None or profile.active_parameters is None:
        return size_bytes
    return size_bytes * profile.active_parameters / profile.parameters


class Measurement(BaseModel):
    """A published measurement. Tokens a second; None where it was not measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...]
    engine: Engine
    gpu: str
    gpus: int = 1
    decode: float | None = Field(default=None, gt=0)
    prefill: float | None = Field(default=None, gt=0)
    total: float | None = Field(default=None, gt=0)
    """Of a server under many requests at once, prompts included."""
    source: HttpUrl


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    speeds: tuple[Measurement, ...]


@functools.cache
def measurements() -> tuple[Measurement, ...]:
    """All published measurements that ship with the package."""
    text = resources.files("magistrate.models").joinpath("speeds.toml").read_text(encoding="utf-8")
    return _File.model_validate(tomllib.loads(text)).speeds


def measured(profile: Profile, engine: Engine, gpu: str, gpus: int) -> Measurement | None:
    """What was published for this model, or one of the same shape, on just this hardware; None where nothing was.

    Args:
        profile: The model.
        engine: What runs it.
        gpu: A name that contains one of the table's: `NVIDIA H100 80GB HBM3`.
        gpus: How many share the weights.
    """
    for found in measurements():
        same = profile.name in found.models and found.engine is engine and found.gpus == gpus
        if same and found.gpu.casefold() in gpu.casefold():
            return found
    return None
