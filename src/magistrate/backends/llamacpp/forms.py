"""Hold an answer to a form: which tokens can come next.

Words are held to the tokens that the tokenizer writes them with, not to a grammar over letters: that would allow `I`
as the beginning of `INVALID`, and take for it all the probability of answers that begin with the word "I". Schemas are
held by llama.cpp's grammars, without special tokens, whatever those spell.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from magistrate.backends.engine import EngineError
from magistrate.backends.held_words import HeldWords
from magistrate.backends.llamacpp.native import Logits, Weights
from magistrate.types import AnswerForm, Choices

NEVER = np.float32(-np.inf)


class Held(Protocol):
    """One answer on its way through its form."""

    @property
    def is_whole(self) -> bool:
        """Whether the form is filled, and only a stop can follow."""
        ...

    def likely(self, logits: Logits) -> Logits:
        """Leave out most of what the form does not allow: a token that is drawn from it must be asked for."""
        ...

    def allows(self, token: int) -> bool:
        """Whether this token can come next."""
        ...

    def only(self, logits: Logits) -> Logits:
        """Leave out all that the form does not allow; the same as `likely`, and slow for schemas."""
        ...

    def take(self, token: int) -> None:
        """Go on by a token that is allowed."""
        ...

    def close(self) -> None:
        """Give its memory back."""
        ...


def hold(weights: Weights, form: AnswerForm, stops: frozenset[int]) -> Held:
    """Begin an answer that has this form and then one of these stops.

    Raises:
        EngineError: the form cannot be enforced.
    """
    if isinstance(form, Choices):
        return _Words(HeldWords([weights.tokenize(word, special=False) for word in form.words], stops))
    return _Schema(weights, form.schema)


class _Words:
    def __init__(self, words: HeldWords) -> None:
        self._words = words

    @property
    def is_whole(self) -> bool:
        return self._words.is_whole

    def allows(self, token: int) -> bool:
        return token in self._words.following()

    def only(self, logits: Logits) -> Logits:
        kept = np.full_like(logits, NEVER)
        following = sorted(self._words.following())
        kept[following] = logits[following]
        return kept

    likely = only

    def take(self, token: int) -> None:
        self._words.take(token)

    def close(self) -> None:
        pass


class _Schema:
    """JSON of a schema. Asking the grammar for one token is quick, for a whole vocabulary it is not."""

    def __init__(self, weights: Weights, schema: str) -> None:
        self._weights = weights
        self._grammar = weights.grammar(schema)
        self._ends = np.array(sorted(weights.ends), dtype=np.int64)
        self._never = sorted(weights.controls - weights.ends)
        self._closed = False

    @property
    def is_whole(self) -> bool:
        """An object or a list that is closed; behind it a grammar allows blanks alone."""
        return self._closed and bool(self._grammar.possible(self._ends).any())

    def likely(self, logits: Logits) -> Logits:
        kept = logits.copy()
        kept[self._never] = NEVER
        return kept

    def allows(self, token: int) -> bool:
        return bool(self._grammar.possible(np.array([token], dtype=np.int64))[0])

    def only(self, logits: Logits) -> Logits:
        kept = self.likely(logits)
        kept[~self._grammar.possible(np.arange(len(logits), dtype=np.int64))] = NEVER
        if not np.isfinite(kept).any():
            raise EngineError("the form of the answer leaves no token to go on with")
        return kept

    def take(self, token: int) -> None:
        self._grammar.take(token)
        self._closed = self._weights.text((token,)).rstrip().endswith(("}", "]"))

    def close(self) -> None:
        self._grammar.close()
