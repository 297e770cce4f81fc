"""What is written down about verdicts: the action that follows, and the decision log, as the settings say."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from magistrate.case import Case
from magistrate.classifiers.enforce import Action, Enforcement, enforce
from magistrate.config import Config
from magistrate.row import Decision, verdict_row
from magistrate.run.named import reasoner_named
from magistrate.store.log import DecisionLog
from magistrate.types import Verdict


def enforcement_of(config: Config) -> Enforcement:
    """The `[enforce]` settings as values."""
    return Enforcement(
        on_violation=Action(config.enforce.on_violation),
        on_abstained=Action(config.enforce.on_abstained),
        on_failed=Action(config.enforce.on_failed),
    )


def batch_identity(
    config: Config,
    model: str | None,
    *,
    model_name: str | None,
    effort: str | None,
    dialect: str | None,
    plan: str | None = None,
    max_calls: int | None = None,
) -> dict[str, str]:
    """What decides the verdicts of a batch besides its policies and input: a change of it is another batch."""
    named = reasoner_named(model or config.judge.model or "", config)
    asked = {
        "effort": effort or (named and named.effort),
        "dialect": dialect or (named and named.dialect),
        "plan": plan,
        "max calls": max_calls,
        "model name": model_name or (named and named.model),
        "temperature": named and named.temperature,
        "seed": named and named.seed,
        "output budget": named and named.max_output_tokens,
        "actions": config.enforce.model_dump_json(),
    }
    return {name: str(value) for name, value in asked.items() if value is not None}


def action_of(config: Config, verdict: Verdict) -> str:
    """What follows from a verdict under the settings."""
    return enforce(verdict, enforcement_of(config)).value


@contextmanager
def opened_log(config: Config, *, wanted: bool = True) -> Generator[DecisionLog | None]:
    """Open the decision log; None where the settings or the caller do not want one.

    Raises:
        StoreError: it cannot be opened.
    """
    if not (wanted and config.log.enabled):
        yield None
        return
    with DecisionLog(
        config.log_path(), keep_content=config.log.keep_content, keep_reasoning=config.log.keep_reasoning
    ) as log:
        yield log


def log_verdicts(config: Config, cases: Sequence[Case], verdicts: Sequence[Verdict]) -> None:
    """Write verdicts to the decision log, in one transaction; nothing where it is switched off.

    Raises:
        StoreError: the log cannot be written.
    """
    with opened_log(config) as log:
        if log is not None:
            log.append(
                [
                    Decision(
                        row=verdict_row(case.id, verdict, action=action_of(config, verdict)),
                        content=case.content,
                        answer=verdict.trace.answer,
                    )
                    for case, verdict in zip(cases, verdicts, strict=True)
                ]
            )
