"""Texts → token ids, as the embedded judge reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from magistrate.types import Content, Message, Role

FIRST, LAST = 101, 102
"""[CLS] and [SEP]."""
CONTEXT_TOKENS = 96
_CONTEXT_ROLES = frozenset({Role.USER, Role.ASSISTANT, Role.TOOL})


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A text as ids, marks included; the first `hidden` are its context."""

    ids: tuple[int, ...]
    hidden: int


class TextTokens:
    """Tokenise contents and passages, each once."""

    def __init__(self, tokenizer: Path, *, content_tokens: int, passage_tokens: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True
        self._content_tokens = content_tokens
        self.passage = lru_cache(maxsize=100_000)(lambda text: self._row(text, passage_tokens))
        self.content = lru_cache(maxsize=None)(self._content)

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def _row(self, text: str, most: int) -> TokenRow:
        return TokenRow((FIRST, *self._encode(text)[:most], LAST), 0)

    def _content(self, content: Content) -> TokenRow:
        first = content.judged_index or 0
        judged = "\n".join(message.content for message in content.judged)
        context = "\n".join(_said(content.messages[:first]))
        ids = self._encode(judged[: self._content_tokens * 12])[: self._content_tokens]
        if not context:
            return TokenRow((FIRST, *ids, LAST), 0)
        before = self._encode(context[-CONTEXT_TOKENS * 20 :])[-CONTEXT_TOKENS:]
        return TokenRow((FIRST, *before, LAST, *ids, LAST), len(before) + 2)


def _said(earlier: tuple[Message, ...]) -> Iterator[str]:
    return (message.content for message in earlier if message.role in _CONTEXT_ROLES)
