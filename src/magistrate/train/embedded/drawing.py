"""What one step of training sees: some contents of a family under several policies, changed and unrelated ones too."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from magistrate.classifiers.policy_passages import PolicyPassage
from magistrate.digest import text_digest
from magistrate.train.embedded.composing import Composed, Composer, Composition
from magistrate.train.embedded.families import Family, Ruling, TrainingCase, TrainingPolicy
from magistrate.train.embedded.variants import Change, Variant, thin_out, vary
from magistrate.types import Content

SIZE_POWER = 0.35
CHANGES: Mapping[Change, float] = {
    Change.NONE: 0.5,
    Change.INVERTED: 0.22,
    Change.REMOVED: 0.18,
    Change.MOVED: 0.1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """How steps are drawn."""

    contents: int = 48
    policies: int = 4
    """Of the family, at most; the unrelated ones come on top."""
    unrelated: int = 1
    unrelated_weight: float = 0.3
    changes: Mapping[Change, float] = field(default_factory=lambda: CHANGES)
    """Chances of each change."""
    drop_examples: float = 0.35
    no_examples: float = 0.2
    """Chance that a policy is seen without any of its examples."""
    passages: int = 16
    """Of a policy, at most, as far as dropping examples goes."""
    composition: Composition = field(default_factory=Composition)


@dataclass(frozen=True, slots=True)
class Hearing:
    """One policy with what it says of each content of the step."""

    name: str
    passages: tuple[PolicyPassage, ...]
    labels: tuple[bool | None, ...]
    rules: tuple[str | None, ...]
    """The one rule that decides each content, where that is known and the policy is unchanged."""
    weight: float


@dataclass(frozen=True, slots=True)
class Draw:
    """One step."""

    contents: tuple[Content, ...]
    hearings: tuple[Hearing, ...]


class Drawer:
    """Draw steps from families: large families more often, by a power of their size times their policies.

    A step depends on the seed and its number alone, so that a run that was stopped goes on with the same steps.

    Args:
        families: To draw from.
        unrelated: For each family by name, others whose policies its contents are taken not to break.
        mixture: How.
        seed: Of everything that is drawn.
    """

    def __init__(
        self, families: Sequence[Family], unrelated: Mapping[str, Sequence[Family]], mixture: Mixture, seed: int
    ) -> None:
        self._families = families
        self._unrelated = {name: [p for f in far for p in f.policies] for name, far in unrelated.items()}
        self._composer = Composer(unrelated, mixture.composition)
        self._mixture = mixture
        self._seed = seed
        self._chance = random.Random(seed)  # noqa: S311  # sampling, no secret
        self._weights = [(len(f.cases) * len(f.policies)) ** SIZE_POWER for f in families]
        self._sides = {f.name: _by_side(f) for f in families}
        self._changes, self._chances = list(mixture.changes), list(mixture.changes.values())

    @property
    def identity(self) -> str:
        """Of what is drawn: equal identities draw equal steps from equal data."""
        sizes = ", ".join(f"{f.name} {len(f.policies)} x {len(f.cases)}" for f in self._families)
        return f"seed {self._seed}, {self._mixture!r}, {text_digest(sizes)}"

    def draw(self, step: int) -> Draw:
        """What step `step` sees."""
        self._chance.seed(f"{self._seed} {step}")
        chance, mixture = self._chance, self._mixture
        family = chance.choices(self._families, self._weights)[0]
        chosen = chance.sample(family.policies, min(mixture.policies, len(family.policies)))
        composed = self._composer.compose(family, self._cases(family, chosen), chance)
        hearings = [self._hearing(policy, composed) for policy in chosen]
        others = self._unrelated.get(family.name, ())
        for policy in chance.sample(others, min(mixture.unrelated, len(others))):
            passages = self._thin(policy)
            labels: tuple[bool | None, ...] = (False,) * len(composed)
            hearings.append(Hearing(policy.name, passages, labels, (None,) * len(composed), mixture.unrelated_weight))
        return Draw(tuple(one.content for one in composed), tuple(hearings))

    def _cases(self, family: Family, chosen: Sequence[TrainingPolicy]) -> list[TrainingCase]:
        """For each policy as many that break it as that don't, as far as there are."""
        each = math.ceil(self._mixture.contents / len(chosen) / 2)
        found: dict[int, None] = {}
        for policy in chosen:
            for side in (True, False):
                known = self._sides[family.name].get((policy.name, side), ())
                found.update(dict.fromkeys(self._chance.sample(known, min(each, len(known)))))
        return [family.cases[index] for index in found]

    def _hearing(self, policy: TrainingPolicy, composed: Sequence[Composed]) -> Hearing:
        change = self._chance.choices(self._changes, self._chances)[0]
        variant = vary(policy, change, self._chance)
        rulings = [tuple(part.rulings.get(policy.name) for part in one.parts) for one in composed]
        labels = tuple(_label(variant, parts) for parts in rulings)
        rules = tuple(_rule(variant, parts[0]) if len(parts) == 1 else None for parts in rulings)
        return Hearing(policy.name, self._thin(variant.policy), labels, rules, 1.0)

    def _thin(self, policy: TrainingPolicy) -> tuple[PolicyPassage, ...]:
        drop = 1.0 if self._chance.random() < self._mixture.no_examples else self._mixture.drop_examples
        return thin_out(policy.passages, self._chance, drop_examples=drop, most=self._mixture.passages)


def _by_side(family: Family) -> dict[tuple[str, bool], list[int]]:
    found: dict[tuple[str, bool], list[int]] = {}
    for index, case in enumerate(family.cases):
        for name, ruling in case.rulings.items():
            found.setdefault((name, ruling.violation), []).append(index)
    return found


def _label(variant: Variant, parts: Iterable[Ruling | None]) -> bool | None:
    """A content breaks the policy where one of its parts does."""
    labels = [None if ruling is None else variant.relabel(ruling) for ruling in parts]
    if True in labels:
        return True
    return None if None in labels else False


def _rule(variant: Variant, ruling: Ruling | None) -> str | None:
    if ruling is None or len(ruling.rule_ids) != 1 or variant.change in (Change.REMOVED, Change.MOVED):
        return None
    return ruling.rule_ids[0]
