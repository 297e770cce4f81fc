"""Everything that magistrate raises.

* MagistrateError
    * UsageError          an argument that cannot be used; exit status 64 on the command line
        * CohortMismatchError   scores to compare that were not measured on the same data in the same way
    * PolicyError         a policy file that cannot be read; carries diagnostics with file:line:column
    * ConfigError         magistrate.toml: unknown key, wrong type, unknown model name
    * InputError          a row of an input file that cannot be read as a case
    * BackendError        a backend that cannot be opened or used as it is set up
        * UnreachableError      its server does not answer now, and may later
    * WeightsError        a model's weights that cannot be had, or are not what they should be
    * StoreError          the decision log cannot be opened, read or written
    * MissingExtraError   a feature whose optional packages are not installed

What goes wrong with *one case* while judging is not raised: it is a `Failed` verdict with a code (see `types`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from magistrate.policy.diagnostic import Diagnostic


class MagistrateError(Exception):
    """Base of all errors raised by magistrate: what happened, and what to do next."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}"


class UsageError(MagistrateError):
    """An argument or a combination of arguments that cannot be used."""


class CohortMismatchError(UsageError):
    """Scores that were not measured on the same data in the same way. `fields` name what differs."""

    def __init__(self, message: str, *, fields: Sequence[str]) -> None:
        super().__init__(message, hint="measure them on the same data, with the same settings and version")
        self.fields = tuple(fields)


class PolicyError(MagistrateError):
    """A policy that cannot be read. `diagnostics` point at file:line:column."""

    def __init__(self, message: str, *, diagnostics: Sequence[Diagnostic] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.diagnostics = tuple(diagnostics)


class ConfigError(MagistrateError):
    """A setting in magistrate.toml or the environment that cannot be used."""


class InputError(MagistrateError):
    """A row of an input file that cannot be read as a case."""


class BackendError(MagistrateError):
    """A backend that cannot be opened or cannot do what the dialect needs."""


class WeightsError(MagistrateError):
    """A model's weights that cannot be had, or that are not what they should be."""


class UnreachableError(BackendError):
    """A backend whose server does not answer now: it may be starting, or down, or the address may be wrong."""


class StoreError(MagistrateError):
    """The decision log cannot be opened, read or written."""


class MissingExtraError(MagistrateError):
    """Optional packages are needed and not installed."""

    def __init__(self, feature: str, *, extra: str) -> None:
        super().__init__(
            f"{feature} needs packages that are not installed",
            hint=f"pip install 'magistrate[{extra}]'",
        )
        self.extra = extra
