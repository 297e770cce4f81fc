"""From labels to the folder of a screen, with its card."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from magistrate.classifiers.logistic import logistic
from magistrate.classifiers.screens.folder import CARD, ScreenFolder, ScreenKind, ScreenSettings, write_screen_folder
from magistrate.classifiers.screens.reading import Vectors, reader_of
from magistrate.evaluate.interval import difference_interval
from magistrate.evaluate.linear import roc_auc
from magistrate.policy.model import Policy
from magistrate.train.screen.advice import advice
from magistrate.train.screen.card import CURVE, CardFacts, card
from magistrate.train.screen.compare import COMPARED_CASES, HeldOut, compare
from magistrate.train.screen.curve import CurvePoint, learning_curve
from magistrate.train.screen.drawing import curve_picture
from magistrate.train.screen.fit import Fitted, class_folds, fit_head
from magistrate.train.screen.labels import LabelledText, Labels

HELD_OUT_SHARE = 0.25
SPLIT = "split.json"
"""Which cases were fitted on and which were held out, by their ids: what is fitted on top must not mix them."""
PAYS_FROM = 0.02
"""AUC that an encoder must add over the folds before it is chosen by itself: it is a hundred times slower."""

Said = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked for."""

    policy: Policy
    labels: Labels
    source_digest: str
    out: Path
    kind: ScreenKind | None
    """None for the one that pays."""
    command: str
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Trained:
    """A screen of one kind."""

    kind: ScreenKind
    reads: str
    fitted: Fitted
    vectors: Vectors
    held_out: Vectors
    vocabulary: int

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Of the held-out cases."""
        return logistic(self.held_out.log_odds(self.fitted.head))


def train(options: Options, *, said: Said = lambda _: None) -> Path:
    """Fit a screen, compare it with the embedded judge, draw its learning curve and write it with its card.

    Returns:
        The card.

    Raises:
        InputError: the labels cannot be learned from.
    """
    from threadpoolctl import threadpool_limits

    # The matrices are so small that threads of BLAS only wait for one another.
    with threadpool_limits(limits=1, user_api="blas"):
        _train(options, said)
    return options.out / CARD


def _train(options: Options, said: Said) -> None:
    started = time.perf_counter()
    labels = options.labels
    fitted_on, left_out = _split(labels, options.seed)
    said(f"{labels.source}: {fitted_on.size:,} cases to fit on, {left_out.size:,} held out")
    kinds = list(ScreenKind) if options.kind is None else [options.kind]
    trained = [_train_kind(kind, labels, fitted_on, left_out, options.seed, said) for kind in kinds]
    chosen = _chosen(trained, labels.truth[fitted_on])
    curves = [(f"{one.kind} screen", _curve(one, labels, fitted_on, left_out, options.seed, said)) for one in trained]
    _write(options, chosen, trained, curves, (fitted_on, left_out), started, said)


def _split(labels: Labels, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and held-out cases: clusters whole, classes in the same share, each in random order."""
    generator = np.random.default_rng(seed)
    fitted_on, left_out = class_folds(labels.truth, labels.clusters, round(1 / HELD_OUT_SHARE), seed)[0]
    return generator.permutation(fitted_on), generator.permutation(left_out)


def _train_kind(
    kind: ScreenKind,
    labels: Labels,
    fitted_on: NDArray[np.int64],
    left_out: NDArray[np.int64],
    seed: int,
    said: Said,
) -> _Trained:
    truth = labels.truth
    with reader_of(kind) as reader:
        vectors = reader.vectors([labels.texts[place].text for place in fitted_on])
        held_out = reader.vectors([labels.texts[place].text for place in left_out])
        reads, vocabulary = reader.name, reader.vocabulary
    fitted = fit_head(vectors, truth[fitted_on], _numbers(labels.clusters[fitted_on]), vocabulary, seed=seed)
    auc = roc_auc(truth[fitted_on], fitted.out_of_fold)
    said(f"{kind} screen: AUC {0.5 if auc is None else auc.value:.3f} over the folds of the training cases")
    return _Trained(kind, reads, fitted, vectors, held_out, vocabulary)


