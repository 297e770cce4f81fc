"""`magistrate data`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from magistrate.cli.options import chosen_columns, read_policies
from magistrate.cli.show import plain
from magistrate.errors import UsageError
from magistrate.evaluate.catalogue import Entry, Origin, catalogue, find_dataset
from magistrate.evaluate.corpus import SPLITS, Corpus, open_corpus
from magistrate.evaluate.dataset import Dataset, read_dataset
from magistrate.evaluate.description import Description, describe
from magistrate.evaluate.export import write_golden
from magistrate.evaluate.golden import GoldenSet, Reading, load_golden
from magistrate.evaluate.hub import HubSet, hub_sets
from magistrate.policy.model import Policy
from magistrate.types import Target

VALUES_SHOWN = 12
P = ParamSpec("P")
R = TypeVar("R")


def data_dir_option(function: Callable[P, R]) -> Callable[P, R]:
    """Take the folder of public data sets."""
    return click.option(
        "--data-dir",
        envvar="MAGISTRATE_DATA",
        show_envvar=True,
        type=click.Path(path_type=Path),
        help="Folder of public data sets: eval/, train/, policies/ and README.md.",
    )(function)


def reading_options(function: Callable[P, R]) -> Callable[P, R]:
    """Take how a golden set is read."""
    options = (
        click.option(
            "-p", "--policy", metavar="FILE|NAME", help="Whose labels, rules and answer words the set may use."
        ),
        click.option(
            "--column",
            "columns",
            multiple=True,
            metavar="MEANING=NAME",
            help="Which column has a meaning, as in violation=is_spam; empty for none. May be given again.",
        ),
        click.option(
            "--target",
            type=click.Choice([Target.USER.value, Target.ASSISTANT.value, Target.CHAT.value]),
            help="In a chat, judge the last user message, the assistant's last reply, or all of it (default).",
        ),
        click.option("--skip-unlabelled", is_flag=True, help="Leave out rows without a label."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.group("data", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List data sets, describe a golden set, or bring one into magistrate's form."""


@command.command("list")
@data_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def list_data(data_dir: Path | None, *, as_json: bool) -> None:
    """List the data sets that are known by name.

    \b
    magistrate data list
    magistrate data list --data-dir ./data
    """
    entries = list(catalogue(_corpus(data_dir)))
    if as_json:
        for entry in entries:
            click.echo(json.dumps(asdict(entry)))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "where", "n", "violating", "languages", "licence", "may train"):
        justify: Literal["left", "right"] = "right" if column in ("n", "violating") else "left"
        table.add_column(column, no_wrap=True, overflow="ellipsis", justify=justify, min_width=min(9, len(column)))
    for entry in entries:
        table.add_row(*(Text(plain(cell)) for cell in _cells(entry)))
    Console(highlight=False).print(table)
    click.echo("\nOf a set on the hub, n is what its source states. magistrate data describe NAME says more of one.")


def _cells(entry: Entry) -> tuple[str, ...]:
    share = f"{entry.violating / entry.cases:.1%}" if entry.violating is not None and entry.cases else "-"
    return (
        entry.name,
        entry.origin.value,
        "unreadable" if entry.cases is None else str(entry.cases),
        share,
        _languages(entry.languages),
        entry.licence or "not stated",
        entry.may_train.value,
    )


def _languages(codes: Sequence[str]) -> str:
    if not codes:
        return "-"
    return codes[0] if len(codes) == 1 else f"{codes[0]} +{len(codes) - 1}"


