"""Settings: one TOML file, read into frozen values. The environment is read here and nowhere else.

`magistrate.toml` is looked for at `$MAGISTRATE_CONFIG`, then in the working folder, then in the user's config folder.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from magistrate.errors import ConfigError
from magistrate.home import HOME_VARIABLE, home_folder
from magistrate.types import Effort

FILE_NAME = "magistrate.toml"
CONFIG_VARIABLE = "MAGISTRATE_CONFIG"


class InProcess(StrEnum):
    """Engines that run weights in this process."""

    VLLM = "vllm"
    TRANSFORMERS = "transformers"
    LLAMACPP = "llamacpp"


ActionName = Literal["allow", "hold", "block"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelConfig(_Table):
    """A named model: `[models.NAME]`, behind an address or in this process."""

    url: str | None = None
    """Address of an OpenAI-compatible server, ending in /v1."""
    engine: InProcess | None = None
    """What runs the weights in this process; in place of `url`."""
    weights: str | None = None
    """For `engine`: a folder, a GGUF file, or a repository of the Hugging Face Hub."""
    model: str | None = None
    """Name of the model at that server; may be left out where the server serves just one."""
    dialect: str | None = None
    """Where nothing is said: `safeguard.rationale.v1`, and for gpt-oss in process `harmony.rationale.v1`."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; the key itself is never written here."""
    effort: Effort | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: int | None = None
    max_output_tokens: Annotated[int, Field(gt=0)] | None = None
    context_tokens: Annotated[int, Field(gt=0)] | None = None
    """Of prompt and answer together, where the server does not say it itself and it is not the model's own."""
    concurrency: Annotated[int, Field(gt=0, le=4096)] = 16
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    attempts: Annotated[int, Field(ge=1, le=20)] = 4
    """Calls per request at the most, when the server is busy, slow or down."""
    constrained: bool = False
    """Hold answers to the form that the dialect asks for, where the server can."""
    token_ids: bool = False
    """The server takes prompts as tokens at /completions, as vLLM does: for the harmony dialects."""
    cache: str | None = None
    """File that keeps answers, so that an equal request is not paid for twice."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        """Either a server or an engine in process.

        Raises:
            ValueError: both, or neither; an engine without weights, or weights without an engine.
        """
        if self.url is not None and (self.engine is not None or self.weights is not None):
            raise ValueError("url is for a server, engine and weights are for this process: give one of the two")
        if self.url is None and self.engine is None:
            raise ValueError("say where the model is: url, or engine and weights")
        if self.engine is not None and self.weights is None:
            raise ValueError(f"engine {self.engine.value!r} needs weights: a folder, a file or a repository")
        return self


class PriceConfig(_Table):
    """What a model costs, in any one currency: `[prices.MODEL]`, by the model's name in verdicts."""

    input_per_million: Annotated[float, Field(ge=0)] = 0.0
    """A million input tokens."""
    output_per_million: Annotated[float, Field(ge=0)] = 0.0
    """A million output tokens, reasoning included."""
    per_hour: Annotated[float, Field(ge=0)] = 0.0
    """An hour of its time."""


class JudgeConfig(_Table):
    """`[judge]`: who judges when nothing is said."""

    model: str | None = None
    """A name from `[models]`, a URL, or nothing for the embedded judge."""


class EnforceConfig(_Table):
    """`[enforce]`: what follows from a verdict. No silent allow: what is not decided is held."""

    on_violation: ActionName = "block"
    on_abstained: ActionName = "hold"
    on_failed: ActionName = "hold"


class LogConfig(_Table):
    """`[log]`: the decision log."""

    enabled: bool = True
    path: str | None = None
    keep_content: bool = False
    """Keep the judged text itself; otherwise only its digest."""
    keep_reasoning: bool = True
    """Keep rationale and reasoning, which can quote the text."""


Proportion = Annotated[float, Field(ge=0, le=1)]


