"""What is known about a case at one stage of a cascade, as named numbers for a calibrator.

A feature is a pure function of `Signals`. Names are part of a cascade's file and digest: a feature that is to mean
something else gets another name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from magistrate.errors import UsageError
from magistrate.types import Decided, Failed, Verdict

SCREEN_PREFIX = "screen:"
"""`screen:NAME` is the logit of the probability of the earlier stage NAME."""
CLOSEST = 1e-6
"""Probabilities are kept this far from 0 and 1, so that a logit is at most 13.8."""


def _nothing() -> Mapping[str, float]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known about one case at one stage."""

    verdict: Verdict | None
    """Of this stage; None where the stage was not asked."""
    earlier: Mapping[str, float] = field(default_factory=_nothing)
    """Probability of a violation by the name of an earlier stage, each in [0, 1]."""
    votes: tuple[Verdict, ...] = ()
    """Further verdicts on the same case by the same judge: repeats, paraphrases. Empty where it was asked once."""


Feature = Callable[[Signals], float]


def logit(probability: float) -> float:
    """Log-odds, kept finite."""
    kept = min(max(probability, CLOSEST), 1 - CLOSEST)
    return math.log(kept / (1 - kept))


def violation(signals: Signals) -> float:
    """1 where the verdict says that the policy is violated."""
    return float(isinstance(signals.verdict, Decided) and signals.verdict.violation)


def undecided(signals: Signals) -> float:
    """1 where the judge was asked and did not decide."""
    return float(signals.verdict is not None and not isinstance(signals.verdict, Decided))


def log_reasoning(signals: Signals) -> float:
    """Log of 1 + characters of reasoning: models think longer where they are unsure."""
    return 0.0 if signals.verdict is None else math.log1p(len(signals.verdict.trace.reasoning))


def violation_log_reasoning(signals: Signals) -> float:
    """`log_reasoning` of a verdict that says violation, else 0."""
    return violation(signals) * log_reasoning(signals)


def cited_rules(signals: Signals) -> float:
    """How many rules the verdict cites."""
    return float(len(signals.verdict.rule_ids)) if isinstance(signals.verdict, Decided) else 0.0


def verdict_logit(signals: Signals) -> float:
    """Logit of the probability that the verdict carries (of log-probabilities, say); 0 where it carries none."""
    verdict = signals.verdict
    if verdict is None or isinstance(verdict, Failed) or verdict.probability is None:
        return 0.0
    return logit(verdict.probability)


def vote_share(signals: Signals) -> float:
    """Share of the decided verdicts, the stage's own and its repeats, that say violation; 0.5 where none decided."""
    asked = signals.votes if signals.verdict is None else (signals.verdict, *signals.votes)
    decided = [verdict.violation for verdict in asked if isinstance(verdict, Decided)]
    return sum(decided) / len(decided) if decided else 0.5


def votes_log_reasoning(signals: Signals) -> float:
    """Mean `log_reasoning` of the further verdicts: how long the judge thinks when asked again; 0 without any."""
    lengths = [math.log1p(len(vote.trace.reasoning)) for vote in signals.votes]
    return sum(lengths) / len(lengths) if lengths else 0.0


FEATURES: Mapping[str, Feature] = MappingProxyType(
    {
        "violation": violation,
        "undecided": undecided,
        "log_reasoning": log_reasoning,
        "violation_log_reasoning": violation_log_reasoning,
        "cited_rules": cited_rules,
        "verdict_logit": verdict_logit,
        "vote_share": vote_share,
        "votes_log_reasoning": votes_log_reasoning,
    }
)
"""By name, apart from the `screen:NAME`, of which there is one an earlier stage."""


def feature_values(names: Sequence[str], signals: Signals) -> tuple[float, ...]:
    """The named features of a case, in the order of the names.

    Raises:
        UsageError: a name that is no feature, or of a stage whose probability is not known.
    """
    return tuple(feature_value(name, signals) for name in names)


def feature_value(name: str, signals: Signals) -> float:
    """One feature of a case, by its name.

    Raises:
        UsageError: as `feature_values`.
    """
    if name.startswith(SCREEN_PREFIX):
        stage = name.removeprefix(SCREEN_PREFIX)
        if stage not in signals.earlier:
            raise UsageError(
                f"feature {name!r} needs the probability of stage {stage!r}, which is not known here",
                hint=f"known: {', '.join(sorted(signals.earlier)) or 'none'}; put the stage before this one",
            )
        return logit(signals.earlier[stage])
    if name not in FEATURES:
        raise UsageError(
            f"no feature {name!r}",
            hint=f"allowed: {', '.join(FEATURES)}, and {SCREEN_PREFIX}NAME of an earlier stage",
        )
    return FEATURES[name](signals)
