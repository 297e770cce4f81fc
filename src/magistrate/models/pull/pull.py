"""Bring a model's weights here: ask what there is, check the room, fetch, check the bytes, put them in their place."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from magistrate.errors import UsageError, WeightsError
from magistrate.models.architecture import architecture_of
from magistrate.models.profile import Profile, Weights
from magistrate.models.pull import cache as places
from magistrate.models.pull.alone import alone
from magistrate.models.pull.digests import DIGESTS_FOLDER, digest_of, keep_digests, kept_digests
from magistrate.models.pull.failures import PassingError
from magistrate.models.pull.hub import TIMEOUT_S, Hub, require_huggingface_hub
from magistrate.models.pull.listing import Listing, RemoteFile, wanted_files
from magistrate.models.pull.room import MARGIN_BYTES, require_room
from magistrate.models.pull.transfer import LONGEST_WAIT_S, TRIES, Transfer

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to bring, and where to."""

    weights: Weights
    into: Path | None = None
    """A folder of the user's; None for the cache of huggingface_hub."""
    revision: str | None = None
    check: bool = False
    """Whether to read again what is there already, and compare it with what the hub says."""
    endpoint: str | None = None
    """Of the hub; None for what `HF_ENDPOINT` says."""
    cache: Path | None = None
    margin: int = MARGIN_BYTES
    """Bytes to leave free."""
    timeout_s: float = TIMEOUT_S
    """After which a server that sends nothing is given up, and asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """Weights that are here."""

    place: Path
    """A folder, or a GGUF file."""
    source: str
    files: int
    fetched_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """What is told as it goes on."""

    total: Callable[[int], None] = lambda _: None
    """Bytes that are to come."""
    got: Callable[[int], None] = lambda _: None
    said: Callable[[str], None] = lambda _: None
    sleep: Callable[[float], None] = time.sleep


def pull(wish: Wish, watching: Watching | None = None) -> Pulled:
    """Bring weights from the hub. What is here and whole is not fetched again; what was cut off is gone on with.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        WeightsError: they cannot be had, do not fit on the disk, or are not the bytes that the hub names.
    """
    require_huggingface_hub()
    watching = watching or Watching()
    weights, hub = wish.weights, Hub(wish.endpoint, timeout_s=wish.timeout_s)
    revision = wish.revision or weights.revision
    listing = _persistently(lambda: hub.listing(weights.repo, revision), watching)
    files = wanted_files(listing, weights.file)
    store = _Folder(wish.into) if wish.into else _Cache(listing, places.repo_folder(weights.repo, wish.cache))
    waiting = [file for file in files if not _is_here(store, file, check=wish.check, said=watching.said)]
    left = sum(max(0, file.size - _size(store.partial(file))) for file in waiting)
    require_room(store.root, left, margin=wish.margin)
    watching.total(left)
    with httpx.Client(headers=dict(hub.headers()), timeout=wish.timeout_s, follow_redirects=True) as client:
        transfer = Transfer(client=client, got=watching.got, sleep=watching.sleep)
        for file in waiting:
            what = f"{file.path} of {listing.source}"
            with alone(store.lock(file), what):
                # Another pull may have brought it since we looked.
                if not _is_here(store, file, check=False, said=watching.said):
                    _bring(transfer, hub.address(listing, file), store, file, what=what)
    folder = store.finish(files, revision)
    return Pulled(
        place=folder if weights.file is None else folder / weights.file,
        source=listing.source,
        files=len(files),
        fetched_bytes=left,
    )


def offline(wish: Wish) -> Pulled:
    """Weights that are in the cache or the folder already, without asking the hub.

    Raises:
        WeightsError: some are missing, or damaged where they are to be checked; it names them.
    """
    weights = wish.weights
    folder = wish.into or places.cached_snapshot(weights, wish.cache, wish.revision)
    if folder is None:
        raise WeightsError(
            f"{weights.repo} is not in the cache at {str(wish.cache or places.cache_folder())!r}, "
            "and the hub is not asked when offline",
            hint="pull once with a network, copy the cache here and set HF_HOME, or give --from FOLDER|FILE.gguf",
        )
    missing = places.missing_parts(folder, weights.file)
    if missing:
        raise WeightsError(
            f"{weights.repo} is here in part: missing or cut short are {', '.join(missing)}",
            hint="pull once with a network: only these are fetched",
        )
    if wish.check:
        _require_undamaged(folder, weights)
    names = places.names_of(folder, weights.file)
    place = folder if weights.file is None else folder / weights.file
    return Pulled(place=place, source=weights.repo, files=len(names), fetched_bytes=0)


def _require_undamaged(folder: Path, weights: Weights) -> None:
    digests = kept_digests(folder)
    unknown = [name for name in places.names_of(folder, weights.file) if name not in digests]
    if unknown:
        raise WeightsError(
            f"cannot check {weights.repo} in {str(folder)!r} without the hub: "
            f"no digest is kept of {', '.join(unknown)}",
            hint="pull --check with a network",
        )
    damaged = [name for name, digest in digests.items() if digest_of(folder / name, digest) != digest]
    if damaged:
        raise WeightsError(
            f"{weights.repo} in {str(folder)!r} is damaged: {', '.join(damaged)}",
            hint="pull --check with a network: only these are fetched again",
        )


def taken(place: Path, profile: Profile) -> Path:
    """Weights that the user has, as they are, after a look at what they say of themselves.

    Raises:
        UsageError: not there, not weights, or of another kind of model than the profile.
    """
    if not place.exists():
        raise UsageError(f"there is no {str(place)!r}", hint="give a folder with config.json, or a GGUF file")
    kind = architecture_of(place)
    if kind is None:
        raise UsageError(
            f"{str(place)!r} does not say what model it holds", hint="give a folder with config.json, or a GGUF file"
        )
    missing = places.missing_parts(place, None)
    if missing:
        raise UsageError(f"{str(place)!r} is not whole: missing or cut short are {', '.join(missing)}")
    # Only of gpt-oss is the type known from the profile; llama.cpp and Transformers write it apart.
    if profile.family.startswith("gpt-oss") and kind.replace("_", "") != "gptoss":
        raise UsageError(f"{str(place)!r} holds a model of type {kind!r}, and {profile.name} is of type 'gpt_oss'")
    return place


def _bring(transfer: Transfer, address: str, store: _Store, file: RemoteFile, *, what: str) -> None:
    partial = store.partial(file)
    partial.parent.mkdir(parents=True, exist_ok=True)
    found = ""
    for _ in range(2):
        transfer.fetch(address, partial, file.size, what=what)
        found = digest_of(partial, file.digest)
        if found == file.digest:
            store.keep(file)
            return
        # Damaged on its way, perhaps: once more from the beginning.
        partial.unlink()
        transfer.got(-file.size)
    raise WeightsError(
        f"{what} is damaged: its digest is {found}, and the hub says {file.digest}",
        hint="it was fetched twice and deleted; pull again later; if that does not help, do not trust the mirror",
    )


def _persistently(attempt: Callable[[], T], watching: Watching) -> T:
    for number in range(1, TRIES + 1):
        try:
            return attempt()
        except PassingError as error:
            wait_s = error.retry_after_s if error.retry_after_s is not None else 0.5 * 2**number
            if number == TRIES or wait_s > LONGEST_WAIT_S:
                raise
            watching.said(f"{error.message}: trying again in {wait_s:.0f} s")
            watching.sleep(wait_s)
    raise AssertionError


def _is_here(store: _Store, file: RemoteFile, *, check: bool, said: Callable[[str], None]) -> bool:
    path = store.kept(file)
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    if not check or digest_of(path, file.digest) == file.digest:
        return True
    said(f"{file.path} is damaged on the disk: it is fetched again")
    path.unlink()
    return False


class _Store:
    """Where files are put: in parts while they come, and under their names when they are whole."""

    root: Path

    def partial(self, file: RemoteFile) -> Path:
        raise NotImplementedError

    def kept(self, file: RemoteFile) -> Path:
        raise NotImplementedError

    def lock(self, file: RemoteFile) -> Path:
        raise NotImplementedError

    def keep(self, file: RemoteFile) -> None:
        self.kept(file).parent.mkdir(parents=True, exist_ok=True)
        self.partial(file).replace(self.kept(file))

    def finish(self, files: tuple[RemoteFile, ...], revision: str | None) -> Path:
        raise NotImplementedError


class _Folder(_Store):
    """A folder of the user's."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def partial(self, file: RemoteFile) -> Path:
        return self.root / DIGESTS_FOLDER / f"{file.digest}.incomplete"

    def lock(self, file: RemoteFile) -> Path:
        return self.root / DIGESTS_FOLDER / f"{file.digest}.lock"

    def kept(self, file: RemoteFile) -> Path:
        return self.root / file.path

    def finish(self, files: tuple[RemoteFile, ...], revision: str | None) -> Path:
        for file in files:
            self.lock(file).unlink(missing_ok=True)
        for left in (self.root / DIGESTS_FOLDER).glob("*.incomplete"):
            left.unlink()  # of a revision that was not fetched to its end
        keep_digests(self.root, {file.path: file.digest for file in files})
        return self.root


