"""Does the same question get the same answer? Repeats of a request, and votes of a policy's wordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from magistrate.case import Case
from magistrate.classifiers.base import Classifier
from magistrate.config import Config, ModelConfig
from magistrate.errors import UsageError
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.share import Share, share, share_of_counts
from magistrate.policy.model import Policy
from magistrate.run.models import EMBEDDED
from magistrate.run.named import reasoner_named
from magistrate.types import Decided, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All cases judged once."""

    name: str
    """What sets it apart: `seed 3`, or the wording."""
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseVotes:
    """What all runs said of one case."""

    golden: GoldenCase
    votes: tuple[bool | None, ...]
    """Whether each run said that it violates, in the order of runs; None where it did not decide."""
    reasoning: tuple[int, ...]
    """Characters of the reasoning of each run; 0 where there is none."""

    @property
    def cluster(self) -> str:
        """What the case belongs to: itself, unless the golden set says otherwise."""
        return self.golden.cluster or self.golden.id

    @property
    def decided(self) -> int:
        """How many runs decided."""
        return sum(vote is not None for vote in self.votes)

    @property
    def majority(self) -> bool | None:
        """What more than half of the deciding runs said; None for a tie, or where none decided."""
        bad = self.votes.count(True)
        return None if 2 * bad == self.decided else 2 * bad > self.decided

    @property
    def disagreeing(self) -> float:
        """The share of deciding runs that is in the minority, 0 to 0.5."""
        return min(self.votes.count(True), self.votes.count(False)) / self.decided if self.decided else 0.0

    @property
    def differs(self) -> bool:
        """Whether two runs said the opposite."""
        return True in self.votes and False in self.votes

    @property
    def pairs(self) -> tuple[int, int]:
        """Pairs of deciding runs that disagree, and all pairs."""
        return self.votes.count(True) * self.votes.count(False), self.decided * (self.decided - 1) // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StabilityReport:
    """How far runs agree with each other, and their majority with the golden verdicts."""

    policy: str
    policy_digest: str
    model: str
    runs: tuple[Run, ...]
    cases: tuple[CaseVotes, ...]

    @property
    def flip_rate(self) -> Share:
        """How often two runs of the same case disagree; whole cases are the clusters of the interval."""
        return share_of_counts((case.cluster, *case.pairs) for case in self.cases)

    @property
    def differing(self) -> Share:
        """Cases on which at least two runs said the opposite, among those that two runs decided."""
        return share((case.cluster, case.differs) for case in self.cases if case.decided > 1)

    @property
    def majority_right(self) -> Share:
        """Cases whose majority is the golden verdict, among those that have a majority."""
        found = [case for case in self.cases if case.majority is not None]
        return share((case.cluster, case.majority is case.golden.violation) for case in found)

    @property
    def single_right(self) -> Share:
        """Single verdicts that are the golden one: what the majority is to be compared with."""
        return share(
            (case.cluster, vote is case.golden.violation)
            for case in self.cases
            for vote in case.votes
            if vote is not None
        )

    @property
    def unstable(self) -> list[CaseVotes]:
        """The cases that differ, most divided first."""
        return sorted((c for c in self.cases if c.differs), key=lambda c: (-c.disagreeing, c.golden.id))

    def undecided(self) -> dict[str, Counter[str]]:
        """For each run, how often which code stood in place of a verdict."""
        return {
            run.name: Counter(v.code.value for v in run.verdicts if not isinstance(v, Decided)) for run in self.runs
        }

    def reasoning_median(self, *, differing: bool) -> float | None:
        """Median characters of reasoning, over runs of the cases that differ or do not; None without reasoning."""
        lengths = [n for case in self.cases if case.differs is differing for n in case.reasoning if n]
        return median(lengths) if lengths else None


def stability_report(policy: Policy, model: str, golden: Sequence[GoldenCase], runs: Sequence[Run]) -> StabilityReport:
    """Put runs side by side; each holds one verdict per golden case, in order.

    Raises:
        UsageError: fewer than two runs, or no case.
    """
    if len(runs) < 2 or not golden:
        raise UsageError(f"stability needs 2 runs and 1 case, got {len(runs)} and {len(golden)}", hint="--runs 5")
    columns = zip(*(run.verdicts for run in runs), strict=True)
    return StabilityReport(
        policy=policy.name,
        policy_digest=policy.digest,
        model=model,
        runs=tuple(runs),
        cases=tuple(_votes(case, verdicts) for case, verdicts in zip(golden, columns, strict=True)),
    )


def _votes(golden: GoldenCase, verdicts: Sequence[Verdict]) -> CaseVotes:
    return CaseVotes(
        golden=golden,
        votes=tuple(v.violation if isinstance(v, Decided) else None for v in verdicts),
        reasoning=tuple(len(v.trace.reasoning) for v in verdicts),
    )


async def judge_run(name: str, policy: Policy, classifier: Classifier, golden: Sequence[GoldenCase]) -> Run:
    """Judge all cases once; the classifier is open."""
    verdicts = await classifier.judge_many([Case(policy, g.content, g.id) for g in golden])
    return Run(name=name, verdicts=tuple(verdicts))


async def judge_wordings(
    wordings: Sequence[tuple[str, Policy]], classifier: Classifier, golden: Sequence[GoldenCase]
) -> list[Run]:
    """Judge all cases under each wording; the classifier is open."""
    return [await judge_run(name, policy, classifier, golden) for name, policy in wordings]


def run_settings(model: str | None, config: Config, run: int) -> tuple[str | None, Config]:
    """What to call the model in a run, and the settings for it: no cache, and a seed of its own.

    A cache would answer the second run from the first, and so would a server that is given the same seed twice; the
    request is the same in all else.

    Args:
        model: As the user names it; None for the configured default.
        config: The user's settings.
        run: From 0.
    """
    wanted = model if model is not None else config.judge.model
    if wanted is None or wanted == EMBEDDED:
        return wanted, config
    known: Mapping[str, ModelConfig] = config.models
    settings = reasoner_named(wanted, config)
    if settings is None:
        return wanted, config  # the judge says what is wrong with the name
    own = settings.model_copy(update={"cache": None, "seed": (settings.seed or 0) + run})
    name = f"stability run {run}"
    return name, config.model_copy(update={"models": {**known, name: own}})
