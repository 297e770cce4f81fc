"""Whether a server answers: by its own word, by what it lists, and by one real completion."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import httpx

from magistrate.backends.http import HttpBackend
from magistrate.errors import BackendError
from magistrate.types import CallFailure, Message, Request, Role, Sampling

FIRST_ANSWER_LIMIT_S = 300.0
"""For the first completion, which compiles and warms up."""
ASK_LIMIT_S = 10.0
BETWEEN_S = 0.25
_TRIAL = Request(
    messages=(Message(Role.SYSTEM, "Answer with one word."), Message(Role.USER, "Is water wet?")),
    sampling=Sampling(max_output_tokens=8, temperature=0.0),
)


async def wait_until_healthy(url: str, model: str, *, api_key_env: str | None, alive: Callable[[], bool]) -> None:
    """Wait until it says that it is well, lists the model, and has answered once.

    There is no limit here: cancel it.

    Raises:
        BackendError: the process has ended, another model is served, or the completion fails.
    """
    while not await is_well(url):
        if not alive():
            raise BackendError("the engine ended before it was ready")
        await anyio.sleep(BETWEEN_S)
    if not alive():  # somebody else answers at its port
        raise BackendError("the engine ended, and something else answers at its address", hint="take another --port")
    async with HttpBackend(
        url, model, api_key_env=api_key_env, timeout_s=FIRST_ANSWER_LIMIT_S, concurrency=1
    ) as backend:
        listed = await backend.list_models()
        if model not in listed:
            raise BackendError(f"the engine serves {', '.join(listed[:5]) or 'nothing'} and not {model!r}")
        (answer,) = await backend.complete_many([_TRIAL])
    if isinstance(answer, CallFailure):
        raise BackendError(f"the engine runs, and a first question fails: {answer.code.value}: {answer.detail}")


async def is_well(url: str) -> bool:
    """Ask `/health`; a server that has none is asked for anything it answers at all."""
    try:
        async with httpx.AsyncClient(timeout=ASK_LIMIT_S, trust_env=False, follow_redirects=False) as client:
            reply = await client.get(f"{url.removesuffix('/v1')}/health")
    except (httpx.HTTPError, OSError):
        return False
    return reply.status_code < httpx.codes.INTERNAL_SERVER_ERROR


async def says_that_it_is_broken(url: str) -> bool:
    """Whether it answers with a failure of its own. One that is too busy to answer is not broken."""
    try:
        async with httpx.AsyncClient(timeout=ASK_LIMIT_S, trust_env=False, follow_redirects=False) as client:
            reply = await client.get(f"{url.removesuffix('/v1')}/health")
    except (httpx.HTTPError, OSError):
        return False
    return reply.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