class _Cache(_Store):
    """A repository in the cache of huggingface_hub: blobs by digest, and names that link to them."""

    def __init__(self, listing: Listing, root: Path) -> None:
        self.root = root
        self._commit = listing.commit

    def partial(self, file: RemoteFile) -> Path:
        return self.root / "blobs" / f"{file.digest}.incomplete"

    def lock(self, file: RemoteFile) -> Path:
        # Where huggingface_hub has it, so that its downloads and ours wait for each other.
        return self.root.parent / ".locks" / self.root.name / f"{file.digest}.lock"

    def kept(self, file: RemoteFile) -> Path:
        return self.root / "blobs" / file.digest

    def finish(self, files: tuple[RemoteFile, ...], revision: str | None) -> Path:
        folder = self.root / "snapshots" / self._commit
        for file in files:
            name = folder / file.path
            name.parent.mkdir(parents=True, exist_ok=True)
            if not name.exists():
                name.unlink(missing_ok=True)
                _link(self.kept(file), name)
        ref = self.root / "refs" / (revision or "main")
        if revision != self._commit:
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(self._commit, encoding="ascii")
        return folder


def _link(blob: Path, name: Path) -> None:
    try:
        name.symlink_to(os.path.relpath(blob, name.parent))
    except OSError:
        # Windows without the right to make links, and some network disks.
        shutil.copyfile(blob, name)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
