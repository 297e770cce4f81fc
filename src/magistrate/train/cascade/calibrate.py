"""Calibrators fitted on labelled cases: how a reasoner's verdict and the screens' scores become a probability.

All functions are pure: arrays in, values out. A logistic model with a penalty on its weights (few positives are the
rule), and an isotonic map on top where that lowers the log-loss of cases that neither was fitted on.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from magistrate.classifiers.cascade.calibrator import Calibrator
from magistrate.classifiers.cascade.signals import Signals, feature_value
from magistrate.classifiers.cascade.words import WORDS_FEATURE, word_score, words_of
from magistrate.classifiers.logistic import logistic
from magistrate.errors import MissingExtraError
from magistrate.evaluate.metrics import Bools, Floats
from magistrate.train.cascade.table import FEWEST_OF_A_KIND, Indices, check_labels, check_scores

if TYPE_CHECKING:
    from types import ModuleType

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Inverse strengths of the penalty on weights that are tried, strongest first (scikit-learn's C)."""
FOLDS = 5
NEWTON_STEPS = 100
WORD_CASES = 3
"""Cases whose reasoning must have a word for it to be weighed."""
MOST_WORDS = 6000
WORD_PENALTY = 3.0
"""Inverse strength for the weights of words; their sum is a feature, weighed again among the others."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sheet:
    """The features of cases. Invariant: as many columns as names, as many rows as sets of words."""

    names: tuple[str, ...]
    values: Floats
    """(n_cases, n_features); 0 in the column of `reasoning_words`, which is computed of the words."""
    words: tuple[frozenset[str], ...]
    """Of the reasoning of each case; empty where there is none."""

    def take(self, which: Indices) -> Sheet:
        """The cases at these positions."""
        return Sheet(names=self.names, values=self.values[which], words=tuple(self.words[n] for n in which.tolist()))

    def with_words(self, scores: Floats) -> Floats:
        """The values with the column of `reasoning_words` filled in."""
        filled = self.values.copy()
        filled[:, self.names.index(WORDS_FEATURE)] = scores
        return filled

    @property
    def reads_words(self) -> bool:
        """Whether `reasoning_words` is among the features."""
        return WORDS_FEATURE in self.names


def feature_sheet(names: Sequence[str], signals: Sequence[Signals]) -> Sheet:
    """The named features of each case."""
    rows = [[0.0 if name == WORDS_FEATURE else feature_value(name, one) for name in names] for one in signals]
    return Sheet(
        names=tuple(names),
        values=np.array(rows, np.float64).reshape(len(signals), len(names)),
        words=tuple(
            words_of(one.verdict.trace.reasoning) if one.verdict and WORDS_FEATURE in names else frozenset()
            for one in signals
        ),
    )


def fit_calibrator(
    sheet: Sheet, truth: Bools, *, groups: Indices | None = None, isotonic: bool = True, seed: int = 0
) -> Calibrator:
    """Fit a calibrator; penalty and shape are chosen by log-loss on inner folds.

    Args:
        sheet: Features, all finite.
        truth: (n_cases,).
        groups: (n_cases,) numbers of what must not be on two sides of a fold (the same content); None for none.
        isotonic: Whether an isotonic map on top may be chosen.
        seed: Of the folds.

    Raises:
        InputError: too few cases of a kind, or a value that is not a number.
        MissingExtraError: scikit-learn is not installed.
    """
    check_labels(truth, fewest=FEWEST_OF_A_KIND)
    for number, name in enumerate(sheet.names):
        check_scores(sheet.values[:, number], f"feature {name!r}", lowest=-np.inf, highest=np.inf)
    fold = fold_numbers(truth, FOLDS, groups=groups, seed=seed)
    words: tuple[tuple[str, float], ...] = ()
    values = sheet.values
    if sheet.reads_words:
        words = fit_words(sheet.words, truth)
        values = sheet.with_words(_unseen_word_scores(sheet.words, truth, fold))
    unseen = {penalty: _out_of_fold(values, truth, fold, penalty) for penalty in PENALTIES}
    penalty = min(PENALTIES, key=lambda one: log_loss(truth, unseen[one]))
    means, scales = _standard(values)
    weights, bias = fit_logistic(values, truth, penalty)
    return Calibrator(
        features=sheet.names,
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        weights=tuple(weights.tolist()),
        bias=bias,
        knots=_knots_that_pay(unseen[penalty], truth, fold) if isotonic else (),
        words=words,
    )


def cross_fitted(
    sheet: Sheet, truth: Bools, *, groups: Indices | None = None, isotonic: bool = True, seed: int = 0
) -> Floats:
    """(n_cases,) probabilities, each by a calibrator that was fitted without its case and its group.

    Args:
        sheet: As in `fit_calibrator`, and so are the others.

    Raises:
        InputError: as `fit_calibrator`; a fold leaves four fifths of the cases of each kind, which must be enough.
    """
    found = np.empty(truth.size)
    fold = fold_numbers(truth, FOLDS, groups=groups, seed=seed + 1)
    for one in range(FOLDS):
        inside, out = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
        inner = None if groups is None else groups[inside]
        fitted = fit_calibrator(sheet.take(inside), truth[inside], groups=inner, isotonic=isotonic, seed=seed)
        found[out] = probabilities(fitted, sheet.take(out))
    return found


def fit_words(found: Sequence[frozenset[str]], truth: Bools) -> tuple[tuple[str, float], ...]:
    """Weights of the words of reasonings, the most usual words, in order of the alphabet; both classes count alike."""
    counts = Counter(word for words in found for word in words)
    usual = sorted((-cases, word) for word, cases in counts.items() if cases >= WORD_CASES)
    chosen = sorted(word for _, word in usual[:MOST_WORDS])
    if not chosen:
        return ()
    place = {word: number for number, word in enumerate(chosen)}
    # Rare words weigh more, as in TF-IDF: the penalty then holds down the usual ones.
    rarity = np.array([1 + np.log((1 + len(found)) / (1 + counts[word])) for word in chosen])
    rows = [sorted(place[word] for word in words if word in place) for words in found]
    table = _sparse().csr_matrix(
        (
            np.concatenate([rarity[row] / max(len(row), 1) ** 0.5 for row in rows]),
            np.concatenate([np.array(row, np.int64) for row in rows]),
            np.cumsum([0, *(len(row) for row in rows)]),
        ),
        shape=(len(rows), len(chosen)),
    )
    model = _sklearn("sklearn.linear_model").LogisticRegression(
        C=WORD_PENALTY, class_weight="balanced", solver="liblinear", max_iter=200
    )
    model.fit(table, truth)
    return tuple(zip(chosen, np.round(model.coef_[0] * rarity, 4).tolist(), strict=True))


def _unseen_word_scores(words: Sequence[frozenset[str]], truth: Bools, fold: Indices) -> Floats:
    """(n_cases,), each by weights that were fitted without its fold."""
    scores = np.empty(truth.size)
    for one in range(FOLDS):
        inside = np.flatnonzero(fold != one)
        weights = dict(fit_words([words[n] for n in inside.tolist()], truth[inside]))
        for n in np.flatnonzero(fold == one).tolist():
            scores[n] = word_score(weights, words[n])
    return scores


def probabilities(calibrator: Calibrator, sheet: Sheet) -> Floats:
    """(n_cases,): what `Calibrator.probability` gives, for all cases at once."""
    values = sheet.values
    if sheet.reads_words:
        weights = dict(calibrator.words)
        values = sheet.with_words(np.array([word_score(weights, one) for one in sheet.words], np.float64))
    scaled = (values - np.array(calibrator.means)) / np.array(calibrator.scales)
    plain = logistic(scaled @ np.array(calibrator.weights) + calibrator.bias)
    if not calibrator.knots:
        return plain
    x, y = zip(*calibrator.knots, strict=True)
    mapped: Floats = np.interp(plain, x, y)
    return mapped


def fold_numbers(truth: Bools, folds: int, *, groups: Indices | None = None, seed: int = 0) -> Indices:
    """(n_cases,) number of each case's fold; violating and allowed cases are spread evenly, a group is in one fold."""
    generator = np.random.default_rng(seed)
    own = np.arange(truth.size) if groups is None else groups
    _, first, inverse = np.unique(own, return_index=True, return_inverse=True)
    fold = np.empty(first.size, np.int64)
    for kind in (True, False):
        members = np.flatnonzero(truth[first] == kind)
        fold[generator.permutation(members)] = np.arange(members.size) % folds
    return fold[inverse.reshape(-1)]


