"""The dialects by name. Harmony's library is loaded when its dialects first render, not here."""

from __future__ import annotations

import difflib
from types import MappingProxyType

from magistrate.dialects.base import Dialect
from magistrate.dialects.harmony import Harmony
from magistrate.dialects.safeguard import Form, Safeguard
from magistrate.dialects.single_token import COPE, LLAMA_GUARD, SHIELDGEMMA, SHIELDSTRAL
from magistrate.dialects.tagged import DYNAGUARD, GRANITE_GUARDIAN
from magistrate.errors import UsageError

_ALL: tuple[Dialect, ...] = (
    *(Safeguard(form) for form in Form),
    *(Harmony(form) for form in Form),
    COPE,
    SHIELDSTRAL,
    SHIELDGEMMA,
    LLAMA_GUARD,
    GRANITE_GUARDIAN,
    DYNAGUARD,
)
DIALECTS = MappingProxyType({dialect.name: dialect for dialect in _ALL})
DEFAULT_DIALECT = "safeguard.rationale.v1"


def dialect_named(name: str) -> Dialect:
    """The dialect with that name.

    Raises:
        UsageError: there is none.

    >>> dialect_named("safeguard.binary.v1").name
    'safeguard.binary.v1'
    """
    found = DIALECTS.get(name)
    if found is not None:
        return found
    near = difflib.get_close_matches(name, DIALECTS, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"no dialect {name[:80]!r}", hint=f"{guess}known: {', '.join(DIALECTS)}")
