"""`magistrate test`."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import anyio
import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID

from magistrate.cli.appraisal import show_appraisal, show_note
from magistrate.cli.options import model_options, show_warnings, target_option
from magistrate.cli.show import plain
from magistrate.config import Config, ThresholdsConfig, find_config, read_config
from magistrate.errors import MissingExtraError, StoreError, UsageError
from magistrate.evaluate.appraisal import Appraisal, appraise
from magistrate.evaluate.gate import Mode, Result, Thresholds
from magistrate.evaluate.junit import junit_xml
from magistrate.evaluate.report.files import check_page_name, picture_files, report_files
from magistrate.evaluate.report.plain import appraisal_values
from magistrate.evaluate.runfile import RunHeader, judge_run, read_run
from magistrate.evaluate.suite import Subject, Suite, find_suite
from magistrate.run.judge import Judge
from magistrate.run.named import dialect_of, reasoner_named
from magistrate.run.record import batch_identity
from magistrate.types import Effort, Target

EXIT_STATUS = {Result.PASSED: 0, Result.FAILED: 1, Result.UNDETERMINED: 2}
RUN_SUFFIX = ".run.jsonl"
EMBEDDED_DIALECT = "embedded"


@click.command("test", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("places", metavar="[PATH|NAME]...", nargs=-1)
@click.option("--data", type=click.Path(path_type=Path), help="Golden set, where one policy is tested.")
@target_option
@model_options
@click.option(
    "--require",
    "required",
    multiple=True,
    metavar="NAME=VALUE",
    help="A threshold such as min_f1=0.8, over those of magistrate.toml; may be given again.",
)
@click.option(
    "--mode",
    type=click.Choice([m.value for m in Mode]),
    help="Hold figures (point, the default) or their whole intervals (confident) against thresholds.",
)
@click.option("--run", "run_file", type=click.Path(path_type=Path), help="Keep verdicts in this file; resumable.")
@click.option("--restart", is_flag=True, help="With --run, judge everything anew.")
@click.option(
    "--from-run",
    "from_runs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Measure a run file again, without asking the model; may be given again.",
)
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, allow_dash=True), help="Write all figures.")
@click.option("--report", type=click.Path(path_type=Path), help="Write one HTML page, with JSON and CSV beside it.")
@click.option("--pictures", type=click.Path(path_type=Path), help="Write the charts into this folder, as SVG.")
@click.option("--png", is_flag=True, help="With --pictures, write PNG too; needs the extra `report`.")
@click.option("--worst", type=click.IntRange(0), default=5, show_default=True, help="Wrong cases that are listed.")
@click.option("-v", "--verbose", is_flag=True, help="Print all figures, with tables by rule, label, kind, language.")
def command(
    places: tuple[str, ...],
    *,
    data: Path | None,
    target: str | None,
    model: str | None,
    model_name: str | None,
    effort: str | None,
    dialect: str | None,
    required: tuple[str, ...],
    mode: str | None,
    run_file: Path | None,
    restart: bool,
    from_runs: tuple[Path, ...],
    junit: Path | None,
    json_file: Path | None,
    report: Path | None,
    pictures: Path | None,
    png: bool,
    worst: int,
    verbose: bool,
) -> int:
    """Test policies on the golden sets beside them.

    PATH is a policy file or a folder of them; NAME is a starter policy. The golden set of mine.md is
    mine.golden.jsonl, mine_golden.csv or golden/mine.jsonl (or .csv, .tsv, .parquet).

    \b
    magistrate test policies/
    magistrate test spam --require min_f1=0.8 --report spam.html
    magistrate test mine.md --model http://127.0.0.1:8000/v1 --run mine.run.jsonl
    magistrate test --from-run mine.run.jsonl

    Exit status: 0 passed, 1 a threshold is not kept, 2 it cannot be told (too few cases, or nothing was
    decided), 64 bad usage, 69 the model is not available, 74 the disk failed.
    """
    config = read_config(find_config())
    asked = Asked(config, _required(required), mode)
    out = Outputs(junit=junit, json=json_file, report=report, pictures=pictures, png=png)
    suite = (
        find_suite(places, target=Target(target or Target.CHAT), data=data)
        if places
        else Suite(subjects=(), without_golden=())
    )
    show_warnings([subject.policy for subject in suite.subjects])
    for path in suite.without_golden:
        show_note(f"{path} has no golden set and is not tested")
    if from_runs:
        tests = _remeasure(from_runs, suite, asked)
    elif not places:
        raise UsageError("nothing to test", hint="magistrate test policies/, or --from-run FILE")
    else:
        asker = Asker(config, model, model_name, effort, dialect)
        tests = _judge_all(asker, suite, asked, Target(target or Target.CHAT), run_file, restart=restart)
    # With --json - the standard output is JSON and nothing else.
    console = Console(highlight=False, stderr=str(json_file) == "-")
    for test in tests:
        show_appraisal(console, test, worst=worst, verbose=verbose)
    out.write(tests)
    return worst_status(tests)


def worst_status(tests: Sequence[Appraisal]) -> int:
    """1 where a policy failed, else 2 where one cannot be told, else 0."""
    results = {test.result for test in tests}
    worst = next(r for r in (Result.FAILED, Result.UNDETERMINED, Result.PASSED) if r in results)
    return EXIT_STATUS[worst]


@dataclass(frozen=True, slots=True)
class Asked:
    """Thresholds of the settings and of the command line."""

    config: Config
    required: ThresholdsConfig
    mode: str | None

    def of_policy(self, name: str) -> tuple[Thresholds, Mode]:
        """What must hold for one policy, and how it is held."""
        general = self.config.test.of_policy(name)
        values = {**general.model_dump(exclude_none=True), **self.required.model_dump(exclude_none=True)}
        mode = Mode(self.mode or values.get("mode", Mode.POINT.value))
        return Thresholds(**{key: value for key, value in values.items() if key != "mode"}), mode


@dataclass(frozen=True, slots=True)
class Asker:
    """Who judges, as the command line names it."""

    config: Config
    model: str | None
    model_name: str | None
    effort: str | None
    dialect: str | None

    def judge(self) -> Judge:
        """A judge, not yet open."""
        return Judge(
            self.model, model_name=self.model_name, effort=self.effort, dialect=self.dialect, config=self.config
        )

    def header(self, judge: Judge, subject: Subject, target: Target) -> RunHeader:
        """What a run of this judge says of itself."""
        settings = batch_identity(
            self.config, self.model, model_name=self.model_name, effort=self.effort, dialect=self.dialect
        )
        wanted = self.model or self.config.judge.model
        named = reasoner_named(wanted or "", self.config)
        effort = settings.get("effort")
        return RunHeader(
            dataset=subject.dataset.identity,
            target=target,
            policy=subject.policy.name,
            policy_digest=subject.policy.digest,
            model=judge.classifier.name,
            dialect=self.dialect or (EMBEDDED_DIALECT if named is None else dialect_of(named)),
            effort=None if effort is None else Effort(effort),
            settings={key: value for key, value in settings.items() if key not in ("actions", "effort", "dialect")},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Files that are asked for. What cannot be made is refused before anything is judged."""

    junit: Path | None
    json: Path | None
    report: Path | None
    pictures: Path | None
    png: bool

    def __post_init__(self) -> None:
        if self.png and self.pictures is None:
            raise UsageError("--png needs a folder", hint="add --pictures FOLDER")
        if self.png and importlib.util.find_spec("resvg_py") is None:
            raise MissingExtraError("PNG", extra="report")
        if self.report is not None:
            check_page_name(self.report)

    def write(self, tests: Sequence[Appraisal]) -> None:
        """Write them.

        Raises:
            StoreError: one cannot be written.
            MissingExtraError: PNG is asked for and what draws it is not installed.
        """
        if self.junit is not None:
            write_file(self.junit, junit_xml(tests))
        if self.json is not None:
            text = json.dumps([appraisal_values(test) for test in tests], ensure_ascii=True, indent=1) + "\n"
            if str(self.json) == "-":
                click.echo(text, nl=False)
            else:
                write_file(self.json, text.encode())
        if self.report is not None:
            for path, body in report_files(self.report, tests).items():
                write_file(path, body)
        if self.pictures is not None:
            for path, body in picture_files(self.pictures, tests, png=self.png).items():
                write_file(path, body)


