"""Improve a policy: look at its errors on one part of a golden set, choose edits there, test them once on the rest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from magistrate.classifiers.base import Classifier
from magistrate.errors import UsageError
from magistrate.evaluate.compare import Comparison, Conclusion, compare
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.improve.ask import NoProposal, Writer, ask_for_edits
from magistrate.evaluate.improve.bench import Bench, is_right, judged_of
from magistrate.evaluate.improve.choose import Choice, Trial, choose
from magistrate.evaluate.improve.edit import Proposal
from magistrate.evaluate.improve.mistakes import Group, find_mistakes, group_mistakes
from magistrate.evaluate.improve.split import Parts, divide, fewest_mended
from magistrate.evaluate.improve.templates import template_proposals
from magistrate.evaluate.linear import OF_DECISIONS
from magistrate.evaluate.metrics import Metric
from magistrate.policy.model import Policy
from magistrate.types import Failed, Verdict

CALLS_A_CASE = 20
"""Judgements for each case of the golden set, where no budget is given."""
MOST_PROPOSALS = 60


Changed = tuple[GoldenCase, Verdict, Verdict]
"""A case with its verdicts under the policy as it is, and under the edited one."""


class Stop(StrEnum):
    """Why nothing was tested."""

    NO_MISTAKES = "no mistakes"
    """Nothing on the part that is analysed is judged wrongly."""
    TOO_FEW_HELD_OUT = "too few mistakes held out"
    """Even if all of them were mended, it could not be told from chance."""
    NOTHING_HELPED = "nothing helped"
    """No proposal makes the part that is analysed better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a policy is improved."""

    held_out: float = 0.5
    """The share of the golden set that is held out."""
    seed: int = 0
    """Of the division."""
    decided_by: Metric = Metric.ACCURACY
    """The metric that edits are chosen and tested by, one of decisions."""
    confidence: float = 0.95
    """1 minus the rate of false alarms of the one test."""
    max_calls: int | None = None
    """Judgements at the most; None for 20 a case."""
    anyway: bool = False
    """Go on where too few mistakes are held out."""

    def budget(self, cases: int) -> int:
        """Judgements at the most."""
        return CALLS_A_CASE * cases if self.max_calls is None else self.max_calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """Everything that came of it."""

    policy: Policy
    parts: Parts
    settings: Settings
    model: str
    groups: tuple[Group, ...]
    """Of mistakes on the part that is analysed, the largest first."""
    failed: Counter[str]
    """Cases of both parts that had no answer under the policy as it is, by code: no wording is at fault for them."""
    wrong_held_out: int
    trials: tuple[Trial, ...]
    no_proposals: tuple[NoProposal, ...]
    stop: Stop | None
    """None where something was tested."""
    edited: Policy | None
    comparison: Comparison | None
    """Of the edited policy with the policy as it is, on the part that is held out."""
    changes: tuple[Changed, ...]
    """Cases of that part with another outcome: broken ones first, then mended ones."""
    more_wrong: int | None
    """How many more mistakes must be held out before anything can be told; None where there are enough."""
    judgements: int
    requests: int
    """Requests for edits."""

    @property
    def conclusion(self) -> Conclusion:
        """What the test says; where there was none, nothing can be told."""
        return Conclusion.CANNOT_TELL if self.comparison is None else self.comparison.conclusion

    @property
    def more_cases(self) -> int | None:
        """About how many more cases the golden set needs to tell; None where it is told, or none would."""
        share = self.settings.held_out
        if self.comparison is not None:
            return None if self.comparison.more_cases is None else math.ceil(self.comparison.more_cases / share)
        if self.more_wrong is None:
            return None
        rate = max(self.wrong_held_out, 1) / len(self.parts.held_out)
        return math.ceil(self.more_wrong / rate / share)


def check_settings(settings: Settings, cases: Sequence[GoldenCase]) -> Parts:
    """Divide the golden set, and refuse what cannot be done before anything is judged.

    Raises:
        UsageError: the golden set is too small, the budget does not do, or the metric is not one of decisions.
    """
    if settings.decided_by not in OF_DECISIONS:
        raise UsageError(
            f"edits are chosen by decisions, and {settings.decided_by.value} is not one of them",
            hint=f"one of {', '.join(metric.value for metric in OF_DECISIONS)}",
        )
    parts = divide(cases, held_out=settings.held_out, seed=settings.seed)
    least = len(cases) + len(parts.held_out) + len(parts.analysis)
    budget = settings.budget(len(cases))
    if budget < least:
        raise UsageError(
            f"{budget} judgements are too few for {len(cases)} cases",
            hint=f"--max-calls {least} judges them once, tries one edit and tests it; {10 * len(cases)} try about ten",
        )
    return parts


async def improve(
    policy: Policy,
    cases: Sequence[GoldenCase],
    classifier: Classifier,
    *,
    writer: Writer | None = None,
    settings: Settings | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Improvement:
    """Find edits of a policy that help, and say whether they do.

    All that is learned is learned on one part of the golden set. The other is judged twice, under the policy as it is
    and under the one edited policy that was chosen, and tested once: so the rate of false alarms is that of one test,
    however many edits were tried.

    Args:
        policy: To be improved.
        cases: Its golden set.
        classifier: Open; judges.
        writer: A model to ask for edits besides the templates; None for templates alone.
        settings: How.
        on_progress: Is told how many judgements were made, of how many at the most.

    Raises:
        UsageError: as `check_settings`.
    """
    settings = settings or Settings()
    parts = check_settings(settings, cases)
    bench = Bench(classifier, settings.budget(len(cases)), on_progress=on_progress)
    bench.reserved = len(parts.held_out)
    analysed = await bench.judge(policy, parts.analysis)
    held_out = await bench.judge(policy, parts.held_out)
    groups = group_mistakes(policy, parts.analysis, analysed, find_mistakes(policy, parts.analysis, analysed))
    wrong = [c for c, verdict in zip(parts.held_out, held_out, strict=True) if not is_right(c, verdict)]
    more_wrong = _more_wrong(wrong, settings)
    stop = Stop.NO_MISTAKES if not groups else Stop.TOO_FEW_HELD_OUT if more_wrong and not settings.anyway else None
    proposals, failures, requests = await _propose(policy, groups, parts, analysed, writer) if not stop else ([], (), 0)
    choice = Choice(policy=policy, trials=(), taken=frozenset())
    if not stop:
        choice = await choose(policy, proposals, parts.analysis, bench, decided_by=settings.decided_by)
        stop = Stop.NOTHING_HELPED if choice.policy is policy else None
    tested = None if stop else await _test(bench, policy, choice.policy, parts.held_out, settings)
    return Improvement(
        policy=policy,
        parts=parts,
        settings=settings,
        model=classifier.name,
        groups=tuple(groups),
        failed=Counter(v.code.value for v in (*analysed, *held_out) if isinstance(v, Failed)),
        wrong_held_out=len(wrong),
        trials=choice.trials,
        no_proposals=failures,
        stop=stop,
        edited=None if choice.policy is policy else choice.policy,
        comparison=None if tested is None else tested[0],
        changes=() if tested is None else tested[1],
        more_wrong=more_wrong,
        judgements=bench.made,
        requests=requests,
    )


async def _test(
    bench: Bench, policy: Policy, edited: Policy, cases: Sequence[GoldenCase], settings: Settings
) -> tuple[Comparison, tuple[Changed, ...]]:
    """The one test. The cases were judged under the policy as it is before, and that is remembered."""
    bench.reserved = 0
    before, after = await bench.judge(policy, cases), await bench.judge(edited, cases)
    found = compare(
        judged_of(cases, before),
        judged_of(cases, after),
        decided_by=settings.decided_by,
        confidence=settings.confidence,
    )
    return found, tuple((cases[n], before[n], after[n]) for n in (*found.broken, *found.mended))


async def _propose(
    policy: Policy, groups: Sequence[Group], parts: Parts, verdicts: Sequence[Verdict], writer: Writer | None
) -> tuple[list[Proposal], tuple[NoProposal, ...], int]:
    """Proposals of the model first, for those of the templates are many."""
    templates = template_proposals(policy, groups, parts.analysis)
    if writer is None:
        return templates[:MOST_PROPOSALS], (), 0
    right = [case for case, verdict in zip(parts.analysis, verdicts, strict=True) if is_right(case, verdict)]
    answered = await ask_for_edits(writer, policy, groups, right)
    return [*answered.proposals, *templates][:MOST_PROPOSALS], answered.failures, answered.requests


def _more_wrong(wrong: Sequence[GoldenCase], settings: Settings) -> int | None:
    """How many more mistakes are needed for McNemar's test ever to tell; None where there are enough."""
    if settings.decided_by is not Metric.ACCURACY:
        return None
    units = len({case.cluster or case.id for case in wrong})
    missing = fewest_mended(settings.confidence) - units
    return missing if missing > 0 else None
