"""`magistrate model fit`."""

from __future__ import annotations

import json
from dataclasses import replace

import click
from pydantic import JsonValue
from rich.console import Console
from rich.table import Table
from rich.text import Text

from magistrate.cli.model_text import gigabytes, short_name
from magistrate.models.fit import Fit, Load, Place, fits_of, recommended
from magistrate.models.hardware import Gpu, Machine, parse_gpu_argument, parse_size
from magistrate.models.machine import this_machine
from magistrate.models.profile import Engine, Profile
from magistrate.models.registry import profile_named, profiles
from magistrate.models.speed import measured

SLOW_DECODE = 20.0
"""Tokens a second below which an answer that reasons is slow."""
ANSWER_TOKENS = 300
"""Of an answer that reasons a little; for the sentence that says how long one takes."""


@click.command("fit")
@click.argument("name", required=False)
@click.option("--gpu", metavar="NAME[:NUMBER]", help="Ask about these GPUs in place of this machine's: H100:8, none.")
@click.option("--memory", metavar="SIZE", help="Ask about this much memory in place of this machine's: 64GB.")
@click.option(
    "--context",
    type=click.IntRange(min=256),
    default=8192,
    show_default=True,
    help="Longest prompt and answer, tokens.",
)
@click.option("--concurrency", type=click.IntRange(min=1), default=8, show_default=True, help="Requests at once.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the machine, all fits, the recommended one.")
def command(
    name: str | None, gpu: str | None, memory: str | None, context: int, concurrency: int, *, as_json: bool
) -> None:
    """Say which models this machine can run, how, and how fast.

    \b
    magistrate model fit
    magistrate model fit 120b --gpu "A100:2"
    magistrate model fit --gpu none --memory 16GB

    With NAME, every form and engine of one model; without, the best of each. Speeds are estimates for one request
    alone; docs/models.md says by which formula.
    """
    machine = _machine(gpu, memory)
    load = Load(context_tokens=context, concurrency=concurrency)
    chosen = _that_judge() if name is None else (profile_named(name),)
    by_model = {profile.name: fits_of(machine, profile, load) for profile in chosen if profile.weights}
    best = [fits[0] for fits in by_model.values()]
    advised = recommended(best)
    shown = best if name is None else [fit for fits in by_model.values() for fit in fits]
    if as_json:
        every = [fit for fits in by_model.values() for fit in fits]
        click.echo(json.dumps(_json(machine, load, every, advised), ensure_ascii=False))
        return
    console = Console(highlight=False)
    _show_machine(console, machine)
    console.print(f"For {concurrency} requests at once, {context:,} tokens each:\n")
    _show_table(console, shown)
    _show_advice(console, machine, best, advised)


def _that_judge() -> tuple[Profile, ...]:
    return tuple(profile for profile in profiles() if profile.dialect is not None)


def _machine(gpu: str | None, memory: str | None) -> Machine:
    """This machine, or the one that is asked about."""
    gpus = None if gpu is None else parse_gpu_argument(gpu)
    size = None if memory is None else parse_size(memory)
    if gpus is not None and size is not None:
        return Machine(gpus=gpus, memory_bytes=size, available_bytes=size)
    machine = this_machine()
    if gpus is not None:
        machine = replace(machine, gpus=gpus)
    if size is not None:
        machine = replace(machine, memory_bytes=size, available_bytes=size, memory_bandwidth=None)
    return machine


def _show_machine(console: Console, machine: Machine) -> None:
    gpus = _gpu_words(machine.gpus) or "no GPU"
    asked = machine.cores is None and machine.disk_free_bytes is None
    free = "" if asked else f"{gigabytes(machine.available_bytes)} free of "
    parts = [gpus, f"{free}{gigabytes(machine.memory_bytes)} memory"]
    if machine.cores is not None:
        parts.append(f"{machine.cores} cores")
    if machine.instructions:
        parts.append(" ".join(machine.instructions))
    if machine.disk_free_bytes is not None:
        parts.append(f"{gigabytes(machine.disk_free_bytes)} disk free")
    console.print(Text(" · ".join(parts)))
    for note in machine.notes:
        console.print(Text(f"note: {note}", style="yellow"))


def _gpu_words(gpus: tuple[Gpu, ...]) -> str:
    kinds = list(dict.fromkeys((gpu.name, gpu.memory_bytes) for gpu in gpus))
    counted = [(kind, sum((gpu.name, gpu.memory_bytes) == kind for gpu in gpus)) for kind in kinds]
    return ", ".join(
        f"{f'{count} x ' if count > 1 else ''}{name} ({gigabytes(memory)})" for (name, memory), count in counted
    )


