"""A policy as values: rules, labels, examples, each with its place in the file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from magistrate.digest import Digest
from magistrate.policy.diagnostic import Diagnostic, Place
from magistrate.types import Severity


class Polarity(StrEnum):
    """Which way a rule points."""

    VIOLATES = "violates"
    ALLOWED = "allowed"


class PolicyForm(StrEnum):
    """How the file is written. All four are read into the same values."""

    GUIDE = "guide"
    """Sections: instructions, definitions, violates, safe, examples."""
    NUMBERED = "numbered"
    """Coded groups and rules: SP2, SP2.a, with severities."""
    LABELED = "labeled"
    """Overview, definitions, interpretation, labels with includes and excludes."""
    PROSE = "prose"
    """Free text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A text in the policy with the verdict that its author gives it."""

    text: str
    violation: bool | None
    """None where the policy shows the text without a clear verdict."""
    rule_id: str | None
    label: str | None
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One clause that makes content violating or allowed."""

    id: str
    text: str
    polarity: Polarity
    severity: Severity | None
    label: str
    """The label that a case gets when this rule decides; one of the policy's labels."""
    place: Place
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One of the answers that the policy allows."""

    name: str
    violation: bool
    severity: Severity | None
    text: str
    """What the policy says about it; may be empty."""
    place: Place


@dataclass(frozen=True, slots=True)
class Definition:
    """A term and what the policy means by it."""

    term: str
    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of the policy that is no rule: precedence, escalation."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy as read. Equal digests mean the same text, byte for byte.

    Invariants: rule ids are unique; every rule's label is in `labels`; there is a label with
    `violation=True` and one with `violation=False`.
    """

    name: str
    """Short name: the file's stem unless given."""
    title: str
    text: str
    digest: Digest
    form: PolicyForm
    instructions: str
    definitions: tuple[Definition, ...]
    rules: tuple[Rule, ...]
    labels: tuple[Label, ...]
    examples: tuple[Example, ...]
    """All examples in the order of the file, those of rules included."""
    precedence: tuple[Statement, ...]
    escalation: tuple[Statement, ...]
    answers: tuple[tuple[str, bool], ...]
    """Words that the policy itself asks to answer with, and whether each means a violation: ("VALID", False)."""
    warnings: tuple[Diagnostic, ...]
    file: str
    """The path as given, or `<text>`."""

    @classmethod
    def read(cls, path: str | Path, *, name: str | None = None) -> Policy:
        """Read a policy file.

        Raises:
            PolicyError: missing, binary, empty, not UTF-8, over 1 MB, or without any rule to judge by.
        """
        from magistrate.policy.read import read_policy  # the reader builds Policy: a cycle at the top

        return read_policy(Path(path), name=name)

    @classmethod
    def parse(cls, text: str, *, name: str = "policy", file: str = "<text>") -> Policy:
        """Read a policy from a string.

        Raises:
            PolicyError: as `read`, without the errors of files.
        """
        from magistrate.policy.read import parse_policy  # the reader builds Policy: a cycle at the top

        return parse_policy(text, name=name, file=file)

    def rule(self, rule_id: str) -> Rule | None:
        """The rule with that id; ids compare without case."""
        wanted = rule_id.casefold()
        return next((r for r in self.rules if r.id.casefold() == wanted), None)

    def label(self, name: str) -> Label | None:
        """The label with that name; names compare without case."""
        wanted = name.casefold()
        return next((x for x in self.labels if x.name.casefold() == wanted), None)

    def first_label(self, *, violation: bool) -> str:
        """The name of the first label of a side; every policy has one of each."""
        return next(label.name for label in self.labels if label.violation is violation)