class ThresholdsConfig(_Table):
    """What a policy's figures must keep, as proportions: `[test.POLICY]`."""

    min_precision: Proportion | None = None
    min_recall: Proportion | None = None
    min_f1: Proportion | None = None
    min_accuracy: Proportion | None = None
    max_false_positive_rate: Proportion | None = None
    max_undecided_rate: Proportion | None = None
    max_failed_rate: Proportion | None = None
    mode: Literal["point", "confident"] | None = None
    """Whether figures or their whole intervals must be on the right side; `point` where nothing is said."""


class TestConfig(ThresholdsConfig):
    """`[test]`: thresholds for every policy, and under the name of a policy those that differ for it."""

    __test__ = False  # no test of pytest's

    policies: dict[str, ThresholdsConfig] = {}
    """By the name of the policy, which is its file's stem. In the file these are tables of their own."""

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, values: JsonValue) -> JsonValue:
        """Put every table that is inside of `[test]` under the name of its policy."""
        if not isinstance(values, dict):
            return values
        tables: dict[str, JsonValue] = {name: value for name, value in values.items() if isinstance(value, dict)}
        return {**{name: value for name, value in values.items() if name not in tables}, "policies": tables}

    def of_policy(self, name: str) -> ThresholdsConfig:
        """What holds for one policy: its own thresholds over the general ones."""
        own = self.policies.get(name, ThresholdsConfig()).model_dump(exclude_none=True)
        general = self.model_dump(exclude={"policies"}, exclude_none=True)
        return ThresholdsConfig(**{**general, **own})


class Config(_Table):
    """All settings."""

    judge: JudgeConfig = JudgeConfig()
    models: dict[str, ModelConfig] = {}
    prices: dict[str, PriceConfig] = {}
    enforce: EnforceConfig = EnforceConfig()
    log: LogConfig = LogConfig()
    test: TestConfig = TestConfig()

    def log_path(self) -> Path:
        """Where the decision log is."""
        if self.log.path is not None:
            return Path(self.log.path).expanduser()
        return home_folder() / "decisions.db"


def served_folder() -> Path:
    """Where files say which models `magistrate model serve` serves, and where the engines' logs are."""
    home = os.environ.get(HOME_VARIABLE)
    folder = Path(home) if home else Path(platformdirs.user_state_dir("magistrate", appauthor=False))
    return folder / "served"


def find_config() -> Path | None:
    """The settings file that applies, None where there is none.

    Raises:
        ConfigError: `$MAGISTRATE_CONFIG` names a file that is not there.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise ConfigError(
                f"{CONFIG_VARIABLE} names {named!r}, which is not a file", hint="unset it, or mend the path"
            )
        return Path(named)
    folders = (Path(), Path(platformdirs.user_config_dir("magistrate", appauthor=False)))
    return next((folder / FILE_NAME for folder in folders if (folder / FILE_NAME).is_file()), None)


def read_config(path: Path | None) -> Config:
    """Read settings; None gives the defaults.

    Raises:
        ConfigError: not readable, not TOML, an unknown key, or a value out of range.
    """
    if path is None:
        return Config()
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except OSError as error:
        raise ConfigError(
            f"cannot read {str(path)!r}: {error.strerror}", hint="check the path and its rights"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}", hint="strings need quotes; tables are [name]") from error
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise _config_error(path, error) from error


def _config_error(path: Path, error: ValidationError) -> ConfigError:
    """Name the first bad key, with the nearest allowed one."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = [str(part) for part in first["loc"]]
    if place[:2] == ["test", "policies"]:
        place.remove("policies")
    dotted = ".".join(place)
    if first["type"] == "extra_forbidden":
        known = _known_keys(place[:-1])
        near = difflib.get_close_matches(place[-1], known, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        return ConfigError(f"{path}: unknown key {dotted!r}", hint=f"{meant}allowed: {', '.join(known)}")
    said = first["msg"].removeprefix("Value error, ")
    return ConfigError(f"{path}: {dotted}: {said}", hint="see docs/configuration.md")


def _known_keys(place: list[str]) -> list[str]:
    tables: dict[str, type[_Table]] = {
        "": Config,
        "judge": JudgeConfig,
        "models": ModelConfig,
        "prices": PriceConfig,
        "enforce": EnforceConfig,
        "log": LogConfig,
        "test": ThresholdsConfig,
    }
    return sorted(tables[place[0] if place else ""].model_fields)
