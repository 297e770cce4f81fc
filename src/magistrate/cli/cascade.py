"""`magistrate cascade`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from magistrate.classifiers.cascade.ledger import CostUnit
from magistrate.cli.options import read_policies, target_option
from magistrate.cli.show import plain
from magistrate.config import Config, find_config, read_config
from magistrate.errors import UsageError
from magistrate.row import VerdictRow
from magistrate.types import Target

P = ParamSpec("P")
R = TypeVar("R")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
EXIT_ALARM = 1


@click.group("cascade", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Fit cascades and look into them: screens first, a reasoner where it pays."""


def _source_options(function: Callable[P, R]) -> Callable[P, R]:
    options = (
        click.option("--verdicts", type=FILE, help="Output of a batch, or of magistrate log export."),
        click.option("--log", "log", type=FILE, help="A decision log; default: the one of the settings."),
        click.option("-p", "--policy", help="Only this policy: its name or digest."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@command.command("fit")
@click.option("-p", "--policy", "policy_name", required=True, metavar="FILE|NAME", help="The policy to judge by.")
@click.option("--data", required=True, type=FILE, help="Labelled cases in any form that `magistrate test` reads.")
@click.option(
    "-s",
    "--screen",
    "screens",
    multiple=True,
    metavar="MODEL",
    help="A screen, as --model takes it; may be given again, in order. Default: embedded.",
)
@click.option("-r", "--reasoner", required=True, metavar="MODEL", help="The last stage, as --model takes it.")
@click.option("--verdicts", type=FILE, help="What the reasoner said of --data before: then it is not asked again.")
@click.option("--recall", type=SHARE, help="Promise: the screens clear at most the rest of the violating cases.")
@click.option("--confidence", type=SHARE, default=0.9, show_default=True, help="Of the promise.")
@click.option("--budget", type=click.FloatRange(0, 1), help="In place of a promise: share of cases to reason over.")
@click.option(
    "--cost",
    type=click.Choice([unit.value for unit in CostUnit]),
    help="What cost is counted in, and, but for items, what the budget is a share of. "
    "Default: seconds where every stage tells them.",
)
@click.option(
    "--votes",
    "times",
    type=click.IntRange(1, 20),
    default=1,
    show_default=True,
    help="How often the reasoner is asked about a case of which it is unsure, if that pays.",
)
@click.option(
    "--wording",
    "wordings",
    multiple=True,
    metavar="FILE",
    help="The policy in other words, which the reasoner is asked too; may be given again.",
)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The cascade's folder.")
@target_option
@click.option("--seed", type=int, default=0, show_default=True, help="Of how the cases are parted.")
def fit(
    policy_name: str,
    data: Path,
    screens: tuple[str, ...],
    reasoner: str,
    verdicts: Path | None,
    recall: float | None,
    confidence: float,
    budget: float | None,
    cost: str | None,
    times: int,
    wordings: tuple[str, ...],
    out: Path,
    target: str | None,
    seed: int,
) -> None:
    """Choose thresholds of screens in front of a reasoner: to keep a promised recall, or within a budget.

    \b
    magistrate batch labelled.jsonl --policy spam.md --model 20b --out said.jsonl
    magistrate cascade fit --policy spam.md --data labelled.jsonl --reasoner 20b --verdicts said.jsonl --recall 0.95 \\
      --out spam-cascade
    magistrate judge --model spam-cascade --policy spam.md '…'

    The folder has the frontier of cost against F1 and recall, on cases that were not fitted on, as a table and a
    picture. --votes and --wording ask the reasoner more than once, and are kept where that pays. Needs the extra `fit`.
    """
    from magistrate.train.cascade.fit import FitOptions, fit_cascade

    options = FitOptions(
        policy=read_policies([policy_name])[0],
        data=data,
        out=out,
        config=read_config(find_config()),
        screens=screens or ("embedded",),
        reasoner=reasoner,
        verdicts=verdicts,
        recall=recall,
        confidence=confidence,
        budget=budget,
        cost=None if cost is None else CostUnit(cost),
        times=times,
        wordings=tuple(read_policies(wordings)),
        target=Target(target or Target.CHAT),
        today=datetime.now(UTC).date(),
        seed=seed,
    )
    fit_cascade(options, lambda line: click.echo(plain(line), err=True))
    click.echo(f"{out}: use it with --model {shlex.quote(str(out))}; what it is worth is in {out / 'frontier.md'}")


@command.command("explain")
@click.argument("case_id", metavar="ID")
@_source_options
def explain(case_id: str, verdicts: Path | None, log: Path | None, policy: str | None) -> None:
    """Say why a case was cleared, escalated or decided where it was.

    \b
    magistrate cascade explain post-7
    magistrate cascade explain post-7 --verdicts verdicts.jsonl
    """
    from magistrate.classifiers.cascade.explain import explain_row

    config = read_config(find_config())
    found = [row for row in _rows(config, verdicts, log, policy, case_id) if row.id == case_id]
    if not found:
        where = "the decision log" if verdicts is None else repr(str(verdicts))
        raise UsageError(f"no case {case_id!r} in {where}", hint="the id is yours, not the number of the decision")
    click.echo("\n\n".join(plain(explain_row(row)) for row in found))


@command.command("audit")
@_source_options
@click.option(
    "--cascade",
    "plan_path",
    type=click.Path(exists=True, path_type=Path),
    help="The cascade that made the verdicts: its promise, and the scores of its fitting.",
)
@click.option(
    "--confidence", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.95, show_default=True
)
def audit_command(
    verdicts: Path | None, log: Path | None, policy: str | None, plan_path: Path | None, confidence: float
) -> int:
    """Bound how many violating cases the screens clear, and say whether the traffic has changed.

    The bounds hold at every moment, so look as often as you like.

    \b
    magistrate cascade audit --verdicts verdicts.jsonl --cascade my-cascade

    Exit status: 0 no alarm, 1 an alarm, 64 bad usage.
    """
    from magistrate.classifiers.cascade.audit import audit
    from magistrate.classifiers.cascade.file import read_plan
    from magistrate.classifiers.cascade.ledger import Price, ledger_of

    config = read_config(find_config())
    plan = None if plan_path is None else read_plan(plan_path)
    rows = [row for row in _rows(config, verdicts, log, policy, None) if row.steps]
    if not rows:
        raise UsageError("no cascade decided any of these cases", hint="judge with --model FOLDER of a cascade first")
    reports = audit(rows, plan, confidence=confidence)
    for report in reports:
        click.echo(plain(report.render()) + "\n")
    prices = {
        name: Price(
            input_per_million=price.input_per_million,
            output_per_million=price.output_per_million,
            per_hour=price.per_hour,
        )
        for name, price in config.prices.items()
    }
    click.echo(plain(ledger_of(rows, prices).render()))
    alarmed = any(report.alarms for report in reports)
    if alarmed:
        click.echo(f"\nfit it again:\n{_refit(rows[0].policy, plan_path)}")
    return EXIT_ALARM if alarmed else 0


def _refit(policy: str, plan_path: Path | None) -> str:
    """The command that chooses stages and thresholds anew."""
    from magistrate.classifiers.cascade.file import read_plan

    plan = None if plan_path is None else read_plan(plan_path)
    words = ["magistrate", "cascade", "fit", "--policy", f"{policy}.md", "--data", "labelled.jsonl"]
    if plan is None:
        return shlex.join([*words, "--reasoner", "MODEL", "--recall", "0.95", "--out", f"{policy}-cascade"])
    *screens, last = plan.stages
    words += [word for stage in screens for word in ("--screen", stage.model)] + ["--reasoner", last.model]
    if plan.promise is not None:
        words += ["--recall", f"{plan.promise.recall:g}", "--confidence", f"{plan.promise.confidence:g}"]
    elif plan.limit is None:
        words += ["--budget", "1"]
    else:
        words += ["--budget", f"{plan.limit.share:g}"] + ["--cost", plan.limit.unit.value] * (
            plan.limit.unit != "items"
        )
    if last.votes is not None and plan_path is not None:
        folder = plan_path if plan_path.is_dir() else plan_path.parent
        words += ["--votes", str(last.votes.times)]
        words += [word for wording in last.votes.wordings for word in ("--wording", str(folder / wording.file))]
    return shlex.join([*words, "--out", f"{plan_path}-refitted"])


def _rows(
    config: Config, verdicts: Path | None, log: Path | None, policy: str | None, case_id: str | None
) -> Iterable[VerdictRow]:
    """Verdict rows, the oldest first."""
    if verdicts is not None and log is not None:
        raise UsageError("--verdicts and --log are given", hint="give one of the two")
    if verdicts is not None:
        from magistrate.run.verdicts import read_verdicts

        rows = read_verdicts(verdicts)
        return (row for row in rows if policy is None or policy in (row.policy, row.policy_digest))
    return _logged(config.log_path() if log is None else log, policy, case_id)


def _logged(path: Path, policy: str | None, case_id: str | None) -> Iterable[VerdictRow]:
    from magistrate.store.log import DecisionLog, Where  # loads sqlalchemy

    if not path.exists():
        raise UsageError(f"there is no decision log at {str(path)!r}", hint="give --verdicts FILE or --log FILE")
    with DecisionLog(path) as log:
        for logged in log.rows(Where(policy=policy, case_id=case_id), newest_first=False):
            yield logged.row
