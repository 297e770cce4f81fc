"""What goes wrong between here and a hub, said once: by status for both clients, by type for what has none."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from magistrate.errors import WeightsError

_NETWORK = "check the network, a proxy, and HF_ENDPOINT; what came is kept, and the next pull goes on from there"
_ACCESS = "accept its conditions on its page at the hub, then set HF_TOKEN to a token that may read it"


class PassingError(WeightsError):
    """What may pass when it is tried again. `retry_after_s` is what the server asked for."""

    def __init__(self, message: str, *, hint: str = _NETWORK, retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


def of_status(status: int, headers: Mapping[str, str], what: str) -> WeightsError:
    """The error that a refusal stands for.

    Args:
        status: Of HTTP.
        headers: Of the answer; names in any case are found where the mapping does so.
        what: What was asked for: repository, revision or file.
    """
    code = headers.get("X-Error-Code", "")
    if status == 429:
        return PassingError(f"the hub refuses {what}: too many requests (429)", retry_after_s=_seconds(headers))
    if status >= 500 or status == 408:
        return PassingError(f"the hub failed with status {status} at {what}", retry_after_s=_seconds(headers))
    if code == "GatedRepo" or status == 403:
        return WeightsError(f"{what} is given only to those who have access ({status})", hint=_ACCESS)
    if code == "RevisionNotFound":
        return WeightsError(
            f"{what}: there is no such revision (404)", hint="check --revision: a branch, tag or commit"
        )
    if status == 401 or code == "RepoNotFound":
        return WeightsError(f"the hub does not give {what}: it is not there, or not for you ({status})", hint=_ACCESS)
    if status == 404:
        return WeightsError(
            f"{what} is not there (404)", hint="check the name and --revision; HF_ENDPOINT names a mirror"
        )
    return WeightsError(f"the hub refuses {what} with status {status}", hint="check HF_ENDPOINT")


def _seconds(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else None


@contextmanager
def mapped(what: str) -> Generator[None]:
    """Turn the errors of huggingface_hub into ours."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    # Errors of the connection come as those of the HTTP library that this version of huggingface_hub is built on.
    transport = tuple(
        base for base in HfHubHTTPError.__mro__[1:] if base is not Exception and issubclass(base, Exception)
    )
    try:
        yield
    except HFValidationError as error:
        raise WeightsError(f"{what} cannot be the name of a repository", hint="it is OWNER/NAME") from error
    except OfflineModeIsEnabled as error:
        raise WeightsError(f"cannot ask the hub for {what}: HF_HUB_OFFLINE is set", hint="unset it") from error
    except HfHubHTTPError as error:
        raise of_status(error.response.status_code, error.response.headers, what) from error
    except transport as error:
        raise PassingError(f"cannot reach the hub for {what}: {type(error).__name__}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # A mirror that answers in another form than the hub.
        raise WeightsError(
            f"what HF_ENDPOINT answered about {what} cannot be read: {type(error).__name__}", hint="check HF_ENDPOINT"
        ) from error
