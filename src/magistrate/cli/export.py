"""`magistrate export`."""

from __future__ import annotations

from pathlib import Path

import click

from magistrate.cli.options import show_warnings, target_option
from magistrate.cli.test import write_file
from magistrate.dialects.registry import DEFAULT_DIALECT
from magistrate.errors import UsageError
from magistrate.evaluate.inspect_export import inspect_files
from magistrate.evaluate.suite import find_suite
from magistrate.types import Effort, Target


@click.group("export", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Write a policy and its golden set as a task of another harness."""


@command.command("inspect")
@click.argument("policy", metavar="FILE|NAME")
@click.option("--data", type=click.Path(path_type=Path), help="Golden set; default: the one beside the policy.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Task to write: a .py file.")
@target_option
@click.option("--dialect", default=DEFAULT_DIALECT, show_default=True, metavar="NAME", help="How models are asked.")
@click.option("--effort", type=click.Choice([e.value for e in Effort]), help="How long a reasoner may think.")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
def export_inspect(
    policy: str,
    data: Path | None,
    out: Path,
    target: str | None,
    dialect: str,
    effort: str | None,
    *,
    force: bool,
) -> None:
    """Write a task for Inspect (inspect_ai): the task, its samples and the policy, side by side.

    \b
    magistrate export inspect mine.md --data golden.csv --out task.py
    inspect eval task.py --model openai/gpt-oss-safeguard-20b

    It needs inspect_ai and magistrate where it runs: pip install 'magistrate[inspect]'. The files hold content.
    """
    if Path(policy).is_dir():
        raise UsageError(f"{policy!r} is a folder", hint="export one policy file")
    (subject,) = find_suite([policy], target=Target(target or Target.CHAT), data=data).subjects
    show_warnings([subject.policy])
    asked = None if effort is None else Effort(effort)
    written = inspect_files(out, subject.policy, subject.dataset, dialect=dialect, effort=asked)
    there = [str(path) for path in written if path.exists()]
    if there and not force:
        raise UsageError(f"{', '.join(there)}: there already", hint="give another --out, or --force to overwrite")
    for path, body in written.items():
        write_file(path, body)
        click.echo(str(path))
    click.echo(f"next: inspect eval {out} --model PROVIDER/MODEL", err=True)
