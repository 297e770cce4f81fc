"""`magistrate model serve`."""

from __future__ import annotations

import ipaddress
import os
import shlex
from pathlib import Path

import anyio
import click

from magistrate.config import served_folder
from magistrate.errors import BackendError, UsageError
from magistrate.models.machine import this_machine
from magistrate.models.profile import Engine, Profile
from magistrate.models.registry import profile_named
from magistrate.models.serve.choose import check_memory, check_weights, choose_program, preferred_engine
from magistrate.models.serve.commands import Launch, ProgramKind, Serving, launch
from magistrate.models.serve.running import Served
from magistrate.models.serve.stores import running_store, running_stores

_STORES = (Engine.OLLAMA, Engine.LM_STUDIO)
_ENGINES = (Engine.VLLM, Engine.LLAMACPP, *_STORES)


@click.command("serve")
@click.argument("name")
@click.option("--engine", type=click.Choice([e.value for e in _ENGINES]), help="Default: the one that fits.")
@click.option("--weights", metavar="FOLDER|FILE|REPO", help="What to serve: a folder, a GGUF file, a repository.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any that is free.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Other machines reach only what is bound here.")
@click.option("--context", type=click.IntRange(min=1), metavar="TOKENS", help="Of prompt and answer; default: 16,384.")
@click.option("--tensor-parallel", type=click.IntRange(1), default=1, help="GPUs that share a copy of the weights.")
@click.option("--data-parallel", type=click.IntRange(1), default=1, help="Copies of the weights.")
@click.option("--dtype", metavar="NAME", help="Of the weights in memory, as the engine calls it.")
@click.option("--flag", "flags", multiple=True, metavar="WORD", help="For the engine as it is: --flag=--seed --flag=1.")
@click.option("--api-key-env", metavar="VARIABLE", help="Ask clients for the key that this variable holds.")
@click.option("--wait", type=click.FloatRange(min=1), default=1800, show_default=True, help="Seconds until it answers.")
@click.option("--dry-run", is_flag=True, help="Print the engine's command line, and start nothing.")
def command(
    name: str,
    engine: str | None,
    weights: str | None,
    port: int,
    host: str,
    context: int | None,
    tensor_parallel: int,
    data_parallel: int,
    dtype: str | None,
    flags: tuple[str, ...],
    api_key_env: str | None,
    wait: float,
    *,
    dry_run: bool,
) -> None:
    """Start the engine that fits a model, wait until it answers, and keep it running until Ctrl-C.

    \b
    magistrate model serve 20b
    magistrate model serve 20b --weights gpt-oss-safeguard-20b.gguf
    magistrate judge --model 20b --policy spam '…'       (in another terminal)

    NAME is that of a model, or with --weights any. Ollama and LM Studio are used if they run and hold the model.
    The engine's log keeps no requests; it is a file that you alone can read.
    """
    profile = _profile(name, weights)
    chosen = None if engine is None else Engine(engine)
    unsaid = chosen is None and weights is None
    if (unsaid or chosen in _STORES) and _use_store(profile, chosen):
        return
    first = Engine.VLLM if profile is None or not unsaid else preferred_engine(profile, this_machine())
    chosen, program = choose_program(chosen, weights, os.environ, first=first)
    serving = Serving(
        name=name if profile is None else profile.name,
        weights=check_weights(chosen, weights, profile),
        profile=profile,
        host=host,
        port=port or _free_port(host),
        context_tokens=context,
        tensor_parallel=tensor_parallel,
        data_parallel=data_parallel,
        dtype=dtype,
        flags=flags,
        api_key_env=api_key_env or _own_key(program.kind),
    )
    how = launch(serving, program)
    _check_key(serving.api_key_env)
    if dry_run:
        click.echo(how.shown())
        return
    _check_here(serving.weights)
    _say_who_can_reach_it(serving)
    _supervise(serving, chosen, how, wait)


def _profile(name: str, weights: str | None) -> Profile | None:
    """What is known of the model; a model of the user's own needs weights."""
    try:
        return profile_named(name)
    except UsageError:
        if weights is None:
            raise
        return None


def _use_store(profile: Profile | None, engine: Engine | None) -> bool:
    """Whether Ollama or LM Studio serves it already, which is then said.

    Raises:
        BackendError: the one that is asked for does not run, or does not hold the model.
    """
    if engine is None:
        stores = () if profile is None else running_stores(os.environ)
        return any(_serves(store.url, profile, store.holds(profile)) for store in stores if profile is not None)
    store = running_store(engine, os.environ)
    if store is None:
        start = "ollama serve" if engine is Engine.OLLAMA else "start it, and its server in the Developer tab"
        raise BackendError(f"{engine.value} does not answer on this machine", hint=start)
    wanted = None if profile is None else profile.served_name(engine)
    if profile is None or wanted is None:
        raise BackendError(f"no name is known by which {engine.value} holds this model", hint=f"--model {store.url}")
    if _serves(store.url, profile, store.holds(profile)):
        return True
    get = f"ollama pull {wanted}" if engine is Engine.OLLAMA else f"lms get {wanted}"
    raise BackendError(f"{engine.value} runs and does not hold {wanted!r}", hint=get)


def _serves(url: str, profile: Profile | None, model: str | None) -> bool:
    if profile is None or model is None:
        return False
    click.echo(f"{model} is served at {url}")
    click.echo(f"judge with it: {_judge_command(_short(profile))}")
    return True


def _own_key(kind: ProgramKind) -> str | None:
    """A key that is set for this engine by its own variable holds without being asked for."""
    variable = {ProgramKind.VLLM: "VLLM_API_KEY", ProgramKind.LLAMA_SERVER: "LLAMA_API_KEY"}.get(kind)
    return variable if variable is not None and os.environ.get(variable) else None


def _check_key(variable: str | None) -> None:
    if variable is not None and not os.environ.get(variable):
        raise UsageError(f"${variable} is not set", hint=f"export {variable}=…, or leave --api-key-env out")


def _check_here(weights: str) -> None:
    if Path(weights).exists():
        check_memory(weights, this_machine())


def _free_port(host: str) -> int:
    from magistrate.models.serve.supervisor import free_port

    return free_port(host)


def _say_who_can_reach_it(serving: Serving) -> None:
    try:
        loopback = serving.host == "localhost" or ipaddress.ip_address(serving.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        who = (
            "anyone there can use it" if serving.api_key_env is None else f"the key in ${serving.api_key_env} is asked"
        )
        click.echo(f"note: {serving.host} is reached from other machines, without encryption: {who}", err=True)


def _supervise(serving: Serving, engine: Engine, how: Launch, wait_s: float) -> None:
    from magistrate.models.serve.supervisor import Limits, Supervision

    folder = served_folder()
    log = folder / f"{serving.port}.log"
    click.echo(f"starting {engine.value}; its log: {log}", err=True)
    supervision = Supervision(
        serving=serving,
        engine=engine,
        launch=how,
        environment=dict(os.environ),
        folder=folder,
        log=log,
        said=lambda line: click.echo(line, err=True),
        ready=_announce,
        limits=Limits(start_s=wait_s),
    )
    anyio.run(supervision.run)
    click.echo("stopped", err=True)


def _announce(served: Served) -> None:
    click.echo(f"{served.name} is served at {served.url}")
    click.echo(f"judge with it: {_judge_command(served.name)}")
    click.echo("stop it with Ctrl-C", err=True)


def _short(profile: Profile) -> str:
    return profile.aliases[0] if profile.aliases else profile.name


def _judge_command(name: str) -> str:
    return f"magistrate judge --model {shlex.quote(name)} --policy spam '1000 followers for $5, DM me'"
