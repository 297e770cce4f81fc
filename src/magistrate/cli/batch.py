"""`magistrate batch`."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import anyio
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from magistrate.cli.options import (
    model_options,
    plan_options,
    policy_option,
    read_policies,
    show_warnings,
    target_option,
)
from magistrate.cli.show import plain
from magistrate.config import Config, find_config, read_config
from magistrate.policy.model import Policy
from magistrate.run.batch import BatchProgress, BatchReport, BatchSettings, OnBadRow, run_batch
from magistrate.run.cluster.cluster import Cluster, Crew
from magistrate.run.cluster.place import place_named
from magistrate.run.cluster.recipe import recipe_for
from magistrate.run.judge import Judge
from magistrate.run.models import batch_shape, server_settings
from magistrate.run.record import action_of, batch_identity, opened_log
from magistrate.run.source import Source, open_source
from magistrate.types import Target

EXIT_INTERRUPTED = 130


@click.command("batch")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path, allow_dash=True))
@policy_option
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Verdict rows: .jsonl, .csv, .parquet."
)
@target_option
@model_options
@plan_options
@click.option("--chunk", "chunk_rows", type=click.IntRange(1, 100_000), help="Rows a call; default: 32, a server 1.")
@click.option(
    "--calls",
    type=click.IntRange(1, 4096),
    help="Calls under way at once, on Ray for each judge; default: 2, a server as set up.",
)
@click.option(
    "--on", "place", metavar="PLACE", default="local", show_default=True, help="Where: local, ray or ray://HOST:PORT."
)
@click.option(
    "--replicas", type=click.IntRange(1, 100_000), help="On Ray: judges in all; default: one a machine or GPU."
)
@click.option(
    "--gpus", type=click.FloatRange(0, 64), default=0, help="On Ray: GPUs of each judge, for engines in process."
)
@click.option("--on-bad-row", type=click.Choice([x.value for x in OnBadRow]), default="fail", show_default=True)
@click.option("--restart", is_flag=True, help="Begin anew, forgetting what an earlier run has done.")
@click.option("--overwrite", is_flag=True, help="Replace an output that no batch has written.")
@click.option("--no-log", is_flag=True, help="Do not write the decision log.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(
    source: Path,
    policies: tuple[str, ...],
    out: Path,
    target: str | None,
    model: str | None,
    model_name: str | None,
    effort: str | None,
    dialect: str | None,
    plan: str | None,
    max_calls: int | None,
    chunk_rows: int | None,
    calls: int | None,
    place: str,
    replicas: int | None,
    gpus: float,
    on_bad_row: str,
    restart: bool,
    overwrite: bool,
    no_log: bool,
    quiet: bool,
) -> int:
    """Judge a file of texts or chats; resumable.

    IN is JSON lines, CSV or Parquet (`-`: JSON lines from stdin) with `text` or `messages`, and an `id`;
    other columns pass through. OUT gets one verdict row for each row and policy, in order.
    Killed and called again with the same arguments, it goes on where it was: no row is lost, none that was
    written down is judged again; calls that were under way at the kill are made again.

    \b
    magistrate batch posts.parquet --policy a.md --policy b.md --out verdicts.parquet
    """
    ray = place_named(place)
    config = read_config(find_config())
    read = read_policies(policies)
    show_warnings(read)
    opened = open_source(_stream_or_path(source), target=Target(target or Target.CHAT))
    judge = Judge(
        model,
        model_name=model_name,
        effort=effort,
        dialect=dialect,
        config=config,
        plan=plan,
        max_calls=max_calls,
    )
    usual_rows, usual_calls = batch_shape(model, config)
    settings = BatchSettings(
        chunk_rows=chunk_rows or usual_rows,
        concurrency=calls or usual_calls,
        on_bad_row=OnBadRow(on_bad_row),
        restart=restart,
        overwrite=overwrite,
        stop_on_signals=True,
        identity=batch_identity(
            config, model, model_name=model_name, effort=effort, dialect=dialect, plan=plan, max_calls=max_calls
        ),
    )
    cluster = None
    if ray is not None:
        recipe = recipe_for(
            model, config, model_name=model_name, effort=effort, dialect=dialect, plan=plan, max_calls=max_calls
        )
        server = server_settings(model, config)
        if replicas is None and server is not None and server.url is not None:
            replicas = 1  # the server's concurrency is set for one that asks
        cluster = Cluster(ray, recipe, read, Crew(replicas=replicas, gpus=gpus, calls=settings.concurrency))
    report = anyio.run(_run, config, cluster or judge, read, opened, out, settings, not no_log, quiet)
    _show(Console(stderr=True, highlight=False), report, out)
    return 0 if report.finished else EXIT_INTERRUPTED


async def _run(
    config: Config,
    judge: Judge | Cluster,
    policies: list[Policy],
    source: Source,
    out: Path,
    settings: BatchSettings,
    logged: bool,
    quiet: bool,
) -> BatchReport:
    with opened_log(config, wanted=logged) as log, _bar(quiet=quiet) as bar:
        async with judge:
            if isinstance(judge, Cluster):
                settings = replace(settings, concurrency=settings.concurrency * judge.replicas)
            return await run_batch(
                source,
                out,
                policies=policies,
                classifier=judge if isinstance(judge, Cluster) else judge.classifier,
                settings=settings,
                action=lambda verdict: action_of(config, verdict),
                log=log,
                progress=bar.update,
            )


class _Bar:
    """A progress bar on stderr, with rate and time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("judging", total=None, rate="", found="")

    def update(self, now: BatchProgress) -> None:
        """Show how far the batch is."""
        self._progress.update(self._task, completed=now.rows, total=now.total, rate=f"{now.rows_per_s:,.1f} rows/s")


@contextmanager
def _bar(*, quiet: bool) -> Generator[_Bar]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:
        yield _Bar(progress)


def _show(console: Console, report: BatchReport, out: Path) -> None:
    for note in report.notes:
        console.print(plain(note), markup=False)
    if report.already_finished:
        console.print(f"{out}: already complete, nothing judged", markup=False)
    for count in report.counts:
        codes = ", ".join(f"{code} {n}" for code, n in count.codes.items())
        undecided = count.abstained + count.failed
        why = f" ({codes})" if codes else ""
        console.print(
            f"{count.policy}: {count.violations} violations, {count.allowed} allowed, {undecided} not decided{why}",
            markup=False,
        )
    rate = report.judged / report.elapsed_s if report.elapsed_s else 0.0
    console.print(
        f"{report.judged} rows judged in {report.elapsed_s:.1f} s ({rate:.1f} rows/s), {report.rows} in {out}",
        markup=False,
    )
    if not report.finished:
        console.print("stopped: the same command goes on from here", markup=False)


def _stream_or_path(source: Path) -> Path | BinaryIO:
    return sys.stdin.buffer if str(source) == "-" else source
