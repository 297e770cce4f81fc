"""`magistrate judge`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from magistrate.case import Case
from magistrate.cli.main import EXIT_ALLOWED, EXIT_UNDECIDED, EXIT_VIOLATION
from magistrate.cli.options import (
    model_options,
    plan_options,
    policy_option,
    read_policies,
    show_warnings,
    target_option,
)
from magistrate.cli.show import show_verdict
from magistrate.config import Config, find_config, read_config
from magistrate.errors import UsageError
from magistrate.row import verdict_row
from magistrate.run.content import content_from_json, content_from_transcript
from magistrate.run.judge import Judge
from magistrate.run.record import action_of, log_verdicts
from magistrate.types import Content, Decided, Target, Verdict


@click.command("judge")
@click.argument("text", required=False)
@policy_option
@click.option("--file", "path", type=click.Path(path_type=Path), help="Read the text from a file; `-` is stdin.")
@click.option(
    "--chat",
    "chat_path",
    type=click.Path(path_type=Path),
    help="Read a chat: JSON messages, or lines `user: …` / `assistant: …`; `-` is stdin.",
)
@target_option
@model_options
@plan_options
@click.option("--id", "case_id", default="", help="Your own id of the case, for the log and the row.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON row a policy.")
@click.option("--no-log", is_flag=True, help="Do not write the decision log.")
def command(
    text: str | None,
    policies: tuple[str, ...],
    path: Path | None,
    chat_path: Path | None,
    target: str | None,
    model: str | None,
    model_name: str | None,
    effort: str | None,
    dialect: str | None,
    plan: str | None,
    max_calls: int | None,
    case_id: str,
    as_json: bool,
    no_log: bool,
) -> int:
    """Judge one text or chat under one or more policies.

    The text comes from TEXT, from --file, from --chat, or from stdin.

    \b
    magistrate judge --policy spam '1000 followers for $5, DM me'
    magistrate judge --policy spam.md --policy hate < post.txt
    magistrate judge --policy harassment --chat chat.json --target assistant

    Exit status: 0 allowed under all policies, 1 a violation of at least one,
    2 none violated but at least one could not be decided, 64 bad usage.
    """
    config = read_config(find_config())
    read = read_policies(policies)
    show_warnings(read)
    content = _content(text, path, chat_path, target)
    cases = [Case(policy, content, case_id) for policy in read]
    judge = Judge(
        model,
        model_name=model_name,
        effort=effort,
        dialect=dialect,
        config=config,
        plan=plan,
        max_calls=max_calls,
    )
    with judge:
        verdicts = judge.judge_cases(cases)
    if config.log.enabled and not no_log:
        log_verdicts(config, cases, verdicts)
    _print(config, cases, verdicts, as_json=as_json)
    return verdicts_status(verdicts)


def verdicts_status(verdicts: list[Verdict]) -> int:
    """The exit status of some verdicts on one content: a violation outranks what is not decided."""
    if any(isinstance(v, Decided) and v.violation for v in verdicts):
        return EXIT_VIOLATION
    if all(isinstance(v, Decided) for v in verdicts):
        return EXIT_ALLOWED
    return EXIT_UNDECIDED


def _content(text: str | None, path: Path | None, chat_path: Path | None, target: str | None) -> Content:
    given = [name for name, value in (("TEXT", text), ("--file", path), ("--chat", chat_path)) if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} are given", hint="give the content once")
    if chat_path is not None:
        return content_from_transcript(_read(chat_path), Target(target or Target.CHAT))
    if target is not None:
        raise UsageError("--target needs a chat", hint="give the chat with --chat FILE, or --chat - for stdin")
    if text is not None:
        return content_from_json(text, Target.TEXT)
    if path is None and sys.stdin.isatty():
        raise UsageError("nothing to judge", hint="give a text, --file FILE, --chat FILE, or pipe a text into stdin")
    return content_from_json(_read(path or Path("-")), Target.TEXT)


def _read(path: Path) -> str:
    """Read a text; the line feed that an editor or `echo` leaves at the end is not part of it."""
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"cannot read {str(path)!r}: {error.strerror}", hint="check the path and its rights"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{str(path)!r} is not UTF-8 at byte {error.start}", hint="save it as UTF-8") from error
    return text.removesuffix("\n").removesuffix("\r")


def _print(config: Config, cases: list[Case], verdicts: list[Verdict], *, as_json: bool) -> None:
    if as_json:
        for case, verdict in zip(cases, verdicts, strict=True):
            row = verdict_row(case.id, verdict, action=action_of(config, verdict))
            click.echo(row.to_json())
        return
    console = Console(highlight=False, soft_wrap=False)
    for position, (case, verdict) in enumerate(zip(cases, verdicts, strict=True)):
        if position:
            console.print()
        show_verdict(console, case.policy, verdict)
