"""Sets whose policies are never trained on: what training is watched by and calibrated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray

from magistrate.evaluate.corpus import TRAIN, load_bundle, open_corpus
from magistrate.evaluate.dataset import MayTrain
from magistrate.evaluate.golden import GoldenCase, Reading, load_golden
from magistrate.evaluate.metrics import average_precision, roc_auc
from magistrate.policy.model import Policy
from magistrate.policy.starter import golden_path, read_starter, starter_names
from magistrate.train.embedded.batches import batch_contents, batch_passages
from magistrate.train.embedded.families import TrainingPolicy, training_policy
from magistrate.train.embedded.network import PolicyReader
from magistrate.train.embedded.tokens import TextTokens
from magistrate.types import Content

CASES = 400
"""Of a set, at most."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A set under a policy that is not trained on."""

    name: str
    policy: TrainingPolicy
    contents: tuple[Content, ...]
    truth: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """How well the log-odds of a set order its cases."""

    name: str
    auc: float
    average_precision: float


def held_out_sets(folders: Sequence[Path], *, may_train: frozenset[MayTrain], seed: int) -> tuple[HeldOut, ...]:
    """Train splits of sets that may not be trained on, and the English cases of the starter policies' golden sets.

    Eval splits are never touched.
    """
    found: list[HeldOut] = []
    for folder in folders:
        for name, bundle in open_corpus(folder).bundles.items():
            if TRAIN in bundle.files and bundle.policy is not None and bundle.may_train not in may_train:
                cases = load_bundle(bundle, TRAIN).cases
                found.append(_held_out(name, Policy.read(bundle.policy, name=name), cases, seed))
    for name in starter_names():
        golden = load_golden(golden_path(name), Reading()).cases
        english = [case for case in golden if case.lang in ("", "en")]
        found.append(_held_out(f"starter {name}", read_starter(name), english, seed))
    return tuple(found)


def _held_out(name: str, policy: Policy, cases: Sequence[GoldenCase], seed: int) -> HeldOut:
    chosen = Random(seed).sample(list(cases), min(CASES, len(cases)))  # noqa: S311  # sampling, no secret
    truth = np.array([case.violation for case in chosen], np.bool_)
    return HeldOut(name, training_policy(policy), tuple(case.content for case in chosen), truth)


def log_odds(
    network: PolicyReader, policy: TrainingPolicy, contents: Sequence[Content], tokens: TextTokens
) -> NDArray[np.float64]:
    """Of a violation, for each content: (contents,)."""
    network.eval()
    found = np.zeros(len(contents))
    batch = batch_passages([(policy.title, policy.passages)], tokens)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        vectors = network.passages(batch.ids)
        for some in batch_contents(contents, tokens, size=32):
            scores = network.head.scores(network.encoder(some.ids), some.mask, vectors, batch.kinds)
            found[list(some.places)] = network.head.log_odds(scores, batch.violating).double().numpy()
    return found


def score_held_out(network: PolicyReader, sets: Sequence[HeldOut], tokens: TextTokens) -> list[HeldOutScore]:
    """Of each set that has cases of both kinds."""
    scores: list[HeldOutScore] = []
    for one in sets:
        values = log_odds(network, one.policy, one.contents, tokens)
        auc, precision = roc_auc(one.truth, values), average_precision(one.truth, values)
        if auc is not None and precision is not None:
            scores.append(HeldOutScore(one.name, auc, precision))
    return scores
