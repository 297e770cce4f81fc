"""How a tested policy looks on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from magistrate.cli.show import plain
from magistrate.evaluate.appraisal import Appraisal, Part
from magistrate.evaluate.gate import Result
from magistrate.evaluate.grounds import Fault, FaultRate, faults
from magistrate.evaluate.interval import Interval
from magistrate.evaluate.junit import check_text
from magistrate.evaluate.metrics import Metric
from magistrate.evaluate.results import CaseResult
from magistrate.row import Outcome

STYLES = {Result.PASSED: "green", Result.FAILED: "red", Result.UNDETERMINED: "yellow"}
ON_THE_LINE = (Metric.F1, Metric.PRECISION, Metric.RECALL)
RULES_NAMED = 3


def show_note(text: str) -> None:
    """Print a note on stderr."""
    click.echo(f"note: {plain(text)}", err=True)


def show_appraisal(console: Console, test: Appraisal, *, worst: int, verbose: bool) -> None:
    """Print one policy: a line, what is not kept, the worst errors; with `verbose` all figures and tables."""
    console.print(_line(test), soft_wrap=True)
    for found in test.gate.checks:
        if verbose or found.result is not Result.PASSED:
            style = STYLES[found.result]
            console.print(Text(f"  {found.result.value:<12} {check_text(found)}", style=style), soft_wrap=True)
    if not test.gate.checks:
        console.print(Text("  no thresholds: [test] in magistrate.toml, or --require min_f1=0.8", style="dim"))
    for code, count in test.codes.items():
        console.print(Text(f"  not decided  {code} {count}", style="yellow"))
    if verbose:
        _show_figures(console, test)
        _show_parts(console, "by rule", test.rules)
        _show_parts(console, "by label", test.labels)
        _show_parts(console, "by kind", test.kinds)
        _show_parts(console, "by language", test.languages)
    for miss in test.wrong[:worst]:
        console.print(_miss_line(miss), no_wrap=True, overflow="ellipsis")
    if len(test.wrong) > worst:
        console.print(Text(f"  and {len(test.wrong) - worst} more judged wrongly", style="dim"))
    if test.grounds.checked:
        _show_grounds(console, test, worst=worst, verbose=verbose)


def _line(test: Appraisal) -> Text:
    undecided = len(test.run) - test.outcomes.get(Outcome.DECIDED, 0)
    figures = "  ".join(f"{m.value} {figure(test.estimate(m).value)}" for m in ON_THE_LINE)
    counts = f"{len(test.run)} cases, {len(test.wrong)} wrong, {undecided} not decided"
    broken_off = "" if test.run.complete else f"  BROKEN OFF after {len(test.run)} of {test.run.header.dataset.cases}"
    word = (test.word.upper(), f"bold {STYLES[test.result]}")
    return Text.assemble(word, f"  {plain(test.name)}  {figures}  {counts}{broken_off}")


def show_summary(console: Console, test: Appraisal) -> None:
    """Print the counts of a golden set, the confusion table, and every figure with its interval."""
    decided = test.outcomes.get(Outcome.DECIDED, 0)
    violating = int(test.run.judged.truth.sum())
    counts = f"{len(test.run)} cases, {violating} violating, {decided} decided, {len(test.run) - decided} not decided"
    console.print(Text.assemble((plain(test.name), "bold"), f": {counts}"), soft_wrap=True)
    for code, count in test.codes.items():
        console.print(Text(f"  not decided: {code} {count}"))
    console.print(Text("  decided cases, figures with 95 % intervals:"))
    _show_figures(console, test)


def _show_figures(console: Console, test: Appraisal) -> None:
    counts = test.measures.counts
    console.print("                 judged violation   judged allowed")
    console.print(f"  is a violation {counts.tp:>18} {counts.fn:>16}")
    console.print(f"  is allowed     {counts.fp:>18} {counts.tn:>16}")
    for estimate in test.measures.estimates:
        text = f"  {estimate.metric.value:<20} {figure(estimate.value)}  {bounds(estimate.interval)}"
        console.print(Text(text.rstrip()))
    for outcome in (Outcome.ABSTAINED, Outcome.FAILED):
        hits, interval = test.share(outcome)
        rate = hits / len(test.run) if len(test.run) else None
        console.print(Text(f"  {outcome.value + ' rate':<20} {figure(rate)}  {bounds(interval)}".rstrip()))
    for found in test.measures.calibrations[:1]:
        console.print(Text(f"  {'calibration error':<20} {found.error:.3f}  (by chance about {found.floor:.3f})"))
    usage = test.cost.usage
    console.print(Text(f"  {'tokens in, out':<20} {number(usage.input_tokens)}, {number(usage.output_tokens)}"))
    times = f"median {test.cost.median_ms:.0f} ms, 95 % below {test.cost.p95_ms:.0f} ms"
    console.print(Text(f"  {'calls, time a case':<20} {usage.calls}, {times}"))


def _show_grounds(console: Console, test: Appraisal, *, worst: int, verbose: bool) -> None:
    """Print what the audit found; the worst-founded reasoning first, where it is more than long."""
    found = test.grounds
    badly = rate_text(next(rate for rate in found.rates if rate.fault is Fault.ANY))
    console.print(Text(f"  reasoning of {found.checked} cases looked through; badly founded {badly}"), soft_wrap=True)
    for rate in found.rates if verbose else ():
        console.print(Text(f"    {rate.fault.value:<30} {rate_text(rate)}"))
    faulty = [(result, result.audit) for result in test.suspect if result.audit is not None and faults(result.audit)]
    for result, audit in faulty[:worst]:
        line = f"  suspect {audit.score:.2f}  {plain(result.row.id)}  {result.standing}  "
        said = plain("; ".join(" ".join(reason.split()) for reason in audit.reasons))
        console.print(Text.assemble((line, "yellow"), (said, "dim")), no_wrap=True, overflow="ellipsis")


def rate_text(rate: FaultRate) -> str:
    """'3 of 40, 0.075 (0.026 to 0.199)'."""
    return f"{rate.hits} of {rate.trials}, {figure(rate.value)} {bounds(rate.interval)}".rstrip()


def _show_parts(console: Console, title: str, parts: Sequence[Part]) -> None:
    if not parts:
        return
    named = any(part.estimates for part in parts)
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    for column in ("cases", "verdict right", "95 % interval", *(("precision", "recall", "F1") if named else ())):
        table.add_column(column, justify="right", no_wrap=True)
    for part in parts:
        cells: list[Text | str] = [Text(plain(part.name)), str(part.cases), figure(part.share), bounds(part.interval)]
        for metric in (Metric.PRECISION, Metric.RECALL, Metric.F1) if named else ():
            found = part.estimate(metric)
            cells.append(figure(None if found is None else found.value))
        table.add_row(*cells)
    console.print(table)


def _miss_line(miss: CaseResult) -> Text:
    row = miss.row
    kind = "missed     " if miss.gold.violation else "false alarm"
    probability = "" if row.probability is None else f" p {row.probability:.2f}"
    rules = ", ".join(row.rule_ids[:RULES_NAMED]) or "-"
    content = "" if miss.content is None else " / ".join(m.content for m in miss.content.judged)
    shown = plain(" ".join(content.split()))
    return Text.assemble((f"  {kind}", "red"), f"{probability}  {plain(row.id)}  {plain(rules)}  ", (shown, "dim"))


def figure(value: float | None) -> str:
    """Three digits, or a dash."""
    return "-" if value is None else f"{value:.3f}"


def bounds(interval: Interval | None) -> str:
    """Bounds in brackets, or nothing."""
    return "" if interval is None else f"({interval.low:.3f} to {interval.high:.3f})"


def number(value: int | None) -> str:
    """A count, or a dash where it is not known."""
    return "-" if value is None else f"{value:,}"