def write_file(path: Path, body: bytes) -> None:
    """Write a file, making its folder.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    except OSError as error:
        raise StoreError(
            f"cannot write {str(path)!r}: {error.strerror or error}", hint="check its folder and its rights"
        ) from error


def _required(pairs: Sequence[str]) -> ThresholdsConfig:
    known = [field.name for field in fields(Thresholds)]
    values: dict[str, float | None] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if name not in known or not 0 <= value <= 1:
            raise UsageError(
                f"--require {pair[:60]!r} is no threshold",
                hint=f"NAME=VALUE with a value from 0 to 1, and a name of {', '.join(known)}",
            )
        values[name] = value
    return ThresholdsConfig.model_validate(values)


def _remeasure(paths: Sequence[Path], suite: Suite, asked: Asked) -> list[Appraisal]:
    subjects = {subject.policy.name: subject for subject in suite.subjects}
    subjects |= {subject.policy.digest: subject for subject in suite.subjects}  # of one name there may be several
    tests: list[Appraisal] = []
    for path in paths:
        header = read_run(path).header
        name = header.policy
        subject = subjects.get(header.policy_digest) or subjects.get(name)
        if suite.subjects and subject is None:
            raise UsageError(f"{path} is of the policy {name!r}, which was not given", hint="give its file too")
        thresholds, mode = asked.of_policy(name)
        tests.append(
            appraise(
                path,
                policy=None if subject is None else subject.policy,
                dataset=None if subject is None else subject.dataset,
                thresholds=thresholds,
                mode=mode,
            )
        )
    return tests


def _judge_all(
    asker: Asker, suite: Suite, asked: Asked, target: Target, run_file: Path | None, *, restart: bool
) -> list[Appraisal]:
    with ExitStack() as stack:
        if run_file is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="magistrate-")))
        else:
            folder = run_file
        several = run_file is None or len(suite.subjects) > 1
        paths = [
            folder / f"{number:03}-{subject.policy.name}{RUN_SUFFIX}" if several else folder
            for number, subject in enumerate(suite.subjects, start=1)
        ]
        if run_file is not None and several:
            _make_folder(folder)
        anyio.run(partial(judge_subjects, restart=restart), asker, suite.subjects, paths, target)
        tests: list[Appraisal] = []
        for subject, path in zip(suite.subjects, paths, strict=True):
            thresholds, mode = asked.of_policy(subject.policy.name)
            tests.append(
                appraise(path, policy=subject.policy, dataset=subject.dataset, thresholds=thresholds, mode=mode)
            )
        return tests


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--run {str(folder)!r} cannot be a folder: {error.strerror or error}",
            hint="where several policies are tested it is a folder, with a run file of each",
        ) from error


def _advance(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)


async def judge_subjects(
    asker: Asker,
    subjects: Sequence[Subject],
    paths: Sequence[Path],
    target: Target,
    *,
    restart: bool = False,
) -> None:
    """Judge golden sets into run files, with one judge."""
    judge = asker.judge()
    console = Console(stderr=True, highlight=False)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        async with judge:
            for subject, path in zip(subjects, paths, strict=True):
                header = asker.header(judge, subject, target)
                task = progress.add_task(escape(plain(subject.policy.name)), total=len(subject.dataset.cases))
                await judge_run(
                    path,
                    header,
                    subject.policy,
                    judge.classifier,
                    subject.dataset,
                    restart=restart,
                    on_progress=partial(_advance, progress, task),
                )
