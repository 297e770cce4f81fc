"""The `magistrate` command: finds the subcommand, and turns what went wrong into a message and an exit status."""

from __future__ import annotations

import os
import sys

import click

import magistrate
from magistrate.cli.lazy import LazyGroup
from magistrate.errors import (
    BackendError,
    ConfigError,
    InputError,
    MagistrateError,
    MissingExtraError,
    PolicyError,
    StoreError,
    UsageError,
)

EXIT_ALLOWED = 0
EXIT_VIOLATION = 1
EXIT_UNDECIDED = 2
EXIT_USAGE = 64
"""sysexits EX_USAGE: also for files, policies and settings that cannot be used."""
EXIT_UNAVAILABLE = 69
"""sysexits EX_UNAVAILABLE: a backend or an optional package is not there."""
EXIT_IO = 74
"""sysexits EX_IOERR: the decision log, or the disk."""
EXIT_INTERRUPTED = 130

COMMANDS = {
    "judge": ("magistrate.cli.judge", "Judge one text or chat under one or more policies."),
    "batch": ("magistrate.cli.batch", "Judge a file of texts or chats; resumable."),
    "evaluate": ("magistrate.cli.evaluate", "Judge a golden set and report how well the verdicts agree with it."),
    "test": ("magistrate.cli.test", "Test policies on the golden sets beside them."),
    "compare": ("magistrate.cli.compare", "Say whether a policy, model or effort is better than another."),
    "improve": ("magistrate.cli.improve", "Propose edits of a policy from its errors, and test whether they help."),
    "lint": ("magistrate.cli.lint", "Find what is wrong with a policy, why it matters, and how to mend it."),
    "probe": ("magistrate.cli.probe", "Find out whether a policy steers the judge."),
    "stability": ("magistrate.cli.stability", "Measure how often the same question gets another answer."),
    "data": ("magistrate.cli.data", "List data sets, describe a golden set, or bring one into magistrate's form."),
    "train": ("magistrate.cli.train", "Fit a model from labelled cases."),
    "cascade": (
        "magistrate.cli.cascade",
        "Fit cascades and look into them: screens first, a reasoner where it pays.",
    ),
    "model": ("magistrate.cli.model", "Say which models there are and which of them this machine can run."),
    "export": ("magistrate.cli.export", "Write a policy and its golden set as a task of another harness."),
    "policies": ("magistrate.cli.policies", "List, show or copy the starter policies; check how your own is read."),
    "log": ("magistrate.cli.log", "List, show, export or purge the decision log."),
    "doctor": ("magistrate.cli.doctor", "Say what is installed, what is reachable and what to do next."),
}


class Commands(LazyGroup):
    """The subcommands of `magistrate`."""

    table = COMMANDS


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(magistrate.__version__, prog_name="magistrate")
def cli() -> None:
    """Judge content under a safety policy that you wrote.

    \b
    magistrate judge --policy spam '1000 followers for $5, DM me'
    magistrate batch posts.jsonl --policy mine.md --out verdicts.jsonl

    Exit status: 0 allowed, 1 violation, 2 could not be decided, 64 bad usage,
    69 a model is not available, 74 the log or the disk failed.
    """


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line; return the exit status."""
    try:
        status: object = cli.main(args=arguments, prog_name="magistrate", standalone_mode=False)
    except click.exceptions.Exit as left:
        return left.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except MagistrateError as error:
        click.echo(f"magistrate: {error}", err=True)
        return exit_status(error)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ALLOWED
    return status if isinstance(status, int) else EXIT_ALLOWED


def exit_status(error: MagistrateError) -> int:
    """Map an error to an exit status."""
    match error:
        case UsageError() | PolicyError() | ConfigError() | InputError():
            return EXIT_USAGE
        case BackendError() | MissingExtraError():
            return EXIT_UNAVAILABLE
        case StoreError():
            return EXIT_IO
        case _:
            return EXIT_UNAVAILABLE