@command.command("describe")
@click.argument("source", metavar="FILE|NAME")
@reading_options
@click.option("--split", type=click.Choice(SPLITS), help="Of a data set in the folder; default: eval.")
@data_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def describe_data(
    source: str,
    policy: str | None,
    columns: tuple[str, ...],
    target: str | None,
    *,
    skip_unlabelled: bool,
    split: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Say what is in a golden set: which column means what, labels, lengths, duplicates.

    \b
    magistrate data describe golden.csv --policy mine.md
    magistrate data describe golden.csv --column violation=is_spam
    """
    read_policy = read_policies([policy])[0] if policy is not None else None
    if Path(source).exists():
        reading = _reading(read_policy, columns, target, skip_unlabelled=skip_unlabelled)
        found = load_golden(Path(source), reading)
        facts, notices, cases = _file_facts(found), found.notices, found.cases
    elif source in hub_sets():
        _show_hub_set(source, hub_sets()[source], as_json=as_json)
        return
    else:
        dataset = _known(source, columns, data_dir, split)
        facts, notices, cases = _dataset_facts(dataset), dataset.notices, dataset.cases
        if read_policy is None and dataset.policy is not None:
            read_policy = Policy.read(dataset.policy)
    described = describe(cases, read_policy)
    if as_json:
        click.echo(json.dumps({**facts, **asdict(described), "notices": [str(notice) for notice in notices]}))
        return
    console = Console(highlight=False)
    _show_facts(console, facts | _numbers(described))
    for notice in notices:
        console.print(Text(f"  {notice.code.value}: {plain(str(notice))}", style="yellow"))


@command.command("import")
@click.argument("source", metavar="FILE|NAME")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Golden set to write: .jsonl, or .gz."
)
@reading_options
@click.option("--split", type=click.Choice(SPLITS), help="Of a data set in the folder; default: eval.")
@data_dir_option
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
def import_data(
    source: str,
    out: Path,
    policy: str | None,
    columns: tuple[str, ...],
    target: str | None,
    *,
    skip_unlabelled: bool,
    split: str | None,
    data_dir: Path | None,
    force: bool,
) -> None:
    """Write a golden set in magistrate's form. A set on the hub is downloaded.

    With a policy, labels and rule ids are checked against it, and its labels say what is a violation.

    \b
    magistrate data import golden_dataset.csv --policy spam.md --out golden.jsonl
    magistrate data import xstest --out xstest.jsonl
    """
    if out.exists() and not force:
        raise UsageError(f"{str(out)!r} is there already", hint="give another --out, or --force to overwrite")
    if Path(source).exists():
        read_policy = read_policies([policy])[0] if policy is not None else None
        dataset = read_dataset(Path(source), _reading(read_policy, columns, target, skip_unlabelled=skip_unlabelled))
    else:
        dataset = _known(source, columns, data_dir, split)
    write_golden(out, dataset.cases)
    violating = sum(case.violation for case in dataset.cases)
    click.echo(f"{out}: {len(dataset.cases)} cases, {violating} violating")
    for notice in dataset.notices:
        click.echo(f"{notice.code.value}: {plain(str(notice))}", err=True)


def _known(name: str, columns: Sequence[str], data_dir: Path | None, split: str | None) -> Dataset:
    if columns:
        raise UsageError("--column is for files: the columns of a known data set are known", hint="leave it out")
    return find_dataset(name, _corpus(data_dir), split=split)


def _corpus(data_dir: Path | None) -> Corpus | None:
    return None if data_dir is None else open_corpus(data_dir)


def _reading(policy: Policy | None, columns: Sequence[str], target: str | None, *, skip_unlabelled: bool) -> Reading:
    chosen = chosen_columns(columns)
    return Reading(policy=policy, columns=chosen, target=Target(target or Target.CHAT), skip_unlabelled=skip_unlabelled)


def _file_facts(found: GoldenSet) -> dict[str, str]:
    facts = {"file": found.name, "digest": found.digest or "", "form": found.columns.form.value}
    for meaning, column in found.columns.meanings.items():
        facts[f"{meaning.value} is"] = f"column {column}"
    if found.columns.judges_response:
        facts["judged"] = "the response, in the context of its prompt"
    if found.columns.unused:
        facts["no meaning"] = ", ".join(found.columns.unused)
    return facts


def _dataset_facts(dataset: Dataset) -> dict[str, str]:
    return {
        "name": dataset.name,
        "split": dataset.identity.split or "-",
        "revision": dataset.identity.revision,
        "policy": "-" if dataset.policy is None else str(dataset.policy),
        "source": dataset.source or "-",
        "licence": dataset.licence or "not stated",
        "may train": dataset.may_train.value,
    }


def _show_hub_set(name: str, known: HubSet, *, as_json: bool) -> None:
    facts = {
        "name": name,
        "title": known.title,
        "where": Origin.HUB.value,
        "source": known.source,
        "split": known.split,
        "files": ", ".join(file.path for file in known.files),
        "rows": f"{known.rows}, as the source states",
        "columns": ", ".join(f"{meaning.value} is {column}" for meaning, column in known.columns.items()),
        "licence": known.licence,
        "may train": known.may_train.value,
        "conditions": "to be accepted on the hub first" if known.gated else "none",
        "note": known.note or "-",
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    _show_facts(Console(highlight=False), facts)
    click.echo(f"\nmagistrate data import {name} --out {name}.jsonl   downloads it")


def _numbers(described: Description) -> dict[str, str]:
    lengths = described.lengths
    facts = {
        "cases": f"{described.cases}, {described.violating} violating "
        f"({described.violating / described.cases:.1%}), {described.chats} chats",
        "characters": f"median {lengths.median}, 90 % up to {lengths.p90}, longest {lengths.longest}",
    }
    if described.clusters != described.cases:
        facts["clusters"] = str(described.clusters)
    counted = {
        "labels": described.labels,
        "rules": described.rules,
        "kinds": described.kinds,
        "languages": described.languages,
        "categories": described.categories,
    }
    facts |= {name: _counts(counts) for name, counts in counted.items() if counts}
    if described.rules_without_case:
        facts["no case for"] = ", ".join(described.rules_without_case)
    return facts


def _counts(counts: Mapping[str, int]) -> str:
    shown = [f"{value} {count}" for value, count in list(counts.items())[:VALUES_SHOWN]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _show_facts(console: Console, facts: Mapping[str, str]) -> None:
    width = max(14, *(len(name) for name in facts))
    for name, value in facts.items():
        console.print(Text(f"  {plain(name):<{width}} {plain(value)}"), soft_wrap=True)
