"""`magistrate compare`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from magistrate.cli.appraisal import bounds, figure, number
from magistrate.cli.options import model_options, show_warnings, target_option
from magistrate.cli.show import plain
from magistrate.cli.test import Asker, judge_subjects, write_file
from magistrate.config import find_config, read_config
from magistrate.errors import UsageError
from magistrate.evaluate.appraisal import Cost
from magistrate.evaluate.compare import Comparison, Conclusion
from magistrate.evaluate.dataset import Dataset, read_dataset
from magistrate.evaluate.golden import Reading
from magistrate.evaluate.grounds import Fault
from magistrate.evaluate.judged import Undecided
from magistrate.evaluate.metrics import Metric
from magistrate.evaluate.report.files import check_page_name, versus_files
from magistrate.evaluate.report.versus_plain import conclusion_words, cost_lines, versus_values
from magistrate.evaluate.results import CaseResult
from magistrate.evaluate.runfile import read_run
from magistrate.evaluate.suite import Subject, find_suite, read_policy
from magistrate.evaluate.versus import Change, Versus, versus
from magistrate.policy.model import Policy
from magistrate.types import Effort, Target

EXIT_STATUS = {
    Conclusion.BETTER: 0,
    Conclusion.EQUIVALENT: 0,
    Conclusion.WORSE: 1,
    Conclusion.CANNOT_TELL: 2,
}
STYLES = {
    Conclusion.BETTER: "green",
    Conclusion.EQUIVALENT: "green",
    Conclusion.WORSE: "red",
    Conclusion.CANNOT_TELL: "yellow",
}
RUN_ENDINGS = (".jsonl", ".jsonl.gz")
METRICS = {metric.value.lower().replace(" ", "-"): metric for metric in Metric}


@click.command("compare", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("first", metavar="FIRST")
@click.argument("second", metavar="[SECOND]", required=False)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Golden set; default: the one beside FIRST. For run files, to show the content of cases.",
)
@click.option(
    "-p", "--policy", "policies", multiple=True, metavar="FILE|NAME", help="Of a run file, to show its rules; twice."
)
@target_option
@model_options
@click.option("--model-b", metavar="URL|NAME", help="Who judges for the second; default: as the first.")
@click.option("--model-name-b", metavar="NAME", help="Which model at that URL, for the second.")
@click.option("--effort-b", type=click.Choice([e.value for e in Effort]), help="Effort of the second.")
@click.option("--dialect-b", metavar="NAME", help="Dialect of the second.")
@click.option(
    "--by",
    type=click.Choice(list(METRICS)),
    default="accuracy",
    show_default=True,
    help="Which metric decides; the others are shown and decide nothing.",
)
@click.option("--margin", type=click.FloatRange(0, 1, min_open=True), help="A difference that does not matter.")
@click.option(
    "--undecided",
    type=click.Choice([u.value for u in Undecided]),
    default=Undecided.WRONG.value,
    show_default=True,
    help="What a case without a verdict counts as.",
)
@click.option("--confidence", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True)
@click.option("--run-a", type=click.Path(path_type=Path), help="Keep the first's verdicts in this file; resumable.")
@click.option("--run-b", type=click.Path(path_type=Path), help="Keep the second's verdicts in this file; resumable.")
@click.option("--changes", "shown", type=click.IntRange(0), default=20, show_default=True, help="Cases listed.")
@click.option("--report", type=click.Path(path_type=Path), help="Write one HTML page, with JSON beside it.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(
    first: str,
    second: str | None,
    *,
    data: Path | None,
    policies: tuple[str, ...],
    target: str | None,
    model: str | None,
    model_name: str | None,
    effort: str | None,
    dialect: str | None,
    model_b: str | None,
    model_name_b: str | None,
    effort_b: str | None,
    dialect_b: str | None,
    by: str,
    margin: float | None,
    undecided: str,
    confidence: float,
    run_a: Path | None,
    run_b: Path | None,
    shown: int,
    report: Path | None,
    as_json: bool,
) -> int:
    """Say whether a policy, model or effort is better than another.

    FIRST and SECOND are policies, judged on the same cases, or run files.

    \b
    magistrate compare old.md new.md --data golden.csv
    magistrate compare mine.md --model guard --model-b guard-large
    magistrate compare mine.md --model guard --effort low --effort-b high
    magistrate compare old.run.jsonl new.run.jsonl
    magistrate compare old.run.jsonl new.run.jsonl --data golden.csv -p old.md -p new.md --report compared.html

    Exit status: 0 the second is better (or, with --margin, equivalent), 1 it is worse, 2 it cannot be told,
    64 bad usage or runs of unlike cases, 69 the model is not available, 74 the disk failed.
    """
    if report is not None:
        check_page_name(report)
    rules = Rules(METRICS[by], margin, Undecided(undecided), confidence)
    wanted = Target(target or Target.CHAT)
    if _is_run(first) or _is_run(second or ""):
        if second is None or not (_is_run(first) and _is_run(second)):
            raise UsageError("a run file is compared with another run file", hint="give two run files, or two policies")
        found = _compare_runs((first, second), data, policies, wanted, rules)
    elif policies:
        raise UsageError("--policy is for run files", hint="give the policies themselves: magistrate compare A.md B.md")
    else:
        asker = Asker(read_config(find_config()), model, model_name, effort, dialect)
        other = _other(asker, Asker(asker.config, model_b, model_name_b, effort_b, dialect_b))
        if second is None and other == asker:
            raise UsageError("nothing to compare with", hint="give a second policy, or --model-b, --effort-b, ...")
        found = _judge_both(_subjects(first, second, data, wanted), (asker, other), (run_a, run_b), wanted, rules)
    if as_json:
        click.echo(json.dumps(versus_values(found), ensure_ascii=True))
    else:
        show_versus(Console(highlight=False), found, shown=shown)
    if report is not None:
        for path, body in versus_files(report, found).items():
            write_file(path, body)
    return EXIT_STATUS[found.comparison.conclusion]


@dataclass(frozen=True, slots=True)
class Rules:
    """By what it is decided."""

    decided_by: Metric
    margin: float | None
    undecided: Undecided
    confidence: float

    def compare(
        self,
        paths: tuple[Path, Path],
        names: tuple[str, str],
        policies: tuple[Policy | None, Policy | None],
        dataset: Dataset | None,
    ) -> Versus:
        """Compare two run files."""
        return versus(
            *paths,
            names=names,
            decided_by=self.decided_by,
            margin=self.margin,
            undecided=self.undecided,
            confidence=self.confidence,
            policies=policies,
            dataset=dataset,
        )


def _compare_runs(
    names: tuple[str, str], data: Path | None, policies: Sequence[str], target: Target, rules: Rules
) -> Versus:
    """Two runs, with the policies and the golden set that are theirs, as far as they are given."""
    given = {policy.digest: policy for policy in map(read_policy, policies)}
    digests = [read_run(Path(name)).header.policy_digest for name in names]
    for digest, policy in given.items():
        if digest not in digests:
            raise UsageError(f"neither run is of {policy.file} as it is worded now", hint="give the policy of the run")
    first, second = (given.get(digest) for digest in digests)
    dataset = None if data is None else read_dataset(data, Reading(policy=first or second, target=target))
    return rules.compare((Path(names[0]), Path(names[1])), names, (first, second), dataset)


def _is_run(name: str) -> bool:
    return name.lower().endswith(RUN_ENDINGS)


def _other(first: Asker, second: Asker) -> Asker:
    """Who judges for the second: as the first, where nothing else is said."""
    if second.model is not None:
        return second  # another model has a name, an effort and a dialect of its own
    return replace(
        first,
        model_name=second.model_name or first.model_name,
        effort=second.effort or first.effort,
        dialect=second.dialect or first.dialect,
    )


def _subjects(first: str, second: str | None, data: Path | None, target: Target) -> tuple[Subject, Subject]:
    """Both policies with the same cases, read by the first."""
    if Path(first).is_dir():
        raise UsageError(f"{first!r} is a folder", hint="compare two policy files")
    (one,) = find_suite([first], target=target, data=data).subjects
    two = one if second is None else Subject(policy=read_policy(second), dataset=one.dataset)
    show_warnings([one.policy] if second is None else [one.policy, two.policy])
    return one, two


def _judge_both(
    subjects: tuple[Subject, Subject],
    askers: tuple[Asker, Asker],
    kept: tuple[Path | None, Path | None],
    target: Target,
    rules: Rules,
) -> Versus:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="magistrate-")))
        paths = [path or folder / f"{place}.jsonl" for place, path in enumerate(kept)]
        for asker, subject, path in zip(askers, subjects, paths, strict=True):
            anyio.run(judge_subjects, asker, [subject], [path], target)
        policies = (subjects[0].policy, subjects[1].policy)
        return rules.compare((paths[0], paths[1]), _names(subjects, askers), policies, subjects[0].dataset)


def _names(subjects: tuple[Subject, Subject], askers: tuple[Asker, Asker]) -> tuple[str, str]:
    """What tells the two apart."""
    if subjects[0].policy.digest != subjects[1].policy.digest:
        return subjects[0].policy.file, subjects[1].policy.file
    names = [
        " ".join(str(part) for part in (a.model or "default model", a.model_name, a.effort, a.dialect) if part)
        for a in askers
    ]
    return names[0], names[1]


def show_versus(console: Console, found: Versus, *, shown: int) -> None:
    """Print the conclusion, the figures of both, what they cost, and the cases that changed."""
    compared = found.comparison
    word = (compared.conclusion.value.upper(), f"bold {STYLES[compared.conclusion]}")
    console.print(Text.assemble(word, f"  {plain(conclusion_words(found))}"), soft_wrap=True)
    test = compared.mcnemar
    console.print(
        f"  {len(found.first.run)} cases: {test.only_second} mended, {test.only_first} broken "
        f"(McNemar's mid-p {test.p_value:.3g}, exact {test.exact_p_value:.3g})"
    )
    drawn = found.bootstrap.get(compared.decided_by)
    if drawn is not None:
        console.print(f"  {compared.decided_by.value}: paired bootstrap {bounds(drawn)}")
    console.print(figures_table(found.comparison))
    if found.first.grounds.checked or found.second.grounds.checked:
        console.print(_faults(found))
    console.print(_costs(found.first.cost, found.second.cost))
    for change in found.changes[:shown]:
        console.print(_change_line(change), no_wrap=True, overflow="ellipsis")
    if len(found.changes) > shown:
        console.print(Text(f"  and {len(found.changes) - shown} more changed", style="dim"))


def figures_table(compared: Comparison) -> Table:
    """Every metric of both, with its difference; the one that decides is bold."""
    level = f"{100 * compared.confidence:g} %"
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for column in ("first", "second", "difference", f"{level} interval"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in compared.differences:
        value = "-" if line.value is None else f"{line.value:+.3f}"
        name = Text(line.metric.value, style="bold" if line.metric is compared.decided_by else "")
        table.add_row(name, figure(line.first), figure(line.second), value, bounds(line.interval))
    return table


def _faults(found: Versus) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("reasoning", no_wrap=True)
    for column in ("first", "second", "difference", "interval"):
        table.add_column(column, justify="right", no_wrap=True)
    for one, two, gap in zip(found.first.grounds.rates, found.second.grounds.rates, found.faults, strict=True):
        value = "-" if gap.value is None else f"{gap.value:+.3f}"
        name = Text(one.fault.value, style="bold" if one.fault is Fault.ANY else "")
        table.add_row(name, figure(one.value), figure(two.value), value, bounds(gap.interval))
    return table


def _costs(first: Cost, second: Cost) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for column in ("first", "second", "times"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, one, two in cost_lines(first, second):
        times = "-" if not one or two is None else f"{two / one:.2f}"
        cells = [number(None if value is None else round(value)) for value in (one, two)]
        table.add_row(name, *cells, times)
    return table


_CHANGE_STYLES = {"broken": "red", "mended": "green", "changed": ""}


def _change_line(change: Change) -> Text:
    golden = "violation" if change.golden else "allowed"
    result = change.first
    content = "" if result.content is None else " / ".join(m.content for m in result.content.judged)
    said = f"{_said(change.first)} > {_said(change.second)}, golden {golden}"
    shown = plain(" ".join(content.split()))
    word = (f"  {change.word:<7}", _CHANGE_STYLES[change.word])
    return Text.assemble(word, f"  {plain(change.id)}  {said}  ", (shown, "dim"))


def _said(result: CaseResult) -> str:
    row = result.row
    if result.right is None:
        return "-" if row.code is None else row.code.value
    rule = f" {plain(row.rule_ids[0])}" if row.rule_ids else ""
    return ("violation" if row.violation else "allowed") + rule
