"""What every encoder does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from magistrate.encoders.model_folder import ModelFolder

States = NDArray[np.float32]
"""Rows of numbers that a model has made of tokens or texts: (rows, dimensions), float32."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text to read token by token."""

    text: str
    context: str = ""
    """What was said before it. It shapes the states of the text and gets none itself."""


@dataclass(frozen=True, slots=True)
class Window:
    """What the model reads at once of a passage."""

    states: States
    """(tokens, dimensions): of the text's tokens, and of the marks around them where no context is in the window."""
    spans: tuple[tuple[int, int] | None, ...]
    """`text[start:end]` of each token; None for a mark."""


@dataclass(frozen=True, slots=True)
class EncodedPassage:
    """A passage as overlapping windows that together hold all of its tokens; at least one."""

    windows: tuple[Window, ...]
    tokens: int
    """How many tokens were run through the model, context and marks included."""


class Encoder(Protocol):
    """Turn texts into states.

    Constructors store; entering the context loads the model. The states of a text never depend on what else is
    encoded in the same call. No text is refused or cut: empty, very long and malformed ones have states too.
    """

    @property
    def name(self) -> str:
        """The model with its version: equal names give equal states."""
        ...

    @property
    def folder(self) -> ModelFolder:
        """Where the model is, with the head that was trained with it."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a state."""
        ...

    def encode(self, texts: Sequence[str]) -> States:
        """One state for each whole text, the mean of its tokens' and marks': (texts, dimensions)."""
        ...

    def encode_tokens(self, passages: Sequence[Passage]) -> list[EncodedPassage]:
        """A state for each token of each passage, in the order of the passages."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
