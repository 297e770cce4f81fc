"""`magistrate model pull`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from magistrate.errors import UsageError
from magistrate.models.profile import Profile, Weights
from magistrate.models.pull.cache import missing_parts, place_key, remember
from magistrate.models.pull.pull import Pulled, Watching, Wish, offline, pull, taken
from magistrate.models.pull.room import in_bytes
from magistrate.models.registry import profile_named


@click.command("pull")
@click.argument("name")
@click.option(
    "--quantisation", metavar="NAME", help="Which form, as `magistrate model show` calls it; default: its first."
)
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), help="A folder; default: the hub's cache.")
@click.option("--revision", metavar="COMMIT|TAG|BRANCH", help="Of the repository; default: the profile's, or main.")
@click.option(
    "--from", "source", type=click.Path(path_type=Path), metavar="FOLDER|FILE.gguf", help="Weights that you have."
)
@click.option(
    "--offline", "is_offline", is_flag=True, help="Use what is here; ask no network. So does HF_HUB_OFFLINE=1."
)
@click.option("--check", is_flag=True, help="Read again what is here and compare it with what the hub says.")
def command(
    name: str,
    quantisation: str | None,
    into: Path | None,
    revision: str | None,
    source: Path | None,
    *,
    is_offline: bool,
    check: bool,
) -> None:
    """Bring a model's weights here, resumed and checked, or use those that you have.

    \b
    magistrate model pull 20b
    magistrate model pull 20b --into gpt-oss-safeguard-20b
    magistrate model pull 20b --from gpt-oss-safeguard-20b.gguf

    HF_HOME says where the cache is, HF_ENDPOINT names a mirror, HF_TOKEN opens what is gated. Needs the extra `hub`.
    """
    profile = profile_named(name)
    if source is not None:
        if into or revision or check or is_offline:
            raise UsageError(
                "--from takes weights as they are", hint="give it without --into, --revision, --check, --offline"
            )
        place = taken(source, profile)
        weights = _of_form(
            profile, quantisation or ("GGUF" if place.is_file() else None), strict=quantisation is not None
        )
        remember(place_key(profile, weights), place)
        _next(name, place)
        return
    weights = _of_form(profile, quantisation, strict=True)
    wish = Wish(weights=weights, into=into, revision=revision, check=check)
    found = offline(wish) if is_offline or _set("HF_HUB_OFFLINE") else _fetched(wish)
    if into is not None and missing_parts(into, weights.file) == ():
        remember(place_key(profile, weights), found.place)
    click.echo(f"{found.source}: {found.files} files, {in_bytes(found.fetched_bytes)} fetched", err=True)
    _next(name, found.place)


def _of_form(profile: Profile, quantisation: str | None, *, strict: bool) -> Weights:
    if not profile.weights:
        raise UsageError(f"no published weights are known of {profile.name}", hint="--from takes those that you have")
    if quantisation is None:
        return profile.weights[0]
    for weights in profile.weights:
        form = "GGUF" if weights.file is not None else weights.quantisation
        if quantisation.casefold() in (weights.quantisation.casefold(), form.casefold()):
            return weights
    if not strict:
        return profile.weights[0]
    known = ", ".join(dict.fromkeys(weights.quantisation for weights in profile.weights))
    raise UsageError(f"{profile.name} has no form {quantisation!r}", hint=f"known: {known}")


def _fetched(wish: Wish) -> Pulled:
    if not sys.stderr.isatty():
        return pull(wish, Watching(said=lambda line: click.echo(line, err=True)))
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    with Progress(
        BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True)
    ) as progress:
        task = progress.add_task(wish.weights.repo, total=None)
        watching = Watching(
            total=lambda size: progress.update(task, total=size),
            got=lambda size: progress.advance(task, size),
            said=lambda line: progress.console.print(line, markup=False),
        )
        return pull(wish, watching)


def _next(name: str, place: Path) -> None:
    click.echo(str(place))
    click.echo(f"next: magistrate model serve {shlex.quote(name)} --weights {shlex.quote(str(place))}", err=True)


def _set(variable: str) -> bool:
    return os.environ.get(variable, "").upper() in ("1", "ON", "YES", "TRUE")
