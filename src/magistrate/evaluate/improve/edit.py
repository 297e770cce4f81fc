"""Edits of a policy, as values: each says what shall change, and everything else must stay."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from magistrate.policy.model import Polarity


@dataclass(frozen=True, slots=True, kw_only=True)
class AddExample:
    """Show a text with its verdict."""

    text: str
    violation: bool
    rule_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRule:
    """Say that something more violates, or is allowed."""

    text: str
    polarity: Polarity


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveRule:
    """Take a rule out, with its examples and the statements that are about it alone."""

    rule_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendRule:
    """Add a sentence to a rule."""

    rule_id: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceText:
    """Put other words in place of some that stand in the policy exactly once."""

    find: str
    replacement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MendFindings:
    """Make the safe fixes of the linter."""


Edit = AddExample | AddRule | RemoveRule | AmendRule | ReplaceText | MendFindings


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an edit cannot be made."""

    reason: str


class Origin(StrEnum):
    """Who had the idea."""

    TEMPLATE = "template"
    LINT = "lint"
    REASONER = "reasoner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Edits that are tried together."""

    title: str
    edits: tuple[Edit, ...]
    origin: Origin = Origin.TEMPLATE
    taken: frozenset[str] = frozenset()
    """Ids of the cases whose content is in the edits. It is not scored on them."""
    why: str = ""
    """What a reasoner says of it."""