def _numbers(clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.unique(clusters, return_inverse=True)[1], np.int64)


def _chosen(trained: Sequence[_Trained], truth: NDArray[np.bool_]) -> _Trained:
    """The encoder only where it pays, judged over the folds of the training cases: held-out ones choose nothing."""
    if len(trained) == 1:
        return trained[0]
    static, encoder = trained
    first, second = roc_auc(truth, static.fitted.out_of_fold), roc_auc(truth, encoder.fitted.out_of_fold)
    if first is None or second is None:
        return static
    interval = difference_interval(first, second)
    pays = second.value - first.value >= PAYS_FROM and interval is not None and interval.low > 0
    return encoder if pays else static


def _curve(
    one: _Trained,
    labels: Labels,
    fitted_on: NDArray[np.int64],
    left_out: NDArray[np.int64],
    seed: int,
    said: Said,
) -> list[CurvePoint]:
    truth = labels.truth
    said(f"{one.kind} screen: learning curve")
    some = np.arange(min(COMPARED_CASES, left_out.size))  # those that the embedded judge is measured on
    held_out = (one.held_out.of_texts(some), truth[left_out[some]])
    return learning_curve(one.vectors, truth[fitted_on], held_out, one.vocabulary, seed=seed, said=said)


def _write(
    options: Options,
    chosen: _Trained,
    trained: Sequence[_Trained],
    curves: Sequence[tuple[str, list[CurvePoint]]],
    split: tuple[NDArray[np.int64], NDArray[np.int64]],
    started: float,
    said: Said,
) -> None:
    labels = options.labels
    fitted_on, left_out = split
    held_out = HeldOut(
        [labels.texts[place] for place in left_out], labels.truth[left_out], _numbers(labels.clusters[left_out])
    )
    said("the embedded judge on held-out cases")
    ordered = [chosen, *(one for one in trained if one is not chosen)]
    comparison = compare(
        options.policy,
        held_out,
        [(f"{one.kind} screen", one.probabilities, one.fitted.threshold) for one in ordered],
        [labels.texts[place] for place in fitted_on],
    )
    screen = _screen(options, chosen, labels.truth[fitted_on])
    write_screen_folder(options.out, screen)
    (options.out / CURVE).write_text(curve_picture(curves, comparison.embedded_auc), encoding="utf-8")
    (options.out / SPLIT).write_text(_split_json(labels.texts, fitted_on, left_out), encoding="utf-8")
    facts = CardFacts(
        screen=screen,
        command=options.command,
        labels=labels,
        source_digest=options.source_digest,
        strength=chosen.fitted.strength,
        held_out=left_out.size,
        held_out_violations=int(held_out.truth.sum()),
        comparison=comparison,
        curves=curves,
        advice=advice(comparison, curves),
        seconds=time.perf_counter() - started,
    )
    (options.out / CARD).write_text(card(facts), encoding="utf-8")
    for sentence in facts.advice:
        said(sentence)


def _screen(options: Options, chosen: _Trained, truth: NDArray[np.bool_]) -> ScreenFolder:
    settings = ScreenSettings(
        kind=chosen.kind,
        vectors=chosen.reads,
        policy=options.policy.name,
        policy_digest=options.policy.digest,
        threshold=chosen.fitted.threshold,
        cases=truth.size,
        violations=int(truth.sum()),
        made=datetime.now(UTC).date(),
    )
    return ScreenFolder(settings=settings, head=chosen.fitted.head)


def _split_json(texts: Sequence[LabelledText], fitted_on: NDArray[np.int64], left_out: NDArray[np.int64]) -> str:
    names = {"fitted_on": fitted_on, "held_out": left_out}
    return json.dumps({name: [texts[place].id for place in places] for name, places in names.items()}) + "\n"