def log_loss(truth: Bools, probability: Floats) -> float:
    """Mean surprise in nats; a certainty that is wrong counts as one in a million."""
    kept = np.clip(probability, 1e-6, 1 - 1e-6)
    return float(-np.mean(np.where(truth, np.log(kept), np.log1p(-kept))))


def _standard(values: Floats) -> tuple[Floats, Floats]:
    """Mean and spread of each feature; a feature that never changes has spread 1."""
    spread = values.std(axis=0)
    return values.mean(axis=0), np.where(spread > 1e-9, spread, 1.0)


def fit_logistic(values: Floats, truth: Bools, penalty: float) -> tuple[Floats, float]:
    """Weights of the standardised features and the bias, by Newton's method: far quicker here than a general solver.

    Minimises penalty * (sum of log-losses) + |weights|^2 / 2, as scikit-learn's LogisticRegression does.
    """
    means, scales = _standard(values)
    table = np.column_stack([(values - means) / scales, np.ones(truth.size)])
    ridge = np.append(np.full(values.shape[1], 1 / penalty), 1e-9)
    share = np.count_nonzero(truth) / truth.size
    found = np.append(np.zeros(values.shape[1]), np.log(share / (1 - share)))

    def objective(at: Floats) -> float:
        score = table @ at
        return float(np.sum(np.logaddexp(0, score) - truth * score) + ridge @ at**2 / 2)

    for _ in range(NEWTON_STEPS):
        said = logistic(table @ found)
        slope = table.T @ (truth - said) - ridge * found
        curve = (table * (said * (1 - said))[:, None]).T @ table + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        now = objective(found)
        while objective(found + step) > now and float(np.max(np.abs(step))) > 1e-9:
            step = step / 2  # a whole step overshoots where the classes are almost parted
        found = found + step
        if float(np.max(np.abs(step))) < 1e-8:
            break
    return found[:-1], float(found[-1])