def _show_table(console: Console, fits: list[Fit]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    table.add_column("weights")
    table.add_column("engine")
    table.add_column("runs on")
    table.add_column("needs", justify="right", no_wrap=True)
    table.add_column("tokens/s", justify="right", no_wrap=True)
    for fit in fits:
        style = None if fit.fits and fit.profile.dialect is not None else "dim"
        needs = f"{'~' if fit.estimated_size else ''}{gigabytes(fit.needed_bytes)}" if fit.needed_bytes else ""
        table.add_row(
            fit.profile.name,
            fit.weights.quantisation,
            fit.engine.value,
            _place(fit),
            needs,
            _rate(fit.speed.decode),
            style=style,
        )
    console.print(table)


def _place(fit: Fit) -> str:
    match fit.place:
        case Place.GPU:
            each = f"{fit.gpus} GPUs" if fit.gpus > 1 else "1 GPU"
            return f"{fit.replicas} x {each}" if fit.replicas > 1 else each
        case Place.CPU:
            return "CPU"
        case Place.SPLIT:
            return "GPU and CPU"
        case Place.NOWHERE:
            return f"no: {fit.why}"


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"~{rate:,.0f}" if rate >= 10 else f"~{rate:,.1f}"


def _show_advice(console: Console, machine: Machine, best: list[Fit], advised: Fit | None) -> None:
    """What to do next."""
    console.print()
    if advised is None:
        if len(best) == 1 and best[0].fits:
            console.print("It fits, but magistrate has no dialect that gives it a policy: magistrate model list")
            return
        console.print(
            "None of these can judge here. Ask for less with --context 4096 --concurrency 1. The embedded judge needs "
            "no model (leave --model out), and a hosted server needs no GPU: magistrate judge --model URL"
        )
        return
    profile = advised.profile
    console.print(
        Text.assemble(
            (f"Recommended: {profile.name}", "bold"),
            f", {advised.weights.quantisation} with {advised.engine.value} on {_place(advised)}. ",
            _speed_words(advised),
        )
    )
    for warning in _warnings(machine, advised):
        console.print(Text(warning, style="yellow"))
    name = short_name(profile)
    form = "" if advised.weights is profile.weights[0] else f" --quantisation {advised.weights.quantisation}"
    serves = advised.engine is not Engine.TRANSFORMERS
    then = (
        f"magistrate model serve {name}" if serves else f"magistrate judge --model transformers:{name} --policy spam …"
    )
    console.print(f"\nmagistrate model pull {name}{form}\n{then}", style="bold", markup=False)


def _speed_words(fit: Fit) -> str:
    words: list[str] = []
    rates = {"written": fit.speed.decode, "of a prompt read": fit.speed.prefill}
    known = [f"{_rate(rate)} tokens/s {what}" for what, rate in rates.items() if rate is not None]
    if known:
        words.append(f"Estimate for one request: {', '.join(known)}.")
    found = measured(fit.profile, fit.engine, fit.gpu, fit.gpus) if fit.place is Place.GPU else None
    if found is not None:
        told = {"tokens/s for one request": found.decode, "tokens/s for many at once, prompts included": found.total}
        said = ", ".join(f"{rate:,.0f} {what}" for what, rate in told.items() if rate is not None)
        words.append(f"Published for {found.models[0]} on {found.gpus} x {found.gpu}: {said} ({found.source}).")
    return " ".join(words)


def _warnings(machine: Machine, fit: Fit) -> list[str]:
    found: list[str] = []
    decode = fit.speed.decode
    if fit.profile.efforts and decode is not None and decode < SLOW_DECODE:
        found.append(
            f"Slow: an answer that reasons over {ANSWER_TOKENS} tokens takes about {ANSWER_TOKENS / decode:,.0f} s, "
            "its prompt not counted. The embedded judge answers in milliseconds; a cascade asks the model only where "
            "it pays."
        )
    if fit.place is Place.SPLIT:
        found.append("Weights that are in the machine's memory are read at its speed: expect it to be slow.")
    size = fit.weights.size_bytes or fit.needed_bytes
    if machine.disk_free_bytes is not None and size > machine.disk_free_bytes:
        found.append(
            f"The weights take {gigabytes(size)} of disk and {gigabytes(machine.disk_free_bytes)} are free: "
            "set HF_HOME to a larger one."
        )
    return found


def _json(machine: Machine, load: Load, fits: list[Fit], advised: Fit | None) -> JsonValue:
    return {
        "machine": {
            "gpus": [
                {"name": gpu.name, "memory_bytes": gpu.memory_bytes, "free_bytes": gpu.free_bytes}
                for gpu in machine.gpus
            ],
            "memory_bytes": machine.memory_bytes,
            "available_bytes": machine.available_bytes,
            "memory_bandwidth": machine.memory_bandwidth,
            "cores": machine.cores,
            "processor": machine.processor,
            "instructions": list(machine.instructions),
            "disk_free_bytes": machine.disk_free_bytes,
            "notes": list(machine.notes),
        },
        "context_tokens": load.context_tokens,
        "concurrency": load.concurrency,
        "fits": [_fit_json(fit) for fit in fits],
        "recommended": None if advised is None else _fit_json(advised),
    }


def _fit_json(fit: Fit) -> dict[str, JsonValue]:
    return {
        "model": fit.profile.name,
        "can_judge": fit.profile.dialect is not None,
        "quantisation": fit.weights.quantisation,
        "repo": fit.weights.repo,
        "file": fit.weights.file,
        "engine": fit.engine.value,
        "place": fit.place.value,
        "gpus": fit.gpus,
        "replicas": fit.replicas,
        "needed_bytes": fit.needed_bytes,
        "room_bytes": fit.room_bytes,
        "estimated_size": fit.estimated_size,
        "estimated_decode_per_s": fit.speed.decode,
        "estimated_prefill_per_s": fit.speed.prefill,
        "why": fit.why or None,
    }
