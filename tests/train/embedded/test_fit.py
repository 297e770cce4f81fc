from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from magistrate.encoders.model_folder import ASSETS  # noqa: E402
from magistrate.errors import UsageError  # noqa: E402
from magistrate.evaluate.dataset import MayTrain  # noqa: E402
from magistrate.train.embedded.base_model import trained  # noqa: E402
from magistrate.train.embedded.drawing import Drawer, Mixture  # noqa: E402
from magistrate.train.embedded.families import read_families  # noqa: E402
from magistrate.train.embedded.fit import Fit, Progress, Schedule  # noqa: E402
from magistrate.train.embedded.held_out import log_odds  # noqa: E402
from magistrate.train.embedded.tokens import TextTokens  # noqa: E402

SCHEDULE = Schedule(steps=6, checkpoint_every=2)


def new_fit(corpus: Path, folder: Path, *, schedule: Schedule = SCHEDULE, seed: int = 0) -> Fit:
    families = read_families([corpus], may_train=frozenset(MayTrain))
    titles = {policy.name: policy.title for family in families for policy in family.policies}
    tokens = TextTokens(ASSETS, content_tokens=32, passage_tokens=32)
    drawer = Drawer(families, {}, Mixture(contents=4), seed)
    return Fit(trained(ASSETS).network, drawer, titles, tokens, schedule, folder)


def weights(fit: Fit) -> list[NDArray[np.float32]]:
    return [parameter.detach().numpy().copy() for parameter in fit.averaged.parameters()]


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(corpus: Path, tmp_path: Path) -> None:
    whole = new_fit(corpus, tmp_path / "whole")
    progress = list(whole.run(every=3))
    assert [p.step for p in progress] == [3, 6]

    stopped = new_fit(corpus, tmp_path / "stopped")
    for _ in stopped.run(every=1):
        if stopped.step == 3:  # after the checkpoint of step 2
            break
    again = new_fit(corpus, tmp_path / "stopped")
    assert again.resume() and again.step == 2
    last: list[Progress] = list(again.run(every=1))[-3:]
    assert sum(p.verdict_loss for p in last) / 3 == pytest.approx(progress[1].verdict_loss, abs=1e-6)
    assert all(np.array_equal(a, b) for a, b in zip(weights(whole), weights(again), strict=True))


def test_nothing_to_go_on_from(corpus: Path, tmp_path: Path) -> None:
    assert not new_fit(corpus, tmp_path / "new").resume()


def test_a_checkpoint_of_another_run_is_refused(corpus: Path, tmp_path: Path) -> None:
    list(new_fit(corpus, tmp_path, schedule=Schedule(steps=1, checkpoint_every=1)).run(every=1))
    with pytest.raises(UsageError, match="another run"):
        new_fit(corpus, tmp_path).resume()
    with pytest.raises(UsageError, match="another run"):
        new_fit(corpus, tmp_path, schedule=Schedule(steps=1, checkpoint_every=1), seed=9).resume()


def test_it_learns_what_it_is_shown(corpus: Path, tmp_path: Path) -> None:
    """Forty steps on six texts under two policies: every verdict is then right."""
    fit = new_fit(corpus, tmp_path, schedule=Schedule(steps=40, checkpoint_every=1000))
    *_, last = fit.run(every=10)
    assert last.verdict_loss < 0.4
    (family,) = read_families([corpus], may_train=frozenset(MayTrain))
    tokens = TextTokens(ASSETS, content_tokens=32, passage_tokens=32)
    for policy in family.policies:
        found = log_odds(fit.averaged, policy, [case.content for case in family.cases], tokens) > 0
        assert list(found) == [case.rulings[policy.name].violation for case in family.cases]
