"""Settings: one TOML file, read into frozen values. The environment is read here and nowhere else.

`magistrate.toml` is looked for at `$MAGISTRATE_CONFIG`, then in the working folder, then in the user's config folder.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from magistrate.errors import ConfigError
from magistrate.home import home_folder
from magistrate.types import Effort

FILE_NAME = "magistrate.toml"
CONFIG_VARIABLE = "MAGISTRATE_CONFIG"

ActionName = Literal["allow", "hold", "block"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelConfig(_Table):
    """A named model: `[models.NAME]`."""

    url: str
    """Address of an OpenAI-compatible server, ending in /v1."""
    model: str | None = None
    """Name of the model at that server; may be left out where the server serves just one."""
    dialect: str = "safeguard.rationale.v1"
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; the key itself is never written here."""
    effort: Effort | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: int | None = None
    max_output_tokens: Annotated[int, Field(gt=0)] | None = None
    concurrency: Annotated[int, Field(gt=0, le=4096)] = 16
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    attempts: Annotated[int, Field(ge=1, le=20)] = 4
    """Calls per request at the most, when the server is busy, slow or down."""
    cache: str | None = None
    """File that keeps answers, so that an equal request is not paid for twice."""


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
    return ConfigError(f"{path}: {dotted}: {first['msg']}", hint="see docs/configuration.md")


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
