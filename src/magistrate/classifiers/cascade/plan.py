"""The plan of a cascade: its stages with their thresholds, and what was promised when they were chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from magistrate.classifiers.cascade.calibrator import Calibrator
from magistrate.classifiers.cascade.signals import FEATURES, SCREEN_PREFIX
from magistrate.classifiers.cascade.words import WORDS_FEATURE
from magistrate.digest import Digest, value_digest

MOST_STAGES = 16
MOST_VOTES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """The policy in other words, which a stage is asked for a vote."""

    file: str
    """Beside the plan: a plain name."""
    digest: Digest
    """Of its text."""

    def __post_init__(self) -> None:
        if self.file in ("", ".", "..") or any(mark in self.file for mark in "/\\:\x00"):
            raise ValueError(f"a wording is a file beside the plan, named without a folder, got {self.file!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """Further verdicts that a stage gives on a case of which its first verdict leaves it unsure.

    Invariant: asked at least twice and at most `MOST_VOTES` times; wordings differ; `ask_from <= ask_to`.
    """

    times: int = 1
    """How often the stage is asked in the policy's own words, the first time included; each time with another seed."""
    wordings: tuple[Wording, ...] = ()
    """Each is asked once more."""
    ask_from: float = 0.0
    ask_to: float = 1.0
    """The first probability lies in [ask_from, ask_to] where the others are asked; or there is none."""
    calibrator: Calibrator | None = None
    """Of a case on which all votes were had; None takes the mean of their probabilities, 1 and 0 where they have none.
    """

    def __post_init__(self) -> None:
        digests = {wording.digest for wording in self.wordings}
        if self.times < 1 or not 2 <= self.asks <= MOST_VOTES:
            raise ValueError(f"votes are 2 to {MOST_VOTES}, got {self.times!r} and {len(self.wordings)} wordings")
        if len(digests) < len(self.wordings):
            raise ValueError("wordings must differ, got the same text twice")
        if not 0 <= self.ask_from <= self.ask_to <= 1:
            raise ValueError(f"ask_from and ask_to must rise in [0, 1], got {self.ask_from!r} and {self.ask_to!r}")

    @property
    def asks(self) -> int:
        """Verdicts on a case at the most."""
        return self.times + len(self.wordings)

    @property
    def always(self) -> bool:
        """Whether every case is asked all votes, so that they can be asked at once."""
        return self.ask_from <= 0 and self.ask_to >= 1

    def unsure(self, probability: float | None) -> bool:
        """Whether a first verdict leaves the other votes to be asked."""
        return probability is None or self.ask_from <= probability <= self.ask_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One judge of a cascade, and what its probability decides.

    Invariant: `clear_below <= flag_from` where both are given; both in [0, 1].
    """

    name: str
    """Unique in the plan; part of the features of later stages."""
    model: str
    """As `--model` takes it: embedded, a folder, a URL, or a name from `[models]`."""
    clear_below: float | None
    """A case whose probability is below this is cleared here; None where the stage never clears."""
    flag_from: float | None
    """A case whose probability is at least this is flagged here; None where the stage never flags."""
    calibrator: Calibrator | None = None
    """None takes the probability of the verdict, or 1 and 0 for a verdict without one."""
    votes: Votes | None = None
    """None where a case is asked once."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a stage needs a name, got ''")
        for what, value in (("clear_below", self.clear_below), ("flag_from", self.flag_from)):
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"stage {self.name!r}: {what} must be in [0, 1], got {value!r}")
        if self.clear_below is not None and self.flag_from is not None and self.clear_below > self.flag_from:
            raise ValueError(
                f"stage {self.name!r}: clear_below {self.clear_below!r} is above flag_from {self.flag_from!r}"
            )

    @property
    def always_decides(self) -> bool:
        """Whether every probability clears or flags."""
        return self.clear_below is not None and self.clear_below == self.flag_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What the thresholds guarantee: of the violating cases, at most 1 - recall are cleared by the screens."""

    recall: float
    confidence: float
    """At least this often, over the drawing of the labelled cases that the thresholds were chosen on."""
    cases: int
    """Labelled cases that the thresholds were chosen on."""
    positives: int
    """How many of them violate."""

    def __post_init__(self) -> None:
        if not (0 < self.recall < 1 and 0 < self.confidence < 1):
            raise ValueError(f"recall and confidence must be in (0, 1), got {self.recall!r} and {self.confidence!r}")
        if not 0 <= self.positives <= self.cases:
            raise ValueError(f"positives must be in 0..cases, got {self.positives!r} of {self.cases!r}")

    @property
    def most_lost(self) -> float:
        """The greatest share of violating cases that the screens may clear."""
        return 1 - self.recall


class Unit(StrEnum):
    """What a budget counts."""

    ITEMS = "items"
    TOKENS = "tokens"
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much the last stage may be used, and what becomes of cases that it is denied."""

    share: float
    """Of what the last stage would take if it judged every case, in (0, 1]."""
    unit: Unit = Unit.ITEMS
    window_s: float = 600.0
    """Over this long the share is kept; unused budget is kept for as long."""
    flag_from: float = 0.5
    """A denied case is flagged where the last probability is at least this, else cleared."""
    miss_cost: float = 1.0
    """What a violating case costs that is cleared, against `alarm_cost`."""
    alarm_cost: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"a budget's share must be in (0, 1], got {self.share!r}")
        if not (math.isfinite(self.window_s) and self.window_s > 0):
            raise ValueError(f"a budget's window_s must be above 0, got {self.window_s!r}")
        if not 0 <= self.flag_from <= 1:
            raise ValueError(f"a budget's flag_from must be in [0, 1], got {self.flag_from!r}")
        if not all(math.isfinite(cost) and cost > 0 for cost in (self.miss_cost, self.alarm_cost)):
            raise ValueError(f"costs must be above 0, got {self.miss_cost!r} and {self.alarm_cost!r}")

    def expected_loss(self, probability: float | None) -> float:
        """What deciding a case without the last stage costs on average; the worst there is where nothing is known."""
        if probability is None:
            return max(self.miss_cost, self.alarm_cost)
        if probability >= self.flag_from:
            return (1 - probability) * self.alarm_cost
        return probability * self.miss_cost


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRule:
    """Which share of the cleared cases the last stage judges anyway."""

    rate: float
    key: str = ""
    """Makes the choice unpredictable to those who don't know it; the plan's own digest where empty."""

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"an audit's rate must be in [0, 1], got {self.rate!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """How far a verdict may be trusted for other cases with equal, or nearly equal, content."""

    items: int = 20_000
    """Verdicts that are kept, the latest."""
    seconds: float = 3600.0
    """How long each is kept."""
    cap: int = 50
    """Cases that one verdict may answer; then the content is judged again."""
    judged_anyway: float = 0.02
    """Share of the cases with a known answer that are judged all the same."""
    alike: float = 0.8
    """Nearly equal means that at least this share of shingles (5 characters) is common."""
    margin: float = 1.5
    """Nearly equal content must stay this far from the threshold, in log-odds, after all that the edit may change."""

    def __post_init__(self) -> None:
        if self.items < 1 or self.cap < 1 or not self.seconds > 0 or not self.margin > 0:
            raise ValueError(f"items, cap, seconds and margin of a reuse must be above 0, got {self!r}")
        if not 0 <= self.judged_anyway <= 1 or not 0 < self.alike <= 1:
            raise ValueError(f"judged_anyway and alike must be shares, alike above 0, got {self!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """How the first stage's probabilities were spread, and how many cases were flagged, when the plan was fitted."""

    shares: tuple[float, ...]
    """Of the cases whose probability is in each of the equal parts of [0, 1]; they add up to 1."""
    cases: int
    base_rate: float
    """Share of these cases that the cascade flagged: what is seen in use, too."""

    def __post_init__(self) -> None:
        if len(self.shares) < 2 or any(not 0 <= s <= 1 for s in self.shares) or abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(f"a reference has at least two shares in [0, 1] that add up to 1, got {self.shares!r}")
        if self.cases < 1 or not 0 <= self.base_rate <= 1:
            raise ValueError(f"a reference has cases and a base_rate in [0, 1], got {self.cases!r}, {self.base_rate!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadePlan:
    """Stages in the order in which they are asked.

    Invariant: one stage or more, with names of their own; the last always decides, and it alone need not; a
    calibrator's `screen:NAME` features are of earlier stages.
    """

    name: str
    policy_digest: Digest | None
    """Of the policy that it was fitted for; None where it serves any policy."""
    stages: tuple[Stage, ...]
    created: date
    promise: Promise | None = None
    limit: Limit | None = None
    audit: AuditRule | None = None
    reuse: Reuse | None = None
    reference: Reference | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a cascade needs a name, got ''")
        if not 1 <= len(self.stages) <= MOST_STAGES:
            raise ValueError(f"a cascade has 1 to {MOST_STAGES} stages, got {len(self.stages)}")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stages need names of their own, got {names!r}")
        last = self.stages[-1]
        if not last.always_decides:
            raise ValueError(
                f"the last stage, {last.name!r}, must decide every case: clear_below and flag_from must be equal, "
                f"got {last.clear_below!r} and {last.flag_from!r}"
            )
        for place, stage in enumerate(self.stages):
            _check_features(stage, names[:place])
            if stage.votes is not None and stage.votes.wordings and self.policy_digest is None:
                raise ValueError(f"stage {stage.name!r} has wordings of one policy, and the plan serves any")

    @property
    def digest(self) -> Digest:
        """Names everything that changes a verdict: equal digests decide alike. The day of its making is not in it."""
        return value_digest((self.policy_digest, self.stages, self.limit, self.audit, self.reuse))

    @property
    def last(self) -> Stage:
        """The stage that decides what no screen does: the reasoner, as a rule."""
        return self.stages[-1]


def _check_features(stage: Stage, earlier: list[str]) -> None:
    voting = None if stage.votes is None else stage.votes.calibrator
    calibrators = [one for one in (stage.calibrator, voting) if one is not None]
    for feature in (feature for one in calibrators for feature in one.features):
        if feature in FEATURES or feature == WORDS_FEATURE:
            continue
        if not (feature.startswith(SCREEN_PREFIX) and feature.removeprefix(SCREEN_PREFIX) in earlier):
            raise ValueError(
                f"stage {stage.name!r}: no feature {feature!r}; allowed: {', '.join(FEATURES)}, {WORDS_FEATURE}"
                + "".join(f", {SCREEN_PREFIX}{name}" for name in earlier)
            )