def _out_of_fold(values: Floats, truth: Bools, fold: Indices, penalty: float) -> Floats:
    found = np.empty(truth.size)
    for one in range(FOLDS):
        out = fold == one
        means, scales = _standard(values[~out])
        weights, bias = fit_logistic(values[~out], truth[~out], penalty)
        found[out] = logistic((values[out] - means) / scales @ weights + bias)
    return found


def _knots_that_pay(probability: Floats, truth: Bools, fold: Indices) -> tuple[tuple[float, float], ...]:
    """Knots of an isotonic map if it lowers the log-loss of cases that it was not fitted on, else none."""
    mapped = np.empty(truth.size)
    for one in range(FOLDS):
        out = fold == one
        knots = _isotonic(probability[~out], truth[~out])
        if len(knots) < 2:
            return ()
        x, y = zip(*knots, strict=True)
        mapped[out] = np.interp(probability[out], x, y)
    knots = _isotonic(probability, truth)
    return knots if len(knots) >= 2 and log_loss(truth, mapped) < log_loss(truth, probability) else ()


def _isotonic(probability: Floats, truth: Bools) -> tuple[tuple[float, float], ...]:
    """Knots of the isotonic fit, kept half a case away from certainty."""
    model = _sklearn("sklearn.isotonic").IsotonicRegression(out_of_bounds="clip").fit(probability, truth)
    least = 0.5 / truth.size
    found = [
        (float(x), float(y))
        for x, y in zip(model.X_thresholds_, np.clip(model.y_thresholds_, least, 1 - least), strict=True)
    ]
    return (*found[:1], *(later for earlier, later in pairwise(found) if later[0] > earlier[0]))


def _sparse() -> ModuleType:
    return _sklearn("scipy.sparse")


def _sklearn(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError("fitting a cascade", extra="fit") from error
