"""`magistrate model list`."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table

from magistrate.cli.model_text import billions, gigabytes, profile_json, short_name, tokens
from magistrate.models.fit import size_of
from magistrate.models.profile import Profile
from magistrate.models.registry import profiles


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model and line.")
def command(*, as_json: bool) -> None:
    """List the models that are known, and what each needs.

    A model judges by reasoning, or at once by a single word; one that cannot be given a policy does not judge. The
    weights are those of the smallest published form, ~ where they were worked out from the parameters: `magistrate
    model fit` adds what else they need.
    """
    if as_json:
        for profile in profiles():
            click.echo(json.dumps(profile_json(profile), ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("parameters (active)", justify="right")
    table.add_column("context", justify="right")
    table.add_column("weights", justify="right")
    table.add_column("judges")
    for profile in profiles():
        table.add_row(
            profile.name, _parameters(profile), tokens(profile.context_tokens), _smallest(profile), _judges(profile)
        )
    Console(highlight=False).print(table)
    first = short_name(profiles()[0])
    click.echo(
        f"\nmagistrate model show {first}   says all that is known of one\n"
        "magistrate model fit        says which of them this machine can run"
    )


def _parameters(profile: Profile) -> str:
    if profile.parameters == profile.active_parameters:
        return billions(profile.parameters)
    return f"{billions(profile.parameters)} ({billions(profile.active_parameters)})"


def _judges(profile: Profile) -> str:
    """How it answers."""
    if profile.dialect is None:
        return "no"
    if not profile.weights:
        return "as it can"
    return "by reasoning" if profile.efforts else "at once"


def _smallest(profile: Profile) -> str:
    known = [size for weights in profile.weights if (size := size_of(profile, weights)) is not None]
    if not known:
        return "?"
    smallest, estimated = min(known)
    return f"{'~' if estimated else ''}{gigabytes(smallest)}"
