"""One judge in a process of its own, somewhere in the cluster. Nothing here knows Ray."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import magistrate
from magistrate.case import Case
from magistrate.classifiers.base import Classifier
from magistrate.errors import MagistrateError
from magistrate.policy.model import Policy
from magistrate.run.cluster.recipe import Recipe
from magistrate.types import Content, Verdict


@dataclass(frozen=True, slots=True)
class Asked:
    """A case as it travels: the policy is already there."""

    policy: int
    """Position among the policies of the batch."""
    content: Content
    id: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A replica is open."""

    name: str
    """Of the classifier."""
    version: str
    """Of magistrate on that machine."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of ours on that machine, as values: not every exception survives being sent."""

    message: str
    hint: str | None


class Replica:
    """Builds a classifier from its recipe, opens it once, and judges."""

    def __init__(self) -> None:
        self._exit = AsyncExitStack()
        self._policies: Sequence[Policy] = ()
        self._classifier: Classifier | None = None

    async def ready(self, recipe: Recipe, policies: Sequence[Policy]) -> Ready | Refusal:
        """Build and open, where that is not done yet. Not to be called twice at the same time."""
        try:
            if self._classifier is None:
                self._classifier = await self._opened(recipe)
                self._policies = policies
        except MagistrateError as error:
            return Refusal(error.message, error.hint)
        return Ready(self._classifier.name, magistrate.__version__)

    async def judge(self, asked: Sequence[Asked]) -> list[Verdict] | Refusal | None:
        """Judge each case: same length, same order; None in a process that is new and not yet open."""
        if self._classifier is None:
            return None
        try:
            return await self._classifier.judge_many(
                [Case(self._policies[one.policy], one.content, one.id) for one in asked]
            )
        except MagistrateError as error:
            return Refusal(error.message, error.hint)

    async def close(self) -> None:
        """Close the classifier and remove its files."""
        self._classifier = None
        await self._exit.aclose()

    async def _opened(self, recipe: Recipe) -> Classifier:
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(TemporaryDirectory(prefix="magistrate-"))
            classifier = recipe.build(Path(folder))
            await stack.enter_async_context(classifier)
            self._exit = stack.pop_all()
        return classifier
