"""An improvement as plain values, and its edits as a diff."""

from __future__ import annotations

import difflib
from dataclasses import asdict

from magistrate.evaluate.improve.bench import probability_of
from magistrate.evaluate.improve.choose import Trial
from magistrate.evaluate.improve.improve import Improvement
from magistrate.evaluate.improve.mistakes import Group, Mistake
from magistrate.policy.model import Policy
from magistrate.types import Decided, Verdict


def policy_diff(before: Policy, after: Policy) -> list[str]:
    """The lines of a unified diff, without line ends."""
    lines = difflib.unified_diff(
        before.text.splitlines(keepends=True),
        after.text.splitlines(keepends=True),
        before.file,
        f"{before.file} (edited)",
    )
    return [line.rstrip("\r\n") for line in lines]


def group_values(group: Group) -> dict[str, object]:
    """Mistakes of one rule."""
    return {
        "kind": group.kind.value,
        "heading": group.heading,
        "rule": None if group.rule is None else group.rule.id,
        "line": None if group.rule is None else group.rule.place.line,
        "text": None if group.rule is None else group.rule.text,
        "mistakes": [mistake_values(mistake) for mistake in group.mistakes],
        "right": group.right,
        "others": dict(group.others),
    }


def mistake_values(mistake: Mistake) -> dict[str, object]:
    """One mistake, with its content."""
    verdict = mistake.verdict
    return {
        "id": mistake.case.id,
        "golden": mistake.case.violation,
        "judged": said(verdict),
        "probability": probability_of(verdict),
        "rule_ids": list(verdict.rule_ids) if isinstance(verdict, Decided) else [],
        "content": mistake.text,
        "piece": mistake.piece,
        "rationale": reason_of(verdict),
        "reasoning": verdict.trace.reasoning,
        "suspicion": list(mistake.suspicion),
    }


def reason_of(verdict: Verdict) -> str:
    """What the judge says for its verdict."""
    return verdict.rationale if isinstance(verdict, Decided) else verdict.detail


def said(verdict: Verdict) -> str:
    """A verdict in a word."""
    if not isinstance(verdict, Decided):
        return verdict.code.value
    return "violation" if verdict.violation else "allowed"


def trial_values(trial: Trial) -> dict[str, object]:
    """What came of one proposal."""
    return {
        "title": trial.proposal.title,
        "origin": trial.proposal.origin.value,
        "edits": [{"edit": type(edit).__name__, **asdict(edit)} for edit in trial.proposal.edits],
        "why": trial.proposal.why,
        "cases": sorted(trial.proposal.taken),
        "result": trial.result.value,
        "mended": trial.mended,
        "broken": trial.broken,
        "gain": trial.gain[0],
        "reason": trial.reason,
    }


def improvement_values(found: Improvement) -> dict[str, object]:
    """Everything but the comparison's figures. Contents of the mistakes are in it."""
    return {
        "policy": found.policy.name,
        "policy_digest": found.policy.digest,
        "model": found.model,
        "cases": {"analysis": len(found.parts.analysis), "held_out": len(found.parts.held_out)},
        "seed": found.settings.seed,
        "decided_by": found.settings.decided_by.value,
        "confidence": found.settings.confidence,
        "groups": [group_values(group) for group in found.groups],
        "failed": dict(found.failed),
        "wrong_held_out": found.wrong_held_out,
        "proposals": [trial_values(trial) for trial in found.trials],
        "no_proposals": [asdict(failure) for failure in found.no_proposals],
        "stop": None if found.stop is None else found.stop.value,
        "conclusion": found.conclusion.value,
        "more_cases": found.more_cases,
        "edited": None if found.edited is None else found.edited.text,
        "diff": [] if found.edited is None else policy_diff(found.policy, found.edited),
        "changes": [
            {"id": case.id, "golden": case.violation, "before": said(before), "after": said(after)}
            for case, before, after in found.changes
        ],
        "judgements": found.judgements,
        "requests": found.requests,
    }
