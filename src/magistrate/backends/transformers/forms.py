"""Hold an answer to a form: which tokens can come next.

Words are held to the tokens that the tokenizer writes them with (`held_words`); schemas by xgrammar, as in vLLM.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from magistrate.backends.engine import EngineError
from magistrate.backends.held_words import HeldWords
from magistrate.types import AnswerForm, Choices

if TYPE_CHECKING:
    import torch


class Held(Protocol):
    """One answer on its way through its form."""

    @property
    def is_whole(self) -> bool:
        """Whether the form is filled, and only a stop can follow."""
        ...

    def possible(self, size: int) -> torch.Tensor:
        """Which of the first `size` tokens can come next, as booleans on the CPU."""
        ...

    def take(self, token: int) -> None:
        """Go on by a token that was possible."""
        ...


def can_hold() -> bool:
    """Whether every form can be enforced here."""
    return importlib.util.find_spec("xgrammar") is not None


class Forms:
    """Forms, made ready for one tokenizer; each is compiled once."""

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:  # Any: a tokenizer of transformers, untyped
        """Keep what a form is compiled for.

        Args:
            tokenizer: Of transformers.
            vocabulary: How many tokens the model gives logits for; may be more than the tokenizer has.
        """
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._compiled: dict[str, Any] = {}

    def hold(self, form: AnswerForm, stops: Iterable[int]) -> Held:
        """Begin an answer that has this form and then one of these stops.

        Raises:
            EngineError: the form cannot be read.
        """
        if isinstance(form, Choices):
            words = [self._tokenizer(word, add_special_tokens=False)["input_ids"] for word in form.words]
            return HeldWords(words, stops)
        if form.schema not in self._compiled:
            self._compiled[form.schema] = self._compile(form.schema)
        matcher = self._xgrammar.GrammarMatcher(self._compiled[form.schema], override_stop_tokens=[*stops])
        mask = self._xgrammar.allocate_token_bitmask(1, self._vocabulary)
        return _HeldSchema(matcher, mask, self._special - {*stops})

    def _compile(self, schema: str) -> Any:
        try:
            # One way to write it: with free whitespace, a model that is unsure fills its budget with blanks.
            return self._compiler.compile_json_schema(schema, any_whitespace=False)
        except ImportError as error:
            raise EngineError("a schema can be enforced only with the package xgrammar") from error
        except (RuntimeError, ValueError) as error:  # what xgrammar raises; its text may quote the schema
            raise EngineError(f"the form of the answer cannot be enforced: {type(error).__name__}") from error

    @functools.cached_property
    def _xgrammar(self) -> Any:  # by its name, so that types are the same where it is not installed
        return importlib.import_module("xgrammar")

    @functools.cached_property
    def _compiler(self) -> Any:
        """Made for the first schema: reading a vocabulary of 200,000 tokens takes seconds."""
        info = self._xgrammar.TokenizerInfo.from_huggingface(self._tokenizer, vocab_size=self._vocabulary)
        return self._xgrammar.GrammarCompiler(info)

    @functools.cached_property
    def _special(self) -> frozenset[int]:
        added = self._tokenizer.added_tokens_decoder.items()
        return frozenset(int(token) for token, what in added if what.special)


class _HeldSchema:
    """JSON of a schema."""

    def __init__(self, matcher: Any, mask: torch.Tensor, never: frozenset[int]) -> None:
        """Start before the first token.

        Args:
            matcher: xgrammar's, at its beginning.
            mask: (1, vocabulary / 32) of bits.
            never: Special tokens that do not stop: they are no part of a text, whatever they spell.
        """
        self._matcher = matcher
        self._mask = mask
        self._never = sorted(never)

    def possible(self, size: int) -> torch.Tensor:
        import torch

        self._matcher.fill_next_token_bitmask(self._mask)
        bits = torch.arange(32, dtype=torch.int32)
        allowed = ((self._mask[0][:, None] >> bits) & 1).bool().flatten()[:size]
        allowed[self._never] = False
        return allowed

    def take(self, token: int) -> None:
        if not self._matcher.accept_token(token):
            raise EngineError("a token was sampled that the form of the answer does not have")

    @property
    def is_whole(self) -> bool:
        if not self._matcher.is_completed():
            return False
        following = self.possible(self._mask.shape[1] * 32).nonzero().flatten().tolist()
        return {*following} <= {*map(int, self._matcher.stop_token_ids)}
