"""Labelled cases as families: one pool of contents, several policies that judge them differently.

Two data sets whose contents overlap are one family, so that the same content is seen under several policies: the
model then has to read the policy.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from magistrate.classifiers.policy_passages import PolicyPassage, passages_of
from magistrate.evaluate.corpus import TRAIN, Bundle, load_bundle, open_corpus
from magistrate.evaluate.dataset import MayTrain
from magistrate.policy.model import Policy
from magistrate.types import Content

SHARED_AT_LEAST = 0.05
"""Two sets are of one family when this share of the smaller one's contents is in the other."""


NO_RULE = "no_rule"
"""The category of cases that are allowed since no rule of the policy speaks of them."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a policy says of a content, as its labels tell."""

    violation: bool
    rule_ids: tuple[str, ...] = ()
    """Rules that decide; empty where no rule does, or the labels do not tell."""
    rules_known: bool = False
    """Whether the labels tell which rules decide, and so that no other does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPolicy:
    """A policy as it is trained on."""

    name: str
    title: str
    passages: tuple[PolicyPassage, ...]


@dataclass(frozen=True, slots=True)
class TrainingCase:
    """A content with what each policy of its family says of it; a policy that says nothing is missing."""

    content: Content
    rulings: Mapping[str, Ruling]


@dataclass(frozen=True, slots=True)
class Family:
    """Policies that share contents."""

    name: str
    policies: tuple[TrainingPolicy, ...]
    cases: tuple[TrainingCase, ...]


def read_families(
    folders: Sequence[Path], *, may_train: frozenset[MayTrain], leave_out: Sequence[str] = ()
) -> tuple[Family, ...]:
    """Read the train splits of all data sets of the folders that may be trained on, as their folder says.

    Args:
        folders: Each as `magistrate data` takes it.
        may_train: What the folder must say of a set.
        leave_out: Names of sets that are not wanted all the same.

    Raises:
        InputError: a folder has no data sets, or a file cannot be read.
        PolicyError: a policy cannot be read.
    """
    labelled: dict[str, dict[Content, Ruling]] = {}
    policies: dict[str, TrainingPolicy] = {}
    for folder in folders:
        for name, bundle in open_corpus(folder).bundles.items():
            wanted = bundle.may_train in may_train and name not in leave_out
            if wanted and TRAIN in bundle.files and bundle.policy is not None:
                policies[name] = training_policy(Policy.read(bundle.policy, name=name))
                labelled[name] = _rulings(bundle)
    return tuple(_family(names, policies, labelled) for names in _related(labelled))


def training_policy(policy: Policy) -> TrainingPolicy:
    """A policy as its passages."""
    return TrainingPolicy(name=policy.name, title=policy.title, passages=passages_of(policy))


def _rulings(bundle: Bundle) -> dict[Content, Ruling]:
    return {
        case.content: Ruling(case.violation, case.rule_ids, rules_known=bool(case.rule_ids) or case.category == NO_RULE)
        for case in load_bundle(bundle, TRAIN).cases
    }


def _related(labelled: Mapping[str, Mapping[Content, Ruling]]) -> list[list[str]]:
    """Names joined, over any number of steps, by shared contents."""
    where: defaultdict[Content, list[str]] = defaultdict(list)
    for name, cases in labelled.items():
        for content in cases:
            where[content].append(name)
    shared = Counter((a, b) for names in where.values() for a in names for b in names if a < b)
    leader = {name: name for name in labelled}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for (a, b), count in sorted(shared.items()):
        if count >= SHARED_AT_LEAST * min(len(labelled[a]), len(labelled[b])):
            leader[find(b)] = find(a)
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in labelled:
        groups[find(name)].append(name)
    return list(groups.values())


def _family(
    names: Iterable[str], policies: Mapping[str, TrainingPolicy], labelled: Mapping[str, Mapping[Content, Ruling]]
) -> Family:
    names = sorted(names)
    joined: defaultdict[Content, dict[str, Ruling]] = defaultdict(dict)
    for name in names:
        for content, ruling in labelled[name].items():
            joined[content][name] = ruling
    cases = tuple(TrainingCase(content, rulings) for content, rulings in joined.items())
    return Family(names[0], tuple(policies[name] for name in names), cases)
