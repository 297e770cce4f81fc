"""Texts → token ids, as the embedded judge reads them, cut to what a step can afford."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from magistrate.classifiers.segments import spoken_before
from magistrate.encoders.base import Passage
from magistrate.encoders.minilm import FIRST_TOKEN, LAST_TOKEN, Tokens, tokenize
from magistrate.encoders.wordpiece import load_tokenizer
from magistrate.types import Content


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A text as ids, marks included; the first `hidden` are its context."""

    ids: tuple[int, ...]
    hidden: int


class TextTokens:
    """Tokenise contents and passages, each once.

    Args:
        folder: Of a model, for its tokeniser.
        content_tokens: What is kept of a content.
        passage_tokens: What is kept of a passage of a policy.
    """

    def __init__(self, folder: Path, *, content_tokens: int, passage_tokens: int) -> None:
        self._tokenizer = load_tokenizer(folder)
        self._content_tokens, self._passage_tokens = content_tokens, passage_tokens
        self._contents: dict[Content, TokenRow] = {}
        self._passages: dict[str, TokenRow] = {}

    def passage(self, text: str) -> TokenRow:
        """A passage of a policy."""
        if text not in self._passages:
            self._passages[text] = _row(tokenize(self._tokenizer, Passage(text)), self._passage_tokens)
        return self._passages[text]

    def content(self, content: Content) -> TokenRow:
        """The judged messages, joined, after what was said before them."""
        if content not in self._contents:
            judged = "\n".join(message.content for message in content.judged)
            context = spoken_before(content.messages[: content.judged_index or 0])
            self._contents[content] = _row(tokenize(self._tokenizer, Passage(judged, context)), self._content_tokens)
        return self._contents[content]


def _row(tokens: Tokens, most: int) -> TokenRow:
    ids = tokens.ids[: tokens.context + most]
    return TokenRow((FIRST_TOKEN, *ids, LAST_TOKEN), tokens.context + 1 if tokens.context else 0)
