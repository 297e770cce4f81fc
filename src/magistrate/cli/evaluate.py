"""`magistrate evaluate`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import anyio
import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from magistrate.cli.appraisal import show_summary
from magistrate.cli.options import model_options, policy_option, read_policies, show_warnings, target_option
from magistrate.cli.show import plain
from magistrate.cli.test import Asker, judge_subjects
from magistrate.config import find_config, read_config
from magistrate.evaluate.appraisal import appraise
from magistrate.evaluate.results import CaseResult, read_results
from magistrate.evaluate.suite import Subject, find_suite
from magistrate.row import Outcome
from magistrate.types import Message, Target

TEXT_SHOWN = 200
OTHER_COLUMNS = 62
"""Characters of a line that the other columns take."""


@click.command("evaluate")
@policy_option
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Golden set, JSON lines with id, text or messages, violation; a starter policy has one of its own.",
)
@target_option
@model_options
@click.option("--errors-only", is_flag=True, help="In the table, show only the cases that were judged wrongly.")
def command(
    policies: tuple[str, ...],
    data: Path | None,
    target: str | None,
    model: str | None,
    model_name: str | None,
    effort: str | None,
    dialect: str | None,
    errors_only: bool,
) -> None:
    """Judge a golden set and report how well the verdicts agree with it.

    \b
    magistrate evaluate --policy spam
    magistrate evaluate --policy mine.md --data golden.jsonl

    `magistrate test` does the same with thresholds, reports and runs that are kept.
    """
    console = Console(highlight=False)
    asker = Asker(read_config(find_config()), model, model_name, effort, dialect)
    wanted = Target(target or Target.CHAT)
    read_policies(policies)  # refuses two of one name
    for name in dict.fromkeys(policies):
        (subject,) = find_suite([name], target=wanted, data=data).subjects
        show_warnings([subject.policy])
        _evaluate(console, asker, subject, wanted, errors_only=errors_only)


def _evaluate(console: Console, asker: Asker, subject: Subject, target: Target, *, errors_only: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="magistrate-") as folder:
        path = Path(folder) / "run.jsonl"
        anyio.run(judge_subjects, asker, [subject], [path], target)
        found = appraise(path, policy=subject.policy, dataset=subject.dataset)
        _show_table(console, read_results(path, found.run, subject.policy, subject.dataset), errors_only=errors_only)
    show_summary(console, found)


def _show_table(console: Console, results: Iterable[CaseResult], *, errors_only: bool) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "kind", "golden", "judged", "p", "rule"):
        table.add_column(column, no_wrap=True)
    table.add_column("text", no_wrap=True, max_width=max(20, console.width - OTHER_COLUMNS))
    for result in results:
        if not (errors_only and result.right):
            table.add_row(*_cells(result), style=None if result.right else "red")
    console.print(table)
    console.print()


def _cells(result: CaseResult) -> tuple[str | Text, ...]:
    row = result.row
    code = "" if row.code is None else row.code.value
    messages = () if result.content is None else result.content.judged
    text = plain(" / ".join(_one_line(message) for message in messages))
    return (
        Text(plain(row.id)),
        Text(plain(result.gold.kind)),
        _word(result.gold.violation),
        _word(row.violation is True) if row.outcome is Outcome.DECIDED else code,
        "" if row.probability is None else f"{row.probability:.2f}",
        Text(plain(row.rule_ids[0])) if row.rule_ids else "",
        Text(text[:TEXT_SHOWN]),
    )


def _word(violation: bool) -> str:
    return "violation" if violation else "allowed"


def _one_line(message: Message) -> str:
    return " ".join(message.content.split())
