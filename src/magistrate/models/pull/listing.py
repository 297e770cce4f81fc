"""What a repository holds, and which of it an engine needs. Names and sizes come from a stranger."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from magistrate.errors import WeightsError

MOST_NAME_CHARACTERS = 255
_ENGINE_FILES: Final = re.compile(
    r"""(?x)
    .+\.safetensors | .+\.safetensors\.index\.json
    | config\.json | generation_config\.json | preprocessor_config\.json
    | tokenizer\.json | tokenizer_config\.json | tokenizer\.model | special_tokens_map\.json | added_tokens\.json
    | vocab\.json | merges\.txt | chat_template\.(jinja|json) | LICEN[CS]E(\.txt|\.md)?
    """
)
"""At the top of a repository only: `original/` and `metal/` of gpt-oss hold the same weights in other forms."""
_PICKLES: Final = re.compile(r".+\.(bin|pt|pth|ckpt|pkl|pickle)")
"""Loading these can run code that their author wrote."""
_PART: Final = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<of>\d{5})\.gguf")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file of a repository as the hub describes it."""

    path: str
    size: int
    """Bytes."""
    digest: str
    """64 hexadecimal digits: SHA-256 of the bytes. 40: git's SHA-1 of the blob. It is the ETag that the hub gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A repository at one commit."""

    repo: str
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def source(self) -> str:
        """Repository and commit, as messages say it."""
        return f"{self.repo} @ {self.commit[:12]}"


def wanted_files(listing: Listing, file: str | None) -> tuple[RemoteFile, ...]:
    """The files that an engine needs, and no others.

    Code and pickles are never among them.

    Args:
        listing: Of the repository.
        file: A GGUF file in it, with the other parts where it is one part of several; None for safetensors.

    Raises:
        WeightsError: the weights are not there in a form that is fetched, or a name would leave the folder.
    """
    found = _gguf_files(listing, file) if file is not None else _safetensors_files(listing)
    for each in found:
        if not is_safe_name(each.path):
            raise WeightsError(
                f"{listing.source} names a file {each.path[:80]!r}, which could leave the folder",
                hint="nothing was fetched; do not trust this repository, or this mirror (HF_ENDPOINT)",
            )
    return found


def is_safe_name(path: str) -> bool:
    """Whether a name from a stranger stays inside the folder that it is put into, on any system.

    >>> is_safe_name("model.safetensors"), is_safe_name("../model.safetensors"), is_safe_name("C:config.json")
    (True, False, False)
    """
    if not 0 < len(path) <= MOST_NAME_CHARACTERS or not path.isprintable() or any(c in path for c in '\\:*?"<>|'):
        return False
    return all(
        (part not in ("", ".", "..") and part == part.strip(" .")) or _is_dotfile(part) for part in path.split("/")
    )


def _is_dotfile(part: str) -> bool:
    return bool(re.fullmatch(r"\.\w[\w.-]*\w", part))


def gguf_parts(file: str) -> tuple[str, ...]:
    """The names of all parts of a GGUF file, of which one is given; the file alone where it is not split.

    >>> gguf_parts("m-00001-of-00002.gguf"), gguf_parts("m.gguf")
    (('m-00001-of-00002.gguf', 'm-00002-of-00002.gguf'), ('m.gguf',))
    """
    part = _PART.fullmatch(file)
    if part is None:
        return (file,)
    of = int(part["of"])
    return tuple(f"{part['stem']}-{number:05}-of-{of:05}.gguf" for number in range(1, of + 1))


def _safetensors_files(listing: Listing) -> tuple[RemoteFile, ...]:
    top = [
        file
        for file in listing.files
        if _ENGINE_FILES.fullmatch(PurePosixPath(file.path).as_posix()) and "/" not in file.path
    ]
    weights = [file for file in top if file.path.endswith(".safetensors")]
    if not weights:
        raise WeightsError(
            f"{listing.source} holds no weights that can be used: {_what_instead(listing.files)}", hint=_OTHER
        )
    if any(file.path.startswith("model") for file in weights):
        # Mistral's repositories hold the same weights a second time, as consolidated*.safetensors.
        top = [file for file in top if not file.path.startswith("consolidated")]
    return tuple(top)


_OTHER = "choose another form with --quantisation, or bring weights that you have: --from FOLDER or --from FILE.gguf"


def _what_instead(files: Iterable[RemoteFile]) -> str:
    names = [file.path for file in files]
    if any(_PICKLES.fullmatch(name) for name in names):
        return "only pickles, which can run code when they are loaded and are never fetched"
    if any(name.endswith(".gguf") for name in names):
        return "only GGUF files"
    return "no *.safetensors at its top"


def _gguf_files(listing: Listing, file: str) -> tuple[RemoteFile, ...]:
    names = gguf_parts(file)
    by_name = {each.path: each for each in listing.files}
    missing = [name for name in names if name not in by_name]
    if missing or not file.endswith(".gguf"):
        there = [name for name in by_name if name.endswith(".gguf")][:6]
        raise WeightsError(
            f"{listing.source} has no file {(missing or [file])[0]!r}",
            hint=f"it has {', '.join(there) or 'no GGUF file'}",
        )
    return tuple(by_name[name] for name in names)
