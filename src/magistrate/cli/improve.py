"""`magistrate improve`."""

from __future__ import annotations

import codecs
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import anyio
import click
from rich.console import Console
from rich.progress import Progress

from magistrate.cli.compare import EXIT_STATUS, METRICS
from magistrate.cli.improvement import improvement_values, show_improvement, show_plan
from magistrate.cli.options import model_options, show_warnings, target_option
from magistrate.cli.test import Asker, write_file
from magistrate.config import find_config, read_config
from magistrate.errors import UsageError
from magistrate.evaluate.compare import Conclusion
from magistrate.evaluate.improve.ask import Writer
from magistrate.evaluate.improve.improve import Improvement, Settings, check_settings, improve
from magistrate.evaluate.linear import OF_DECISIONS
from magistrate.evaluate.suite import Subject, find_suite
from magistrate.policy.load import load_text
from magistrate.policy.model import Policy
from magistrate.run.models import backend_for, server_settings
from magistrate.types import Effort, Sampling, Target

TEMPLATES = "templates"
"""In place of a model to ask for edits."""


@click.command("improve", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("place", metavar="FILE|NAME")
@click.option("--data", type=click.Path(path_type=Path), help="Golden set; default: the one beside the policy.")
@target_option
@model_options
@click.option(
    "--proposer",
    metavar="URL|NAME|templates",
    help="Who is asked for edits, besides the templates; default: who judges, where that is a server.",
)
@click.option("--proposer-name", metavar="NAME", help="Which model at that URL.")
@click.option(
    "--held-out",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.5,
    show_default=True,
    help="Share of the golden set that nothing is learned from, and that the edits are tested on.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the division of the golden set.")
@click.option(
    "--by",
    type=click.Choice([name for name, metric in METRICS.items() if metric in OF_DECISIONS]),
    default="accuracy",
    show_default=True,
    help="Which metric edits are chosen and tested by.",
)
@click.option("--confidence", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True)
@click.option(
    "--max-calls", type=click.IntRange(1), metavar="N", help="Judgements at the most; default: 20 for each case."
)
@click.option("--worst", type=click.IntRange(0), default=3, show_default=True, help="Cases listed for each rule.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the edited policy to a new file, if it is better.")
@click.option("--write", "in_place", is_flag=True, help="Write it in place of the policy, if it is better.")
@click.option("--force", is_flag=True, help="Write it, and go on where too few cases are held out, all the same.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(
    place: str,
    *,
    data: Path | None,
    target: str | None,
    model: str | None,
    model_name: str | None,
    effort: str | None,
    dialect: str | None,
    proposer: str | None,
    proposer_name: str | None,
    held_out: float,
    seed: int,
    by: str,
    confidence: float,
    max_calls: int | None,
    worst: int,
    out: Path | None,
    in_place: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Propose edits of a policy from its errors, and test whether they help.

    One part of the golden set is judged and its errors are sorted by rule; edits are made from them, and chosen by
    how they do there. The other part then says, in one test, whether the edited policy is better. Nothing is
    written without --out or --write.

    \b
    magistrate improve mine.md --data golden.csv
    magistrate improve mine.md --model guard --max-calls 2000 --out better.md
    magistrate improve mine.md --proposer http://127.0.0.1:8000/v1 --write

    Exit status: 0 the edited policy is better, 1 it is worse, 2 it cannot be told or nothing helped, 64 bad usage
    or too few cases, 69 the model is not available, 74 the disk failed.
    """
    subject = _subject(place, data, Target(target or Target.CHAT))
    output = Output(policy=subject.policy, out=out, in_place=in_place, force=force)
    output.check()
    settings = Settings(
        held_out=held_out,
        seed=seed,
        decided_by=METRICS[by],
        confidence=confidence,
        max_calls=max_calls,
        anyway=force,
    )
    parts = check_settings(settings, subject.dataset.cases)
    asker = Asker(read_config(find_config()), model, model_name, effort, dialect)
    writer = _writer(asker, proposer, proposer_name)
    show_plan(parts, settings, writer)
    found = anyio.run(_improve, subject, asker, writer, settings)
    # A file that cannot be written must not lose what was found.
    if as_json:
        click.echo(json.dumps(improvement_values(found), ensure_ascii=True))
    else:
        show_improvement(Console(highlight=False), found, worst=worst)
    output.write(found)
    return EXIT_STATUS[found.conclusion]


def _subject(place: str, data: Path | None, target: Target) -> Subject:
    if Path(place).is_dir():
        raise UsageError(f"{place!r} is a folder", hint="name one policy file")
    (subject,) = find_suite([place], target=target, data=data).subjects
    show_warnings([subject.policy])
    return subject


def _writer(asker: Asker, proposer: str | None, name: str | None) -> Writer | None:
    """Who is asked for edits; None for the templates alone."""
    if proposer == TEMPLATES:
        return None
    settings = server_settings(asker.model if proposer is None else proposer, asker.config)
    if settings is None:
        return None
    own = proposer is None
    effort = Effort(asker.effort) if own and asker.effort is not None else settings.effort
    sampling = Sampling(
        max_output_tokens=settings.max_output_tokens,
        temperature=settings.temperature,
        seed=settings.seed,
        effort=effort,
    )
    backend = backend_for(settings, model_name=name or (asker.model_name if own else None))
    return Writer(backend=backend, sampling=sampling)


async def _improve(subject: Subject, asker: Asker, writer: Writer | None, settings: Settings) -> Improvement:
    judge = asker.judge()
    console = Console(stderr=True, highlight=False)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("judgements", total=settings.budget(len(subject.dataset.cases)))
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(judge)
            if writer is not None:
                await stack.enter_async_context(writer.backend)
            return await improve(
                subject.policy,
                subject.dataset.cases,
                judge.classifier,
                writer=writer,
                settings=settings,
                on_progress=lambda done, most: progress.update(task, completed=done, total=most),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where the edited policy goes. What cannot be is refused before anything is judged."""

    policy: Policy
    out: Path | None
    in_place: bool
    force: bool

    def check(self) -> None:
        """Refuse to overwrite anything but the policy itself.

        Raises:
            UsageError: both places are given, the file is there, or the policy is no file.
        """
        if self.out is not None and self.in_place:
            raise UsageError("--out and --write are two places", hint="give one of them")
        if self.out is not None and self.out.exists():
            raise UsageError(f"{str(self.out)!r} is there already", hint="give a new name: --out overwrites nothing")
        if self.in_place and not Path(self.policy.file).is_file():
            raise UsageError(
                f"{self.policy.name} is a starter policy and is not changed",
                hint=f"magistrate policies copy {self.policy.name}, and improve the copy; or --out FILE",
            )

    def write(self, found: Improvement) -> None:
        """Write the edited policy where it is better, or where that is forced; say what was done on stderr.

        Raises:
            UsageError: the policy was changed by somebody else in the meantime.
            StoreError: it cannot be written.
        """
        path = Path(self.policy.file) if self.in_place else self.out
        if found.edited is None:
            if path is not None:
                click.echo(f"{path} is not written: there is no edit to write", err=True)
            return
        if path is None:
            if found.conclusion is Conclusion.BETTER:
                click.echo("nothing is written: add --out FILE, or --write", err=True)
            return
        if found.conclusion is not Conclusion.BETTER and not self.force:
            click.echo(f"{path} is not written: the edits are not known to be better (--force writes them)", err=True)
            return
        write_file(path, self._mark() + found.edited.text.encode())
        click.echo(f"{path} is written", err=True)

    def _mark(self) -> bytes:
        """The byte order mark of the policy's file, checked for being the one that was read."""
        path = Path(self.policy.file)
        if not path.is_file():
            return b""
        if self.in_place and load_text(path) != self.policy.text:
            raise UsageError(f"{path} was changed in the meantime, and is left as it is", hint="run it again")
        return codecs.BOM_UTF8 if path.read_bytes().startswith(codecs.BOM_UTF8) else b""
