"""`magistrate model show`."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from magistrate.cli.model_text import billions, gigabytes, profile_json, short_name, tokens
from magistrate.models.fit import size_of
from magistrate.models.profile import Engine, Profile, Weights
from magistrate.models.registry import profile_named


@click.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(name: str, *, as_json: bool) -> None:
    """Show what is known of one model, and how to get it.

    NAME is a name, a short name (20b, 120b), a repository, or what Ollama or LM Studio calls it.
    """
    profile = profile_named(name)
    if as_json:
        click.echo(json.dumps(profile_json(profile), ensure_ascii=False))
        return
    console = Console(highlight=False)
    console.print(Text(profile.name, style="bold"))
    _show_facts(console, profile)
    if profile.weights:
        _show_weights(console, profile)
    for title, lines in (("Notes", profile.notes), ("Sources", profile.sources)):
        _show_lines(console, title, lines)
    _show_next(console, profile)


def _show_facts(console: Console, profile: Profile) -> None:
    active = billions(profile.active_parameters)
    facts = {
        "also called": ", ".join(profile.aliases),
        "parameters": f"{billions(profile.parameters)}, {active} active for a token" if profile.parameters else "",
        "context": f"{tokens(profile.context_tokens)} tokens" if profile.context_tokens else "not known",
        "licence": profile.licence or "not known",
        "asked as": profile.dialect or "nothing: it cannot judge under a policy with magistrate",
        "in process": profile.token_dialect or "",
        "efforts": ", ".join(effort.value for effort in profile.efforts) or "none: it does not reason",
    }
    if not profile.weights:  # a model of the user's own choice
        del facts["context"], facts["licence"], facts["efforts"]
    for title, fact in facts.items():
        if fact:
            console.print(Text.assemble((f"  {title:<12}", "dim"), fact))


def _show_weights(console: Console, profile: Profile) -> None:
    console.print(Text("Weights", style="bold"))
    for weights in profile.weights:
        engines = ", ".join(engine.value for engine in weights.engines)
        console.print(Text(f"  {weights.quantisation}, {_size(profile, weights)}, for {engines}"))
        for place in (weights.repo, weights.file):
            if place is not None:
                console.print(Text(f"    {place}"), soft_wrap=True)
    for engine, name in profile.served_names:
        console.print(Text(f"  in {_SERVERS.get(engine, engine.value)}: {name}"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for engine, flags in profile.engine_flags:
        table.add_row(engine.value, " ".join(flags))
    if profile.engine_flags:
        console.print(Text("Flags of its server", style="bold"))
        console.print(Padding(table, (0, 0, 0, 2)))


_SERVERS = {Engine.OLLAMA: "Ollama", Engine.LM_STUDIO: "LM Studio"}


def _size(profile: Profile, weights: Weights) -> str:
    size = size_of(profile, weights)
    if size is None:
        return "size not known"
    return f"about {gigabytes(size[0])} (estimated)" if size[1] else gigabytes(size[0])


def _show_lines(console: Console, title: str, lines: tuple[str, ...]) -> None:
    if lines:
        console.print(Text(title, style="bold"))
    for line in lines:
        console.print(Padding(Text(line), (0, 0, 0, 2)))


def _show_next(console: Console, profile: Profile) -> None:
    if profile.dialect is None or not profile.weights:
        return
    name = short_name(profile)
    console.print(
        f"\nmagistrate model fit {name}    says whether this machine can run it, and how\n"
        f"magistrate model pull {name}   brings the weights here"
    )
