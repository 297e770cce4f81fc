"""The tokeniser that the encoders share: the WordPiece vocabulary of BERT, read from a model's folder."""

from __future__ import annotations

import re
from pathlib import Path

from tokenizers import Tokenizer

from magistrate.encoders.model_folder import TOKENIZER
from magistrate.errors import BackendError

_SURROGATE = re.compile("[\ud800-\udfff]")


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokeniser of a model.

    Raises:
        BackendError: the folder has none.
    """
    path = folder / TOKENIZER
    if not path.is_file():
        raise incomplete(path)
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True  # "[SEP]" in a text is five characters, not the end of the text
    return tokenizer


def incomplete(path: Path) -> BackendError:
    """The error of a model that lacks a file."""
    return BackendError(
        f"the embedded model is incomplete: no file {path.name!r} in {str(path.parent)!r}",
        hint="install magistrate again, or train it: magistrate train embedded --help",
    )


def encodable(text: str) -> str:
    """The text without lone surrogates, which have no UTF-8 form; the character in their place keeps all offsets."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
