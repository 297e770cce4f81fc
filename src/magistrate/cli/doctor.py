"""`magistrate doctor`."""

from __future__ import annotations

import click
from rich.console import Console
from rich.text import Text

from magistrate.run.diagnose import Finding, Standing, diagnose

_MARKS = {Standing.OK: ("ok  ", "green"), Standing.NOTE: ("note", "yellow"), Standing.BROKEN: ("FAIL", "bold red")}


@click.command("doctor")
def command() -> int:
    """Say what is installed, what is reachable and what to do next.

    Exit status 0 if magistrate can judge here, 69 if something that is set up does not work.
    """
    console = Console(highlight=False)
    findings = diagnose()
    for finding in findings:
        _show(console, finding)
    broken = sum(finding.standing is Standing.BROKEN for finding in findings)
    console.print()
    if broken:
        console.print(f"{broken} of {len(findings)} checks failed: follow the lines marked with ->", style="bold red")
        return 69
    console.print("Everything that is set up works. Try: magistrate judge --policy spam '1000 followers for $5, DM me'")
    return 0


def _show(console: Console, finding: Finding) -> None:
    mark, style = _MARKS[finding.standing]
    console.print(Text.assemble((mark, style), "  ", (f"{finding.what:<18}", "bold"), finding.found))
    if finding.next_step:
        console.print(Text(f"      -> {finding.next_step}"))
