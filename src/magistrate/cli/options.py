"""Options that several subcommands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from magistrate.classifiers.plan import Split
from magistrate.errors import UsageError
from magistrate.policy.model import Policy
from magistrate.policy.starter import read_starter, starter_names
from magistrate.types import Effort, Target

P = ParamSpec("P")
R = TypeVar("R")


def policy_option(function: Callable[P, R]) -> Callable[P, R]:
    """Take one policy or more."""
    return click.option(
        "-p",
        "--policy",
        "policies",
        multiple=True,
        required=True,
        metavar="FILE|NAME",
        help="A policy file, or the name of a starter policy; may be given again.",
    )(function)


def model_options(function: Callable[P, R]) -> Callable[P, R]:
    """Take who judges, and how."""
    options = (
        click.option(
            "-m",
            "--model",
            metavar="URL|NAME",
            help="Who judges: a server (http://host:port/v1), a name from magistrate.toml; default: embedded.",
        ),
        click.option("--model-name", metavar="NAME", help="Which model at that URL, where it serves several."),
        click.option("--effort", type=click.Choice([e.value for e in Effort]), help="How long a reasoner may think."),
        click.option("--dialect", metavar="NAME", help="How the model is asked; see docs/dialects.md."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def plan_options(function: Callable[P, R]) -> Callable[P, R]:
    """Take how several policies and their rules become calls."""
    options = (
        click.option(
            "--plan",
            type=click.Choice([s.value for s in Split]),
            help="How policies and rules become calls; default: one call a policy. See docs/planner.md.",
        ),
        click.option(
            "--max-calls",
            type=click.IntRange(1),
            metavar="N",
            help="Calls a content at the most, retries aside: the plan is made coarser to fit.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def target_option(function: Callable[P, R]) -> Callable[P, R]:
    """Take which part of a chat is judged."""
    return click.option(
        "--target",
        type=click.Choice([Target.USER.value, Target.ASSISTANT.value, Target.CHAT.value]),
        help="In a chat, judge the last user message, the assistant's last reply, or all of it (default).",
    )(function)


def chosen_columns(columns: Sequence[str]) -> dict[str, str]:
    """What `--column MEANING=NAME` says, by meaning.

    Raises:
        UsageError: one has no `=`.
    """
    chosen: dict[str, str] = {}
    for column in columns:
        meaning, between, name = column.partition("=")
        if not between:
            raise UsageError(f"--column {column!r} names no column", hint="write --column MEANING=NAME")
        chosen[meaning] = name
    return chosen


def read_policies(names: Sequence[str]) -> list[Policy]:
    """Read files and starter policies, each once, each under a name of its own.

    Raises:
        PolicyError: a file cannot be read.
        UsageError: two policies would have the same name.
    """
    policies = [_read_policy(name) for name in dict.fromkeys(names)]
    seen: dict[str, str] = {}
    for policy in policies:
        if policy.name in seen:
            raise UsageError(
                f"two policies are named {policy.name!r}: {seen[policy.name]} and {policy.file}",
                hint="verdict rows name their policy by the file's stem: rename one of the files",
            )
        seen[policy.name] = policy.file
    return policies


def _read_policy(name: str) -> Policy:
    if not Path(name).exists() and name in starter_names():
        return read_starter(name)
    if not Path(name).exists() and Path(name).stem in starter_names():
        raise UsageError(
            f"no file {name!r}",
            hint=f"there is a starter policy of that name: --policy {Path(name).stem}, "
            f"or `magistrate policies copy {Path(name).stem}` to get a file of your own",
        )
    return Policy.read(name)


def show_warnings(policies: Sequence[Policy]) -> None:
    """Print what the reader has to say about the policies on stderr."""
    for policy in policies:
        for warning in policy.warnings:
            click.echo(warning.render(), err=True)
