"""Why a case was cleared, escalated or decided where it was, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from magistrate.row import VerdictRow
from magistrate.types import Course, Step, Usage, VoteCount


def explain_row(row: VerdictRow) -> str:
    """Tell the way of one case through its cascade: a paragraph a stage."""
    lines = [f"case {row.id!r} under {row.policy!r} ({row.policy_digest[:19]}): {_outcome(row)}"]
    if not row.steps:
        return "\n".join([*lines, f"no cascade: {row.model!r} ({row.dialect}) decided alone, {_use(row)}"])
    lines.append(f"cascade {row.model!r} ({row.dialect}), {len(row.steps)} steps, {_use(row)}")
    for number, step in enumerate(row.steps, start=1):
        lines += ["", f"{number}. {step.stage} ({step.model}): {step.course.value}", f"   {why(step)}"]
        if step.detail:
            lines.append(f"   {step.detail}")
        if step.votes is not None:
            lines.append(f"   {votes_text(step.votes)}")
        if step.course not in (Course.DENIED, Course.REUSED):
            lines.append(f"   took {usage_text(step.usage, step.latency_ms)}{_share(step, row.steps)}")
    return "\n".join(lines)


def why(step: Step) -> str:
    """One sentence, from the numbers alone."""
    p = "no probability" if step.probability is None else f"probability {step.probability:.4f}"
    match step.course:
        case Course.CLEARED:
            return f"{p} is below {_number(step.clear_below)}, so it is no violation"
        case Course.FLAGGED:
            return f"{p} is at least {_number(step.flag_from)}, so it is a violation"
        case Course.AUDITED:
            return f"{p} is below {_number(step.clear_below)}; drawn by chance to be judged by the last stage anyway"
        case Course.ESCALATED if step.probability is None:
            return "the stage gave no probability, so the next one is asked"
        case Course.ESCALATED:
            return f"{p} {_between(step)}, so the next stage is asked"
        case Course.DENIED:
            return "not asked: the budget did not reach this case, and it was decided by the stages before"
        case Course.UNDECIDED:
            return "no verdict, and no stage is left to ask"
        case Course.REUSED:
            return "not judged: it is the same as, or nearly the same as, a case that was"
        case _:
            assert_never(step.course)


def votes_text(votes: VoteCount) -> str:
    """How the votes of a stage fell out."""
    asked = votes.violation + votes.no_violation + votes.undecided
    none = f", {votes.undecided} no verdict" if votes.undecided else ""
    return f"asked {asked} times: {votes.violation} said violation, {votes.no_violation} no violation{none}"


def usage_text(usage: Usage, latency_ms: float) -> str:
    """Calls, tokens where they are known, and time."""
    known = (("input", usage.input_tokens), ("output", usage.output_tokens), ("reasoning", usage.reasoning_tokens))
    tokens = [f"{count:,} {what} tokens" for what, count in known if count is not None]
    calls = f"{usage.calls} {'call' if usage.calls == 1 else 'calls'}"
    return ", ".join([calls, *tokens, f"{latency_ms:.1f} ms"])


def _outcome(row: VerdictRow) -> str:
    if row.violation is None:
        return f"{row.outcome.value}, {'' if row.code is None else row.code.value}"
    word = "violation" if row.violation else "no violation"
    return word if row.probability is None else f"{word}, probability {row.probability:.4f}"


def _use(row: VerdictRow) -> str:
    return usage_text(row.usage, row.latency_ms)


def _share(step: Step, steps: Sequence[Step]) -> str:
    total = sum(one.latency_ms for one in steps)
    return f" ({step.latency_ms / total:.0%} of the time)" if total else ""


def _between(step: Step) -> str:
    """Why a probability decides nothing."""
    parts = []
    if step.clear_below is not None:
        parts.append(f"is not below {_number(step.clear_below)}")
    if step.flag_from is not None:
        parts.append(f"{'is ' if not parts else ''}not at least {_number(step.flag_from)}")
    if not parts:
        return "decides nothing here: the stage has no thresholds"
    if step.flag_from is not None and step.probability is not None and step.probability >= step.flag_from:
        return "is left to the next stage"
    return " and ".join(parts)


def _number(threshold: float | None) -> str:
    return "nothing" if threshold is None else f"{threshold:.4f}"
