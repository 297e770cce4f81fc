"""A hub, asked through huggingface_hub: what a repository holds, and where its files are."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from magistrate.backends.address import is_loopback
from magistrate.errors import MissingExtraError, WeightsError
from magistrate.models.pull.digests import is_digest
from magistrate.models.pull.failures import mapped
from magistrate.models.pull.listing import Listing, RemoteFile

TIMEOUT_S = 30.0
OLDEST = (0, 30)
"""Version of huggingface_hub, as pyproject.toml asks for it."""


def require_huggingface_hub() -> None:
    """Check that the package is there, and one that we know how to ask.

    Raises:
        MissingExtraError: it is not there.
        WeightsError: it is too old, or so new that what we need has another name.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        raise MissingExtraError("weights from the Hugging Face hub", extra="hub")
    version = importlib.metadata.version("huggingface_hub")
    numbers = re.match(r"(\d{1,9})\.(\d{1,9})", version)
    if numbers is not None and (int(numbers[1]), int(numbers[2])) < OLDEST:
        raise WeightsError(f"huggingface_hub {version} is too old: {OLDEST[0]}.{OLDEST[1]} is needed", hint=_UPGRADE)
    try:
        from huggingface_hub import HfApi, constants, errors, hf_hub_url
        from huggingface_hub.utils._headers import build_hf_headers

        _ = (HfApi.model_info, constants.ENDPOINT, hf_hub_url, build_hf_headers)
        _ = (errors.HfHubHTTPError, errors.HFValidationError, errors.OfflineModeIsEnabled)
    except (ImportError, AttributeError) as error:
        raise WeightsError(f"huggingface_hub {version} is not one that is supported: {error}", hint=_UPGRADE) from error


_UPGRADE = "pip install --upgrade 'magistrate[hub]'"


class Hub:
    """A hub or a mirror of it. The token is that of huggingface_hub: `HF_TOKEN`, or of `hf auth login`."""

    def __init__(self, endpoint: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        """Store the address; None is what `HF_ENDPOINT` says.

        Raises:
            WeightsError: it is no address.
        """
        from huggingface_hub import constants

        self._endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
        self._timeout_s = timeout_s
        if not _is_address(self._endpoint):
            raise WeightsError(
                f"HF_ENDPOINT is no address of a hub: {self._endpoint.rpartition('@')[2][:200]!r}",
                hint="it is https://HOST of a mirror; unset it for the hub itself",
            )

    def listing(self, repo: str, revision: str | None) -> Listing:
        """What a repository holds at a revision; None is its main branch.

        Raises:
            PassingError: no answer, or one that may be another next time.
            WeightsError: refused, or an answer that cannot be used.
        """
        from huggingface_hub import HfApi

        what = repo if revision is None else f"{repo} @ {revision}"
        with mapped(what):
            info = HfApi(endpoint=self._endpoint, token=self._token()).model_info(
                repo, revision=revision, files_metadata=True, timeout=self._timeout_s
            )
        if not info.sha or len(info.sha) != 40 or not is_digest(info.sha):
            raise WeightsError(f"the hub names no commit of {what}", hint="check HF_ENDPOINT")
        files = tuple(
            _remote_file(
                what,
                file.rfilename,
                file.lfs.size if file.lfs else file.size,
                file.lfs.sha256 if file.lfs else file.blob_id,
            )
            for file in info.siblings or ()
        )
        return Listing(repo=repo, commit=info.sha, files=files)

    def address(self, listing: Listing, file: RemoteFile) -> str:
        """Where a file is got from."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(listing.repo, file.path, revision=listing.commit, endpoint=self._endpoint)

    def headers(self) -> Mapping[str, str]:
        """What requests carry, the token among them."""
        from huggingface_hub.utils._headers import build_hf_headers  # `utils` gives it too, but not to type checkers

        return build_hf_headers(token=self._token(), library_name="magistrate")

    def _token(self) -> bool | None:
        """None for the user's own token; none is sent in the clear to another machine."""
        return None if self._endpoint.startswith("https://") or is_loopback(self._endpoint) else False


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # of a port, or of brackets
        return False


def _remote_file(what: str, path: str, size: int | None, digest: str | None) -> RemoteFile:
    if not isinstance(size, int) or size < 0 or not isinstance(digest, str) or not is_digest(digest):
        raise WeightsError(f"the hub says no size or digest of {path[:80]!r} in {what}", hint="check HF_ENDPOINT")
    return RemoteFile(path=path, size=size, digest=digest)
