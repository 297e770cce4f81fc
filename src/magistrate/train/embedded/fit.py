"""The loop: steps, checkpoints from which a killed run goes on as if nothing had happened, and a record of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from magistrate.errors import UsageError
from magistrate.train.embedded.drawing import Drawer
from magistrate.train.embedded.loss import step_loss
from magistrate.train.embedded.network import PolicyReader
from magistrate.train.embedded.tokens import TextTokens

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast."""

    steps: int
    encoder_rate: float = 8e-5
    head_rate: float = 1e-3
    """Peaks; both rise over the warm-up, then fall to a fiftieth along a cosine."""
    warm_up: float = 0.06
    """Share of the steps."""
    weight_decay: float = 0.01
    largest_gradient: float = 1.0
    rule_weight: float = 0.3
    untitled_every: int = 5
    """Every so many steps, rules are read without their policy's title."""
    averaging: float = 0.995
    """Decay, in steps, of the moving average of the weights, which is the model that comes out; less at the start."""
    checkpoint_every: int = 500


@dataclass(frozen=True, slots=True)
class Progress:
    """What the steps since the last one had on average."""

    step: int
    verdict_loss: float
    rule_loss: float


class Fit:
    """A run of training that can stop and go on.

    Args:
        network: Trained in place; what comes out is `averaged`.
        drawer: What each step sees.
        titles: Of policies, by name.
        tokens: The tokeniser.
        schedule: How long and how fast.
        folder: Of checkpoints; made where it is missing.
    """

    def __init__(
        self,
        network: PolicyReader,
        drawer: Drawer,
        titles: Mapping[str, str],
        tokens: TextTokens,
        schedule: Schedule,
        folder: Path,
    ) -> None:
        self._network, self._drawer, self._titles, self._tokens = network, drawer, titles, tokens
        self._schedule, self._folder = schedule, folder
        self._average = AveragedModel(network, multi_avg_fn=_averaging(schedule.averaging))
        encoder = [p for p in network.encoder.parameters() if p.requires_grad]
        self._optimiser = torch.optim.AdamW(
            [
                {"params": encoder, "lr": schedule.encoder_rate},
                {"params": list(network.head.parameters()), "lr": schedule.head_rate},
            ],
            weight_decay=schedule.weight_decay,
        )
        self._rates = torch.optim.lr_scheduler.LambdaLR(self._optimiser, _rate_of(schedule))
        self.step = 0

    @property
    def averaged(self) -> PolicyReader:
        """The moving average of the weights over the steps so far."""
        return cast(PolicyReader, self._average.module)  # AveragedModel does not say what it averages

    def resume(self) -> bool:
        """Go on from the folder's checkpoint, if it has one.

        Raises:
            UsageError: the checkpoint is of another schedule or other data.
        """
        path = self._folder / CHECKPOINT
        if not path.is_file():
            return False
        state = torch.load(path, weights_only=True)
        if state["identity"] != self._identity():
            raise UsageError(
                f"{str(path)!r} is a checkpoint of another run: {state['identity']}, this one is {self._identity()}",
                hint="give the same options and data, or another --out",
            )
        self._network.load_state_dict(state["network"])
        self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._rates.load_state_dict(state["rates"])
        self.step = state["step"]
        return True

    def run(
        self, *, every: int, stop: int | None = None, saved: Callable[[int], None] = lambda step: None
    ) -> Iterator[Progress]:
        """Go on to the end of the schedule.

        Args:
            every: Yield after so many steps.
            stop: End after this step instead, with the rates that the whole schedule has there.
            saved: Called after each checkpoint.
        """
        schedule = self._schedule
        last = schedule.steps if stop is None else min(stop, schedule.steps)
        verdict = rule = 0.0
        count = 0
        while self.step < last:
            self.step += 1
            losses = self._take_step()
            verdict, rule, count = verdict + losses[0], rule + losses[1], count + 1
            if self.step % every == 0 or self.step == last:
                yield Progress(self.step, verdict / count, rule / count)
                verdict, rule, count = 0.0, 0.0, 0
            if self.step % schedule.checkpoint_every == 0 or self.step == last:
                self._save()
                saved(self.step)

    def _take_step(self) -> tuple[float, float]:
        schedule = self._schedule
        self._network.train()
        self._optimiser.zero_grad()
        titled = self.step % schedule.untitled_every != 0
        draw = self._drawer.draw(self.step)
        loss = step_loss(
            self._network, draw, self._titles, self._tokens, titled=titled, rule_weight=schedule.rule_weight
        )
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), schedule.largest_gradient)
        self._optimiser.step()
        self._average.update_parameters(self._network)
        self._rates.step()
        return loss.verdict, loss.rule

    def _save(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        state = {
            "identity": self._identity(),
            "step": self.step,
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "rates": self._rates.state_dict(),
        }
        partial = self._folder / f"{CHECKPOINT}.partial"
        torch.save(state, partial)
        partial.replace(self._folder / CHECKPOINT)

    def _identity(self) -> str:
        return f"{self._schedule!r} {self._drawer.identity}"


def _rate_of(schedule: Schedule) -> Callable[[int], float]:
    warm_up = max(1, round(schedule.steps * schedule.warm_up))

    def rate(step: int) -> float:
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, schedule.steps))))
        return min((step + 1) / warm_up, 0.02 + 0.98 * falling)

    return rate


def _averaging(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """A moving average that forgets the start: after n steps the decay is at most (1 + n) / (10 + n)."""

    def average(averages: Sequence[Tensor], current: Sequence[Tensor], steps: Tensor | int) -> None:
        weight = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        for one, other in zip(averages, current, strict=True):
            one.lerp_(other, weight)

    return average
