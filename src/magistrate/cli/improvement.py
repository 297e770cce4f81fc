"""How an improved policy looks on a terminal, and as JSON."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from magistrate.cli.compare import STYLES, figures_table
from magistrate.cli.show import plain
from magistrate.evaluate.compare import Conclusion, cases_needed
from magistrate.evaluate.golden import GoldenCase
from magistrate.evaluate.improve import plain as values
from magistrate.evaluate.improve.ask import MOST_GROUPS, Writer
from magistrate.evaluate.improve.bench import probability_of
from magistrate.evaluate.improve.choose import Result, Trial
from magistrate.evaluate.improve.improve import Improvement, Settings, Stop
from magistrate.evaluate.improve.mistakes import Group, Kind, Mistake
from magistrate.evaluate.improve.plain import policy_diff, reason_of, said
from magistrate.evaluate.improve.split import Parts, tellable
from magistrate.evaluate.report.versus_plain import difference_values
from magistrate.policy.model import Policy

REASON_SHOWN = 320
RULE_SHOWN = 100
_RESULTS = {Result.KEPT: "green", Result.REFUSED: "yellow", Result.NOT_TRIED: "yellow"}
_GROUPS_SHOWN = 8
_TRIALS_SHOWN = 12
_CHANGES_SHOWN = 10


def show_plan(parts: Parts, settings: Settings, writer: Writer | None) -> None:
    """Say on stderr what will be judged at the most, and what so many cases can tell."""
    whole = len(parts.analysis) + len(parts.held_out)
    asked = f", and {MOST_GROUPS} requests for edits" if writer is not None else ""
    click.echo(
        f"{whole} cases: {len(parts.analysis)} to analyse, {len(parts.held_out)} held out; "
        f"{settings.budget(whole):,} judgements at the most{asked}",
        err=True,
    )
    share = tellable(len(parts.held_out), confidence=settings.confidence)
    if share is None or share > 0.1:
        smallest = "no change" if share is None else f"a change that mends less than {share:.0%} of them"
        needed = cases_needed(0.1, 0.1, confidence=settings.confidence)
        more = max(1, math.ceil(needed / settings.held_out) - whole)
        click.echo(
            f"note: {len(parts.held_out)} held-out cases are few: {smallest} will hardly be told from chance; "
            f"about {more} more cases would tell one of 10 %",
            err=True,
        )


def show_improvement(console: Console, found: Improvement, *, worst: int) -> None:
    """Print the mistakes by rule, the proposals, what the test says, and the diff."""
    wrong = sum(len(group.mistakes) for group in found.groups)
    console.print(
        Text.assemble(
            (plain(found.policy.name), "bold"),
            f" judged by {plain(found.model)}: {wrong} of {len(found.parts.analysis)} cases to analyse are wrong or "
            f"unsure, {found.wrong_held_out} of {len(found.parts.held_out)} held out; {found.judgements:,} judgements",
        ),
        soft_wrap=True,
    )
    for code, count in found.failed.most_common():
        console.print(Text(f"  no answer  {code} {count}", style="yellow"))
    for group in found.groups[:_GROUPS_SHOWN]:
        _show_group(console, found.policy, group, worst=worst)
    if len(found.groups) > _GROUPS_SHOWN:
        rest = sum(len(group.mistakes) for group in found.groups[_GROUPS_SHOWN:])
        console.print(
            Text(f"\nand {rest} more in {len(found.groups) - _GROUPS_SHOWN} groups; --json has all", style="dim")
        )
    _show_trials(console, found)
    console.print()
    console.print(_headline(found), soft_wrap=True)
    if found.comparison is not None and found.edited is not None:
        test = found.comparison.mcnemar
        console.print(
            f"  {len(found.parts.held_out)} held-out cases: {test.only_second} mended, {test.only_first} broken "
            f"(McNemar's mid-p {test.p_value:.3g}, exact {test.exact_p_value:.3g})"
        )
        console.print(figures_table(found.comparison))
        _show_changes(console, found)
        console.print()
        for line in policy_diff(found.policy, found.edited):
            console.print(_diff_line(line), soft_wrap=True)


def _show_group(console: Console, policy: Policy, group: Group, *, worst: int) -> None:
    console.print()
    count = f"{len(group.mistakes)} cases" if len(group.mistakes) > 1 else "1 case"
    head = Text.assemble((f"{group.kind.value:<11}", "red"), f"  {count}  ", (plain(group.heading), "bold"))
    if group.rule is not None:
        text = " ".join(group.rule.text.split())
        short = text if len(text) <= RULE_SHOWN else f"{text[: RULE_SHOWN - 1]}…"
        head.append(f"  {plain(short)}  ")
        head.append(f"{plain(policy.file)}:{group.rule.place.line}", style="dim")
    console.print(head, soft_wrap=True)
    remark = _remark(group)
    if remark:
        console.print(Text(f"  {remark}", style="dim"), soft_wrap=True)
    for mistake in group.mistakes[:worst]:
        _show_mistake(console, mistake)
    if worst and len(group.mistakes) > worst:
        console.print(Text(f"  and {len(group.mistakes) - worst} more", style="dim"))


def _remark(group: Group) -> str:
    """How the rule does otherwise, and which rules of the other side are in it."""
    parts: list[str] = []
    if group.kind is Kind.FALSE_ALARM and group.rule is not None:
        parts.append(f"cited rightly for {group.right}")
    elif group.kind is Kind.MISSED and group.mistakes[0].told:
        parts.append(f"{group.right} of {group.right + len(group.mistakes)} of its cases judged rightly")
    elif group.rule is not None:
        parts.append("the nearest rule; the golden set names none")
    others = ", ".join(f"{plain(name)} {count}" for name, count in group.others[:4])
    if others:
        parts.append(f"{_OTHERS[group.kind]}: {others}")
    return "; ".join(parts)


_OTHERS = {
    Kind.FALSE_ALARM: "nearest on the other side",
    Kind.MISSED: "passed by",
    Kind.UNSURE: "nearest on the other side",
}


def _show_mistake(console: Console, mistake: Mistake) -> None:
    probability = probability_of(mistake.verdict)
    shown = "" if probability is None else f" p {probability:.2f}"
    content = plain(" ".join(mistake.text.split()))
    line = Text.assemble(f"  {plain(mistake.case.id)}{shown}  ", (content, ""))
    console.print(line, no_wrap=True, overflow="ellipsis")
    piece = " ".join(mistake.piece.split())
    if piece and piece != content:
        console.print(Text(f"    loudest: {plain(piece)}", style="dim"), no_wrap=True, overflow="ellipsis")
    reasoning = mistake.verdict.trace.reasoning or reason_of(mistake.verdict)
    reason = " ".join(reasoning.split())
    if reason:
        short = reason if len(reason) <= REASON_SHOWN else f"{reason[: REASON_SHOWN - 1]}…"
        console.print(Padding(Text(plain(short), style="dim italic"), (0, 0, 0, 4), expand=False))
    for suspicion in mistake.suspicion[:2]:
        console.print(Text(f"    {plain(suspicion)}", style="yellow"), no_wrap=True, overflow="ellipsis")


def _show_trials(console: Console, found: Improvement) -> None:
    if not found.trials and not found.no_proposals:
        return
    console.print()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("proposal", no_wrap=True, overflow="ellipsis")
    for column in ("mended", "broken"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("on the part that is analysed", no_wrap=True)
    for trial in sorted(found.trials, key=_rank)[:_TRIALS_SHOWN]:
        result = Text(trial.result.value, style=_RESULTS.get(trial.result, "dim"))
        if trial.result is Result.REFUSED:
            result.append(f": {plain(trial.reason)}")
        mark = f"[{trial.proposal.origin.value}] " if trial.proposal.origin.value != "template" else ""
        tried = trial.result not in (Result.REFUSED, Result.NOT_TRIED)
        counts = (str(trial.mended), str(trial.broken)) if tried else ("", "")
        table.add_row(Text(mark + plain(trial.proposal.title)), *counts, result)
    console.print(table)
    if len(found.trials) > _TRIALS_SHOWN:
        counted = Counter(trial.result.value for trial in found.trials)
        told = ", ".join(f"{count} {name}" for name, count in counted.items())
        console.print(Text(f"  of {len(found.trials)} proposals: {told}", style="dim"))
    for failure in found.no_proposals:
        text = f"  no edit for {plain(failure.group)}: {failure.code.value}: {plain(failure.detail)}"
        console.print(Text(text, style="yellow"), soft_wrap=True)


def _rank(trial: Trial) -> tuple[int, float]:
    return list(Result).index(trial.result), -trial.gain[0]


def _headline(found: Improvement) -> Text:
    name, by = plain(found.policy.file), f"by {found.settings.decided_by.value}"
    word = (found.conclusion.value.upper(), f"bold {STYLES[found.conclusion]}")
    more = "" if found.more_cases is None else f"about {found.more_cases:,} more cases in the golden set"
    match found.stop:
        case Stop.NO_MISTAKES:
            return Text.assemble(word, "  nothing to improve: no case to analyse is judged wrongly")
        case Stop.TOO_FEW_HELD_OUT:
            needed = found.wrong_held_out + (found.more_wrong or 0)
            few = (
                f"  {found.wrong_held_out} held-out cases are wrong, and {needed} must be mended to tell it from chance"
            )
            return Text.assemble(word, f"{few}: needs {more}; --force tries edits all the same")
        case Stop.NOTHING_HELPED:
            return Text.assemble(word, "  no edit helps on the part that is analysed, so nothing was tested")
        case None:
            if found.conclusion is Conclusion.CANNOT_TELL:
                needs = f"needs {more}" if more else "no number of cases would"
                return Text.assemble(word, f"  the edited policy against {name}, {by}: {needs}")
            return Text.assemble(word, f"  the edited policy than {name}, {by}")


def _show_changes(console: Console, found: Improvement) -> None:
    for case, before, after in found.changes[:_CHANGES_SHOWN]:
        console.print(_change_line(case, said(before), said(after)), no_wrap=True, overflow="ellipsis")
    if len(found.changes) > _CHANGES_SHOWN:
        console.print(Text(f"  and {len(found.changes) - _CHANGES_SHOWN} more changed", style="dim"))


def _change_line(case: GoldenCase, before: str, after: str) -> Text:
    golden = "violation" if case.violation else "allowed"
    word, style = ("mended", "green") if after == golden else ("broken", "red")
    content = " / ".join(message.content for message in case.content.judged)
    told = f"  {plain(case.id)}  {before} > {after}, golden {golden}  "
    return Text.assemble((f"  {word}", style), told, (plain(" ".join(content.split())), "dim"))


def _diff_line(line: str) -> Text:
    style = "bold" if line.startswith(("+++", "---")) else {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
    return Text(plain(line), style=style)


def improvement_values(found: Improvement) -> dict[str, object]:
    """Everything as plain values; contents of the mistakes are in it."""
    compared = found.comparison
    return values.improvement_values(found) | {
        "mcnemar": None if compared is None else asdict(compared.mcnemar),
        "differences": [] if compared is None else [difference_values(line) for line in compared.differences],
    }
